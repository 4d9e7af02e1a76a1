"""The query box: `agent:researcher status:error cost>0.5 -finding:loop "timed out"` to a filter on runs.

    query := term*              every term must hold
    term  := ["-"] (FIELD OP VALUE | VALUE)      "-" turns the term round; a bare word or "quoted text" searches texts
    OP    := ":" | "=" | ">" | ">=" | "<" | "<="
    VALUE := word | "quoted words";  after ":" a list `a,b` means any of them

Used by the Traces page and by `tracehound traces --filter`. A parsed query is turned into one SQL condition on the
tables `traces t`, `spans`, `running_spans`, `contents`; values are always bound. Only `finding:` is left to the caller,
because findings are computed, not stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

import duckdb
import polars as pl

from analyzers.detectors import DETECTORS
from analyzers.finding import Finding
from analyzers.frames import Frames
from tracer.clock import SystemClock
from tracer.errors import BadInput, UnknownName
from tracer.model import RunOutcome
from tracer.store.arrow import ArrowStream

Operator = Literal[":", "=", ">", ">=", "<", "<="]

_TERM = re.compile(
    r"""
    (?P<negated>-)?
    (?:(?P<field>[A-Za-z_][A-Za-z_.]*)(?P<operator>>=|<=|[:=<>]))?
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<word>[^\s"]+))
    (?=\s|$)
    """,
    re.VERBOSE,
)
_SPACE = re.compile(r"\s+")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_UNFINISHED = re.compile(r"^(?P<field>[A-Za-z_][A-Za-z_.]*)(?:>=|<=|[:=<>])$")
_NUMBER = re.compile(r"^\$?(?P<number>\d[\d,_]*(?:\.\d+)?|\.\d+)(?P<unit>[a-zA-Z]*)$")
_MULTIPLES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One condition. `field` is a key of FIELDS; `values` has one entry except for lists after a colon."""

    field: str
    operator: Operator
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """All conditions of a query; an empty one matches every run."""

    terms: tuple[Term, ...] = ()

    @property
    def findings(self) -> tuple[Term, ...]:
        """The conditions on findings, which SQL cannot answer."""
        return tuple(term for term in self.terms if term.field == "finding")

    def accepts_findings(self, kinds: Iterable[str]) -> bool:
        """Whether a run with findings of `kinds` meets the `finding:` conditions. `finding:any` asks for at least one."""
        present = set(kinds)
        return all(_has_any(present, term.values) is not term.negated for term in self.findings)


def _has_any(present: set[str], wanted: tuple[str, ...]) -> bool:
    return any(bool(present) if kind == "any" else kind in present for kind in wanted)


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition for `... FROM traces AS t WHERE {sql}`; `parameters` are bound by position."""

    sql: str
    parameters: tuple[Any, ...]


def parse_query(text: str, *, finding_kinds: Iterable[str] | None = None) -> TraceQuery:
    """Read the query box.

    Args:
        finding_kinds: the kinds there are, so that `finding:lop` is answered with "did you mean 'loop'?"; by default
            those of `analyzers.detectors.DETECTORS`.

    Raises:
        BadInput: a term cannot be read, or a value does not fit its field.
        UnknownName: no such field, outcome, status or finding kind; the hint offers near names.
    """
    terms: list[Term] = []
    position = 0
    kinds = tuple(detector.name for detector in DETECTORS) if finding_kinds is None else tuple(finding_kinds)
    while position < len(text):
        space = _SPACE.match(text, position)
        if space:
            position = space.end()
            continue
        match = _TERM.match(text, position)
        if match is None:
            raise BadInput(
                f"The query cannot be read from {text[position : position + 24]!r} on.",
                hint='close the quotes, and put a space between terms: agent:writer "timed out".',
            )
        position = match.end()
        terms.append(_term(match, kinds))
    return TraceQuery(tuple(terms))


def _term(match: re.Match[str], finding_kinds: tuple[str, ...]) -> Term:
    name, operator = match["field"], cast("Operator", match["operator"])
    quoted = match["quoted"]
    raw = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["word"]
    negated = match["negated"] is not None
    if name is None:
        unfinished = _UNFINISHED.match(raw) if quoted is None else None
        known = unfinished and FIELDS.get(ALIASES.get(unfinished["field"].lower(), unfinished["field"].lower()))
        if unfinished and known:
            raise BadInput(f"{raw} needs a value.", hint=f"for example {known.example}; or put it in quotes.")
        return Term(field="text", operator=":", values=(raw,), negated=negated)
    name = name.lower()
    name = ALIASES.get(name, name)
    field = FIELDS.get(name)
    if field is None:
        raise UnknownName.among("field", name, FIELDS)
    if operator in (">", ">=", "<", "<=") and not field.ordered:
        raise BadInput(f"{name} has no order, so {name}{operator} means nothing.", hint=f"write {name}:{raw}.")
    values = (raw,) if quoted is not None or operator != ":" else tuple(v for v in raw.split(",") if v)
    if not values:
        raise BadInput(f"{name}{operator} needs a value.", hint=f"for example {field.example}.")
    if name == "finding" and finding_kinds:
        for value in values:
            if value != "any" and value not in finding_kinds:
                raise UnknownName.among("kind of finding", value, (*finding_kinds, "any"))
    field.check(values)
    return Term(field=name, operator=operator, values=values, negated=negated)


def condition(query: TraceQuery, *, now_ns: int) -> Condition:
    """The SQL of every term but `finding:`; `now_ns` is what `since:24h` counts from."""
    parts: list[str] = []
    parameters: list[Any] = []
    for term in query.terms:
        if term.field == "finding":
            continue
        field = FIELDS[term.field]
        alternatives = [field.compile(term.operator, value, now_ns) for value in term.values]
        # NULL (a price nobody knows, a missing name) is "does not match", so that -cost>1 keeps runs without a price.
        joined = " OR ".join(f"COALESCE({sql}, FALSE)" for sql, _ in alternatives)
        parts.append(f"NOT ({joined})" if term.negated else f"({joined})")
        parameters.extend(value for _, bound in alternatives for value in bound)
    return Condition(" AND ".join(parts) or "TRUE", tuple(parameters))


def select_runs(
    query: TraceQuery, frames: Frames, findings: Iterable[Finding] = (), *, now_ns: int | None = None
) -> pl.DataFrame:
    """The rows of `frames.traces` that meet the whole query, in their order; the same SQL as on a store, in memory."""
    where = condition(query, now_ns=SystemClock().now_ns() if now_ns is None else now_ns)
    bodies = pl.DataFrame(
        {"content_id": list(frames.contents.keys()), "body": list(frames.contents.values())},
        schema={"content_id": pl.Int64, "body": pl.String},
    )
    with duckdb.connect(":memory:") as connection:
        connection.register("traces", ArrowStream(frames.traces))
        connection.register("spans", ArrowStream(frames.spans))
        connection.register("running_spans", ArrowStream(frames.spans.clear()))
        connection.register("contents", ArrowStream(bodies))
        sql = f"SELECT t.run_id FROM traces AS t WHERE {where.sql}"
        matching = [row[0] for row in connection.execute(sql, list(where.parameters)).fetchall()]
    kinds: dict[str, set[str]] = {run_id: set() for run_id in matching}
    for finding in findings:
        if finding.trace_id in kinds:
            kinds[finding.trace_id].add(finding.kind)
    chosen = [run_id for run_id in matching if query.accepts_findings(kinds[run_id])]
    return frames.traces.filter(pl.col("run_id").is_in(chosen))


Compiled = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Field:
    """One word of the query language."""

    says: str
    """help text"""
    example: str
    compile: Callable[[str, str, int], Compiled]
    """(operator, value, now_ns) -> SQL and its parameters"""
    ordered: bool = False
    check: Callable[[tuple[str, ...]], None] = lambda values: None
    """raises BadInput where a value does not fit"""


def _column(column: str) -> Callable[[str, str, int], Compiled]:
    """A text column of `traces`: `:` and `=` compare without case, `*` stands for anything."""

    def compile_(operator: str, value: str, now_ns: int) -> Compiled:
        del operator, now_ns
        return f"t.{column} ILIKE ? ESCAPE '\\'", (_like(value),)

    return compile_


def _span_column(*columns: str) -> Callable[[str, str, int], Compiled]:
    """A text column of `spans`: some span of the run has it."""

    def compile_(operator: str, value: str, now_ns: int) -> Compiled:
        del operator, now_ns
        test = " OR ".join(f"{column} ILIKE ? ESCAPE '\\'" for column in columns)
        bound = (_like(value),) * len(columns)
        # Uncorrelated IN: DuckDB scans each table once and joins, whatever the number of runs.
        sql = (
            f"(t.run_id IN (SELECT run_id FROM spans WHERE {test})"
            f" OR t.run_id IN (SELECT run_id FROM running_spans WHERE {test}))"
        )
        return sql, bound + bound

    return compile_


def _number(expression: str, read: Callable[[str], float]) -> Callable[[str, str, int], Compiled]:
    def compile_(operator: str, value: str, now_ns: int) -> Compiled:
        del now_ns
        sign = "=" if operator == ":" else operator
        return f"{expression} {sign} ?", (read(value),)

    return compile_


def _status(operator: str, value: str, now_ns: int) -> Compiled:
    del operator, now_ns
    return STATUSES[value.lower()], ()


def _since(operator: str, value: str, now_ns: int) -> Compiled:
    del operator
    return "t.start_ns >= ?", (now_ns - int(duration_s(value) * 1e9),)


def _before(operator: str, value: str, now_ns: int) -> Compiled:
    del operator, now_ns
    return "t.start_ns < ?", (moment_ns(value),)


def _after(operator: str, value: str, now_ns: int) -> Compiled:
    del operator, now_ns
    return "t.start_ns >= ?", (moment_ns(value),)


def _text(operator: str, value: str, now_ns: int) -> Compiled:
    """Names, errors and recorded texts that contain `value`, without case."""
    del operator, now_ns
    like = f"%{_like(value, wildcard=False)}%"
    hit = (
        "name ILIKE ? ESCAPE '\\' OR error_message ILIKE ? ESCAPE '\\' OR reason ILIKE ? ESCAPE '\\'"
        " OR list_has_any(list_concat(COALESCE(input_refs, []), COALESCE(output_refs, [])),"
        " (SELECT COALESCE(list(content_id), []) FROM contents WHERE body ILIKE ? ESCAPE '\\'))"
    )
    sql = (
        f"(t.workflow ILIKE ? ESCAPE '\\' OR t.run_id IN (SELECT run_id FROM spans WHERE {hit})"
        f" OR t.run_id IN (SELECT run_id FROM running_spans WHERE {hit}))"
    )
    return sql, (like,) * 9


def _run(operator: str, value: str, now_ns: int) -> Compiled:
    del operator, now_ns
    prefix = f"{_like(value)}%"
    return "(t.run_id ILIKE ? ESCAPE '\\' OR t.trace_id ILIKE ? ESCAPE '\\' OR t.source_id ILIKE ? ESCAPE '\\')", (
        prefix,
    ) * 3


def _like(value: str, *, wildcard: bool = True) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", value)
    return escaped.replace("*", "%") if wildcard else escaped


def number(text: str) -> float:
    """A plain number: `0.5`, `$1.20`, `12,000`, `4k`.

    Raises:
        BadInput: it is none of these.
    """
    match = _NUMBER.match(text)
    if match is None or match["unit"] not in _MULTIPLES:
        raise BadInput(f"{text!r} is not a number.", hint="examples: 0.5, 1200, 4k.")
    return float(re.sub(r"[,_]", "", match["number"])) * _MULTIPLES[match["unit"]]


def duration_s(text: str) -> float:
    """A length of time in seconds: `90`, `250ms`, `30s`, `5m`, `2h`, `7d`.

    Raises:
        BadInput: it is none of these.
    """
    match = _NUMBER.match(text)
    if match is None or (match["unit"] and match["unit"] not in _UNITS_S):
        raise BadInput(f"{text!r} is not a length of time.", hint="examples: 250ms, 30s, 5m, 2h, 7d.")
    return float(re.sub(r"[,_]", "", match["number"])) * _UNITS_S[match["unit"] or "s"]


def moment_ns(text: str) -> int:
    """A date or time, UTC unless it says otherwise: `2026-11-28`, `2026-11-28T22:50`.

    Raises:
        BadInput: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a date.", hint="examples: 2026-11-28, 2026-11-28T22:50.") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


def _all_moments(values: tuple[str, ...]) -> None:
    for value in values:
        moment_ns(value)


def _all_numbers(values: tuple[str, ...]) -> None:
    for value in values:
        number(value)


def _all_durations(values: tuple[str, ...]) -> None:
    for value in values:
        duration_s(value)


def _all_among(what: str, names: Iterable[str]) -> Callable[[tuple[str, ...]], None]:
    known = tuple(names)

    def check(values: tuple[str, ...]) -> None:
        for value in values:
            if value.lower() not in known:
                raise UnknownName.among(what, value, known)

    return check


STATUSES: Mapping[str, str] = {
    "ok": "(t.outcome = 'completed' AND t.errors = 0)",
    "error": "(t.errors > 0 OR t.outcome IN ('failed', 'timed_out', 'interrupted'))",
    "running": "t.outcome = 'running'",
}
"""What `status:` means for a run, as SQL."""

FIELDS: Mapping[str, Field] = {
    "agent": Field("an agent took part", "agent:researcher", _span_column("agent", "target_agent")),
    "workflow": Field("kind of run", "workflow:triage", _column("workflow")),
    "outcome": Field(
        "how the run ended", "outcome:failed,timed_out", _column("outcome"),
        check=_all_among("outcome", [str(o) for o in RunOutcome]),
    ),
    "status": Field("ok, error (any span failed) or running", "status:error", _status, check=_all_among("status", STATUSES)),
    "finding": Field("the analysis found it; any stands for whatever kind", "finding:loop", lambda operator, value, now_ns: ("TRUE", ())),
    "cost": Field("USD, known prices only", "cost>0.5", _number("t.cost_usd", number), True, _all_numbers),
    "duration": Field(
        "end to end", "duration>30s", _number("(t.end_ns - t.start_ns) / 1e9", duration_s), True, _all_durations
    ),
    "tokens": Field(
        "input and output", "tokens>100k", _number("(t.input_tokens + t.output_tokens)", number), True, _all_numbers
    ),
    "llm_calls": Field("number of LLM calls", "llm_calls>=20", _number("t.llm_calls", number), True, _all_numbers),
    "spans": Field("number of spans", "spans>1000", _number("t.spans", number), True, _all_numbers),
    "agents": Field("number of agents", "agents>5", _number("t.agents", number), True, _all_numbers),
    "errors": Field("number of failed spans", "errors>0", _number("t.errors", number), True, _all_numbers),
    "model": Field("a model was called", "model:gpt-5*", _span_column("model")),
    "tool": Field("a tool was called", "tool:web.search", _span_column("tool_name")),
    "kind": Field("a span of this kind is there", "kind:escalation", _span_column("kind")),
    "session": Field("conversation over several runs", "session:abc*", _column("session_id")),
    "user": Field("end user", "user:u-17", _column("user_id")),
    "service": Field("service that ran it", "service:support-bot", _column("service")),
    "convention": Field("attribute convention it was recorded in", "convention:openinference", _column("convention")),
    "run": Field("start of the run, trace or source id", "run:3f9a", _run),
    "since": Field("started within", "since:24h", _since, check=_all_durations),
    "after": Field("started at this time or later, UTC", "after:2026-11-28", _after, check=_all_moments),
    "before": Field("started before this time, UTC", "before:2026-11-28T18:00", _before, check=_all_moments),
    "text": Field("names, errors, prompts and answers", '"timed out"', _text),
}  # fmt: skip
"""The words of the language, in the order the help shows them."""

ALIASES: Mapping[str, str] = {
    "name": "workflow", "trace": "run", "id": "run", "run_id": "run", "trace_id": "run", "usd": "cost", "cost_usd": "cost",
    "duration_s": "duration", "latency": "duration", "started": "since", "findings": "finding", "tool_name": "tool",
}  # fmt: skip
