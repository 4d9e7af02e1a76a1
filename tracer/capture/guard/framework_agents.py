"""Agents that frameworks start count where a guard limits how many work at once, like `tracer.agent`.

The calls by which a framework sets an agent to work are wrapped; without such a guard around they do nothing. A refused agent does
not start: the framework's call raises.

| framework | an agent at work is |
|---|---|
| OpenAI Agents | a run of the runner; an agent that is a tool is a run inside. Handoffs change who works, not how many |
| LangGraph | an execution of a node, unless it is a part of an agent (`tools`, `call_model`); `Send` makes many |
| CrewAI | a task that an agent executes, delegated ones inside |
| Pydantic AI | a run of an agent |
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from ...model import SpanKind
from ..complaints import complain
from ..scope import Spec
from .agents import admit_agent, invocation
from .core import current

if TYPE_CHECKING:
    from collections.abc import Generator

MARK = "__tracehound_counted__"
_PARTS = frozenset(
    {"agent", "tools", "tool", "tool_node", "call_tool", "action", "model", "call_model", "llm", "__start__", "__end__"}
)
"""nodes of LangGraph that are a part of an agent, or of the graph"""


@dataclass(frozen=True, slots=True)
class Starter:
    """A call that sets an agent to work."""

    module: str
    owner: str | None
    """the class; None for a function of the module"""
    name: str
    who: Callable[[tuple[Any, ...], Mapping[str, Any]], str | None]
    """(positional, keyword arguments) -> the agent's name, None where none starts"""


def _run_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    agent = args[1] if len(args) > 1 else kwargs.get("starting_agent")
    return str(getattr(agent, "name", None) or "agent")


def _node_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    name = str(getattr(args[0] if args else kwargs.get("task"), "name", ""))
    return None if not name or name in _PARTS else name


def _role_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    return str(getattr(args[0], "role", None) or "agent").strip()


def _name_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    return str(getattr(args[0], "name", None) or "agent")


STARTERS: tuple[Starter, ...] = (
    Starter("agents.run", "AgentRunner", "run", _run_of),
    Starter("agents.run", "AgentRunner", "run_streamed", _run_of),
    *(
        Starter(f"langgraph.pregel.{module}", None, name, _node_of)
        for module in ("_runner", "runner")
        for name in ("run_with_retry", "arun_with_retry")
    ),
    *(
        Starter(module, "Agent", name, _role_of)
        for module in ("crewai.agent.core", "crewai.agent")
        for name in ("execute_task", "aexecute_task")
    ),
    Starter("pydantic_ai.agent.abstract", "AbstractAgent", "run", _name_of),
)
MODULES = frozenset(starter.module for starter in STARTERS)


def wrap_module(module: ModuleType, name: str) -> None:
    """Wrap what `STARTERS` names in a module that has been imported; what is not there is passed over."""
    for starter in STARTERS:
        if starter.module != name:
            continue
        owner: Any = module if starter.owner is None else getattr(module, starter.owner, None)
        original: Any = getattr(owner, starter.name, None)
        if callable(original) and not hasattr(original, MARK):
            setattr(owner, starter.name, counted(original, starter.who))


def counted(
    original: Callable[..., Any], who: Callable[[tuple[Any, ...], Mapping[str, Any]], str | None]
) -> Callable[..., Any]:
    """`original`, which the guards around admit first."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        started = _started(who, args, kwargs)
        if started is None:
            return original(*args, **kwargs)
        result: Any = None
        try:
            with started.active():
                result = original(*args, **kwargs)
        finally:
            # What goes on in a task of its own, such as a streamed run, ends with that task.
            task: Any = getattr(result, "run_loop_task", None)
            if hasattr(task, "add_done_callback"):
                task.add_done_callback(started.over)
            else:
                started.over()
        return result

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        started = _started(who, args, kwargs)
        if started is None:
            return await original(*args, **kwargs)
        try:
            with started.active():
                return await original(*args, **kwargs)
        finally:
            started.over()

    wrapper = call_async if inspect.iscoroutinefunction(original) else call
    setattr(wrapper, MARK, True)
    return wrapper


class _Started:
    """An agent at work that the guards have admitted."""

    def __init__(self, context: otel_context.Context, over: Callable[..., None]) -> None:
        self._context = context
        self.over = over

    def active(self) -> AbstractContextManager[None]:
        return _inside(self._context)


@contextmanager
def _inside(context: otel_context.Context) -> Generator[None]:
    token = otel_context.attach(context)
    try:
        yield
    finally:
        if otel_context.get_current() is context:
            otel_context.detach(token)


def _started(
    who: Callable[[tuple[Any, ...], Mapping[str, Any]], str | None], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> _Started | None:
    """None where no guard limits agents, or none starts. Raises where a guard refuses."""
    guard = current()
    guards = [] if guard is None else [each for each in guard.chain() if each.crowd is not None]
    if not guards:
        return None
    try:
        name = who(args, kwargs)
    except Exception:  # noqa: BLE001 - an agent that cannot be named is not counted; logged once
        complain("naming an agent that a framework starts")
        return None
    around = invocation()
    if name is None or (around is not None and around.name == name):
        return None  # a decorated function around the framework's own call
    mark, over = admit_agent(Spec(SpanKind.AGENT, name, agent=name), guards)
    return _Started(mark(otel_context.get_current()), over)
