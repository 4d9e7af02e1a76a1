"""Files for other tools keep every span, and keep the rules of their formats."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.exports import FORMATS
from dashboard.exports.perfetto import nested_tracks
from dashboard.exports.tables import COLUMNS
from tests import drawn
from tests.dashboard import stores

RUN = stores.mixed()


def written(name: str, run: drawn.Drawn = RUN) -> Any:
    """The export of a drawn run, read back as JSON."""
    return json.loads(FORMATS[name].write(drawn.frames(run)))


def test_perfetto_has_an_event_per_span_and_names_its_tracks() -> None:
    """Every span is one complete event with the fields that the format asks for, on a track that has a name."""
    events = written("perfetto")["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert sorted(event["args"]["span_id"] for event in spans) == sorted(span.span_id for span in RUN.spans)
    assert all({"name", "cat", "ts", "dur", "pid", "tid"} <= event.keys() and event["dur"] >= 0 for event in spans)
    named = {event["tid"] for event in events if event["name"] == "thread_name"}
    assert {event["tid"] for event in spans} == named


def test_speedscope_opens_and_closes_like_brackets() -> None:
    """Each profile's events ascend in time and close what was opened last; all spans are there."""
    document = written("speedscope")
    assert document["$schema"].endswith("file-format-schema.json")
    opened = 0
    for profile in document["profiles"]:
        stack: list[int] = []
        at = profile["startValue"]
        for event in profile["events"]:
            assert at <= event["at"] <= profile["endValue"]
            at = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
                opened += 1
            else:
                assert stack.pop() == event["frame"]
        assert stack == []
    assert opened == len(RUN.spans)


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 30), st.integers(0, 12)), min_size=1, max_size=40
    )
)
def test_spans_of_a_track_nest_or_follow_each_other(given_spans: list[tuple[str | None, int, int]]) -> None:
    """No two spans of one track cross, and no span changes its agent."""
    agents = [agent for agent, _, _ in given_spans]
    start = [begin for _, begin, _ in given_spans]
    stop = [begin + took for _, begin, took in given_spans]
    tracks = nested_tracks(agents, start, stop)
    assert [agent for agent, _ in tracks] == [agent or "no agent" for agent in agents]
    for i in range(len(tracks)):
        for j in range(len(tracks)):
            if tracks[i] == tracks[j]:
                assert not start[i] < start[j] < stop[i] < stop[j]


def test_json_is_exact() -> None:
    """Times are whole ns and money keeps its digits; what is unknown is null."""
    run = drawn.run("w", drawn.llm(0, 1, id="priced", cost="0.000000123"), drawn.tool("t", 1, 2, id="free"))
    spans = {span["span_id"]: span for span in written("json", run)["spans"]}
    assert Decimal(spans["priced"]["cost_usd"]) == Decimal("0.000000123")
    assert spans["free"]["cost_usd"] is None
    assert isinstance(spans["priced"]["start_ns"], int)


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@SUM(A1)", 'a,b\n"c"'])
def test_csv_keeps_text_and_runs_no_formula(name: str) -> None:
    """A name survives the way through CSV, and one that a spreadsheet would run is quoted."""
    run = drawn.run("w", drawn.tool(name, 0, 1, id="call"))
    text = FORMATS["csv"].write(drawn.frames(run)).decode("utf-8-sig")
    head, *rows = csv.reader(io.StringIO(text, newline=""))
    assert tuple(head) == COLUMNS
    told = next(row for row in rows if row[COLUMNS.index("span_id")] == "call")[COLUMNS.index("tool_name")]
    assert told == (name if name.startswith("a") else "'" + name)
