"""Realistic multi-agent traces of any number, the same for the same seed: `python -m tests.benchmarks.generate OUT --spans N`.

    --as store      straight into the tables of the store OUT, without a fold (10 million spans: minutes, a few GB)
    --as segments   native segments in the spool of the store OUT, which the next reader folds
    --as otlp       OUT is a directory of export requests (protobuf), 500 spans each

A run has a workflow span at the root and turns of agents below it; in a turn an agent calls models and tools, decides,
reads and writes shared state and passes on. Sizes of runs, durations, tokens and message lengths are log-normal; runs
belong to conversations, spread over days, overlap, fail now and then, and arrive interleaved, span by span as they end.
`--big` adds runs of a given size. With `--text N` the messages have about N bytes and every LLM call sends the whole
history of its agent's turn again (in OTLP; natively once), tools have arguments and results; `store` takes no texts.

The plan (one row a span) is drawn by DuckDB, some 500,000 spans at a time; nothing here loops over spans to draw them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tracer.ids import canonical_json, content_id
from tracer.model import RawSpan
from tracer.semconv import GenAI, Tracehound
from tracer.store.arrow import fetched
from tracer.store.columns import with_frame
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter

START_NS = 1_780_000_000_000_000_000
SLICE = 500_000
BATCH = 500
FRAME = 60
PATTERN = (
    "agent", "llm", "tool", "llm", "decision", "tool", "llm", "state_read", "llm", "state_write", "llm", "handoff",
)  # fmt: skip
"""what one turn of an agent consists of, in order; the first is the parent of the rest"""
MODELS = (("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), ("openai", "gpt-4.1"))
ROLES = ("planner", "researcher", "writer", "critic", "coder", "tester", "router", "analyst", "editor", "support")
TOOLS = ("search", "fetch_page", "run_sql", "read_file", "write_file", "send_mail", "calculator", "lookup_customer")
WORKFLOWS = ("support", "research", "code review", "report", "onboarding", "pricing", "incident", "translation")
WORDS = [
    "the",
    "agent",
    "looks",
    "at",
    "order",
    "and",
    "asks",
    "warehouse",
    "for",
    "stock",
    "before",
    "it",
    "answers",
    "customer",
    "again",
    "while",
    "another",
    "plan",
    "was",
    "made",
    "invoice",
    "refund",
    "delivery",
    "shipment",
    "address",
    "payment",
    "failed",
    "retry",
    "model",
    "context",
    "budget",
    "limit",
    "reached",
    "review",
    "draft",
    "final",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What to draw."""

    spans: int
    seed: int = 1
    days: float = 30.0
    median_size: float = 20.0
    """spans of a run; the mean is about half as much again"""
    big: tuple[int, ...] = ()
    """sizes of further runs, spread over the time"""
    text: int = 0
    """mean bytes of a message, 0 for none"""


def plan(shape: Shape) -> Iterator[pl.DataFrame]:
    """One row a span, in order of arrival within a slice; whole runs in a slice, slices in order of time.

    Columns: run, place, trace_id, span_id, parent_span_id, kind, name, start_ns, end_ns, status, workflow, agent,
    session_id, model, provider, input_tokens, output_tokens, cost_usd, tool_name, target_agent, state_key, version, turn.
    """
    with duckdb.connect(":memory:") as con:
        con.execute(_MACROS)
        con.execute(
            _SIZES,
            {"seed": shape.seed, "spans": shape.spans - sum(shape.big), "median": shape.median_size},
        )
        for number, size in enumerate(shape.big):
            con.execute(
                "INSERT INTO sizes SELECT count(*) * ($number + 1.0) / ($all + 1) + 0.5, $size FROM sizes",
                {"number": number, "all": len(shape.big), "size": size},
            )
        con.execute(
            "CREATE OR REPLACE TABLE sizes AS SELECT row_number() OVER (ORDER BY run) - 1 AS run, size FROM sizes"
        )
        con.execute("CREATE TABLE cut AS SELECT run, size, sum(size) OVER (ORDER BY run) // $slice AS part FROM sizes",
                    {"slice": SLICE})  # fmt: skip
        parts = [part for (part,) in con.execute("SELECT DISTINCT part FROM cut ORDER BY part").fetchall()]
        [(runs,)] = con.execute("SELECT count(*) FROM cut").fetchall()
        gap_ns = int(shape.days * 86_400e9 / max(runs, 1))
        for part in parts:
            values = {"seed": shape.seed, "part": part, "start": START_NS, "gap": gap_ns}
            yield fetched(con.sql(_SPANS, params=values))


