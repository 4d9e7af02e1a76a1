"""Single sign-on through an OpenID Connect provider: which file says how, and who of those it lets in may look.

The file is Streamlit's `secrets.toml`; its section `[tracehound]` says who may enter, because most providers sign in anybody:

    [auth]
    redirect_uri = "https://traces.example.com/oauth2callback"
    cookie_secret = "a long random string"
    client_id = "..."
    client_secret = "..."
    server_metadata_url = "https://accounts.example.com/.well-known/openid-configuration"

    [tracehound]
    allow = ["ada@example.com", "@example.org"]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from tracer.errors import BadInput

OIDC_VARIABLE = "TRACEHOUND_OIDC"
CALLBACK = "/oauth2callback"
SHARED = ("redirect_uri", "cookie_secret")
OF_PROVIDER = ("client_id", "client_secret", "server_metadata_url")
LEAST_SECRET_CHARS = 32
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class SignIn:
    """What the file says: `providers` are names for `st.login`, None the unnamed one; `allow` as in the file."""

    path: Path
    providers: tuple[str | None, ...]
    allow: tuple[str, ...]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; a name other than localhost counts as reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_sign_in(path: Path) -> SignIn:
    """Read and check the file.

    Raises:
        BadInput: it is missing or no TOML, a key is missing, or it would be unsafe as it stands; the libraries are not installed.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"The sign-in file {path} cannot be read: {error.strerror}.", hint=_HINT) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"The sign-in file {path} is not TOML: {error}.", hint=_HINT) from error
    auth = _table(document, "auth", path)
    _texts(auth, SHARED, "[auth]", path)
    providers = _providers(auth, path)
    _check_shared(auth, path)
    allow = _table(document, "tracehound", path).get("allow")
    if not _are_texts(allow):
        raise BadInput(
            f"{path} does not say who may look: [tracehound] has no allow = [...].",
            hint='most providers sign in anybody; name people or domains, allow = ["ada@example.com", "@example.org"], or "*" for everybody it signs in.',
        )
    if missing := [name for name in ("authlib", "httpx") if find_spec(name) is None]:
        raise BadInput(
            f"Sign-in needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.",
            hint="pip install 'tracehound[oidc]'",
        )
    return SignIn(path.resolve(), providers, tuple(cast("list[str]", allow)))


def may_enter(user: Mapping[str, Any], allow: Sequence[str]) -> bool:
    """Whether the claims of a signed-in `user` fit `allow`: an address, `@domain`, `sub:ID`, or `*`.

    An address counts only where the provider says that it was verified: else anybody could claim it.
    """
    if EVERYBODY in allow or (user.get("sub") and f"sub:{user['sub']}" in allow):
        return True
    address = str(user.get("email") or "").casefold()
    name, at, domain = address.rpartition("@")
    if not (name and at and domain) or user.get("email_verified") is not True:
        return False
    return any(one.casefold() in (address, f"@{domain}") for one in allow)


_HINT = "docs/dashboard.md shows such a file."


def _table(document: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    found = document.get(name)
    if not isinstance(found, dict):
        raise BadInput(f"{path} has no section [{name}].", hint=_HINT)
    return cast("dict[str, Any]", found)


def _texts(table: Mapping[str, Any], names: Sequence[str], where: str, path: Path) -> None:
    missing = [name for name in names if not isinstance(table.get(name), str) or not table[name]]
    if missing:
        raise BadInput(f"{path} lacks {', '.join(missing)} in {where}.", hint=_HINT)


def _providers(auth: Mapping[str, Any], path: Path) -> tuple[str | None, ...]:
    """Streamlit takes one provider from [auth] itself, or several from [auth.NAME]."""
    named = {name: cast("dict[str, Any]", table) for name, table in auth.items() if isinstance(table, dict) and name != "client_kwargs"}  # fmt: skip
    if not named:
        _texts(auth, OF_PROVIDER, "[auth]", path)
        return (None,)
    for name, table in named.items():
        _texts(table, OF_PROVIDER, f"[auth.{name}]", path)
    return tuple(named)


def _check_shared(auth: Mapping[str, Any], path: Path) -> None:
    where, secret = str(auth["redirect_uri"]), str(auth["cookie_secret"])
    address = urlsplit(where)
    if address.scheme not in ("http", "https") or not address.hostname or not address.path.endswith(CALLBACK):
        raise BadInput(
            f"redirect_uri in {path} is {where!r}, expected the address of this dashboard with {CALLBACK} at its end.",
            hint=f'for example "https://traces.example.com{CALLBACK}"; the provider must know the same address.',
        )
    if address.scheme == "http" and not is_loopback(address.hostname):
        raise BadInput(
            f"redirect_uri in {path} is plain http: whoever is on the way could read the session.",
            hint="put a proxy with TLS in front, and write https.",
        )
    if len(secret) < LEAST_SECRET_CHARS:
        raise BadInput(
            f"cookie_secret in {path} has {len(secret)} characters, expected at least {LEAST_SECRET_CHARS}.",
            hint='make one: python -c "import secrets; print(secrets.token_hex(32))"',
        )


def _are_texts(value: object) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(isinstance(one, str) and one for one in cast("list[object]", value))
