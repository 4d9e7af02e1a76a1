"""Policies over a store: files, the trade-off curve and its suggestion, the command, and the sentence in the post-mortem."""

from __future__ import annotations

import json
import shlex
from decimal import Decimal
from pathlib import Path

import pytest

from analyzers.backtest.guards import recordings
from analyzers.backtest.policy import good_runs
from analyzers.backtest.sweep import parted, sweep, told
from analyzers.backtest.whole import Policy, back_test, loop_sentence, read_policy
from analyzers.run import analyse
from dashboard.cli import main
from dashboard.report.case import Case
from dashboard.report.stops import stops_document
from tests.dashboard import stores
from tests.drawn import Drawn, agent, frames, llm, run
from tracer.errors import BadInput


def spent(number: int, dollars: int, *, outcome: str = "completed") -> Drawn:
    """A run of so many calls of a dollar each."""
    calls = [llm(2 * i, 2 * i + 1, cost="1.00", input_tokens=10, output_tokens=5, prompt=f"{number} {i}", answer=f"{number * 1000 + i}") for i in range(dollars)]  # fmt: skip
    return run("desk", agent("Clerk", 0, 2 * dollars, *calls), id=f"{outcome}{number}", at=3_600.0 * number, outcome=outcome)  # fmt: skip


def test_the_suggestion_saves_most_without_stopping_good_runs() -> None:
    """Forty good runs of $2 to $5, two bad ones of $20 and $30: a limit is passed by the call under way, so from
    $4.50 on no good run is stopped; $6 saves nearly as much."""
    held = frames(*(spent(i, 2 + i % 4) for i in range(40)), spent(50, 20, outcome="failed"), spent(51, 30, outcome="failed"))  # fmt: skip
    found = sweep(recordings(held), good_runs(held, ()), "budget_usd", [3, 4.5, 5.5, 6, 12, 25])
    by_threshold = {point.threshold: point.tally for point in found.points}

    assert [t.good_stopped for t in by_threshold.values()] == [20, 0, 0, 0, 0, 0]
    assert [t.usd_saved for t in by_threshold.values()] == [Decimal(d) for d in (44, 40, 38, 38, 26, 5)]
    assert found.suggested is not None
    assert (found.suggested.threshold, found.confidence) == (6, "low")
    assert found.sentence.startswith("budget_usd=6, chosen on 21 runs where it saves $")
    assert "; of 21 others it would have saved $" in found.sentence
    assert "stopped 0 of 20 good runs wrongly, at most 16.1% with 95 % confidence (low)" in found.sentence
    none = sweep(recordings(held), good_runs(held, ()), "budget_usd", [3])
    assert none.suggested is None
    assert "every threshold that saves something stops more than 1% of the good runs" in none.sentence
    assert sweep(recordings(held), good_runs(held, ()), "loop").sentence == "loop: no suggestion; no threshold saves anything."  # fmt: skip


def test_a_suggestion_is_judged_by_runs_that_had_no_part_in_it() -> None:
    """Every run is in one part only, whatever the order; good runs that only the judging part has are counted, not avoided.

    $5.50 looks free of harm where it was chosen. The good runs held out are dearer, and half of them would be stopped: said, with
    the interval of those runs alone.
    """
    runs = [spent(i, 4) for i in range(40)] + [spent(50 + i, 20, outcome="failed") for i in range(4)]
    held = frames(*runs)
    good = good_runs(held, ())
    choosing, judging = parted(recordings(held), good, "budget_usd")
    names = [{one.run_id for one in part} for part in (choosing, judging)]

    assert names[0] | names[1] == {one.run_id for one in runs}
    assert not names[0] & names[1]
    assert [(len(part), len(part & good)) for part in names] == [(22, 20), (22, 20)]
    again = parted(recordings(held)[::-1], good, "budget_usd")
    assert [{one.run_id for one in part} for part in again] == names
    dear = sorted(names[1] & good)[::2]
    changed = frames(*(spent(i, 8 if spent(i, 4).run_id in dear else 4) for i in range(40)), *runs[40:])
    found = sweep(recordings(changed), good_runs(changed, ()), "budget_usd", [5.5])
    assert found.suggested is not None
    assert found.held_out is not None
    assert (found.held_out.runs, found.held_out.good, found.held_out.good_stopped) == (22, 20, 10)
    assert (found.held_out.usd_saved, found.confidence) == (Decimal(28), "low")
    assert found.suggested.tally.good_stopped == 10
    assert "stopped 10 of 20 good runs wrongly, at most 70.1%" in found.sentence


def test_the_only_run_that_a_guard_concerns_chooses() -> None:
    """One run loops among failed ones that do not: whatever their ids, it is not the one held out."""
    others = [spent(i, 2, outcome="failed") for i in range(7)]
    held = frames(stores.looping(rounds=20), *others, *(spent(20 + i, 2) for i in range(6)))
    found = sweep(recordings(held), good_runs(held, ()) - {stores.looping().run_id}, "loop")

    assert found.suggested is not None
    assert found.held_out is not None
    assert (found.held_out.usd_saved, found.held_out.good) == (0, 3)
    assert "stopped 0 of 3 good runs wrongly" in found.sentence


