"""The index over many runs, and the command that writes it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from dashboard.cli import main
from dashboard.report.case import Case
from dashboard.report.index import Entry, entry_of, file_name, in_order, index_html
from tests.analyzers.test_spend_rate import DAY, MIDNIGHT, storm, weeks
from tests.commands.conftest import FILES
from tests.dashboard import stores
from tests.drawn import EPOCH_S, frames, llm, run
from tests.figures.scenes import deadlocked, hostile, looping


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    """A critical loop with waste, a critical deadlock without, a hostile one, and a run without findings."""
    cases = [Case.of(frames(drawn), found) for drawn, found in (deadlocked(), hostile(), looping(12))]
    cases.append(Case.of(frames(run("fine", llm(0, 1, cost="0.5")))))
    return [entry_of(case, every=False) for case in cases]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a few recorded runs of real frameworks."""
    store = tmp_path_factory.mktemp("report") / "captures.duckdb"
    assert main(["import", *map(str, FILES[:2]), "--store", str(store)]) == 0
    return store


def test_worst_runs_come_first(entries: list[Entry]) -> None:
    """Severity, then waste (never more than the run cost); a run without findings is last and has no file."""
    ordered = in_order(entries)

    assert [entry.row["workflow"] for entry in (ordered[0], ordered[-1])] == ["market_brief", "fine"]
    assert [entry.wasted_usd for entry in ordered] == [Decimal("1.20"), None, None, None]
    assert [entry.file is None for entry in ordered] == [False, False, False, True]


def test_a_run_that_failed_stands_before_one_that_only_has_remarks() -> None:
    """Without findings, too, and without the mark of a run that is in order."""
    cases = [Case.of(frames(run(name, llm(0, 1), id=name, outcome=how))) for name, how in (("went", "completed"), ("broke", "failed"))]  # fmt: skip
    ordered = in_order([entry_of(case, every=True) for case in cases])

    assert [entry.row["workflow"] for entry in ordered] == ["broke", "went"]
    marks = re.findall(r'title="nothing found">(.)<', index_html(ordered, None))
    assert marks == ["–", "✓"]


def test_what_only_many_runs_show_stands_before_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A weekend of ordinary runs: nothing in any of them, a finding over all of them with its money, on the page and in the JSON."""
    path = str(tmp_path / "weekend.duckdb")
    stores.write(Path(path), frames(*weeks(14, 4), *storm(14, 60), run("later", llm(0, 1), at=MIDNIGHT + 20 * DAY)))
    assert main(["report", "--all", "--json", "--store", path, "-o", str(tmp_path / "all")]) == 0

    document = json.loads(capsys.readouterr().out)
    [found] = [one for one in document["fleet"] if one["kind"] == "spend_rate"]
    assert found["wasted_usd"] > 0
    page = (tmp_path / "all" / "index.html").read_text()
    assert page.index("What many runs show together") < page.index("Runs, worst first")
    assert "more by many runs together" in page

    assert (
        main(
            [
                "report",
                "--all",
                "--json",
                "--store",
                path,
                "--since",
                f"{datetime.fromtimestamp(EPOCH_S + 16 * DAY, UTC):%Y-%m-%d}",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["fleet"] == []


def test_totals_and_links(entries: list[Entry]) -> None:
    """Sums over all runs, kinds with their counts, and a relative link by run id for each written report."""
    page = index_html(entries, "7d")

    assert "<b>$1.20</b>" in page
    assert "3 critical" in page
    assert "4 runs started between" in page
    assert sorted(re.findall(r'href="([^"]+)"', page)) == sorted(entry.file for entry in entries if entry.file)
    assert re.search(r"<td>loop</td><td class=\"right\">2</td><td class=\"right\">50.0 %</td>", page)


def test_the_index_has_no_script_and_no_recorded_markup(entries: list[Entry]) -> None:
    """The policy names no script, the page has none, and hostile names are text."""
    page = index_html(entries, None)

    assert "script-src" not in page
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    ("run_id", "safe"),
    [("6c54d4e051f5", True), ("a_b-C", True), ("../../etc/passwd", False), ("a b", False), ("", False), ("x" * 200, False), ("-o", False), ("CON.html/", False), ("\ud800", False)],
)  # fmt: skip
def test_file_names_are_run_ids_or_hashes(run_id: str, safe: bool) -> None:
    """A run id that is no harmless name becomes a hash: no path, no option, no recorded text."""
    name = file_name(run_id)

    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.html", name)
    assert (name == f"{run_id}.html") == safe


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["report"], "No run was named"),
        (["report", "x", "--all"], "--all is about many runs"),
        (["report", "x", "--since", "7d"], "--since chooses among many runs"),
        (["report", "x", "--every"], "--every chooses among many runs"),
        (["report", "--all", "-o", "a.html"], "--all writes a folder"),
        (["report", "--all", "--since", "yesterday"], "neither a length of time nor a date"),
        (["report", "--all", "--store", "nowhere.duckdb"], "nowhere.duckdb"),
    ],
)
def test_bad_input_is_explained(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What happened and what to do, exit code 2, no traceback."""
    assert main(words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Hint:" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_all_writes_an_index_and_its_reports(
    captured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every link of the index has its file, and --json tells the same runs."""
    folder = tmp_path / "reports"
    assert main(["report", "--all", "--every", "--json", "-o", str(folder), "--store", str(captured)]) == 0
    told = json.loads(capsys.readouterr().out)["runs"]
    links = set(re.findall(r'href="([^"]+)"', (folder / "index.html").read_text(encoding="utf-8")))

    assert links
    assert links == {path.name for path in folder.iterdir()} - {"index.html"}
    assert links == {entry["file"] for entry in told}


def test_all_says_when_nothing_was_recorded_since(captured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A window without runs is said, and nothing is written."""
    assert main(["report", "--all", "--since", "2099-01-01", "--store", str(captured)]) == 2
    assert "No run was recorded since 2099-01-01" in capsys.readouterr().err