def _picked(values: Sequence[str], index: str) -> str:
    listed = ", ".join(f"'{value}'" for value in values)
    return f"[{listed}][(1 + ({index}) % {len(values)})::BIGINT]"


_MACROS = """
    CREATE MACRO uniform(seed, a, b, salt) AS (hash(seed, a, b, salt) % 1000003 + 1) / 1000005.0;
    CREATE MACRO lognormal(seed, a, b, salt, median, sigma) AS median * exp(sigma * sqrt(-2 * ln(uniform(seed, a, b, salt)))
        * cos(2 * pi() * uniform(seed, a, b, salt || '2')));
"""
_SIZES = """
    CREATE TABLE sizes AS
    WITH drawn AS (
        SELECT n AS run, least(greatest(lognormal($seed, n, 0, 'size', $median, 0.9), 3), 5000)::BIGINT AS size
        FROM range(greatest($spans, 1)) r(n)
    ), summed AS (SELECT run, size, sum(size) OVER (ORDER BY run) - size AS before FROM drawn)
    SELECT run::DOUBLE AS run, least(size, $spans - before)::BIGINT AS size FROM summed WHERE before < $spans
"""
_SPANS = f"""
    WITH places AS (
        SELECT run, size, unnest(range(size)) AS place FROM cut WHERE part = $part
    ), kinds AS (
        SELECT run, size, place, (place - 1) // {len(PATTERN)} AS turn,
            CASE WHEN place = 0 THEN 'workflow' ELSE {_picked(PATTERN, "place - 1")} END AS kind,
            hash($seed, run, 'workflow') % {len(WORKFLOWS)} AS flow, hash($seed, run, 'agents') % 5 + 2 AS agents
        FROM places
    ), timed AS (
        SELECT *, CASE kind WHEN 'llm' THEN lognormal($seed, run, place, 'time', 2.5e9, 0.8)
            WHEN 'tool' THEN lognormal($seed, run, place, 'time', 4e8, 1.2) WHEN 'agent' THEN 2e6 WHEN 'workflow' THEN 1e6
            ELSE lognormal($seed, run, place, 'time', 5e6, 0.5) END::BIGINT AS takes
        FROM kinds
    ), placed AS (
        SELECT *, $start + (run * $gap + uniform($seed, run, 0, 'at') * $gap * 20)::BIGINT
            + coalesce(sum(takes) OVER (PARTITION BY run ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::BIGINT
            AS start_ns
        FROM timed
    ), ended AS (
        SELECT *, CASE WHEN place = 0 THEN max(start_ns + takes) OVER (PARTITION BY run)
            WHEN kind = 'agent' THEN max(start_ns + takes) OVER (PARTITION BY run, turn)
            ELSE start_ns + takes END AS end_ns,
            {_picked(ROLES, "flow + (turn + hash($seed, run, turn) % 2) % agents")} AS who,
            {_picked(ROLES, "flow + (turn + 1 + hash($seed, run, turn + 1) % 2) % agents")} AS next,
            (hash($seed, run, turn, 'model') % {len(MODELS)})::BIGINT AS m
        FROM placed
    )
    SELECT run, place, md5($seed || '/' || run) AS trace_id, md5($seed || '/' || run || '/' || place)[:16] AS span_id,
        CASE WHEN place = 0 THEN NULL WHEN kind = 'agent' THEN md5($seed || '/' || run || '/0')[:16]
            ELSE md5($seed || '/' || run || '/' || (turn * {len(PATTERN)} + 1))[:16] END AS parent_span_id,
        kind, {_picked(WORKFLOWS, "flow")} AS workflow, CASE WHEN place > 0 THEN who END AS agent,
        CASE WHEN kind = 'tool' THEN {_picked(TOOLS, "hash($seed, run, place, 'tool')")} END AS tool_name,
        CASE WHEN kind = 'llm' THEN {_picked([model for _, model in MODELS], "m")} END AS model,
        CASE WHEN kind = 'llm' THEN {_picked([provider for provider, _ in MODELS], "m")} END AS provider,
        CASE kind WHEN 'workflow' THEN {_picked(WORKFLOWS, "flow")} WHEN 'agent' THEN 'invoke_agent ' || who
            WHEN 'llm' THEN 'chat ' || model WHEN 'tool' THEN 'execute_tool ' || tool_name ELSE kind END AS name,
        start_ns::BIGINT AS start_ns, end_ns::BIGINT AS end_ns,
        CASE WHEN (kind = 'tool' AND uniform($seed, run, place, 'error') < 0.04)
            OR (kind = 'llm' AND uniform($seed, run, place, 'error') < 0.01)
            OR (kind = 'workflow' AND uniform($seed, run, 0, 'error') < 0.05) THEN 'error' ELSE 'ok' END AS status,
        md5('session' || (run - hash($seed, run, 'turns') % 3)) AS session_id,
        CASE WHEN kind = 'llm' THEN (lognormal($seed, run, place, 'in', 700, 0.6) + turn * 300)::BIGINT END AS input_tokens,
        CASE WHEN kind = 'llm' THEN lognormal($seed, run, place, 'out', 180, 0.7)::BIGINT END AS output_tokens,
        ((input_tokens * [2.5, 0.15, 3, 2][1 + m] + output_tokens * [10, 0.6, 15, 8][1 + m]) / 1e6)::DECIMAL(18, 9) AS cost_usd,
        CASE WHEN kind = 'handoff' THEN next END AS target_agent,
        CASE WHEN kind IN ('state_read', 'state_write') THEN 'plan' END AS state_key,
        CASE WHEN kind IN ('state_read', 'state_write') THEN turn + (kind = 'state_write')::BIGINT END AS version,
        turn::BIGINT AS turn
    FROM ended ORDER BY end_ns, run, place
"""

