"""Exports of other tools: agents, calls, texts, money and errors arrive; a bad part is named and left out."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.importers.conftest import Importing
from tests.importers.samples import ANY_AGENT, INSPECT, JAEGER, LANGFUSE, LANGSMITH, PHOENIX, SPANS, phoenix_rows, text
from tracer.importers.shape import BadPart, span_id, time_ns


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


def test_any_agent(importing: Importing) -> None:
    """Numbers as ids, own names of arguments, answers and costs."""
    report, rows = importing(json.dumps(ANY_AGENT))
    found = by_name(rows)
    call, tool, agent = found["call_llm"], found["execute_tool now"], found["invoke_agent"]

    assert (report.format, report.read, report.problems) == ("any-agent", 3, [])
    assert (agent["kind"], agent["trace_id"]) == ("agent", "0af7651916cd43dd8448eb211c80319c")
    assert {row["agent"] for row in rows} == {"clerk"}
    assert (call["kind"], call["input_tokens"], call["cost_usd"]) == ("llm", 20, Decimal("0.0003"))
    assert (len(call["input_refs"]), len(call["output_refs"])) == (1, 1)
    assert (tool["tool_name"], tool["args_hash"] is not None, tool["result_hash"] is not None) == ("now", True, True)


def test_jaeger(importing: Importing) -> None:
    """Microseconds, tags, processes, short ids; the other reference is a link; a span without a length is left out."""
    report, rows = importing(json.dumps(JAEGER))
    found = by_name(rows)
    call = found["chat"]

    assert (report.format, report.read, report.skipped) == ("jaeger", 2, 1)
    assert "bad" in report.problems[0].reason
    assert call["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert call["parent_span_id"] == found["request"]["span_id"] == "0000000000000001"
    assert (call["start_ns"], call["end_ns"]) == (1_700_000_000_000_001_000, 1_700_000_000_000_501_000)
    assert (call["kind"], call["input_tokens"], call["service"]) == ("llm", 12, "shop")
    assert (call["status"], call["error_type"], call["error_message"]) == ("error", "IOError", "down")


def test_langfuse_export(importing: Importing) -> None:
    """A GENERATION that only holds others is a step; usage, cost, prompt, error and session arrive."""
    report, rows = importing(json.dumps(LANGFUSE))
    found = by_name(rows)
    call, tool = found["answer"], found["search"]

    assert (report.format, report.read, report.problems) == ("langfuse-export", 3, [])
    assert {name: row["kind"] for name, row in found.items()} == {"turn": "workflow", "answer": "llm", "search": "tool"}
    assert (call["input_tokens"], call["output_tokens"], call["cost_usd"]) == (10, 2, Decimal("0.01"))
    assert (call["ttft_ns"], call["prompt_name"], call["prompt_version"]) == (10**9, "qa", "7")
    assert (tool["status"], tool["error_message"]) == ("error", "down")
    assert {(row["workflow"], row["session_id"], row["user_id"]) for row in rows} == {("qa", "s", "u")}


def test_inspect_log(importing: Importing) -> None:
    """A sample is a run; spans, calls, tools and patches of the store are its parts."""
    report, rows = importing(json.dumps(INSPECT))
    found = by_name(rows)
    call, tool, write = found["openai/gpt-4o"], found["find"], found["store"]

    assert (report.format, report.read, report.skipped) == ("inspect-log", 5, 1)
    assert "events[6]" in report.problems[0].reason
    assert (found["refunds"]["kind"], found["clerk"]["kind"]) == ("workflow", "agent")
    assert {row["agent"] for row in (call, tool, write)} == {"clerk"}
    assert (call["model"], call["provider"], call["input_tokens"], call["cached_tokens"]) == ("gpt-4o", "openai", 9, 4)
    assert (call["finish_reason"], call["temperature"], len(call["output_refs"])) == ("tool_calls", 0.5, 1)
    assert (tool["status"], tool["error_type"], tool["error_message"]) == ("error", "timeout", "too slow")
    assert (write["kind"], write["state_key"], write["changed_paths"]) == ("state_write", "store", ["/plan"])
    assert json.loads(found["refunds"]["attributes"])["tracehound.run.outcome"] == "completed"


@pytest.mark.parametrize("shape", ["lines", "array", "answer", "children", "bulk"])
def test_langsmith_runs(importing: Importing, shape: str) -> None:
    """Agents from the nodes of a graph, model, tokens, cost, tools and errors, in whatever way runs are written down."""
    runs = LANGSMITH
    if shape == "children":
        root, node, *leaves = [{**run, "trace_id": None, "parent_run_id": None} for run in runs]
        runs = [{**root, "child_runs": [{**node, "child_runs": leaves}]}]
    if shape == "bulk":
        texts = ("inputs", "outputs", "extra")
        runs = [{k: json.dumps(v) if k in texts else v for k, v in run.items()} for run in runs]
    document = {"lines": text(*runs), "answer": json.dumps({"runs": runs})}.get(shape) or json.dumps(runs, indent=1)
    report, rows = importing(document)
    found = by_name([row for row in rows if not row["name"].startswith(("read ", "write "))])
    graph, node, call, tool = (found[name] for name in ("LangGraph", "researcher", "ChatOpenAI", "search"))

    assert (report.format, report.read, report.problems) == ("langsmith-runs", 4, [])
    assert (node["parent_span_id"], call["parent_span_id"]) == (graph["span_id"], node["span_id"])
    assert {row["trace_id"] for row in rows} == {"00000000000040008000000000000001"}
    assert (call["kind"], call["agent"], call["model"], call["provider"]) == ("llm", "researcher", "gpt-4o-2024-08-06", "openai")  # fmt: skip
    assert (call["input_tokens"], call["output_tokens"], call["cached_tokens"]) == (20, 4, 8)
    assert (call["cost_usd"], call["ttft_ns"], call["finish_reason"]) == (Decimal("0.0125"), 500_000_000, "stop")
    assert (len(call["input_refs"]), len(call["output_refs"])) == (1, 1)
    assert (tool["kind"], tool["tool_name"], tool["status"], tool["error_type"]) == ("tool", "search", "error", "TimeoutError")  # fmt: skip
    assert tool["end_ns"] - tool["start_ns"] == 10 * 10**9
    assert {graph["session_id"], node["session_id"]} == {"t-1"}


@pytest.mark.parametrize("shape", ["rest", "lines", "records", "milliseconds", "parquet"])
def test_phoenix_spans(importing: Importing, tmp_path: Path, shape: str) -> None:
    """The REST form and the dataframe give the same spans: agents, calls with their messages, tools and errors."""
    rows_given = phoenix_rows()
    if shape == "milliseconds":
        for row in rows_given:
            for key in ("start_time", "end_time"):
                row[key] = time_ns(row[key]) // 10**6
    given: Any = {"rest": json.dumps(PHOENIX), "records": json.dumps(rows_given)}.get(shape) or text(*rows_given)
    if shape == "parquet":
        given = tmp_path / "spans.parquet"
        pl.DataFrame(rows_given).write_parquet(given)
    report, rows = importing(given)
    found = by_name(rows)
    call, tool = found["ChatCompletion"], found["find"]

    assert (report.format, report.read, report.problems) == ("phoenix-spans", 3, [])
    assert {row["agent"] for row in rows} == {"clerk"}
    assert {row["trace_id"] for row in rows} == {"0af7651916cd43dd8448eb211c80319c"}
    assert (call["kind"], call["model"], call["input_tokens"], call["output_tokens"]) == ("llm", "gpt-4o", 30, 5)
    assert (call["cached_tokens"], call["cost_usd"]) == (10, Decimal("0.02"))
    assert (len(call["input_refs"]), len(call["output_refs"])) == (1, 1)
    assert (tool["tool_name"], tool["args_hash"] is not None) == ("find", True)
    assert (tool["status"], tool["error_type"], tool["error_message"]) == ("error", "IOError", "down")
    assert call["start_ns"] == time_ns("2025-03-01T10:00:02.25Z")


def test_foreign_parquet(importing: Importing, tmp_path: Path) -> None:
    """A table that holds no spans of Phoenix says what was expected."""
    path = tmp_path / "other.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(path)
    report, rows = importing(path)
    assert (report.read, rows) == (0, [])
    assert "context.trace_id" in report.problems[0].reason


@pytest.mark.parametrize("sample", [ANY_AGENT, JAEGER, LANGFUSE, INSPECT, PHOENIX, {"runs": LANGSMITH}])
def test_cut_and_hostile_documents(importing: Importing, sample: dict[str, Any]) -> None:
    """A document that ends too early gives what was complete; values of the wrong type are named, nothing raises."""
    whole = json.dumps(sample)
    report, _ = importing(whole[: len(whole) * 2 // 3], name="cut")
    assert report.problems

    for bad in (None, 1, "x", [], {}, [None, 7, {"x": 1}]):
        for key in ("spans", "data", "observations", "samples", "runs"):
            if key in sample:
                broken, rows = importing(json.dumps({**sample, key: bad}), name="hostile")
                assert broken.problems or broken.skipped or rows


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0x1f", "000000000000001f"), (31, "000000000000001f"), ("00000000000000AB", "00000000000000ab"), (True, None), ("", None), (0, None), (2**64, None)],
)  # fmt: skip
def test_ids(value: Any, expected: str | None) -> None:
    """Ids in every spelling; what is no id is refused."""
    if expected is None:
        with pytest.raises(BadPart):
            span_id(value)
    else:
        assert span_id(value) == expected


def test_times() -> None:
    """ISO 8601 with and without a zone, numbers in units; the rest is refused."""
    assert time_ns("1970-01-01T00:00:01.5") == time_ns("1970-01-01T01:00:01.500+01:00") == time_ns(1_500, 10**6)
    for bad in (None, "soon", -1, True, 10**30):
        with pytest.raises(BadPart):
            time_ns(bad)


def test_spans_of_a_schema_of_its_own(importing: Importing) -> None:
    """Ids, agents, tokens, the tool that failed; the record's id and verdict are the run's."""
    report, rows = importing("\n".join([json.dumps(SPANS), json.dumps({"id": "q8", "otel": {}})]), "spans.jsonl")
    found = [(r["kind"], r["agent"], r["tool_name"], r["status"], r["input_tokens"]) for r in rows]

    assert (report.format, report.read, report.skipped) == ("spans-json", 3, 1)
    assert [(p.line, p.reason) for p in report.problems] == [(2, "no list `spans` in the record")]
    assert found == [
        ("workflow", None, None, "ok", None),
        ("llm", "Researcher", None, "ok", 82),
        ("tool", None, "Search", "error", None),
    ]
    told = json.loads(rows[0]["attributes"])
    assert (told["tracehound.source.id"], told["tracehound.run.outcome"]) == ("q7", "failed")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ({"startTime": 1_700_000_000}, {"endTime": 1_700_000_001}),
        ({"start_time": 1_700_000_000.0}, {"end_time": 1_700_000_001.0}),
        ({"start_time": "2023-11-14T22:13:20+00:00"}, {"end_time": "2023-11-14T22:13:21Z"}),
        ({"startTimeUnixNano": "1700000000000000000"}, {"endTimeUnixNano": "1700000001000000000"}),
        ({"start_time_ms": 1_700_000_000_000}, {"end_time_ms": 1_700_000_001_000}),
    ],
)
def test_times_of_such_spans(importing: Importing, start: dict[str, Any], end: dict[str, Any]) -> None:
    """Seconds, ISO text, milliseconds, nanoseconds as text: by name, else by size."""
    one = {"name": "x", "traceId": "ab" * 16, "spanId": "1" * 16, **start, **end, "attributes": {}}
    report, rows = importing(json.dumps({"spans": [one]}), "spans.json")

    assert report.problems == []
    assert [(r["start_ns"], r["end_ns"]) for r in rows] == [(1_700_000_000 * 10**9, 1_700_000_001 * 10**9)]


def test_console_exporter(importing: Importing) -> None:
    """What `ConsoleSpanExporter` prints: objects over several lines, one after the other."""
    report, rows = importing("\n".join(json.dumps(item, indent=4) for item in ANY_AGENT["spans"]) + "\n", "out.txt")

    assert (report.format, report.read, report.problems) == ("any-agent", 3, [])
    assert len(rows) == 3