def test_a_window_is_chosen_on_what_came_before() -> None:
    """A budget a day sees runs together, so the earlier half chooses; without anything held out nothing is claimed."""
    runs = recordings(frames(*(spent(i, 2) for i in range(7))))
    first, then = parted(runs, frozenset(), "per_day_usd")
    assert [one.run_id for one in first] == [spent(i, 2).run_id for i in range(4)]
    assert [one.run_id for one in then] == [spent(i, 2).run_id for i in range(4, 7)]
    alone = sweep(recordings(frames(spent(1, 20, outcome="failed"))), frozenset(), "budget_usd", [5])
    assert alone.sentence.endswith("; no good run is left to judge it by (low).")


def test_the_default_grid_reaches_from_most_runs_to_none() -> None:
    """Most runs are stopped at its lower end and nothing at its upper one, for each guard that has a size."""
    held = frames(*(spent(i, 2 + i % 4) for i in range(20)), spent(50, 30, outcome="failed"))
    for guard in ("budget_usd", "tokens", "seconds", "iterations"):
        points = sweep(recordings(held), good_runs(held, ()), guard).points
        assert points[0].tally.stopped >= 15
        assert points[-1].tally.stopped == 0
        assert len(points) > 5


def test_the_post_mortem_says_what_a_breaker_would_have_saved() -> None:
    """The run through the core, in one sentence."""
    held = frames(stores.looping(rounds=20))
    [one] = recordings(held)

    assert (
        loop_sentence(one, 4)
        == "A loop breaker at 4 would have stopped this at repetition 4, saving $0.09 and 1 min 6 s."
    )
    said = str(stops_document(Case.of(held, analyse(held).findings)))
    assert "A loop breaker at 5 would have stopped this at repetition 5, saving $0.08" in said


def test_large_limits_are_told_in_full() -> None:
    """A million tokens and more, and small budgets, as a person wrote them."""
    assert [told("tokens", 2_345_678.0), told("budget_usd", 0.019)] == ["tokens=2345678", "budget_usd=0.019"]


def test_a_policy_file_holds_guards_sweeps_and_rules(tmp_path: Path) -> None:
    """As `tracer.guard` takes them; what was given is swept where nothing else is said."""
    (tmp_path / "p.toml").write_text(
        '[guard]\nloop = "critical"\nbudget_usd = 5\ndeadlock = true\n[[rule]]\nname = "run-latency"\n'
    )
    (tmp_path / "q.toml").write_text('[sweep]\nloop = [3, 4]\ntokens = "auto"\ntolerated = 0.05\n')
    first, second = read_policy(tmp_path / "p.toml"), read_policy(tmp_path / "q.toml")

    assert dict(first.thresholds) == {"loop": "critical", "budget_usd": 5.0, "deadlock": 1.0}
    assert list(first.sweeps) == ["loop", "budget_usd"]
    assert "run-latency" in {rule.name for rule in first.rules}
    assert (dict(second.sweeps), second.tolerated, second.rules) == ({"loop": (3.0, 4.0), "tokens": ()}, 0.05, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[guard]\nbudget = 5", "p.toml:2: [guard] has an unknown key 'budget'"),
        ('[guard]\nbudget_usd = "much"', "p.toml:2: Guard budget_usd=much"),
        ("[guard]\nloop = 1", "p.toml:2: Guard loop=1"),
        ("[sweep]\nloop = 4", "p.toml:2: loop = 4 in [sweep]"),
        ("[sweep]\nlop = [4]", "p.toml:2: [sweep] has an unknown key 'lop'"),
        ("guard = 1", "'guard' is no table"),
    ],
)
def test_a_mistake_in_a_policy_has_its_place(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_policy(tmp_path / "p.toml")
    assert said in caught.value.message


def test_alert_rules_of_a_policy_are_replayed() -> None:
    """Which alerts it would have sent, and which good runs they name."""
    from analyzers.alerts.parsing import default_rules

    slow = run("desk", agent("Clerk", 0, 50), id="slow")
    found = back_test(frames(slow, stores.looping(at=600)), analyse(frames(slow, stores.looping(at=600))), Policy(rules=default_rules(), sweeps={}))  # fmt: skip

    assert {alert.rule for alert in found.alerts} >= {"run-latency", "critical-finding"}
    assert found.good_alerted == {slow.run_id}


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON and table of one policy over a store; bad input is exit 2."""
    store = tmp_path / "traces.duckdb"
    stores.write(store, frames(*(stores.plain(i, at=60.0 * i) for i in range(6)), stores.looping(at=600)))
    (tmp_path / "p.toml").write_text("[guard]\nloop = 4\nbudget_usd = 5\n[sweep]\nloop = [3, 4]\n")

    def told(line: str) -> tuple[int, str, str]:
        code = main(["backtest", *shlex.split(line), "--store", str(store)])
        out, err = capsys.readouterr()
        return code, out, err

    code, out, err = told(f"{tmp_path / 'p.toml'} --json")
    document = json.loads(out)
    assert (code, err, document["summary"]["stopped"], document["summary"]["good_stopped"]) == (0, "", 1, 0)
    assert document["runs"][0]["sentence"].startswith("A loop breaker at 4 would have stopped this at repetition 4")
    assert [point["threshold"] for point in document["sweeps"][0]["points"]] == [3, 4]
    assert "1 of 7 runs stopped" in told(str(tmp_path / "p.toml"))[1]
    assert told("--workflow nobody")[0] == 2
    assert told("absent.toml")[0] == 2
