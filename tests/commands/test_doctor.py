"""`tracehound doctor`: every trouble is named, nothing is changed, and a healthy store is called so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dashboard.cli import main
from dashboard.environment import INSTRUMENTOR_GROUPS, Instrumentor, find_instrumentors
from tests.receiver.serving import request
from tests.store.build import span, span_id, trace_id
from tracer.store.database import Store
from tracer.store.frame import HEADER
from tracer.store.schema import layout
from tracer.store.segment import SegmentWriter
from tracer.store.spool import quarantine

CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "no-such-model", "gen_ai.provider.name": "openai"}
TOKENS = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
Examine = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that is not there yet."""
    return Store(tmp_path / "traces.duckdb")


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Examine:
    """Run `doctor --json` on a store; gives the document."""

    def run(path: Path, *options: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["doctor", "--json", "--store", str(path), *options]) == code
        return json.loads(capsys.readouterr().out)

    return run


def messages(document: dict[str, Any]) -> dict[str, str]:
    """The problems as message -> severity."""
    return {problem["message"]: problem["severity"] for problem in document["problems"]}


@pytest.mark.slow
def test_a_healthy_store_has_no_problem(store: Store, examine: Examine) -> None:
    """Sizes are what was recorded, what was pending is told and then folded, and there is nothing to complain of."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1), span(2), span(3, ended=False)])

    document = examine(store.path, "--fail-on", "warning")

    assert [text for text in messages(document) if "instrumentor" not in text] == []
    assert {name: document["store"][name] for name in ("exists", "layout", "spans", "running_spans", "runs")} == {
        "exists": True,
        "layout": layout(),
        "spans": 2,
        "running_spans": 1,
        "runs": 1,
    }
    assert document["store"]["bytes"] > 0
    spool = document["spool"]
    assert spool["pending_bytes"] > 0
    assert (spool["live_writers"], spool["segments"], spool["dead_segments"]) == (1, 1, 0)
    assert examine(store.path)["spool"]["pending_bytes"] == 0
    writer.close()
    assert examine(store.path)["spool"]["dead_writers"] == 1


def test_what_is_missing_is_counted_by_model(store: Store, examine: Examine) -> None:
    """Unpriced calls, calls without tokens, rejected, repeated and dropped spans: each is a warning with its number."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1, attributes=CALL | TOKENS), span(2, attributes=CALL), span(3), span(4)])
    writer.write_spans([span(3)])
    sent = request([5, 6])
    sent.resource_spans[0].scope_spans[0].spans[0].span_id = b"short"
    writer.write_otlp(sent.SerializeToString())
    writer._count_dropped(7)  # as a failed write does
    writer.count("forward_dropped_spans", 3)
    writer.write_spans([span(7, dropped_attributes=4)])
    writer.close()

    document = examine(store.path, "--fail-on", "warning", code=1)

    assert document["unpriced"] == [{"model": "no-such-model", "provider": "openai", "calls": 1, "tokens": 15}]
    assert document["missing_tokens"] == [{"model": "no-such-model", "provider": "openai", "calls": 1, "tokens": 0}]
    assert document["counters"] == {
        "bad_frames": 0, "rejected_spans": 1, "duplicate_spans": 1, "dropped_spans": 7, "shim_errors": 0,
        "forward_dropped_spans": 3,
    }  # fmt: skip
    assert {text: severity for text, severity in messages(document).items() if "instrumentor" not in text} == {
        "7 spans were dropped by the programs that recorded them.": "warning",
        "3 spans did not reach the back-end that `init(forward=...)` names; they are in this store.": "warning",
        "1 spans were rejected because of a malformed id or time.": "warning",
        "1 calls have no price: no-such-model (1).": "warning",
        "1 calls say nothing of their tokens: no-such-model (1).": "warning",
        "4 attributes were cut off by limits of the recording SDK.": "warning",
        "1 spans were delivered more than once and are stored once.": "info",
    }
    examine(store.path, "--fail-on", "critical")


