"""A stand-in for a tracer: replaces methods on a runtime's parts and keeps what went through them as rows."""

from __future__ import annotations

import contextvars
import functools
import hashlib
import inspect
import json
from collections.abc import Callable
from typing import Any

Row = dict[str, Any]
Describe = Callable[[inspect.BoundArguments], Row]

_agent: contextvars.ContextVar[str | None] = contextvars.ContextVar("agent", default=None)


class Recorder:
    """Rows in order of start, for all the runtimes that it watches."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def watch(self, runtime: Any) -> None:
        for part, method, describe in _WRAPPED:
            target = getattr(runtime, part) if part else runtime
            if hasattr(target, method) and not hasattr(getattr(target, method), "__wrapped__"):
                self._wrap(runtime, target, method, describe)

    def of(self, run_id: str) -> list[Row]:
        return [row for row in self.rows if row["run"] == run_id]

    def digest(self) -> str:
        """A hash over everything that was seen, contents and times included."""
        return hashlib.sha256(json.dumps(self.rows, sort_keys=True, default=str).encode()).hexdigest()

    def _wrap(self, runtime: Any, target: Any, method: str, describe: Describe) -> None:
        original = getattr(target, method)
        signature = inspect.signature(original)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Row:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            row: Row = {"run": runtime.run_id, "method": method, "start_ns": runtime.clock.now_ns(), "status": "ok"}
            row |= {"agent": bound.arguments.get("agent") or _agent.get()} | describe(bound)
            self.rows.append(row)
            return row

        @functools.wraps(original)
        async def replaced(*args: Any, **kwargs: Any) -> Any:
            row = begin(args, kwargs)
            token = _agent.set(row["agent"]) if method == "invoke" else None
            try:
                result = await original(*args, **kwargs)
            except BaseException as error:
                row["status"] = "error"
                row["error"] = repr(error)
                self._guard(row, error)
                raise
            finally:
                row["end_ns"] = runtime.clock.now_ns()
                if token is not None:
                    _agent.reset(token)
            row["result"] = repr(result)
            return result

        @functools.wraps(original)
        def replaced_sync(*args: Any, **kwargs: Any) -> Any:
            row = begin(args, kwargs)
            try:
                result = original(*args, **kwargs)
            except Exception as error:
                row["status"] = "error"
                self._guard(row, error)
                raise
            row["result"] = repr(result)
            if getattr(result, "level", "ok") == "warn":
                self.rows.append({**row, "kind": "guard_trip", "guard": "budget", "level": "warn"})
            return result

        setattr(target, method, replaced if inspect.iscoroutinefunction(original) else replaced_sync)

    def _guard(self, row: Row, error: BaseException) -> None:
        guard = {"charge": "budget", "check": "circuit_breaker"}.get(row["method"])
        if guard is not None:
            self.rows.append({**row, "kind": "guard_trip", "guard": guard, "level": "stop", "error": repr(error)})


def _kind(kind: str, **columns: str) -> Describe:
    """Columns taken from arguments of the given names."""

    def describe(bound: inspect.BoundArguments) -> Row:
        row: Row = {"kind": kind}
        row |= {column: bound.arguments[argument] for column, argument in columns.items()}
        row["arguments"] = {
            name: repr(value) for name, value in bound.arguments.items() if not callable(value) and name != "fallbacks"
        }
        return row

    return describe


def _llm(bound: inspect.BoundArguments) -> Row:
    request = bound.arguments["request"]
    return {"kind": "llm", "purpose": request.purpose, "model": request.model, "arguments": repr(request)}


_WRAPPED: tuple[tuple[str, str, Describe], ...] = (
    ("", "run", _kind("workflow")),
    ("", "invoke", _kind("agent")),
    ("model", "complete", _llm),
    ("tools", "call", _kind("tool", tool_name="name")),
    ("bus", "send", _kind("message")),
    ("state", "read", _kind("state_read", state_key="key")),
    ("state", "write", _kind("state_write", state_key="key")),
    ("coordination", "wait", _kind("wait", wait_for="for_")),
    ("coordination", "decide", _kind("decision", scope_key="scope", choice="choice")),
    ("coordination", "handoff", _kind("handoff", agent="from_agent", target_agent="to_agent")),
    ("cost", "charge", _kind("charge")),
    ("breaker", "check", _kind("check")),
    ("human", "ask", _kind("escalation")),
    ("human", "hand_over", _kind("escalation")),
    ("recovery", "attempt", _kind("attempt", number="number")),
    ("recovery", "back_off", _kind("back_off")),
    ("recovery", "fall_back", _kind("fall_back")),
)
