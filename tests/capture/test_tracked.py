"""The tracked state: versions, snapshots, and what happens behind its back."""

from __future__ import annotations

import copy
from typing import Any

import pytest

import tracer
from tracer.semconv import Tracehound
from tracer.testing import Recorder, recorder

__all__ = ["recorder"]


def writes(found: Recorder) -> list[tuple[Any, ...]]:
    """(key, outcome, version, changed paths, before, after) of every write, in order."""
    return [
        (
            span.attributes[Tracehound.STATE_KEY],
            span.attributes[Tracehound.CAS_OUTCOME],
            span.attributes.get(Tracehound.VERSION_WRITTEN),
            span.attributes.get(Tracehound.CHANGED_PATHS),
            *[(found.values(span, slot) or [None])[0] for slot in ("input", "output")],
        )
        for span in found.of_kind("state_write")
    ]


def test_reads_and_writes_carry_versions_and_snapshots(recorder: Recorder) -> None:
    """Before and after are as they were then, whatever is done to the objects later."""
    state = tracer.state({"plan": {"steps": ["a"]}}, name="board")
    value = {"steps": ["b"]}
    with tracer.agent("a"):
        assert state["plan"] == {"steps": ["a"]}
        state["plan"] = value
    value["steps"].append("later")
    assert writes(recorder) == [("board.plan", "unchecked", 1, ["steps[0]"], {"steps": ["a"]}, {"steps": ["b"]})]
    read = recorder.of_kind("state_read")[0]
    assert (read.attributes[Tracehound.VERSION_READ], recorder.values(read, "output")) == (0, [{"steps": ["a"]}])


def test_a_nested_value_changed_behind_its_back_is_an_unversioned_write(recorder: Recorder) -> None:
    """Found at the next access, and at the end of the agent that did it; each change once."""
    state = tracer.state({"plan": {"steps": []}})
    with tracer.workflow("w"):
        with tracer.agent("a"):
            plan = state["plan"]
            plan["steps"].append(1)
        with tracer.agent("b"):
            plan["steps"].append(2)
            assert state["plan"]["steps"] == [1, 2]
    assert writes(recorder) == [
        ("plan", "unversioned", 1, ["steps[0]"], {"steps": []}, {"steps": [1]}),
        ("plan", "unversioned", 2, ["steps[1]"], {"steps": [1]}, {"steps": [1, 2]}),
    ]
    assert [span.attributes[Tracehound.AGENT] for span in recorder.of_kind("state_write")] == ["a", "b"]
    assert [span.attributes[Tracehound.VERSION_READ] for span in recorder.of_kind("state_read")] == [0, 2]


def test_compare_and_set(recorder: Recorder) -> None:
    """The expected version decides; a refused write changes nothing and is recorded with what it wanted."""
    state = tracer.state({"n": 1})
    _, version = state.read("n")
    assert state.compare_and_set("n", 2, expected=version)
    assert not state.compare_and_set("n", 3, expected=version)
    assert (state["n"], state.version("n")) == (2, 1)
    assert writes(recorder) == [("n", "ok", 1, [""], 1, 2), ("n", "conflict", None, [""], 2, 3)]


def test_it_behaves_like_the_mapping_it_tracks(recorder: Recorder) -> None:
    """The same program on a dict and on a tracked dict ends the same, and uses the very same objects."""

    def program(state: Any) -> list[Any]:
        seen: list[Any] = [state.get("missing"), "a" in state, len(state)]
        state["b"] = {"x": []}
        state["b"]["x"].append(1)
        state.update(c=3)
        seen.append(state.pop("a", None))
        del state["c"]
        with pytest.raises(KeyError):
            state["c"]
        return [*seen, sorted(state), dict(state)]

    plain, tracked = {"a": 1}, {"a": 1}
    assert program(plain) == program(tracer.state(tracked))
    assert plain == tracked
    assert ("c", "unchecked", 2, [""], 3, None) in writes(recorder)


def test_explicit_records_of_a_foreign_store(recorder: Recorder) -> None:
    """Any store can be told about: paths are compared from before and after, sizes counted in bytes."""
    before = {"a": 1, "ä": "ö"}
    after = copy.deepcopy(before) | {"a": 2}
    tracer.state_read("k", before, version=4)
    tracer.state_write("k", before=before, after=after, version=5, expected=4, outcome="ok", merge="overwrite")
    assert writes(recorder) == [("k", "ok", 5, ["a"], before, after)]
    written = recorder.of_kind("state_write")[0]
    assert written.attributes[Tracehound.VALUE_BYTES] == len('{"a":2,"ä":"ö"}'.encode())
