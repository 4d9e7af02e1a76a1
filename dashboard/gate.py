"""Who may look: traces hold prompts and answers, so a dashboard that other machines can reach asks for a password or a sign-in.

The password is set in `TRACEHOUND_PASSWORD`, or asked for where the command runs in a terminal; the pages ask once per browser tab.
A sign-in (`sign_in`) takes its place. Without either the server is not started on such an address. There is no encryption here:
put a proxy with TLS in front of it.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import address
from dashboard.figures.markup import readable
from dashboard.sign_in import OIDC_VARIABLE, SignIn, is_loopback, may_enter, read_sign_in
from tracer.errors import BadInput

PASSWORD_VARIABLE = "TRACEHOUND_PASSWORD"
LEAST_CHARS = 8
WRONG_COSTS_S = 0.5
"""how long a wrong password keeps everybody waiting: two guesses a second, from however many tabs"""
_ONE_AT_A_TIME = threading.Lock()


def password_for(host: str, *, ask: Callable[[], str | None] | None = None) -> str | None:
    """The password of a server on `host`: that of the environment, or what `ask` returns; None if none is set and none needed.

    Raises:
        BadInput: other machines reach `host` and there is no password of at least `LEAST_CHARS` characters.
    """
    known = os.environ.get(PASSWORD_VARIABLE) or None
    if is_loopback(host):
        return known
    if known is None and ask is not None:
        known = ask()
    if known is None or len(known) < LEAST_CHARS:
        what = "there is no password" if not known else f"its password has {len(known)} characters"
        raise BadInput(
            f"The dashboard would be open to other machines on {host!r}, and {what}.",
            hint=f"set {PASSWORD_VARIABLE} to at least {LEAST_CHARS} characters, give --oidc FILE for single sign-on, or leave --host out to serve this machine only.",
        )
    return known


def is_right(said: str, expected: str) -> bool:
    """Compare in constant time; guesses of all visitors wait for each other, and a wrong one takes `WRONG_COSTS_S`."""
    with _ONE_AT_A_TIME:
        right = hmac.compare_digest(said.encode(), expected.encode())
        if not right:
            time.sleep(WRONG_COSTS_S)
    return right


def is_in() -> bool:
    """Whether this visitor may see pages: signed in and named in the file, or the password was said in this tab, or none is needed."""
    known = _sign_in()
    if known is not None:
        return bool(st.user.is_logged_in) and may_enter(st.user.to_dict(), known.allow)
    return not os.environ.get(PASSWORD_VARIABLE) or st.session_state.get("let_in") is True


def let_in(page: str) -> bool:
    """As `is_in`; draws the question where it is not answered yet.

    Args:
        page: path of the page that was asked for; a sign-in leads back to it, with what stands in the address.
    """
    known = _sign_in()
    if is_in():
        if known is not None:
            _back()
        return True
    _, middle, _ = st.columns([1, 1, 1])
    if known is not None:
        with middle.container(border=True):
            _ask_to_sign_in(known, page)
        return False
    return _ask_password(middle)


def signed_in_as() -> str | None:
    """Who is signed in, None where nobody has to."""
    if _sign_in() is None:
        return None
    user = st.user.to_dict()
    return readable(str(user.get("email") or user.get("name") or user.get("sub")))


@cache
def _sign_in() -> SignIn | None:
    """What this server was started with."""
    path = os.environ.get(OIDC_VARIABLE)
    return read_sign_in(Path(path)) if path else None


def _ask_to_sign_in(known: SignIn, page: str) -> None:
    st.subheader("tracehound", anchor=False)
    if st.user.is_logged_in:
        st.text(f"You are signed in as {signed_in_as()}, who may not look at this dashboard.")
        st.text("Whoever runs it can add you, if your provider has verified your address.")
        st.button("Sign out", on_click=st.logout)
        return
    st.text("Traces hold prompts and answers. Sign in to look at them.")
    for name in known.providers:
        if st.button(
            f"Sign in with {name}" if name else "Sign in", type="primary", width="stretch", key=f"sign_in_{name}"
        ):
            _remember(page)
            st.login(name)


_wanted: OrderedDict[str, tuple[str, dict[str, str]]] = OrderedDict()
"""browser -> the page it wanted before it was sent to sign in; the provider sends everybody back to the first page"""
_MOST_WANTED = 1_000


def _browser() -> str | None:
    """What tells this browser from others while nobody is signed in: the token in Streamlit's cookie against forged requests.

    The cookie is `2|mask|masked token|time`, masked anew with every answer. Of another form it is not used: the sign-in leads to the first page.
    """
    parts = st.context.cookies.get("_streamlit_xsrf", "").split("|")
    try:
        mask, masked = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
        return bytes(byte ^ mask[at % len(mask)] for at, byte in enumerate(masked)).hex() or None
    except (IndexError, ValueError, ZeroDivisionError):
        return None


def _remember(page: str) -> None:
    browser = _browser()
    if browser is not None and (page or st.query_params.to_dict()):
        _wanted[browser] = page, st.query_params.to_dict()
        while len(_wanted) > _MOST_WANTED:
            _wanted.popitem(last=False)


def _back() -> None:
    """Go where this browser wanted to go before it signed in."""
    wanted = _wanted.pop(_browser() or "", None)
    if wanted is not None:
        path = next((path for path, _ in address.PAGES if path.stem == wanted[0]), address.OVERVIEW)
        st.switch_page(path, query_params=wanted[1])


def _ask_password(middle: DeltaGenerator) -> bool:
    expected = os.environ[PASSWORD_VARIABLE]
    with middle, st.form("password"):
        st.subheader("tracehound", anchor=False)
        said = st.text_input("Password", type="password")
        asked = st.form_submit_button("Open", type="primary")
    if not asked:
        return False
    if is_right(said, expected):
        st.session_state["let_in"] = True
        st.rerun()
    middle.error("That is not the password.")
    return False
