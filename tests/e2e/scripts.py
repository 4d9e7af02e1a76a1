"""What the scripted model says to each agent of the programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.e2e.server import Reply, Request, Script

FINAL = "final_answer"
ANSWERS = {"refunds": "12 days ago.", "supervisor": "Within 30 days.", "researcher": "30 days.",
           "writer": "Within 30 days.", "coordinator": "Within 30 days."}  # fmt: skip
ASKING = {
    "ask_researcher": {"question": "refunds?"},
    "delegate_work_to_coworker": {"task": "refunds?", "context": "a customer asks", "coworker": "researcher"},
    "researcher": {"task": "refunds?"},
}
"""how a coordinator asks its researcher, in each framework"""


def script(*, loop: bool = False, usage: bool = True) -> Script:
    """Agents do their work and answer. `loop`: whoever has a tool for it searches for ever. `usage` False: no token counts."""

    def said(request: Request) -> Reply:
        return replace(_said(request, loop=loop), usage=usage)

    return said


def _said(request: Request, *, loop: bool) -> Reply:
    system = request.system
    if "You are triage" in system:
        return Reply(tools=(("transfer_to_refunds", {}),))
    if "You are refunds" in system:
        return _worked(request, "refunds", "get_order", {"order_id": "A-17"}, loop=loop)
    if "You are researcher" in system:
        return _worked(request, "researcher", "search_docs", {"query": "refunds"}, loop=loop)
    if "You are the supervisor" in system:
        missing = next((name for name in ("researcher", "writer") if name not in request.names), None)
        return Reply(tools=((f"transfer_to_{missing}", {}),)) if missing else _answer(request, "supervisor")
    if "You are coordinator" in system:
        way = next(name for name in ASKING if name in request.tools)
        return _worked(request, "coordinator", way, ASKING[way], loop=False)
    if "You are writer" in system:
        return _answer(request, "writer")
    return Reply("Hello to you too.")


def _worked(request: Request, agent: str, tool: str, given: dict[str, str], *, loop: bool) -> Reply:
    if tool in request.tools and (loop or tool not in _called(request)):
        return Reply(tools=((tool, given),))
    return _answer(request, agent)


def _answer(request: Request, agent: str) -> Reply:
    text = ANSWERS[agent]
    return Reply(tools=((FINAL, {"answer": text}),)) if FINAL in request.tools else Reply(text)


def _called(request: Request) -> Iterable[str]:
    """smolagents writes calls into texts."""
    in_texts = (
        name
        for name in request.tools
        if any(f"'name': '{name}'" in text or f"tool '{name}'" in text for text in request.texts)
    )
    return {*request.called, *in_texts}