_TO_SPANS = """
    INSERT INTO spans BY NAME
    SELECT * EXCLUDE (run, place, version, turn), trace_id AS run_id, FALSE AS agent_inferred, 'benchmark' AS service,
        CASE WHEN kind = 'llm' THEN 'genai-prices' END AS cost_source,
        CASE WHEN status = 'error' THEN 'TimeoutError' END AS error_type,
        CASE WHEN kind = 'state_read' THEN version END AS version_read,
        CASE WHEN kind = 'state_write' THEN version END AS version_written,
        CASE WHEN kind = 'decision' THEN 'plan' END AS scope_key, CASE WHEN kind = 'decision' THEN 'go on' END AS choice,
        FALSE AS progress, FALSE AS user_visible, 'tracehound' AS convention, 0 AS dropped_attributes, 1 AS pid,
        CASE kind WHEN 'llm' THEN '{"gen_ai.operation.name":"chat","gen_ai.request.model":"' || model
                || '","gen_ai.usage.input_tokens":' || input_tokens || ',"gen_ai.usage.output_tokens":' || output_tokens || '}'
            WHEN 'tool' THEN '{"gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"' || tool_name || '"}'
            ELSE '{"tracehound.kind":"' || kind || '"}' END AS attributes
    FROM incoming
"""
_TO_TRACES = """
    INSERT INTO traces BY NAME
    SELECT trace_id, trace_id AS run_id, min(workflow) AS workflow,
        CASE WHEN bool_or(kind = 'workflow' AND status = 'error') THEN 'failed' ELSE 'completed' END AS outcome,
        min(start_ns) AS start_ns, max(end_ns) AS end_ns, count(*) AS spans, count(DISTINCT agent) AS agents,
        count(*) FILTER (kind = 'llm') AS llm_calls, coalesce(sum(input_tokens), 0) AS input_tokens,
        coalesce(sum(output_tokens), 0) AS output_tokens, sum(cost_usd) AS cost_usd, 0 AS unpriced_calls,
        count(*) FILTER (status = 'error') AS errors, 0 AS escalations, min(session_id) AS session_id,
        'benchmark' AS service, 'tracehound' AS convention
    FROM incoming GROUP BY trace_id ORDER BY max(end_ns)
"""
_TO_RUN_TRACES = """
    INSERT INTO run_traces BY NAME
    SELECT trace_id, trace_id AS run_id, min(start_ns) AS first_ns, max(start_ns) AS last_ns
    FROM incoming GROUP BY trace_id ORDER BY max(end_ns)
"""


