"""Leaves read by column give the rows, runs and texts that the general way gives, whatever hangs where."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.store.build import START_NS, span, span_id, trace_id
from tests.store.test_captures import CAPTURES, requests
from tracer.ids import content_id
from tracer.model import RawEvent, RawLink, RawSpan
from tracer.semconv import Common, GenAI, Tracehound
from tracer.store import apply, gather, reads
from tracer.store import fold as fold_module
from tracer.store.columns import stacked
from tracer.store.database import Store
from tracer.store.frame import FrameKind, encode_frame
from tracer.store.merge import Stored
from tracer.store.schema import table_schema
from tracer.store.segment import SegmentWriter, spool_path
from tracer.store.spool import list_spool

NEVER = 10**9
TABLES = ("spans", "running_spans", "events", "links", "contents", "traces", "run_traces")


def drawn(
    rng: random.Random, *, traces: int = 3, spans: int = 40
) -> tuple[list[RawSpan], list[RawSpan], dict[int, str]]:
    """(ended spans, starts, texts) of a few runs of every shape that comes to mind, seldom things included."""
    ended: list[RawSpan] = []
    starts: list[RawSpan] = []
    texts: dict[int, str] = {}
    resources = [
        {"service.name": "a", "process.pid": 7},
        {"service.name": "b", "deployment.environment": "test", "x": 1},
    ]
    for trace in range(1, traces + 1):
        made: list[RawSpan] = []
        holders: list[RawSpan] = []
        for number in range(rng.randint(1, spans)):
            parent = (
                rng.choice(holders[-4:] if rng.random() < 0.9 else made[-6:]) if made and rng.random() < 0.97 else None
            )
            start = START_NS + trace * 1_000 + (parent.start_ns - START_NS if parent else 0) + rng.randint(0, 5) * 1_000
            leaf = number > 0 and rng.random() < 0.75
            attributes, name = _attributes(rng, leaf=leaf)
            content: dict[str, list[int]] = {}
            for slot in rng.choice(((), (), ("input",), ("input", "output"), ("output",), ("input", "options"))):
                bodies = [f'{{"n":{rng.randint(1, 4)}}}' for _ in range(rng.randint(0, 2))]
                texts |= {content_id(body): body for body in bodies}
                content[slot] = [content_id(body) for body in bodies]
            odd = rng.random()
            made.append(
                RawSpan(
                    trace_id=trace_id(trace),
                    span_id=span_id(trace * 1_000 + number),
                    parent_span_id=parent.span_id if parent else span_id(5) if odd < 0.01 else None,
                    name=name,
                    start_ns=start,
                    end_ns=start + rng.randint(0, 60_000),
                    status="error" if 0.01 < odd < 0.06 else rng.choice(("unset", "ok")),
                    status_message="it broke" if 0.03 < odd < 0.06 else "",
                    attributes=attributes,
                    events=[RawEvent(name="exception", time_ns=start)] if 0.06 < odd < 0.08 else [],
                    links=[RawLink(trace_id=trace_id(rng.randint(1, traces)), span_id=span_id(trace * 1_000 + 3))]
                    if 0.08 < odd < 0.09
                    else [],
                    resource=resources[0] if rng.random() < 0.9 else resources[1],
                    scope=rng.choice(("tracehound", "tracehound", "other")),
                    dropped_attributes=int(odd > 0.98),
                    content=content,
                )
            )
            if not leaf:
                holders.append(made[-1])
        starts += [_start(span) for span in made if rng.random() < 0.1]
        gone = {span.span_id for span in made if rng.random() < 0.03}
        starts += [_start(span) for span in made if span.span_id in gone]
        ended += [span for span in made if span.span_id not in gone]
    rng.shuffle(ended)
    if ended and rng.random() < 0.3:
        ended.append(rng.choice(ended))
    return ended, starts, texts


def _start(span: RawSpan) -> RawSpan:
    return RawSpan(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        name=span.name,
        start_ns=span.start_ns,
        end_ns=None,
        attributes=span.attributes,
        resource=span.resource,
        scope=span.scope,
    )


def _attributes(rng: random.Random, *, leaf: bool) -> tuple[dict[str, Any], str]:
    agent = rng.choices(("planner", "writer", "", "TeamManager"), (9, 9, 2, 1))[0]
    model = rng.choice(("gpt-4o", "gpt-4o-mini", "nobody-knows", ""))
    tools = ("search", 'quo"ted %s', "größe", "transfer_to_writer", "delegate work to coworker")
    tool = rng.choices(tools, (30, 10, 10, 1, 0.5))[0]
    shapes: list[tuple[dict[str, Any], str]] = [
        ({GenAI.OPERATION: "chat", GenAI.PROVIDER[0]: rng.choice(("openai", "langchain")), GenAI.REQUEST_MODEL: model}, f"chat {model}"),
        ({GenAI.OPERATION: "embeddings", GenAI.REQUEST_MODEL: "text-embedding-3-small", GenAI.INPUT_TOKENS[0]: 12}, "embed"),
        ({GenAI.OPERATION: "execute_tool"}, f"execute_tool {tool}"),
        ({GenAI.OPERATION: "execute_tool", GenAI.TOOL_NAME: tool, Tracehound.AGENT: agent}, f"execute_tool {tool}"),
        ({Tracehound.KIND: "tool", GenAI.TOOL_NAME: tool, "note": "x" * rng.choice((5, 600))}, tool),
        ({Tracehound.KIND: "decision", Tracehound.SCOPE_KEY: "plan", Tracehound.CHOICE: rng.choice(("go", 3, "50 %"))}, "decision"),
        ({Tracehound.KIND: "state_write", Tracehound.STATE_KEY: "plan", Tracehound.CHANGED_PATHS: ["a", "b.c"], Tracehound.VERSION_WRITTEN: rng.choice((1, "2", -1, 2.5))}, "set"),
        ({Tracehound.KIND: "state_read", Tracehound.STATE_KEY: "plan", Tracehound.VERSION_READ: 1, Tracehound.AGENT: agent}, "get"),
        ({Tracehound.KIND: "llm", GenAI.REQUEST_MODEL: model, Tracehound.PURPOSE: "route", GenAI.FINISH_REASONS: ["stop"], GenAI.TEMPERATURE: 0.5}, "ask"),
    ]  # fmt: skip
    above: list[tuple[dict[str, Any], str]] = [
        ({Tracehound.KIND: "workflow", Tracehound.WORKFLOW: "flow", Common.SESSION_ID: rng.choice(("s1", "s2"))}, "flow"),
        ({GenAI.OPERATION: "invoke_agent", GenAI.AGENT_NAME: agent}, f"invoke_agent {agent}"),
        ({Tracehound.KIND: "agent", Tracehound.AGENT: agent}, agent),
        ({}, "plain"),
        ({GenAI.OPERATION: "create_agent", GenAI.AGENT_NAME: agent}, "create_agent"),
        ({Tracehound.KIND: "handoff", Tracehound.TARGET_AGENT: agent}, "handoff"),
        ({Tracehound.KIND: "guard_trip", Tracehound.GUARD: "budget"}, "guard"),
        ({"openinference.span.kind": "CHAIN", "input.value": "hi"}, "chain"),
    ]  # fmt: skip
    weights = [6, 6, 4, 6, 0.1, 2, 0.3, 2]
    attributes, name = rng.choice(shapes) if leaf else rng.choices(above, weights)[0]
    more: dict[str, Any] = {}
    if rng.random() < 0.3 and "chat" in name:
        more |= {GenAI.INPUT_TOKENS[0]: rng.choice((100, "120", None, 10**20)), GenAI.OUTPUT_TOKENS[0]: 20}
        more |= {GenAI.CACHED_TOKENS[0]: rng.choice((10, 400))} if rng.random() < 0.3 else {}
    if rng.random() < 0.02:
        more |= rng.choice(
            (
                {Common.SESSION_ID: "s1"},
                {Tracehound.RUN_ID: "run"},
                {Common.USER_ID[0]: "u"},
                {Tracehound.PROGRESS: True},
            )
        )
    if rng.random() < 0.05:
        more["odd"] = rng.choice((True, None, 1.5, [1, "two"], {"three": 3}, "ü", 'a "quoted" \\ text'))
    return attributes | more, name


def prepared(store: Path, monkeypatch: pytest.MonkeyPatch, by_column_from: int) -> apply.Prepared:
    """What a fold would write of everything in the spool of `store`."""
    monkeypatch.setattr(gather, "BY_COLUMN_FROM", by_column_from)
    spool = spool_path(store)
    new = gather.gather(spool, list_spool(spool).segments, {}, limit=NEVER)
    assert not (spool / "quarantine").exists()
    by_column.append(new.leaves.frame.height + new.whole.frame.height)
    return apply.prepared(new, Stored())


by_column: list[int] = []
"""rows that were read so, to see that the test compares something"""


def same(table: str, one: pl.DataFrame, other: pl.DataFrame) -> None:
    key = {"contents": ["content_id"], "traces": ["run_id"], "run_traces": ["trace_id"], "events": ["span_id", "name"]}
    order = key.get(table, ["trace_id", "span_id"])
    assert_frame_equal(one.sort(order), other.sort(order))


def complete(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with the columns that it leaves out, which are NULL."""
    names = list(table_schema(table))
    return stacked(table, [frame], names).select(names)


