"""What an analysis says: findings, refusals to judge, and its own crashes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from decimal import Decimal
from hashlib import blake2b
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule that was looked at, whichever way it came out; `passed` means it speaks for the finding."""

    rule: str
    value: float | int | str | bool | None
    threshold: float | int | str | bool | None
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A verdict with the evidence that made it fire."""

    kind: str
    """one of the kinds of `analyzers.detectors.DETECTORS`"""
    severity: Severity
    confidence: float
    """0 to 1: how sure the rule is, not how bad it would be"""
    title: str
    """one line, with the numbers that matter"""
    explanation: str
    """what happened, where, since when, what it cost, how sure and why; for a tired engineer at 3 a.m."""
    suggestion: str
    """what to change"""
    trace_id: str | None
    """run the finding is about; None for a finding over many runs"""
    spans: tuple[str, ...]
    """span ids in causal order; never empty for a finding about a run"""
    agents: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    """0-based message indices, where the source is a transcript"""
    start_ns: int | None = None
    end_ns: int | None = None
    wasted_usd: Decimal | None = None
    """money that bought nothing; None where prices are unknown"""
    wasted_tokens: int | None = None
    checked: tuple[Check, ...] = ()
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    """numbers of this kind of finding, e.g. iterations, period, path for a loop.

    Two keys mean the same everywhere: `key` tells findings of one kind and run apart where the spans do not, and
    `wasted_spans` names the spans whose cost `wasted_usd` is (by default `spans`), so that no call is charged twice.
    """

    @property
    def id(self) -> str:
        """Stable over runs of the analysis: a hash of kind, run and evidence."""
        key = "\x00".join((self.kind, self.trace_id or "", *sorted(self.spans), str(self.data.get("key", ""))))
        return blake2b(key.encode(), digest_size=6).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The finding as the command line and the report show it; money as a number of USD."""
        body = asdict(self)
        checked = body.pop("checked")
        body["data"] = {**self.data, "checked": list(checked)}
        body["wasted_usd"] = None if self.wasted_usd is None else float(self.wasted_usd)
        return {"id": self.id, **body}


def by_importance(finding: Finding) -> tuple[int, int, str, str]:
    """Sort key: severity, then start, then kind and id; the same findings always stand in the same order."""
    return SEVERITIES.index(finding.severity), finding.start_ns or 0, finding.kind, finding.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A question that could not be answered, and why. Not the same as "nothing found"."""

    detector: str
    reason: str
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorFailure:
    """A detector that crashed; shown to the user, never counted as "nothing found"."""

    detector: str
    error: str
    traceback: str
