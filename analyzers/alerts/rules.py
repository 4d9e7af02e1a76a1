"""What an alert rule is, and the sentence that says in words what it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal

from analyzers.finding import Severity
from analyzers.wording import duration, listing

Per = Literal["run", "agent", "workflow", "store"]
Level = Literal["warning", "critical"]
NoData = Literal["ok", "keep", "alert"]
LEVELS: Final[tuple[Level, ...]] = ("warning", "critical")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing a rule can look at."""

    name: str
    pers: tuple[Per, ...]
    """what it can be measured of; the first is the default"""
    says: str
    """what the number is, in words"""
    unit: str = ""
    """ratio, s, usd, times, tokens, count"""
    below: bool = False
    """low values are the bad ones"""
    samples: str = "runs"
    """what `min_samples` counts; "" where one is enough"""


MEASURES: Final[Mapping[str, Measure]] = {
    one.name: one
    for one in (
        Measure(name="success_rate", pers=("agent",), says="the share of its ended invocations that ended ok", unit="ratio", below=True, samples="invocations"),
        Measure(name="completion_rate", pers=("workflow",), says="the share of its ended runs that completed", unit="ratio", below=True),
        Measure(name="error_rate", pers=("agent",), says="the share of its spans that failed, tries included", unit="ratio", samples="invocations"),
        Measure(name="escalation_rate", pers=("workflow",), says="the share of its ended runs that needed a person", unit="ratio"),
        Measure(name="latency_p95_s", pers=("workflow", "agent"), says="the 95th percentile of how long it takes", unit="s"),
        Measure(name="spend_usd", pers=("workflow", "store"), says="what it spent", unit="usd", samples=""),
        Measure(name="runs", pers=("workflow", "store"), says="how many runs started", unit="count", samples=""),
        Measure(name="run_cost_usd", pers=("run",), says="what it cost", unit="usd", samples=""),
        Measure(name="run_cost_ratio", pers=("run",), says="its cost over the median of its workflow before it", unit="times"),
        Measure(name="run_duration_s", pers=("run",), says="how long it took, or has been going on", unit="s", samples=""),
        Measure(name="run_tokens", pers=("run",), says="the tokens it used", unit="tokens", samples=""),
        Measure(name="breaker_trips", pers=("run",), says="how often guards stopped something in it", unit="count", samples=""),
        Measure(name="findings", pers=("run",), says="what the detectors found in it", unit="count", samples=""),
        Measure(name="fleet_findings", pers=("workflow",), says="what only many runs together show", unit="count", samples=""),
        Measure(name="lost_records", pers=("store",), says="spans dropped, rejected or unreadable since the last look", unit="count", samples=""),
    )
}  # fmt: skip
"""everything a rule can look at; one line here and one in `evaluate.READERS`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One condition and what should follow from it. Times are nanoseconds."""

    name: str
    measure: Measure
    per: Per
    window_ns: int
    warning: float | None = None
    critical: float | None = None
    """thresholds; None where this level is not used"""
    min_samples: int = 1
    workflow: tuple[str, ...] = ("*",)
    agent: tuple[str, ...] = ("*",)
    """patterns of the names it looks at; one that begins with ! leaves names out"""
    kinds: tuple[str, ...] = ("*",)
    severity: Severity = "critical"
    """least severity, for the measures of findings"""
    no_data: NoData = "ok"
    cooldown_ns: int = 0
    then: str = ""
    attach: tuple[str, ...] = ()
    """kinds of findings whose answer goes with the alert, found or not"""

    @property
    def about_findings(self) -> bool:
        return self.measure.name in ("findings", "fleet_findings")

    def level_of(self, value: float) -> Level | None:
        """The gravest level that `value` reaches."""
        for level in ("critical", "warning"):
            limit = self.threshold(level)
            if limit is not None and self.beyond(value, limit):
                return level
        return None

    def beyond(self, value: float, limit: float) -> bool:
        """Counts and money reach their limit, everything else must pass it ("2x" means more than twice)."""
        if self.measure.below:
            return value < limit
        return value >= limit if self.measure.unit == "count" else value > limit

    def threshold(self, level: Level) -> float | None:
        return self.critical if level == "critical" else self.warning


def matches(name: str | None, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns fits and none of those with ! does; `*` also fits what has no name."""
    told = name or ""
    if any(fnmatchcase(told, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    return not wanted or any(fnmatchcase(told, pattern) for pattern in wanted)


def amount_of(value: float, unit: str) -> str:
    """A value of a measure, as people read it."""
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return duration(round(value * 1e9))
    if unit == "usd":
        return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.3g}"
    if unit == "times":
        return f"{value:.3g}x"
    return f"{value:,.0f}"


def stretch(ns: int) -> str:
    """A length of time that somebody wrote: "1 h", "7 d", "90 s"."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if ns and ns % (length * 10**9) == 0:
            return f"{ns // (length * 10**9)} {unit}"
    return f"{ns / 1e9:g} s"


def looks_at(rule: Rule) -> str:
    """What it measures, and of what: "each run: what it cost"."""
    of = {"run": "each run", "agent": "each agent", "workflow": "each workflow", "store": "the whole store"}[rule.per]
    if not rule.about_findings:
        return f"{of}{_narrowed(rule)}: {rule.measure.says}"
    kinds = "of any kind" if rule.kinds == ("*",) else f"of kind {_told(rule.kinds)}"
    least = "critical" if rule.severity == "critical" else f"at least {rule.severity}"
    where = "a run" if rule.measure.name == "findings" else "many runs together"
    return f"findings about {where}{_narrowed(rule)}, {kinds}, {least}"


def speaks(rule: Rule) -> str:
    """When it does: "below 80 % (critical), from 10 runs on"."""
    if rule.about_findings:
        return "when one turns up"
    measure = rule.measure
    word = "below" if measure.below else "from" if measure.unit == "count" else "above"
    levels = [
        f"{amount_of(limit, measure.unit)} ({level})"
        for level in LEVELS
        if (limit := rule.threshold(level)) is not None
    ]
    said = f"{word} {' or '.join(levels)}"
    if measure.samples and rule.min_samples > 1:
        said += f", given {rule.min_samples} {measure.samples}"
        said += {"ok": "", "keep": " (with fewer, nothing changes)", "alert": " (fewer are an alert of their own)"}[rule.no_data]  # fmt: skip
    return said


def preview(rule: Rule) -> str:
    """The rule in words."""
    what = looks_at(rule)
    said = f"Watches {what}. Alerts {speaks(rule)}, over the last {stretch(rule.window_ns)}"
    if rule.cooldown_ns:
        said += f"; then stays quiet about the same for {stretch(rule.cooldown_ns)} and counts what came meanwhile"
    if rule.attach:
        said += f"; adds what was found of {listing(rule.attach)}"
    return f"{said}. Then: {rule.then}." if rule.then else f"{said}."


def _narrowed(rule: Rule) -> str:
    parts = [
        f"{word} {_told(patterns)}"
        for word, patterns in (("workflow", rule.workflow), ("agent", rule.agent))
        if patterns != ("*",)
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _told(patterns: tuple[str, ...]) -> str:
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    others = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    said = "any" if wanted in ([], ["*"]) else listing(wanted, 8)
    return f"{said} but {listing(others, 8)}" if others else said
