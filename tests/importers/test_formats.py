"""Exports of other tools: agents, calls, texts, money and errors arrive; a bad part is named and left out."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.importers.samples import ANY_AGENT, INSPECT, JAEGER, LANGFUSE
from tests.importers.test_import import Importing, importing
from tracer.importers.shape import BadPart, span_id, time_ns

__all__ = ["importing"]


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


@pytest.mark.parametrize("sample", [ANY_AGENT, JAEGER, LANGFUSE, INSPECT])
def test_cut_and_hostile_documents(importing: Importing, sample: dict[str, Any]) -> None:
    """A document that ends too early gives what was complete; values of the wrong type are named, nothing raises."""
    whole = json.dumps(sample)
    report, _ = importing(whole[: len(whole) * 2 // 3], name="cut")
    assert report.problems

    for bad in (None, 1, "x", [], {}, [None, 7, {"x": 1}]):
        for key in ("spans", "data", "observations", "samples"):
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
