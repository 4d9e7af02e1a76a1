"""A lake holds whole runs, however they came into it: the same rows, the same analysis, here and from any host's parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analyzers.document import analysis_document
from analyzers.run import analyse
from dashboard.cli import main
from dashboard.engines import local
from dashboard.lakes import analyse_lake
from dashboard.loading import load_frames
from tests.lake.stores import captured
from tests.store.build import span, trace_id
from tests.store.test_captures import CAPTURES, requests
from tracer.errors import BadInput, SchemaTooNew, StoreError, UnknownName
from tracer.lake.into_store import bring_in
from tracer.lake.layout import HEAD, Lake, open_lake
from tracer.lake.read import find_runs, load, packed, plan
from tracer.lake.write import read_tables, ship
from tracer.model import RawSpan
from tracer.normalise import otlp
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

DAY_MS = 86_400_000


def everything(store: Store) -> list[str]:
    return reads.runs(store)["run_id"].to_list()


def document(store: Store) -> object:
    frames = load_frames(store)
    return json.loads(json.dumps(analysis_document(frames, analyse(frames)), default=str))


def of_lake(lake: Lake) -> object:
    return json.loads(json.dumps(analysis_document(*analyse_lake(lake, local)), default=str))


def back(lake: Lake, path: Path) -> Store:
    store = Store(path)
    for unit in plan(lake):
        bring_in(store, load(lake, unit.parts, excluded=unit.excluded))
    return store


def recorded(path: Path, *spans: object) -> Store:
    store = Store(path)
    writer = SegmentWriter(store.path)
    writer.write_spans(list(spans))  # pyright: ignore[reportArgumentType]
    writer.close()
    store.fold()
    return store


def rows(lake: Lake) -> list[tuple[str, str, int]]:
    """(run, span, spans of the run's summary) of every span in the lake, by unit."""
    found: list[tuple[str, str, int]] = []
    for unit in plan(lake):
        data = load(lake, unit.parts, excluded=unit.excluded).data
        counted = dict(data.traces.select("run_id", "spans").iter_rows())
        found += [(run, one, counted[run]) for run, one in data.spans.select("run_id", "span_id").iter_rows()]
    return sorted(found)


@pytest.mark.slow
def test_what_comes_back_is_what_was_shipped(tmp_path: Path) -> None:
    """Analysis over the lake, and over a store made from it, equal that of the store; every row and text is there again."""
    store = captured(tmp_path / "a.duckdb", "langgraph-openinference-state", "openai-agents-openinference-guardrail")
    lake = open_lake(str(tmp_path / "lake"), create=True)
    done = ship(store, lake, everything(store))
    assert done.spans == reads.load(store).spans.height > 0
    again = back(lake, tmp_path / "b.duckdb")
    whole, returned = read_tables(store, everything(store)), read_tables(again, everything(again))
    for table, frame in whole.items():
        assert returned[table].equals(frame), table
    assert of_lake(lake) == document(store) == document(again)


@pytest.mark.slow
def test_all_captures_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`export --parquet` and `import` of every capture: one analysis, in whichever way it is asked for."""
    store, lake = captured(tmp_path / "a.duckdb"), str(tmp_path / "lake")
    reads.mark(store, everything(store)[0], "failed", "by hand")
    assert main(["export", "--parquet", lake, "--store", str(store.path)]) == 0
    copy = str(tmp_path / "b.duckdb")
    assert main(["import", lake, "--store", copy]) == 0
    assert main(["import", lake, "--store", copy]) == 0
    assert "already stored" in capsys.readouterr().err
    told: list[object] = []
    for source in (["--store", str(store.path)], ["--store", copy], ["--lake", lake]):
        assert main(["analyze", "--json", *source]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1] == told[2]
    run_id = everything(store)[0]
    for source in (["--store", str(store.path)], ["--lake", lake]):
        assert main(["report", run_id[:12], "--json", *source]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[3] == told[4]


@pytest.mark.slow
def test_two_hosts_that_each_got_half_of_a_run_make_it_whole(tmp_path: Path) -> None:
    """Their parts are joined, resolved and summarised as one store would have, wherever agents and outcomes were unknown.

    Not so runs of several traces (a resumed interrupt): whether two traces are one run is seen where both are.
    """
    files = [
        file for file in CAPTURES if file.name.startswith("langgraph-openinference-") and "interrupt" not in file.name
    ]
    halves = [Store(tmp_path / f"{name}.duckdb") for name in "ab"]
    together = Store(tmp_path / "all.duckdb")
    raw: list[RawSpan] = [
        one for file in files for payload, logs in requests(file) if not logs for one in otlp.decode_traces(payload)
    ]
    for number, store in enumerate(halves):
        recorded(store.path, *raw[number::2])
    recorded(together.path, *raw)
    lake = open_lake(str(tmp_path / "lake"), create=True)
    for store in halves:
        ship(store, lake, everything(store))
    assert of_lake(lake) == document(together)


@pytest.mark.slow
def test_late_spans_after_midnight_stay_with_their_run(tmp_path: Path) -> None:
    """A run of 23:59 whose end another host ships under the next day's date is one run of one unit; a rerun of it is not doubled."""
    midnight = DAY_MS - 1_700_000_000_000 % DAY_MS
    first = recorded(tmp_path / "a.duckdb", span(midnight - 500), span(midnight - 400, parent=midnight - 500))
    late = recorded(tmp_path / "b.duckdb", span(midnight + 900, parent=midnight - 500), span(midnight + 5, trace=2))
    lake = open_lake(str(tmp_path / "lake"), create=True)
    for store in (first, late, first):
        ship(store, lake, everything(store))
    assert len({part.day for part in lake.parts()}) == 2
    assert [(run, counted) for run, _, counted in rows(lake)] == [(trace_id(1), 3)] * 3 + [(trace_id(2), 1)]
    for units in (plan(lake), packed(plan(lake))):
        seen = [load(lake, unit.parts, excluded=unit.excluded).data.traces["run_id"].to_list() for unit in units]
        assert sorted(run for runs in seen for run in runs) == [trace_id(1), trace_id(2)]


@pytest.mark.slow
def test_a_run_that_became_part_of_another_is_gone(tmp_path: Path) -> None:
    """What was shipped of it before does not count any more; what is shipped later does."""
    store = recorded(tmp_path / "a.duckdb", span(1), span(2, trace=2))
    lake = open_lake(str(tmp_path / "lake"), create=True)
    ship(store, lake, everything(store))
    ship(store, lake, [], gone={trace_id(2): lake.parts(bucket=lake.bucket_of(trace_id(2)))[0].day})
    assert [run for run, _, _ in rows(lake)] == [trace_id(1)]
    ship(store, lake, [trace_id(2)])
    assert [run for run, _, _ in rows(lake)] == [trace_id(1), trace_id(2)]


@pytest.mark.slow
def test_runs_are_found_by_their_beginnings(tmp_path: Path) -> None:
    """A whole id is looked for in its bucket alone; what fits nothing or several is said."""
    store = recorded(tmp_path / "a.duckdb", span(1), span(2, trace=2))
    lake = open_lake(str(tmp_path / "lake"), create=True)
    ship(store, lake, everything(store))
    assert list(find_runs(lake, [trace_id(2)])) == [trace_id(2)]
    with pytest.raises(BadInput, match="fits 2 traces"):
        find_runs(lake, ["0000"])
    with pytest.raises(UnknownName):
        find_runs(lake, ["abc"])


@pytest.mark.slow
def test_bad_lakes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No lake, a file, a server that is not there, a newer lake, a damaged file and an unknown file system: a sentence and exit code 2, and no store is made."""
    nowhere = str(tmp_path / "nowhere")
    assert main(["analyze", "--lake", nowhere]) == 2
    assert "no lake" in capsys.readouterr().err
    assert main(["analyze", "--engine", "ray"]) == 2
    assert main(["analyze", "--lake", "nofs://x"]) == 2
    assert "nofs" in capsys.readouterr().err
    (tmp_path / "file").write_text("no folder")
    assert main(["report", "r", "--lake", str(tmp_path / "file")]) == 2
    assert "is a file; a folder was expected" in capsys.readouterr().err
    assert main(["serve", "--lake", "ftp://127.0.0.1:1/x", "--store", str(tmp_path / "s.duckdb")]) == 2
    assert "Cannot reach 'ftp://127.0.0.1:1/x'" in capsys.readouterr().err
    store = recorded(tmp_path / "a.duckdb", span(1))
    lake = open_lake(str(tmp_path / "lake"), create=True)
    ship(store, lake, everything(store))
    [part] = lake.parts()
    (tmp_path / "lake" / part.path("spans")).write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match="damaged"):
        load(lake, [part])
    assert main(["import", lake.url, "--store", str(tmp_path / "c.duckdb")]) == 2
    assert part.name in capsys.readouterr().err
    (tmp_path / "lake" / HEAD).write_text('{"layout": 99, "buckets": 16}')
    with pytest.raises(SchemaTooNew):
        open_lake(lake.url)
