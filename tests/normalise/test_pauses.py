"""LangGraph's pauses for a person."""

from __future__ import annotations

import pytest

from tests.normalise.drawn import oi, raw, read
from tracer.model import RawEvent, RawSpan
from tracer.normalise import resolve, summarise

PAUSE = "langgraph.errors.GraphInterrupt"


INTERRUPTED: dict[str, RawSpan] = {
    "in an event": raw("ask", 1, 2, "graph", a=oi("CHAIN")),
    "as error type": raw("ask", 1, 2, "graph", a={"error.type": PAUSE}, status="error"),
    "as message": raw("ask", 1, 2, "graph", status="error", message="GraphInterrupt((Interrupt(value='ok?'),))"),
}
INTERRUPTED["in an event"].events = [
    RawEvent(name="exception", time_ns=1, attributes={"exception.type": PAUSE, "exception.message": "(Interrupt(),)"})
]


@pytest.mark.parametrize("how", INTERRUPTED)
@pytest.mark.parametrize("resumed", [False, True])
def test_pause_for_a_person(how: str, resumed: bool) -> None:
    """The interrupted step is a wait, no error; the next trace of the thread goes on with the run; alone it is no success."""
    spans = [
        raw("graph", 0, 2, a={"session.id": "t"}),
        INTERRUPTED[how],
        raw("later", 90, 95, trace="7" * 32, a={"session.id": "t" if resumed else "other"}),
        raw("last", 200, 201, trace="8" * 32, a={"session.id": "t"}),
    ]
    rows, _ = read(*spans[: 4 if resumed else 3])
    asked = rows["ask"]

    assert (asked.kind, asked.status, asked.reason, asked.wait_for) == ("wait", "ok", "human", ["human"])
    assert (rows["later"].run_id == asked.run_id) is resumed
    assert not resumed or rows["last"].run_id != asked.run_id
    run = summarise([row for row in rows.values() if row.run_id == asked.run_id])
    assert run.outcome == ("completed" if resumed else "unknown")
    again = resolve(list(rows.values()))
    assert again == list(rows.values())


def test_pause_after_a_call_is_the_agents_work() -> None:
    """A node that calls a model and then asks a person stays an agent."""
    node = raw(
        "writer",
        1,
        3,
        "graph",
        a=oi("CHAIN", metadata='{"langgraph_checkpoint_ns": "writer:8866bbc2-0be8-ee14-36a5-588a2fa18855"}'),
        status="error",
        message="GraphInterrupt(())",
    )
    call = raw(
        "llm", 1, 2, "writer", a=oi("LLM", llm__token_count__prompt=5) | {"metadata": node.attributes["metadata"]}
    )
    rows, _ = read(raw("graph", 0, 4, a=oi("CHAIN")), node, call)

    assert (rows["writer"].kind, rows["writer"].agent, rows["writer"].status) == ("agent", "writer", "ok")
