"""Alerts on their way: signed webhooks, Slack's form, mail and Apprise against real servers; channels that are down; restarts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzers.alerts.states import Alert, Step
from analyzers.toml_tables import TomlFile
from dashboard.alerting.channels import Channel, channels_of
from dashboard.alerting.delivery import deliver
from dashboard.alerting.outbox import Outbox
from dashboard.alerting.senders import NotSent
from tests.alerting.listening import Hooks, hooks, mailbox
from tracer.errors import BadInput, StoreError

S_NS = 10**9


def alert(number: int = 1, *, level: str = "critical", kind: str = "fired") -> Alert:
    return Alert(
        id=f"a{number}", rule="run-cost", kind=kind, level=level, workflow="desk <!channel>", agent=None, runs=("r1",), value=3.0,  # type: ignore[arg-type]
        threshold=2.0, samples=10, at_ns=number, since_ns=0, sentence="Run r1 of desk cost $3.00 & more.", more=("Run r2 too.",),
        attached=("loop: 9 rounds",), then="investigate",
    )  # fmt: skip


def channels(text: str) -> tuple[Channel, ...]:
    return channels_of(TomlFile(text, "alerts.toml"))


def channel(kind: str, *lines: str, name: str = "ops") -> str:
    return "\n".join(['[[channel]]', f'name = "{name}"', f'type = "{kind}"', *lines, ""])  # fmt: skip


@pytest.fixture
def server() -> Iterator[Hooks]:
    with hooks() as held:
        yield held


def put(outbox: Outbox, *alerts: Alert, to: tuple[Channel, ...], now_ns: int = 0) -> None:
    """Alerts as `step` leaves them."""
    outbox.step(lambda states: Step(states, alerts, 0), lambda one: [c.name for c in to if c.wants(one)], now_ns, lost_total=0)  # fmt: skip


def test_a_webhook_is_signed_as_the_specification_says(server: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver can check id, time and body with the shared secret; a redirection is not followed."""
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(b"k" * 24).decode())
    [hook] = channels(channel("webhook", f'url = "{server.url}/hook"', 'secret_env = "HOOK_SECRET"'))
    hook.send(alert())
    [got] = server.posted
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    expected = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()

    assert (got.path, got.headers["webhook-id"], got.headers["webhook-signature"]) == ("/hook", "a1", f"v1,{expected}")
    assert (got.json["type"], got.json["data"]["runs"], got.json["data"]["value"]) == ("alert.fired", ["r1"], 3.0)
    assert "Do: investigate." in got.json["data"]["text"]
    server.status = 302
    with pytest.raises(NotSent, match="answered 302"):
        hook.send(alert())
    assert [one.path for one in server.posted] == ["/hook", "/hook"]


def test_slack_gets_its_form_and_no_mentions(server: Hooks) -> None:
    """What a model named a workflow must not call everybody in the room."""
    [slack] = channels(channel("slack", f'url = "{server.url}/services/x"'))
    slack.send(alert())
    [got] = server.posted

    assert got.json["text"] == "[critical] run-cost: desk &lt;!channel&gt;"
    assert "cost $3.00 &amp; more." in got.json["attachments"][0]["text"]
    assert "- Run r2 too." in got.json["attachments"][0]["text"]


def test_mail_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message to all, with what was found and what to do; a server that is gone is a reason."""
    with mailbox() as (port, messages):
        text = channel("email", 'host = "127.0.0.1"', f"port = {port}", 'from = "t@example.org"', 'to = ["a@example.org", "b@example.org"]', 'tls = "none"')  # fmt: skip
        [mail] = channels(text)
        mail.send(alert())
    [message] = messages

    assert (message["To"], message["Subject"]) == ("a@example.org, b@example.org", "[critical] run-cost: desk <!channel>")  # fmt: skip
    assert "a1" in message["Message-ID"]
    assert "loop: 9 rounds" in message.get_content()
    with pytest.raises(NotSent, match="refused"):
        mail.send(alert())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_everything_else_goes_through_apprise(server: Hooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its JSON notification reaches a real server; a service that says no is a reason; without the package, the command is named."""
    monkeypatch.setenv("PAGER_URL", f"json://127.0.0.1:{server.port}/page")
    [pager] = channels(channel("apprise", 'url_env = "PAGER_URL"'))
    pager.send(alert())
    [got] = server.posted

    assert (got.path, got.json["type"], got.json["title"]) == ("/page", "failure", "[critical] run-cost: desk <!channel>")  # fmt: skip
    server.status = 500
    with pytest.raises(NotSent):
        pager.send(alert())
    with pytest.raises(BadInput, match="Apprise does not take this 'nonsense' address"):
        channels(channel("apprise", 'url = "nonsense"'))
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(BadInput) as caught:
        channels(channel("apprise", 'url_env = "PAGER_URL"'))
    assert caught.value.hint == "install it with: pip install 'tracehound[alerts]'"


