"""Folding: everything acknowledged arrives once, whatever order, repetition and damage it comes with."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from decimal import Decimal

import polars as pl
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from tests.store.build import START_NS, in_threads, span, span_id, trace_id
from tracer.clock import TickingClock
from tracer.ids import content_id
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.semconv import Common, GenAI, Tracehound
from tracer.store import fold as fold_module
from tracer.store import gather as gather_module
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter
from tracer.store.spool import list_spool


@pytest.fixture
def store(empty_store: Store) -> Store:
    return empty_store


@pytest.fixture
def writer(store: Store) -> SegmentWriter:
    return SegmentWriter(store.path)


def spans(store: Store) -> list[tuple[str, str]]:
    """(span id, status) of every stored span, running ones included, in order of id; doubles would show twice."""
    rows = reads.sql(store, "SELECT span_id, status FROM spans UNION ALL SELECT span_id, status FROM running_spans")
    return sorted(rows.rows())


def test_what_was_written_is_visible_after_a_fold(store: Store, writer: SegmentWriter) -> None:
    """Spans, their run and the texts they refer to, while the writer goes on holding its segment."""
    said = "hello"
    writer.write_spans(
        [span(1), span(2, parent=1, content={"input": [content_id(said)]})], contents={content_id(said): said}
    )
    assert store.fold().spans == 2
    data = reads.load(store, [trace_id(1)])
    assert data.spans["span_id"].to_list() == [span_id(1), span_id(2)]
    assert data.spans["input_refs"].to_list() == [None, [content_id(said)]]
    assert data.traces.select("trace_id", "spans", "outcome").rows() == [(trace_id(1), 2, "completed")]
    assert data.contents == {content_id(said): said}
    writer.close()


def test_a_fold_twice_is_a_fold_once(store: Store, writer: SegmentWriter) -> None:
    """Offsets advance with the rows, also for another process that knows nothing of the first fold."""
    writer.write_spans([span(1)])
    store.fold()
    assert store.fold().spans == 0
    assert Store(store.path).fold().spans == 0
    writer.write_spans([span(2)])
    assert Store(store.path).fold().spans == 1
    assert store.fold().spans == 0, "the first store's memory of the offsets is only a hint"
    assert spans(store) == [(span_id(1), "ok"), (span_id(2), "ok")]
    writer.close()


def test_running_spans_are_visible_and_end(store: Store, writer: SegmentWriter) -> None:
    """A started span is listed as running until its end arrives, with its run."""
    writer.write_spans([], starts=[span(1, ended=False)])
    store.fold()
    assert spans(store) == [(span_id(1), "running")]
    assert reads.runs(store)["outcome"].to_list() == ["running"]
    assert reads.load(store).spans.select("status", "end_ns").rows() == [("running", None)]
    writer.write_spans([span(1)])
    store.fold()
    assert spans(store) == [(span_id(1), "ok")]
    assert reads.runs(store)["outcome"].to_list() == ["completed"]
    writer.close()


def test_an_end_that_overtakes_its_start_wins(store: Store, writer: SegmentWriter) -> None:
    """Two processes may deliver start and end in any order; the ended row stays."""
    writer.write_spans([span(1)])
    store.fold()
    writer.write_spans([], starts=[span(1, ended=False)])
    store.fold()
    assert spans(store) == [(span_id(1), "ok")]
    writer.close()


def test_spans_of_a_process_that_is_gone_are_interrupted(store: Store, writer: SegmentWriter) -> None:
    """They move to `spans` as interrupted once all its segments are read; a late end still wins."""
    writer.write_spans([span(2, parent=1)], starts=[span(1, ended=False)])
    store.fold()
    writer.close()
    store.fold()
    assert spans(store) == [(span_id(1), "interrupted"), (span_id(2), "ok")]
    assert reads.runs(store)["outcome"].to_list() == ["interrupted"]
    late = SegmentWriter(store.path)
    late.write_spans([span(1)])
    assert store.fold().duplicates == 0
    assert spans(store) == [(span_id(1), "ok"), (span_id(2), "ok")]
    assert reads.runs(store)["outcome"].to_list() == ["completed"]
    late.close()


def test_an_idle_process_keeps_its_running_span(store: Store) -> None:
    """A long wait is not an interruption: rotated and folded segments do not matter, the liveness file does."""
    writer = SegmentWriter(store.path, clock=TickingClock(step_ns=61_000_000_000))
    writer.write_spans([], starts=[span(1, ended=False)])
    writer.write_spans([span(2, parent=1)])
    for _ in range(3):
        store.fold()
    assert spans(store) == [(span_id(1), "running"), (span_id(2), "ok")]
    assert len(list_spool(store.spool_path).segments) == 1
    writer.close()


def test_a_delivery_twice_counts_once(store: Store, writer: SegmentWriter) -> None:
    """Retries double neither spans nor tokens nor money, in one frame, in one fold or later; they are counted."""
    call = span(
        2,
        parent=1,
        attributes={
            GenAI.OPERATION: "chat",
            GenAI.REQUEST_MODEL: "m",
            GenAI.INPUT_TOKENS[0]: 10,
            Tracehound.COST_USD: "0.25",
        },
    )
    writer.write_spans([span(1), call, call])
    writer.write_spans([call])
    assert store.fold().duplicates == 2
    writer.write_spans([call, span(1)])
    assert store.fold().duplicates == 2
    assert spans(store) == [(span_id(1), "ok"), (span_id(2), "ok")]
    [run] = reads.runs(store).select("input_tokens", "cost_usd", "spans").rows()
    assert run == (10, Decimal("0.25"), 2)
    assert reads.counters(store)["duplicate_spans"] == 4
    writer.close()


def test_late_spans_change_only_what_they_must(store: Store, writer: SegmentWriter) -> None:
    """When the root arrives last, its children are told apart from other runs and the run is summed up anew."""
    writer.write_spans([span(2, parent=1), span(3, parent=2)])
    store.fold()
    before = reads.load(store)
    writer.write_spans([span(1, attributes={Tracehound.KIND: "workflow"})])
    store.fold()
    after = reads.load(store)
    assert before.traces.select("spans", "outcome").rows() == [(2, "unknown")]
    assert after.traces.select("spans", "outcome", "workflow").rows() == [(3, "completed", "span 1")]
    assert after.spans["workflow"].to_list() == ["span 1"] * 3
    writer.close()


def test_traces_of_one_run_are_summed_up_together(store: Store, writer: SegmentWriter) -> None:
    """A run split over traces is one row, in whatever order and fold its parts come."""
    part = {Tracehound.RUN_ID: "the-run"}
    for number in (1, 2, 3):
        writer.write_spans([span(number, trace=number, attributes=part)])
        store.fold()
    assert reads.runs(store).select("run_id", "spans").rows() == [("the-run", 3)]
    assert reads.load(store, ["the-run"]).spans["trace_id"].to_list() == [trace_id(n) for n in (1, 2, 3)]
    assert reads.find_run(store, trace_id(2)) == "the-run"
    writer.close()


def test_a_link_that_arrives_first_joins_the_runs(store: Store, writer: SegmentWriter) -> None:
    """A trace that continues another is joined to it, also when the other is folded later."""
    writer.write_spans([span(2, trace=2, links=[RawLink(trace_id=trace_id(1), span_id=span_id(1))])])
    store.fold()
    writer.write_spans([span(1, trace=1)])
    store.fold()
    assert reads.runs(store).select("run_id", "spans").rows() == [(trace_id(1), 2)]
    assert reads.load(store).links.select("span_id", "linked_span_id").rows() == [(span_id(2), span_id(1))]
    writer.close()


@pytest.mark.parametrize("apart", [False, True])
def test_runs_that_are_joined_later_keep_what_each_said_of_its_conversation(
    store: Store, writer: SegmentWriter, apart: bool
) -> None:
    """All spans of a run carry its conversation; joined with another run, that of the other may come first."""
    writer.write_spans([span(1), span(2, parent=1, attributes={Common.SESSION_ID: "one"})])
    flow = span(3, trace=2, attributes={Tracehound.KIND: "workflow"})
    writer.write_spans([flow, span(4, trace=2, parent=3, attributes={Common.SESSION_ID: "two"})])
    if apart:
        store.fold()
        found = reads.sql(store, "SELECT trace_id, session_id FROM spans ORDER BY start_ns")["session_id"]
        assert found.to_list() == ["one", "one", "two", "two"]
    named = {Tracehound.RUN_ID: "both"}
    writer.write_spans([span(5, parent=1, attributes=named), span(6, trace=2, parent=3, attributes=named)])
    store.fold()

    assert reads.sql(store, "SELECT DISTINCT run_id, session_id FROM spans").rows() == [("both", "one")]
    assert reads.sql(store, "SELECT run_id, session_id FROM traces").rows() == [("both", "one")]


def test_contents_and_events_are_stored_once(store: Store, writer: SegmentWriter) -> None:
    """The same text from two processes is one row, and a repeated delivery does not repeat its events."""
    event = RawEvent(name="exception", time_ns=START_NS + 5, attributes={"exception.type": "E"})
    other = SegmentWriter(store.path)
    for target in (writer, other, writer):
        target.write_spans([span(1, events=[event])], contents={7: "text"})
        store.fold()
    assert reads.sql(store, "SELECT content_id, bytes, body FROM contents").rows() == [(7, 4, "text")]
    assert reads.load(store).events.select("name", "time_ns").rows() == [("exception", START_NS + 5)]
    writer.close()
    other.close()


def otlp_request(*numbers: int) -> bytes:
    found = [
        OtlpSpan(
            trace_id=bytes.fromhex(trace_id(1)),
            span_id=bytes.fromhex(span_id(number)),
            name=f"span {number}",
            start_time_unix_nano=START_NS + number,
            end_time_unix_nano=START_NS + number + 5,
        )
        for number in numbers
    ]
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=found)])]
    ).SerializeToString()


def test_otlp_requests_are_folded_as_they_came(store: Store, writer: SegmentWriter) -> None:
    """Traces and logs in protobuf; a retried request changes nothing; a span without a valid id is counted."""
    record = LogRecord(
        time_unix_nano=START_NS + 3,
        event_name="gen_ai.choice",
        trace_id=bytes.fromhex(trace_id(1)),
        span_id=bytes.fromhex(span_id(1)),
    )
    logs = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])])
    for _ in range(2):
        writer.write_otlp(otlp_request(1, 2, 0))
        writer.write_otlp(logs.SerializeToString(), logs=True)
        store.fold()
    assert spans(store) == [(span_id(1), "ok"), (span_id(2), "ok")]
    assert reads.load(store).events.select("span_id", "name").rows() == [(span_id(1), "gen_ai.choice")]
    counted = {name: count for name, count in reads.counters(store).items() if count}
    assert counted == {"rejected_spans": 2, "duplicate_spans": 2}
    writer.close()


def test_a_log_that_comes_before_its_span_stays_with_it(store: Store, writer: SegmentWriter) -> None:
    """Logs and traces arrive over different ways."""
    record = LogRecord(
        time_unix_nano=START_NS + 3,
        event_name="e",
        trace_id=bytes.fromhex(trace_id(1)),
        span_id=bytes.fromhex(span_id(1)),
    )
    logs = ExportLogsServiceRequest(resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])])
    writer.write_otlp(logs.SerializeToString(), logs=True)
    store.fold()
    assert reads.runs(store).height == 0
    writer.write_spans([span(1)])
    store.fold()
    assert reads.load(store).events.select("span_id", "name").rows() == [(span_id(1), "e")]
    writer.close()


def test_damage_goes_to_quarantine_and_later_frames_are_read(store: Store, writer: SegmentWriter) -> None:
    """Bad checksum, undecodable record and undecodable protobuf cost themselves only, once, and are kept."""
    writer.write_spans([span(1)])
    [segment] = list_spool(store.spool_path).segments
    with segment.path.open("r+b") as file:
        file.seek(segment.size - 3)
        file.write(b"?")
    writer.write_spans([span(2)])
    writer.write_otlp(b"\xff not protobuf")
    writer.write_spans([span(3)])
    assert store.fold().bad_frames == 2
    writer.close()
    store.fold()
    assert spans(store) == [(span_id(2), "ok"), (span_id(3), "ok")]
    assert reads.counters(store)["bad_frames"] == 2
    reasons = sorted(path.read_text() for path in (store.spool_path / "quarantine").glob("*.txt"))
    assert [reason.split(":")[0] for reason in reasons] == [
        "cannot decode frame of kind 2",
        "checksum does not match\n",
    ]
    assert b"not protobuf" in b"".join(path.read_bytes() for path in (store.spool_path / "quarantine").glob("*.bad"))


def test_one_span_that_cannot_be_normalised_does_not_cost_the_others(
    store: Store, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The culprit is rejected, counted and kept."""
    real = gather_module.normalise

    def tripping(raw: list[RawSpan], logs: list[RawEvent] = []) -> object:  # noqa: B006
        if any(item.name == "span 2" for item in raw):
            raise ZeroDivisionError
        return real(raw, logs)

    monkeypatch.setattr(gather_module, "normalise", tripping)
    writer.write_spans([span(1), span(2), span(3)])
    store.fold()
    assert spans(store) == [(span_id(1), "ok"), (span_id(3), "ok")]
    assert reads.counters(store)["rejected_spans"] == 1
    [kept] = (store.spool_path / "quarantine").glob("*.bad")
    assert span_id(2).encode() in kept.read_bytes()
    writer.close()


