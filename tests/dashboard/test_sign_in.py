"""Single sign-on: the file is checked before anything starts, and not everybody whom a provider signs in may look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashboard import launch
from dashboard.cli import main
from dashboard.gate import PASSWORD_VARIABLE
from dashboard.sign_in import may_enter, read_sign_in
from tracer.errors import BadInput

SHARED = {"redirect_uri": "https://traces.example.com/oauth2callback", "cookie_secret": "c" * 32}
PROVIDER = {"client_id": "i", "client_secret": "s", "server_metadata_url": "https://accounts.example.com/.well-known/openid-configuration"}  # fmt: skip
WHO = "\n[tracehound]\nallow = ['ada@example.com']\n"


def written(folder: Path, auth: dict[str, str], rest: str = WHO) -> Path:
    file = folder / "secrets.toml"
    file.write_text("[auth]\n" + "".join(f'{name} = "{value}"\n' for name, value in auth.items()) + rest)
    return file


def test_one_provider_or_several(tmp_path: Path) -> None:
    """Both forms that Streamlit knows; an absolute path, as the server runs elsewhere."""
    known = read_sign_in(written(tmp_path, {**SHARED, **PROVIDER}))
    assert (known.providers, known.allow, known.path.is_absolute()) == ((None,), ("ada@example.com",), True)
    tables = "".join(f"\n[auth.{name}]\n" + "".join(f'{key} = "{value}"\n' for key, value in PROVIDER.items()) for name in ("okta", "entra"))  # fmt: skip
    assert read_sign_in(written(tmp_path, SHARED, tables + WHO)).providers == ("okta", "entra")


@pytest.mark.parametrize(("auth", "rest", "said"), [
    ({**SHARED, **PROVIDER}, "", "no section [tracehound]"),
    ({**SHARED, **PROVIDER}, "\n[tracehound]\n", "does not say who may look"),
    ({**SHARED, **PROVIDER}, "\n[tracehound]\nallow = []\n", "does not say who may look"),
    ({**SHARED, "client_id": "i"}, WHO, "lacks client_secret, server_metadata_url in [auth]"),
    ({**SHARED}, "\n[auth.okta]\nclient_id = 'i'\n" + WHO, "lacks client_secret, server_metadata_url in [auth.okta]"),
    (PROVIDER, WHO, "lacks redirect_uri, cookie_secret in [auth]"),
    ({**SHARED, **PROVIDER, "redirect_uri": "https://traces.example.com/"}, WHO, "expected the address of this dashboard"),
    ({**SHARED, **PROVIDER, "redirect_uri": "http://traces.example.com/oauth2callback"}, WHO, "plain http"),
    ({**SHARED, **PROVIDER, "cookie_secret": "short"}, WHO, "has 5 characters, expected at least 32"),
    ({**SHARED, **PROVIDER}, "\nnot toml", "is not TOML"),
])  # fmt: skip
def test_a_file_that_is_not_safe_is_refused(tmp_path: Path, auth: dict[str, str], rest: str, said: str) -> None:
    """Each lack is named, with what to write."""
    with pytest.raises(BadInput) as refused:
        read_sign_in(written(tmp_path, auth, rest))
    assert said in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(("user", "allow", "enters"), [
    ({"email": "Ada@Example.com", "email_verified": True}, ("ada@example.com",), True),
    ({"email": "ada@example.com", "email_verified": True}, ("@example.com",), True),
    ({"email": "ada@sub.example.com", "email_verified": True}, ("@example.com",), False),
    ({"email": "ada@evil.example", "email_verified": True}, ("ada@example.com", "@example.com"), False),
    ({"email": "x@evil.example@example.com", "email_verified": False}, ("@example.com",), False),
    ({"email": "ada@example.com"}, ("ada@example.com",), False),
    ({"email": "ada@example.com", "email_verified": "true"}, ("ada@example.com",), False),
    ({"sub": "17"}, ("sub:17",), True),
    ({"sub": "170"}, ("sub:17",), False),
    ({}, ("@example.com", "sub:None"), False),
    ({}, ("*",), True),
])  # fmt: skip
def test_who_may_enter(user: dict[str, Any], allow: tuple[str, ...], enters: bool) -> None:
    """Addresses count where the provider verified them."""
    assert may_enter(user, allow) is enters


def test_an_open_address_takes_a_sign_in_for_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command refuses to start without either, and with a file that is not there; the server gets the file as its secrets."""
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    known = read_sign_in(written(tmp_path, {**SHARED, **PROVIDER}))
    command = launch.server_command(host="0.0.0.0", guarded=True, sign_in=known)
    assert f"--secrets.files={known.path}" in command
    assert main(["dashboard", "--host", "0.0.0.0", "--oidc", str(tmp_path / "none.toml")]) == 2
    assert "none.toml cannot be read: No such file or directory." in capsys.readouterr().err
    assert main(["dashboard", "--host", "0.0.0.0", "--store", str(tmp_path / "t.duckdb")]) == 2
    assert "--oidc FILE" in capsys.readouterr().err