def into_store(shape: Shape, store: Store) -> int:
    """Fill the tables of `store`, which has to be new, as a fold would have left them; how many spans."""
    spans = 0
    for drawn in plan(shape):
        with store.lease() as con:
            for sql in (_TO_SPANS, _TO_TRACES, _TO_RUN_TRACES):
                with_frame(con, drawn, sql)
        spans += drawn.height
    return spans


def raw_spans(shape: Shape) -> Iterator[tuple[RawSpan, dict[int, str]]]:
    """The spans as our own recorder would write them, in order of arrival, each with the texts it refers to."""
    resource = {"service.name": "benchmark", "process.pid": 1}
    for drawn in plan(shape):
        for row in drawn.iter_rows(named=True):
            texts = _texts(row, shape) if shape.text else {}
            slots = {slot: [content_id(body) for body in bodies] for slot, bodies in texts.items()}
            yield (
                RawSpan(
                    trace_id=row["trace_id"],
                    span_id=row["span_id"],
                    parent_span_id=row["parent_span_id"],
                    name=row["name"],
                    start_ns=row["start_ns"],
                    end_ns=row["end_ns"],
                    status=row["status"],
                    attributes=_attributes(row),
                    resource=resource,
                    scope="tracehound",
                    content=slots,
                ),
                {content_id(body): body for bodies in texts.values() for body in bodies},
            )


def into_segments(shape: Shape, store: Path) -> int:
    """Record the spans in the spool of `store`, in frames of 60; how many spans."""
    writer = SegmentWriter(store)
    batch: list[RawSpan] = []
    texts: dict[int, str] = {}
    spans = 0
    for span, bodies in raw_spans(shape):
        batch.append(span)
        texts |= bodies
        spans += 1
        if len(batch) == FRAME:
            writer.write_spans(batch, contents=texts)
            batch, texts = [], {}
    if batch:
        writer.write_spans(batch, contents=texts)
    writer.close()
    return spans