def both_ways(store: Path, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    fast, general = (prepared(store, monkeypatch, limit) for limit in (0, NEVER))
    for table in TABLES:
        try:
            same(table, *(complete(table, found.frames[table]) for found in (fast, general)))
        except AssertionError as error:
            raise AssertionError(f"{named}: {error}") from error
    assert fast.counts == general.counts


def compare(folder: Path, monkeypatch: pytest.MonkeyPatch, seeds: Sequence[int]) -> None:
    by_column.clear()
    for seed in seeds:
        spans, starts, texts = drawn(random.Random(seed))
        store = folder / f"{seed}.duckdb"
        writer = SegmentWriter(store)
        writer.write_spans(spans, starts=starts, contents=texts)
        writer.close()
        both_ways(store, monkeypatch, f"seed {seed}")
    assert sum(by_column[::2]) > 4 * len(seeds), "nearly nothing was read by column"
    assert sum(by_column[1::2]) == 0


def test_leaves_by_column_are_what_the_general_way_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(tmp_path, monkeypatch, [3, 1_002])


@pytest.mark.slow
def test_new_leaves_below_a_span_that_came_before(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has grown is imported again: of its run only leaves are new, their agent stands in the store."""
    monkeypatch.setattr(gather, "BY_COLUMN_FROM", 0)
    desk = span(1, attributes={Tracehound.KIND: "agent", Tracehound.AGENT: "desk"})
    calls = [span(number, parent=1, attributes={GenAI.OPERATION: "chat"}) for number in range(2, 6)]
    writer = SegmentWriter(empty_store.path)
    for sent in ([desk, *calls[:2]], [desk, *calls]):
        writer.write_spans(sent)
        empty_store.fold()
    writer.close()

    rows = reads.sql(empty_store, "SELECT span_id, agent, run_id FROM spans ORDER BY start_ns").rows()
    assert rows == [(span_id(number), "desk", trace_id(1)) for number in range(1, 6)]
    assert reads.sql(empty_store, "SELECT spans, llm_calls FROM traces").rows() == [(5, 4)]
    assert reads.sql(empty_store, "SELECT value FROM counters WHERE name = 'duplicate_spans'").rows() == [(3,)]


@pytest.mark.slow
def test_many_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare(tmp_path, monkeypatch, [*range(9), *range(1_000, 1_060), 1_199])


@pytest.mark.slow
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_what_frameworks_sent_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: Path) -> None:
    store = tmp_path / "traces.duckdb"
    writer = SegmentWriter(store)
    for payload, logs in requests(capture):
        writer.write_otlp(payload, logs=logs)
    writer.close()
    both_ways(store, monkeypatch, capture.name)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 6, 9, 11, 23, 29, 31, 35, 40, 41])
def test_runs_that_come_in_parts_give_the_same_store(
    empty_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Chunks cut through runs: what touches stored runs is resolved with them, the rest by column."""
    spans, starts, texts = drawn(random.Random(seed), traces=12, spans=12)
    monkeypatch.setattr(fold_module, "CHUNK_SPANS", 30)
    monkeypatch.setattr(fold_module, "AT_ONCE_SPANS", 0)
    monkeypatch.setattr(gather, "BY_COLUMN_FROM", 0)
    parts = Store(empty_store.path)
    whole = Store(tmp_path / "whole.duckdb")
    for store in (parts, whole):
        writer = SegmentWriter(store.path)
        for at in range(0, len(spans), 10):
            writer.write_spans(spans[at : at + 10], starts=starts if at == 0 else (), contents=texts)
        writer.close()
    while parts.fold(budget_spans=30).spans:
        pass
    monkeypatch.setattr(fold_module, "CHUNK_SPANS", NEVER)
    monkeypatch.setattr(gather, "BY_COLUMN_FROM", NEVER)
    whole.fold()
    for table in ("spans", "traces", "run_traces", "links", "events", "contents"):
        one, other = (reads.sql(store, f"SELECT * FROM {table}") for store in (parts, whole))
        same(table, one, other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_parts_are_folded_alike_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The same pieces, folded at the same moments in chunks of one size, by column and one by one."""
    rng = random.Random(seed)
    parts_alike(tmp_path, monkeypatch, rng, *drawn(rng, traces=rng.randint(1, 6), spans=rng.choice((5, 15, 40))))


def parts_alike(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    rng: random.Random,
    spans: Sequence[RawSpan],
    starts: Sequence[RawSpan] = (),
    texts: Mapping[int, str] | None = None,
) -> None:
    """Fold `spans` in pieces, in both ways, and hold the two stores to each other."""
    piece, chunk = rng.choice((3, 7, 15, 60)), rng.choice((2, 10, 30, NEVER))
    folded_after = [rng.random() < 0.6 for _ in range(0, len(spans), piece)]
    monkeypatch.setattr(fold_module, "AT_ONCE_SPANS", 0)
    monkeypatch.setattr(fold_module, "CHUNK_SPANS", chunk)
    stores: list[Store] = []
    for by_column_from in (0, NEVER):
        monkeypatch.setattr(gather, "BY_COLUMN_FROM", by_column_from)
        store = Store(folder / f"{by_column_from}.duckdb")
        writer = SegmentWriter(store.path)
        for number, fold_now in enumerate(folded_after):
            at = number * piece
            writer.write_spans(spans[at : at + piece], starts=() if at else starts, contents=texts or {})
            if fold_now:
                store.fold()
        writer.close()
        store.fold()
        stores.append(store)
    stores_alike(*stores)


def stores_alike(*stores: Store) -> None:
    """Hold the two to each other, table by table."""
    for table in TABLES:
        one, other = (reads.sql(store, f"SELECT * FROM {table}") for store in stores)
        names = [name for name in one.columns if name != "writer"]
        same(table, one.select(names), other.select(names))


@pytest.mark.slow
@pytest.mark.parametrize(
    "payload",
    [
        b'{"pid":1,"spans":[{"trace_id":"a"\n',
        b'{"pid":1,"spans":[{"trace_id":"a","span_id":"b","name":"no start","end_ns":2}]}\n',
        b'{"pid":1,"spans":5}\n',
        b'{"pid":1,"bodies":[[1,5]],"spans":[]}\nshort and long\n',
        b'{"pid":1,"scope":"\xed\xa0\x80\xff","spans":[]}\n',
    ],
)  # fmt: skip
def test_a_frame_that_cannot_be_read_costs_only_itself(
    empty_store: Store, monkeypatch: pytest.MonkeyPatch, payload: bytes
) -> None:
    """Among many that are read by column: it goes to quarantine, and is counted."""
    monkeypatch.setattr(gather, "BY_COLUMN_FROM", 0)
    good = [span(1, attributes={Tracehound.KIND: "workflow"}), span(2, parent=1, attributes={GenAI.OPERATION: "chat"})]
    writer = SegmentWriter(empty_store.path)
    writer.write_spans(good[:1])
    writer._append(encode_frame(FrameKind.RECORDS, payload))  # pyright: ignore[reportPrivateUsage]
    writer.write_spans(good[1:])
    writer.close()
    result = empty_store.fold()

    assert (result.spans, result.bad_frames) == (len(good), 1)
    assert reads.sql(empty_store, "SELECT count(*) FROM spans").rows() == [(len(good),)]
    [bad] = (spool_path(empty_store.path) / "quarantine").glob("*.bad")
    assert bad.read_bytes() == payload
