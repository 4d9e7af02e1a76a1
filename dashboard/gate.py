"""Who may look: traces hold prompts and answers, so a dashboard that other machines can reach asks for a password.

It is set in `TRACEHOUND_PASSWORD`, or asked for where the command runs in a terminal; without one the server is not started
on such an address. The pages ask once per browser tab. There is no encryption here: put a proxy with TLS in front of it.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable
from ipaddress import ip_address

import streamlit as st

from tracer.errors import BadInput

PASSWORD_VARIABLE = "TRACEHOUND_PASSWORD"
LEAST_CHARS = 8
WRONG_COSTS_S = 0.5
"""how long a wrong password keeps everybody waiting: two guesses a second, from however many tabs"""
_ONE_AT_A_TIME = threading.Lock()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; a name other than localhost counts as reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
            hint=f"set {PASSWORD_VARIABLE} to at least {LEAST_CHARS} characters, or leave --host out to serve this machine only.",
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
    """Whether this visitor may see pages: the server has no password, or it was said in this tab."""
    return not os.environ.get(PASSWORD_VARIABLE) or st.session_state.get("let_in") is True


def let_in() -> bool:
    """As `is_in`; draws the question where the password was not said yet."""
    if is_in():
        return True
    expected = os.environ[PASSWORD_VARIABLE]
    _, middle, _ = st.columns([1, 1, 1])
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