def test_values_no_column_takes_are_mended(store: Store, writer: SegmentWriter) -> None:
    """Numbers beyond 64 bits, NaN money, 40 digits of a cent, NUL and half characters neither stop the fold nor cost the span."""
    wild = {
        GenAI.OPERATION: "chat",
        GenAI.INPUT_TOKENS[0]: 2**70,
        Tracehound.COST_USD: "NaN",
        Tracehound.AGENT: "a\ud800b\x00c",
        Tracehound.WAIT_FOR: ["x\udfff"],
    }
    costs = ["1e30", "6.3083898136719061817083004746292858786e-7", "1e-12"]
    writer.write_spans(
        [
            span(1, attributes=wild),
            *(
                span(n, attributes={Tracehound.COST_USD: cost, GenAI.OPERATION: "chat"})
                for n, cost in enumerate(costs, 2)
            ),
        ]
    )
    store.fold()
    assert spans(store) == [(span_id(n), "ok") for n in range(1, 5)]
    row, *others = reads.load(store).spans.rows(named=True)
    assert row["agent"].startswith("a")
    assert row["cost_usd"] is None
    assert [other["cost_usd"] for other in others] == [None, Decimal("0.000000631"), 0]
    writer.close()


def test_a_budget_bounds_one_call_and_says_what_is_left(store: Store, writer: SegmentWriter) -> None:
    """A dashboard folds a share per refresh; several calls bring everything."""
    for number in range(0, 100, 10):
        writer.write_spans([span(n, trace=n) for n in range(number, number + 10)])
    first = store.fold(budget_spans=30)
    assert first.spans == 30
    assert first.pending_bytes > 0
    assert store.fold().spans == 70
    assert store.fold().pending_bytes == 0
    assert reads.runs(store).height == 100
    writer.close()


