"""`tracehound alerts` on a store: what is told once, what a restart remembers, what would have been, and the same from `serve`."""

from __future__ import annotations

import json
import shlex
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from dashboard.alerting.looking import look
from dashboard.alerting.outbox import Outbox
from dashboard.cli import main
from tests.alerting.listening import hooks
from tests.dashboard import stores
from tests.drawn import frames, ns
from tests.receiver.serving import serving

RULES = """
[[rule]]
name = "run-latency"
window = "3650d"
[[rule]]
name = "critical-finding"
window = "3650d"
[[channel]]
name = "ops"
type = "webhook"
url = "{url}/hook"
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A run that looped for 36 s, among good ones, years ago."""
    path = tmp_path / "traces.duckdb"
    stores.write(path, frames(stores.plain(1, at=0), stores.looping(at=600)))
    return path


def told(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["alerts", *shlex.split(line)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_alerts_are_sent_once_and_a_restart_remembers(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two alerts reach a real server; the second look, another process as far as it knows, sends nothing."""
    with hooks() as server:
        (tmp_path / "alerts.toml").write_text(RULES.format(url=server.url))
        code, out, err = told(f"--store {store} --rules {tmp_path / 'alerts.toml'} --json", capsys)
        document: dict[str, Any] = json.loads(out)
        assert (code, err) == (0, "")
        assert sorted(one.json["data"]["rule"] for one in server.posted) == ["critical-finding", "run-latency"]
        assert {d["status"] for alert in document["alerts"] for d in alert["deliveries"]} == {"sent"}
        code, out, _ = told(f"--store {store} --rules {tmp_path / 'alerts.toml'}", capsys)
        assert len(server.posted) == 2
        assert "ops" in out


@pytest.mark.slow
def test_a_channel_that_is_down_is_said_and_the_alerts_stay(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    (tmp_path / "alerts.toml").write_text(RULES.format(url="http://127.0.0.1:9"))
    code, _, err = told(f"--store {store} --rules {tmp_path / 'alerts.toml'} --quiet", capsys)

    assert code == 0
    assert "Channel 'ops': 2 alerts not delivered yet, tried up to 1 time" in err
    with sqlite3.connect(store.with_suffix(".alerts.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM deliveries WHERE status = 'pending'").fetchone() == (2,)
    connection.close()


@pytest.mark.slow
def test_a_dry_run_tells_the_history_and_keeps_nothing(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    """The defaults over runs of years ago, at their own time."""
    code, out, _ = told(f"--store {store} --dry-run --json", capsys)
    alerts = json.loads(out)["alerts"]

    assert code == 0
    assert {alert["rule"] for alert in alerts} == {"run-latency", "critical-finding"}
    assert {alert["at_ns"] for alert in alerts} == {ns(638)}
    assert [path.name for path in tmp_path.iterdir() if "alerts" in path.name] == []


def test_previews_and_a_file_to_start_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither needs a store; a file that is there is left alone."""
    assert "Alerts above 30 s" in told("--preview", capsys)[1]
    assert told(f"--write-rules {tmp_path / 'a.toml'}", capsys)[0] == 0
    assert json.loads(told(f"--preview --json --rules {tmp_path / 'a.toml'}", capsys)[1]) == json.loads(told("--preview --json", capsys)[1])  # fmt: skip
    assert told(f"--write-rules {tmp_path / 'a.toml'}", capsys)[0] == 2
    assert told("--test ops", capsys)[0] == 2


@pytest.mark.slow
def test_records_that_were_lost_are_told_when_more_are_lost(store: Path, tmp_path: Path) -> None:
    """The total of the store's counters is remembered: only what is new is an alert."""
    from analyzers.alerts.parsing import default_rules
    from tracer.store.database import Store

    rules = [rule for rule in default_rules() if rule.name == "lost-data"]
    opened, outbox = Store(store), Outbox(store)
    told: list[list[str]] = []
    for at, lost in enumerate((0, 5, 5, 12)):
        with opened.lease() as connection:
            connection.execute("DELETE FROM counters").fetchall()
            connection.execute("INSERT INTO counters VALUES ('dropped_spans', ?)", [lost]).fetchall()
        step, _ = look(opened, rules, (), outbox, ns(at * 86_400))
        told.append([alert.sentence.split()[0] for alert in step.alerts])

    assert told == [[], ["5"], [], ["7"]]


@pytest.mark.slow
def test_serve_evaluates_and_sends(store: Path, tmp_path: Path) -> None:
    """Within the server's own rhythm; a mistake in the rules stops it before it starts."""
    with hooks() as server:
        (tmp_path / "alerts.toml").write_text(RULES.format(url=server.url))
        with serving(store, "--rules", str(tmp_path / "alerts.toml"), "--alerts-every", "0.1") as running:
            deadline = time.monotonic() + 120
            while len(server.posted) < 2 and time.monotonic() < deadline:
                time.sleep(0.2)
            assert running.stop()[0] == 0
        assert sorted(one.json["data"]["rule"] for one in server.posted) == ["critical-finding", "run-latency"]
    (tmp_path / "alerts.toml").write_text("[[rule]]\nname = 1")
    assert main(["serve", "--store", str(store), "--rules", str(tmp_path / "alerts.toml"), "--port", "0"]) == 2


@pytest.mark.slow
def test_a_back_up_takes_along_what_was_told(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the copy nothing is told a second time, and what was not delivered still waits; a file that is there is never overwritten."""
    (tmp_path / "alerts.toml").write_text(RULES.format(url="http://127.0.0.1:9"))
    copy = tmp_path / "copy.duckdb"
    assert main(["backup", "--store", str(store), "--json", str(tmp_path / "early.duckdb")]) == 0
    assert json.loads(capsys.readouterr().out)["alerts"] is None
    told(f"--store {store} --rules {tmp_path / 'alerts.toml'} --quiet", capsys)
    (tmp_path / "copy.alerts.sqlite").write_text("mine")
    assert main(["backup", "--store", str(store), str(copy)]) == 2
    assert "copy.alerts.sqlite' exists already" in capsys.readouterr().err
    assert not copy.exists()
    (tmp_path / "copy.alerts.sqlite").unlink()
    assert main(["backup", "--store", str(store), str(copy)]) == 0
    assert "What alerts were told, and which wait, is in" in capsys.readouterr().err
    before, after = Outbox(store), Outbox(copy)
    assert [alert.id for alert in after.alerts()] == [alert.id for alert in before.alerts()]
    assert len(after.undelivered()) == 2
    _, out, _ = told(f"--store {copy} --rules {tmp_path / 'alerts.toml'} --json", capsys)
    assert len(json.loads(out)["alerts"]) == 2
