"""A dashboard that other machines reach asks for a password; without one it is not started."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import gate, launch
from tests.dashboard.opening import Open, said
from tracer.errors import BadInput

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"


@pytest.mark.parametrize(("host", "expected"), [
    ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
    ("0.0.0.0", False), ("::", False), ("", False), ("192.168.1.7", False), ("desk.example", False), ("localhost.example", False),
])  # fmt: skip
def test_what_counts_as_this_machine(host: str, expected: bool) -> None:
    """Names are not looked up: only localhost is trusted to mean this machine."""
    assert gate.is_loopback(host) is expected


@pytest.mark.parametrize("password", [None, "", "short"])
def test_an_open_address_without_a_good_password_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    """Nothing is started; the message says what to set."""
    monkeypatch.delenv(gate.PASSWORD_VARIABLE, raising=False)
    if password is not None:
        monkeypatch.setenv(gate.PASSWORD_VARIABLE, password)
    with pytest.raises(BadInput, match="open to other machines") as refused:
        launch.start(tmp_path / "t.duckdb", host="0.0.0.0", port=launch.free_port())
    assert gate.PASSWORD_VARIABLE in (refused.value.hint or "")


def test_the_environment_goes_before_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal is asked only where nothing is set, and never for this machine alone."""
    monkeypatch.delenv(gate.PASSWORD_VARIABLE, raising=False)
    assert gate.password_for("0.0.0.0", ask=lambda: PASSWORD) == PASSWORD
    assert gate.password_for("127.0.0.1", ask=lambda: PASSWORD) is None
    monkeypatch.setenv(gate.PASSWORD_VARIABLE, "another one")
    assert gate.password_for("0.0.0.0", ask=lambda: PASSWORD) == "another one"


@pytest.mark.parametrize("page", ["overview", "traces", "health"])
def test_no_page_shows_anything_before_the_password(
    mixed_store: Path, open_app: Open, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    """A wrong password shows nothing; the right one shows the page that was asked for."""
    monkeypatch.setenv(gate.PASSWORD_VARIABLE, PASSWORD)
    monkeypatch.setattr(gate, "WRONG_COSTS_S", 0.0)
    app = open_app(mixed_store, page)
    assert not app.exception
    assert said(app).split() == ["tracehound"]
    assert not app.dataframe
    assert not app.metric
    app.text_input[0].set_value("correct hors")
    app.button[0].click().run()
    assert "not the password" in app.error[0].value
    assert not app.dataframe
    assert not app.metric
    app.text_input[0].set_value(PASSWORD)
    app.button[0].click().run()
    assert not app.exception
    assert page.capitalize() in [title.value for title in app.title]
