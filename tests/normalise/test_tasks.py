"""One piece of work that two agents pass on at once, told from what their handoff tools were given."""

from __future__ import annotations

import pytest

from analyzers.detectors.conflicting_decisions import find_conflicting_decisions
from analyzers.frames import Frames
from tests.normalise.drawn import genai, raw
from tracer.model import RawSpan
from tracer.normalise import normalise, resolve, summarise
from tracer.store.columns import frame_of


def desk(name: str, to: str, ticket: str, at: float) -> list[RawSpan]:
    """An agent that works from `at` on and hands a ticket to another one."""
    given = f'{{"agent_name": "{to}", "ticket_id": "{ticket}", "message": "please take this one"}}'
    passing = genai("execute_tool", tool__name="handoff_to_agent", tool__call__arguments=given)
    return [
        raw(name, at, at + 4, "run", a=genai("invoke_agent", agent__name=name)),
        raw(f"pass of {name}", at + 1, at + 2, name, a=passing),
    ]


@pytest.mark.parametrize(
    ("second", "rivals"), [(("sales", "T-7"), 1), (("billing", "T-7"), 0), (("sales", "T-8"), 0)], ids=str
)
def test_a_ticket_that_two_agents_pass_to_different_ones(second: tuple[str, str], rivals: int) -> None:
    """A finding where neither could know of the other; none where they agree, or speak of different tickets."""
    batch = normalise(
        [
            raw("run", 0, 20, a=genai("invoke_workflow", workflow__name="support")),
            *desk("north", "billing", "T-7", 1),
            *desk("south", *second, 1.5),
            raw("billing", 6, 8, "run", a=genai("invoke_agent", agent__name="billing")),
            raw("sales", 6, 8, "run", a=genai("invoke_agent", agent__name="sales")),
        ]
    )
    rows = resolve(batch.spans)
    frames = Frames(
        spans=frame_of("spans", rows).sort("run_id", "start_ns", "span_id"),
        traces=frame_of("traces", [summarise(rows)]),
    )

    assert {row.task_id for row in rows if row.kind == "handoff"} == {"T-7", second[1]}
    assert len(find_conflicting_decisions(frames)) == rivals