def otlp_requests(shape: Shape) -> Iterator[bytes]:
    """The spans as OTel GenAI export requests of 500 spans, in order of arrival."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def filled() -> tuple[ExportTraceServiceRequest, Any]:
        made = ExportTraceServiceRequest()
        group = made.resource_spans.add()
        _set(group.resource.attributes, {"service.name": "benchmark"})
        scoped = group.scope_spans.add()
        scoped.scope.name = "benchmark"
        return made, scoped.spans

    made, target = filled()
    for drawn in plan(shape):
        for row in drawn.iter_rows(named=True):
            span = target.add()
            span.trace_id, span.span_id = bytes.fromhex(row["trace_id"]), bytes.fromhex(row["span_id"])
            if row["parent_span_id"]:
                span.parent_span_id = bytes.fromhex(row["parent_span_id"])
            span.name = row["name"]
            span.start_time_unix_nano, span.end_time_unix_nano = row["start_ns"], row["end_ns"]
            span.status.code = 2 if row["status"] == "error" else 1
            _set(span.attributes, _attributes(row) | (_as_attributes(_texts(row, shape), row) if shape.text else {}))
            if len(target) == BATCH:
                yield made.SerializeToString()
                made, target = filled()
    if target:
        yield made.SerializeToString()


def _attributes(row: dict[str, Any]) -> dict[str, Any]:
    kind = row["kind"]
    if kind == "llm":
        return {
            GenAI.OPERATION: "chat",
            GenAI.PROVIDER[0]: row["provider"],
            GenAI.REQUEST_MODEL: row["model"],
            GenAI.INPUT_TOKENS[0]: row["input_tokens"],
            GenAI.OUTPUT_TOKENS[0]: row["output_tokens"],
        }
    if kind == "tool":
        return {GenAI.OPERATION: "execute_tool", GenAI.TOOL_NAME: row["tool_name"]}
    if kind == "agent":
        return {GenAI.OPERATION: "invoke_agent", GenAI.AGENT_NAME: row["agent"]}
    if kind == "workflow":
        return {Tracehound.KIND: kind, Tracehound.WORKFLOW: row["workflow"], GenAI.CONVERSATION_ID: row["session_id"]}
    if kind == "handoff":
        return {Tracehound.KIND: kind, Tracehound.TARGET_AGENT: row["target_agent"]}
    if kind == "decision":
        return {Tracehound.KIND: kind, Tracehound.SCOPE_KEY: "plan", Tracehound.CHOICE: "go on"}
    version = Tracehound.VERSION_READ if kind == "state_read" else Tracehound.VERSION_WRITTEN
    return {Tracehound.KIND: kind, Tracehound.STATE_KEY: row["state_key"], version: row["version"]}


def _texts(row: dict[str, Any], shape: Shape) -> dict[str, list[str]]:
    """Slot -> bodies; an LLM call sends what its agent's turn has said so far, so the history grows from call to call."""
    run, place, kind = row["run"], row["place"], row["kind"]
    if kind == "tool":
        return {
            "input": [canonical_json({"query": words(shape, run, place, 1, shape.text // 4)})],
            "output": [words(shape, run, place, 2, shape.text)],
        }
    if kind != "llm":
        return {}
    first = place - (place - 1) % len(PATTERN)
    said = [{"role": "system", "content": words(shape, 0, row["turn"] % 5, 3, shape.text)}]
    said += [
        {"role": "assistant" if (at - first) % 2 else "user", "content": words(shape, run, at, 4, shape.text)}
        for at in range(first, place)
    ]
    answer = {"role": "assistant", "content": words(shape, run, place, 4, shape.text)}
    return {"input": [canonical_json(message) for message in said], "output": [canonical_json(answer)]}


def _as_attributes(texts: dict[str, list[str]], row: dict[str, Any]) -> dict[str, str]:
    if row["kind"] == "tool":
        return {GenAI.TOOL_ARGUMENTS[0]: texts["input"][0], GenAI.TOOL_RESULT[0]: texts["output"][0]}
    names = {"input": GenAI.INPUT_MESSAGES, "output": GenAI.OUTPUT_MESSAGES}
    return {names[slot]: f"[{','.join(bodies)}]" for slot, bodies in texts.items()}


def words(shape: Shape, run: int, place: int, salt: int, size: int) -> str:
    """About `size` bytes of words, the same for the same arguments; they compress like prose, not like a repeated line."""
    state = (shape.seed * 1_000_003 + run * 7_919 + place * 104_729 + salt * 1_299_709) & 0xFFFFFFFF
    found: list[str] = []
    for _ in range(max(size // 7, 1)):
        state = (state * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
        found.append(WORDS[(state >> 16) % len(WORDS)])
        if state >> 28 == 0:
            found.append(f"{state & 0xFFFF:x}")
    return " ".join(found)


def _set(target: Any, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        pair = target.add()
        pair.key = key
        if isinstance(value, int):
            pair.value.int_value = value
        else:
            pair.value.string_value = value


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.generate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("out", type=Path, help="a store, or for otlp a directory")
    parser.add_argument("--as", dest="form", choices=("store", "segments", "otlp"), default="store")
    parser.add_argument("--spans", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--big", type=int, nargs="*", default=[], help="sizes of further runs, in spans")
    parser.add_argument("--text", type=int, default=0, help="mean bytes of a message; 0 for none")
    given = parser.parse_args(arguments)
    shape = Shape(spans=given.spans, seed=given.seed, days=given.days, big=tuple(given.big), text=given.text)
    began = time.perf_counter()
    if given.form == "store":
        written = into_store(shape, Store(given.out))
    elif given.form == "segments":
        written = into_segments(shape, given.out)
    else:
        given.out.mkdir(parents=True, exist_ok=True)
        for number, body in enumerate(otlp_requests(shape)):
            (given.out / f"{number:06}.pb").write_bytes(body)
        written = given.spans
    print(f"{written} spans in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
