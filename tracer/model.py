"""The shapes that travel: what a producer sent (`RawSpan`), and the one normalised row (`Span`).

    segment frame or OTLP request --decode--> RawSpan --normalise--> Span --resolve (whole run)--> Span --> table `spans`

Times are integer nanoseconds since the Unix epoch, money is Decimal USD, tokens are integers.
Cached tokens are part of the input tokens, reasoning tokens part of the output tokens (OTel GenAI rule).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal


class SpanKind(StrEnum):
    """What a span is, whatever its producer called it."""

    WORKFLOW = "workflow"
    AGENT = "agent"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVER = "retriever"
    EMBEDDING = "embedding"
    HANDOFF = "handoff"
    DECISION = "decision"
    STATE_READ = "state_read"
    STATE_WRITE = "state_write"
    WAIT = "wait"
    GUARDRAIL = "guardrail"
    GUARD_TRIP = "guard_trip"
    ESCALATION = "escalation"
    MESSAGE = "message"
    OTHER = "other"


class SpanStatus(StrEnum):
    """How a span stands; `interrupted` means its process died before the span ended."""

    OK = "ok"
    ERROR = "error"
    RUNNING = "running"
    INTERRUPTED = "interrupted"


class RunOutcome(StrEnum):
    """How a run ended. Running and unknown never count as success."""

    COMPLETED = "completed"
    FAILED = "failed"
    ESCALATED = "escalated"
    STOPPED_BY_GUARD = "stopped_by_guard"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    UNKNOWN = "unknown"


class Purpose(StrEnum):
    """Why an LLM was called. Everything but `work` and `judge` is orchestration."""

    WORK = "work"
    ROUTE = "route"
    PLAN = "plan"
    SUMMARISE = "summarise"
    PARSE_REPAIR = "parse_repair"
    RECOVER = "recover"
    JUDGE = "judge"
    MEMORY = "memory"


class CasOutcome(StrEnum):
    """What a state write did to the version it expected."""

    OK = "ok"
    """compare-and-set: the expected version was current, the write happened"""
    CONFLICT = "conflict"
    """compare-and-set: another version was current, the write was refused"""
    UNCHECKED = "unchecked"
    """written without looking at the version"""
    UNVERSIONED = "unversioned"
    """changed behind the store's back: no write call was seen"""


@dataclass(slots=True, kw_only=True)
class RawEvent:
    """A span event, or a log record that names its span."""

    name: str
    time_ns: int
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    trace_id: str = ""
    """set for log records only"""
    span_id: str = ""
    body: Any = None
    """a log record's body; None for span events"""


@dataclass(slots=True, kw_only=True)
class RawLink:
    trace_id: str
    span_id: str
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True, kw_only=True)
class RawSpan:
    """One span as its producer wrote it, in any convention; nothing interpreted yet."""

    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    name: str
    start_ns: int
    end_ns: int | None
    """None while the span runs"""
    status: Literal["unset", "ok", "error"] = "unset"
    status_message: str = ""
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    events: list[RawEvent] = field(default_factory=list[RawEvent])
    links: list[RawLink] = field(default_factory=list[RawLink])
    resource: dict[str, Any] = field(default_factory=dict[str, Any])
    scope: str = ""
    """name of the instrumentation scope, e.g. "openinference.instrumentation.langchain" """
    dropped_attributes: int = 0
    content: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """slot ("input", "output") -> content ids in order; only our own recorder fills it, others put text in attributes"""


@dataclass(kw_only=True)
class Span:
    """One row of table `spans`; the fields are its columns, in order (meanings: `tracer/store/sql/0001_spans.sql`).

    Without slots on purpose: most of the columns of most rows have their default, and a row that keeps only what it was
    given is made three times faster than one that fills seventy slots.
    """

    # identity
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    run_id: str
    name: str
    kind: str
    # time and result
    start_ns: int
    end_ns: int | None = None
    status: str = SpanStatus.OK
    error_type: str | None = None
    error_message: str | None = None
    # who
    workflow: str | None = None
    agent: str | None = None
    agent_id: str | None = None
    agent_inferred: bool = False
    session_id: str | None = None
    user_id: str | None = None
    service: str | None = None
    service_version: str | None = None
    environment: str | None = None
    release: str | None = None
    tags: list[str] | None = None
    pid: int | None = None
    # LLM call
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: Decimal | None = None
    cost_source: str | None = None
    temperature: float | None = None
    purpose: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    ttft_ns: int | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    # attempts
    attempt: int | None = None
    retry_of: str | None = None
    fallback_of: str | None = None
    # tool call
    tool_name: str | None = None
    tool_call_id: str | None = None
    args_hash: str | None = None
    result_hash: str | None = None
    # coordination
    target_agent: str | None = None
    task_id: str | None = None
    reason: str | None = None
    scope_key: str | None = None
    choice: str | None = None
    wait_for: list[str] | None = None
    wait_mode: str | None = None
    deadline_ns: int | None = None
    guard: str | None = None
    progress: bool = False
    user_visible: bool = False
    # state
    state_key: str | None = None
    version_read: int | None = None
    version_written: int | None = None
    version_expected: int | None = None
    changed_paths: list[str] | None = None
    value_bytes: int | None = None
    cas_outcome: str | None = None
    # provenance
    step: int | None = None
    duplicate_of: str | None = None
    convention: str | None = None
    derived: list[str] | None = None
    dropped_attributes: int = 0
    # content and everything else
    input_refs: list[int] | None = None
    output_refs: list[int] | None = None
    attributes: str = "{}"


SPAN_FIELDS: tuple[str, ...] = tuple(Span.__dataclass_fields__)
"""Column names of table `spans`, in order."""


def span_of(columns: dict[str, Any]) -> Span:
    """The row with these columns, which it keeps; it must have those without a default. Five times faster than `Span(**columns)`."""
    span = object.__new__(Span)
    span.__dict__ = columns
    return span


@dataclass(slots=True, kw_only=True)
class SpanEvent:
    """One row of table `events`: something that happened inside a span (exception, choice, log record)."""

    trace_id: str
    span_id: str
    time_ns: int
    name: str
    attributes: str = "{}"
    refs: list[int] | None = None


@dataclass(slots=True, kw_only=True)
class SpanLink:
    """One row of table `links`: a causal edge between spans that is not parenthood."""

    trace_id: str
    span_id: str
    linked_trace_id: str
    linked_span_id: str
    attributes: str = "{}"