def test_unreadable_bytes_are_critical(store: Store, examine: Examine) -> None:
    """A damaged frame lies in quarantine; doctor says how much, why and where."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1)])
    writer.write_spans([span(2)])
    writer.close()
    [segment] = store.spool_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[HEADER.size + 5] ^= 0xFF
    segment.write_bytes(data)

    document = examine(store.path, "--fail-on", "critical", code=1)

    assert (document["spool"]["quarantined"], document["counters"]["bad_frames"]) == (1, 1)
    assert document["spool"]["quarantine_reasons"] == ["checksum does not match"]
    assert document["store"]["spans"] == 1
    assert (
        messages(document)["1 stretches of recorded bytes could not be read (checksum does not match)."] == "critical"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM traces", "1 LLM and tool calls of runs without a summary."),
        ("DELETE FROM run_traces", "2 spans of traces that the index of traces does not know."),
        ("DELETE FROM contents", "2 texts that spans refer to and that are missing."),
        ("DELETE FROM spans", "1 runs without spans."),
        ("INSERT INTO spans SELECT * FROM spans", "2 spans that are stored more than once."),
        ("INSERT INTO traces SELECT * FROM traces", "1 runs with more than one summary."),
    ],
)
def test_rows_that_contradict_each_other_are_found_and_left(
    damage: str,
    what: str,
    store: Store,
    examine: Examine,
) -> None:
    """Each broken tie between tables is critical; looking changes no row."""
    said = {
        "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hello"}]}]',
        "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"good day"}]}]',
    }
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1, attributes=CALL | TOKENS | said), span(2)])
    writer.close()
    assert "critical" not in messages(examine(store.path)).values()
    with store.lease() as con:
        con.execute(damage)
        tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        before = {name: con.sql(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}

    assert messages(examine(store.path))[what] == "critical"

    with store.lease() as con:
        assert before == {name: con.sql(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}


@pytest.mark.parametrize(
    ("damage", "done"),
    [
        ("DELETE FROM traces", "summaries that disagreed with their spans, worked out anew"),
        ("UPDATE traces SET spans = 7", "summaries that disagreed with their spans, worked out anew"),
        ("UPDATE traces SET cost_usd = 3", "summaries that disagreed with their spans, worked out anew"),
        ("INSERT INTO traces SELECT * FROM traces", "summaries that disagreed with their spans, worked out anew"),
        ("INSERT INTO traces SELECT * REPLACE ('gone' AS run_id) FROM traces", "summaries that disagreed with their spans, worked out anew"),
        ("DELETE FROM run_traces", "traces that the index of traces did not know, added"),
        ("INSERT INTO spans SELECT * FROM spans", "spans that were stored more than once, reduced to one"),
        ("INSERT INTO spans SELECT * REPLACE ('interrupted' AS status) FROM spans", "spans that were stored more than once, reduced to one"),
        ("INSERT INTO contents VALUES (1, 2, 'ab')", "texts that nothing refers to, removed"),
        ("INSERT INTO segments VALUES ('gone.seg', 7)", "offsets of segments that are gone, forgotten"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_what_can_be_worked_out_anew_is_repaired(damage: str, done: str, empty_store: Store, examine: Examine) -> None:
    """The tables are as they were before the damage, and a second repair finds nothing to do."""
    said = {"gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"hello"}]}]'}
    writer = SegmentWriter(empty_store.path)
    writer.write_spans([span(1, attributes=CALL | TOKENS | said), span(2, parent=1), span(3, trace=2)])
    writer.close()
    examine(empty_store.path)
    examine(empty_store.path, "--repair")
    with empty_store.lease() as con:
        tables = [name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        before = {name: con.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}
        con.execute(damage).fetchall()

    repaired = examine(empty_store.path, "--repair", "--fail-on", "critical")

    assert [each["what"] for each in repaired["repairs"]] == [done]
    assert repaired["repairs"][0]["number"] >= 1
    with empty_store.lease() as con:
        assert before == {name: con.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in tables}
    assert examine(empty_store.path, "--repair")["repairs"] == []


@pytest.mark.slow
def test_what_was_derived_needs_no_repair(tmp_path: Path, captured: Path, examine: Examine) -> None:
    """Summaries of real frameworks' runs agree with their spans, also where rows were made of what a span holds."""
    copy = tmp_path / "copy.duckdb"
    assert main(["backup", str(copy), "--store", str(captured)]) == 0

    repairs = examine(copy, "--repair", "--fail-on", "critical")["repairs"]

    assert [each["what"] for each in repairs if "summaries" in each["what"]] == []