def test_nothing_is_lost_while_a_channel_is_down(server: Hooks, tmp_path: Path) -> None:
    """One of two channels fails three times, with longer pauses; it is visible; then all arrives in order, once, after a restart."""
    both = channels(channel("webhook", f'url = "{server.url}/hook"') + channel("slack", 'url = "http://127.0.0.1:9/x"', name="down"))  # fmt: skip
    outbox = Outbox(tmp_path / "traces.duckdb")
    put(outbox, alert(1), alert(2), to=both)
    first = deliver(outbox, both, lambda: 0)

    assert (first.sent, list(first.failed)) == (2, ["down"])
    assert [one.json["data"]["id"] for one in server.posted] == ["a1", "a2"]
    assert deliver(outbox, both, lambda: 29 * S_NS).failed == {}  # not due yet
    assert list(deliver(outbox, both, lambda: 30 * S_NS).failed) == ["down"]
    assert deliver(outbox, both, lambda: 89 * S_NS).failed == {}  # the pause has doubled
    later = [(one.alert.id, one.channel, one.attempts, one.status) for one in Outbox(tmp_path / "traces.duckdb").undelivered()]  # fmt: skip
    assert later == [("a1", "down", 2, "pending"), ("a2", "down", 2, "pending")]
    mended = channels(channel("slack", f'url = "{server.url}/slack"', name="down"))
    again = Outbox(tmp_path / "traces.duckdb")
    assert deliver(again, mended, lambda: 10**6 * S_NS).sent == 2
    assert [one.path for one in server.posted] == ["/hook", "/hook", "/slack", "/slack"]
    assert deliver(again, mended, lambda: 10**7 * S_NS).sent == 0
    assert again.undelivered() == []


def test_what_a_killed_process_was_sending_is_sent_by_the_next(server: Hooks, tmp_path: Path) -> None:
    """A claim keeps others off for two minutes, and no longer."""
    hook = channels(channel("webhook", f'url = "{server.url}/hook"'))
    outbox = Outbox(tmp_path / "traces.duckdb")
    put(outbox, alert(), to=hook)
    assert len(outbox.claim(0)) == 1  # and dies

    assert deliver(outbox, hook, lambda: 100 * S_NS).sent == 0
    assert deliver(outbox, hook, lambda: 121 * S_NS).sent == 1


def test_a_channel_that_never_answers_is_given_up_visibly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many attempts; `retry` makes it due again. A channel that was taken out of the file is named."""
    monkeypatch.setattr("dashboard.alerting.outbox.GIVE_UP_AFTER", 3)
    down = channels(channel("slack", 'url = "http://127.0.0.1:9/x"', name="down"))
    outbox = Outbox(tmp_path / "traces.duckdb")
    put(outbox, alert(), to=down)
    for at in itertools.count(0, 3_600 * S_NS):
        deliver(outbox, (), lambda at=at: at)
        if outbox.undelivered()[0].status == "failed":
            break
    [left] = outbox.undelivered()

    assert (left.attempts, left.error) == (3, "there is no channel of this name any more")
    assert outbox.retry() == 1
    assert outbox.undelivered()[0].status == "pending"


def test_channels_choose(server: Hooks) -> None:
    """By level, rule, workflow and whether the end is of interest."""
    lines = [f'url = "{server.url}"', 'levels = ["critical"]', 'rules = ["run-*"]', 'workflow = ["desk*"]', "resolved = false"]  # fmt: skip
    [one] = channels(channel("webhook", *lines))

    assert one.wants(alert())
    assert not one.wants(alert(level="warning"))
    assert not one.wants(alert(kind="resolved"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (channel("pigeon"), "alerts.toml:3: type = 'pigeon'"),
        (channel("webhook"), "has no 'url'"),
        (channel("webhook", 'url = "ftp://x"'), "alerts.toml:4: url = 'ftp://x'"),
        (channel("webhook", 'url_env = "NOT_SET"'), "alerts.toml:4: the environment variable NOT_SET is not set"),
        (channel("webhook", 'url = "https://x"', "levels = \"loud\""), "alerts.toml:5: levels = 'loud'"),
        (channel("slack", 'url = "https://x"', 'secret = "y"'), "alerts.toml:5: [[channel]] 'ops' has an unknown key 'secret'"),
        (channel("email", 'host = "h"', 'from = "a@b"'), "alerts.toml:1: to = ()"),
        (channel("email", 'host = "h"', 'from = "a@b"', 'to = "c@d"', 'tls = "none"', 'password = "p"'), "alerts.toml:7: tls = 'none'"),
        (channel("email", 'host = "h"', 'from = "a@b"', 'to = "c@d"', "port = 99999"), "port = 99999 in [[channel]] 'ops'; a whole number from 1 to 65535"),
        (channel("slack", 'url = "https://x"', 'rules = ["run-cots"]'), "rules = 'run-cots' in [[channel]] 'ops'; the name of a rule"),
        (channel("slack", 'url = "https://x"') * 2, "two channels called 'ops'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_channel_is_named_and_no_secret_is_shown(text: str, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        channels(text)
    assert said in caught.value.message


def test_a_damaged_outbox_is_said(tmp_path: Path) -> None:
    """No alert is taken for sent because its file cannot be read."""
    outbox = Outbox(tmp_path / "traces.duckdb")
    outbox.path.write_bytes(b"no database at all, but long enough to be looked at" * 40)
    with pytest.raises(StoreError, match=r"alerts\.sqlite"):
        outbox.states()