def test_a_busy_writer_does_not_starve_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each transaction takes a share of every segment that waits."""
    monkeypatch.setattr(fold_module, "CHUNK_SPANS", 40)
    busy, quiet = SegmentWriter(store.path), SegmentWriter(store.path)
    for number in range(200):
        busy.write_spans([span(number)])
    quiet.write_spans([span(900)])
    store.fold(budget_spans=40)
    assert (span_id(900), "ok") in spans(store)
    busy.close()
    quiet.close()


@pytest.mark.slow
def test_folds_at_once_bring_everything_once(
    store: Store, writer: SegmentWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads with stores of their own fold while a fourth records."""
    monkeypatch.setattr(fold_module, "CHUNK_SPANS", 25)

    def record() -> None:
        for number in range(300):
            writer.write_spans([span(number, trace=number // 10)])

    def keep_folding() -> None:
        own = Store(store.path)
        for _ in range(5):
            own.fold()

    in_threads(record, keep_folding, keep_folding)
    store.fold()
    assert spans(store) == [(span_id(n), "ok") for n in range(300)]
    assert reads.runs(store)["spans"].sum() == 300
    writer.close()


def test_folded_segments_of_dead_writers_are_removed(store: Store, writer: SegmentWriter) -> None:
    """Nothing but the locks is left, and the table of offsets forgets what is gone."""
    writer.write_spans([span(1)])
    writer.close()
    store.fold()
    store.fold()
    assert sorted(path.name for path in store.spool_path.iterdir()) == [".fold", ".lease"]
    again = SegmentWriter(store.path)
    again.write_spans([span(2)])
    store.fold()
    [segment] = list_spool(store.spool_path).segments
    assert reads.sql(store, "SELECT name FROM segments").rows() == [(segment.name,)]
    again.close()


def test_leftovers_of_killed_creations_are_swept_when_old(store: Store, writer: SegmentWriter) -> None:
    """A hidden file without a lock that is a minute old goes; a young or locked one stays."""
    writer.write_spans([span(1)])
    names = [".old.000001.seg", ".young.000001.seg", ".held.live"]
    for name in names:
        (store.spool_path / name).touch()
    for name in (names[0], names[2]):
        os.utime(store.spool_path / name, (1, 1))
    held = os.open(store.spool_path / names[2], os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    store.fold()
    assert [(store.spool_path / name).exists() for name in names] == [False, True, True]
    os.close(held)
    writer.close()


def test_lost_spans_are_counted_in_the_store(store: Store, writer: SegmentWriter) -> None:
    """What a full disk cost is shown by the store once writing works again."""
    aside = store.spool_path.rename(store.spool_path.with_suffix(".aside"))
    store.spool_path.write_text("in the way")
    with pytest.raises(OSError):
        writer.write_spans([span(1), span(2)])
    store.spool_path.unlink()
    aside.rename(store.spool_path)
    writer.write_spans([span(3)])
    store.fold()
    assert reads.counters(store)["dropped_spans"] == 2
    writer.close()


def test_a_quiet_store_is_not_opened(store: Store, writer: SegmentWriter) -> None:
    """A fold with nothing to do takes no lease, so idle dashboards disturb nobody."""
    writer.write_spans([span(1)])
    store.fold()
    store.fold()
    lock = store.spool_path / ".lease"
    lock.rename(lock.with_name("taken away"))
    assert store.fold().spans == 0
    assert not lock.exists()
    writer.close()


@pytest.mark.slow
def test_a_process_of_its_own_can_fold(store: Store, writer: SegmentWriter) -> None:
    """What a traced program starts at its end; an unusable store is one message and exit code 2."""
    writer.write_spans([span(1)])
    command = [sys.executable, "-m", "tracer.store.fold"]
    done = subprocess.run([*command, str(store.path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert spans(store) == [(span_id(1), "ok")]
    (store.path.parent / "other.duckdb").write_text("no database")
    refused = fold_module.main([str(store.path.parent / "other.duckdb")])
    assert (refused, fold_module.main([])) == (2, 2)
    writer.close()


def test_frames_are_plain_polars(store: Store, writer: SegmentWriter) -> None:
    """Types are those of the tables: int64 times, Decimal money, lists."""
    writer.write_spans([span(1)])
    store.fold()
    schema = reads.load(store).spans.schema
    assert schema["start_ns"] == pl.Int64
    assert schema["cost_usd"] == pl.Decimal(18, 9)
    assert schema["input_refs"] == pl.List(pl.Int64)
    writer.close()


def test_a_span_that_starts_in_a_stored_run_keeps_its_writer(store: Store, writer: SegmentWriter) -> None:
    """It goes on running when another process ends, and is interrupted when its own does."""
    writer.write_spans([span(1)])
    store.fold()
    writer.write_spans([], starts=[span(2, parent=1, ended=False)])
    store.fold()
    other = SegmentWriter(store.path)
    other.write_spans([span(3, trace=2)])
    other.close()
    store.fold()
    assert (span_id(2), "running") in reads.load(store).spans.select("span_id", "status").rows()
    writer.close()
    store.fold()
    assert (span_id(2), "interrupted") in reads.load(store).spans.select("span_id", "status").rows()