@pytest.mark.slow
def test_files_left_behind_and_readable_quarantine_are_repaired(empty_store: Store, examine: Examine) -> None:
    """What this program can read goes back into the store, once; the rest stays where it is."""
    path, spool = empty_store.path, empty_store.spool_path
    for name in (".traces.duckdb.1.new", ".traces.duckdb.compact.wal", ".copy.duckdb.99999999.part"):
        (path.parent / name).write_text("half")
    kept = path.parent / f".copy.duckdb.{os.getpid()}.part"
    kept.write_text("being written")
    sent = request([5, 6])
    (span_json,) = (
        {
            "trace_id": trace_id(9),
            "span_id": span_id(9),
            "name": "late",
            "start_ns": 5,
            "end_ns": 9,
            "parent_span_id": None,
        },
    )
    for name, data, reason in (
        ("a.seg.0", sent.SerializeToString(), "cannot decode frame of kind 2: ImportError: some old trouble"),
        ("b-c.0", json.dumps(span_json).encode(), "TypeError('old trouble')"),
        ("d.seg.7", b"\x00\x01 no frame", "no frame starts here"),
    ):
        quarantine(spool, name.rpartition(".")[0], int(name.rpartition(".")[2]), data, reason)

    document = examine(path, "--repair")

    assert {each["what"].split(",")[0]: each["number"] for each in document["repairs"]} == {
        "files that were left behind": 3,
        "stretches of bytes in quarantine that can be read now": 2,
    }
    assert (document["store"]["spans"], document["spool"]["quarantined"]) == (3, 1)
    assert {file.name for file in path.parent.glob(".*")} == {kept.name}
    again = examine(path, "--repair")
    assert [each["what"] for each in again["repairs"]] == ["offsets of segments that are gone, forgotten"]
    assert (again["store"]["spans"], again["spool"]["quarantined"]) == (3, 1)


def test_a_store_that_cannot_be_opened_is_explained(tmp_path: Path, examine: Examine) -> None:
    """A file that is no store of ours is a critical problem, told with its hint, beside all that can still be told."""
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE mine (x INTEGER)")

    document = examine(path, "--fail-on", "critical", code=1)

    problem = document["problems"][0]
    assert "not a tracehound store" in problem["message"]
    assert problem["hint"]
    assert document["versions"]["duckdb"] == duckdb.__version__


def test_without_a_store_nothing_is_made(tmp_path: Path, examine: Examine) -> None:
    """Before anything was recorded doctor still tells of the environment, and leaves no file behind."""
    document = examine(tmp_path / "none.duckdb")

    assert document["store"]["exists"] is False
    assert set(messages(document).values()) == {"info"}
    assert list(tmp_path.iterdir()) == []


def test_instrumentors_of_the_environment_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that registers itself as an instrumentor is found by its entry point, once."""
    metadata = tmp_path / "openinference_instrumentation_openai-1.2.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: openinference-instrumentation-openai\nVersion: 1.2.3\n"
    )
    groups = "".join(f"[{group}]\nopenai = x:Y\n" for group in INSTRUMENTOR_GROUPS)
    (metadata / "entry_points.txt").write_text(groups)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    found = [each for each in find_instrumentors() if each.library == "openai"]

    assert found == [Instrumentor("openai", "openinference-instrumentation-openai", "1.2.3")]


def test_frameworks_are_listed_with_who_records_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examine: Examine
) -> None:
    """A framework without its instrumentor is named with the package that is missing; a client is wrapped by ourselves."""
    for name in ("crewai", "openai", "pydantic_ai"):
        (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    document = examine(tmp_path / "none.duckdb")

    found = {each["library"]: each["by"] for each in document["libraries"]}
    assert (found["crewai"], found["openai"], found["pydantic-ai"]) == (None, "tracehound", "its own tracing")
    [problem] = [each for each in document["problems"] if "crewai" in each["message"]]
    assert (problem["severity"], "openinference-instrumentation-crewai" in problem["hint"]) == ("info", True)


@pytest.mark.smoke
def test_people_get_a_table_and_sentences(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the state is a table, and problems are sentences with hints."""
    writer = SegmentWriter(store.path)
    writer.write_spans([span(1, attributes=CALL | TOKENS)])
    writer.close()

    assert main(["doctor", "--store", str(store.path)]) == 0

    out = capsys.readouterr().out
    assert "1 span, 1 run" in out
    assert "warning: 1 calls have no price: no-such-model (1)." in out
    assert "Hint: their cost is left out" in out
