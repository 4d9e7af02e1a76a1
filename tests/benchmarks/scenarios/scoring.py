"""From findings to figures: what counts as found, as false, and how sure the figures are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt

from analyzers.finding import Finding
from analyzers.overlaps import YIELDS
from tests.benchmarks.scenarios.playing import Case

TOLD = ("critical", "warning")
"""severities that call for somebody; a remark (info) is neither a hit nor a false alarm"""
REMARKS = {"duplicate_calls", "context_growth"}
"""kinds whose severity follows the waste: of a small run a remark is right, so it is a hit, and a remark that is not true is false"""


def told(finding: Finding) -> bool:
    """Whether the finding counts."""
    return finding.severity in TOLD or finding.kind in REMARKS


def wilson(part: int, whole: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if whole == 0:
        return 0.0, 1.0
    p, z = part / whole, 1.96
    middle = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole)) / (1 + z * z / whole)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(part: int, whole: int) -> str:
    """ "0.97 (.93-.99)", or a dash where there is nothing to count."""
    if whole == 0:
        return "   -           "
    low, high = wilson(part, whole)
    return f"{part / whole:.2f} ({_short(low)}-{_short(high)})"


def _short(value: float) -> str:
    return f"{value:.2f}"[1:] if value < 0.995 else "1.0"


def hits(case: Case) -> list[Finding]:
    """The findings that tell the fault: its kind, or the kind it gives way to, with at least one of the spans that show it."""
    scenario = case.scenario
    accepted = {scenario.kind, *(kind for kind in YIELDS.get(scenario.kind or "", ()) if kind in scenario.also)}
    return [f for f in case.findings if f.kind in accepted and told(f) and _shows(case, f)]


def _shows(case: Case, finding: Finding) -> bool:
    if case.scenario.runs == 1:
        return not case.keys or bool(case.keys.intersection(finding.spans))
    if finding.trace_id is not None:
        return finding.trace_id in case.guilty_traces
    start, end = finding.start_ns or 0, finding.end_ns or 0
    return any(start <= until and since <= end for since, until in case.guilty_ns)


def false_kinds(case: Case) -> list[str]:
    """Kinds told of a run that are not true of it, each once for a run."""
    scenario = case.scenario
    allowed = {scenario.kind, *scenario.also}
    if case.knobs.missing or case.knobs.skew_ns:
        allowed.add("data_quality")  # it says what was done to the run
    wrong = {
        (f.kind, f.trace_id if f.trace_id is not None else "")
        for f in case.findings
        if told(f)
        and (
            f.kind not in allowed
            # A fault that many runs share by turns: the others are innocent of it.
            or (
                case.guilty_traces
                and f.trace_id is not None
                and f.kind == scenario.kind
                and f.trace_id not in case.guilty_traces
            )
        )
    }
    return [kind for kind, _ in sorted(wrong)]


def localisation(case: Case, found: Sequence[Finding]) -> float | None:
    """Jaccard of the spans told and the spans that show the fault, of the best finding."""
    if case.scenario.runs > 1 or not case.keys:
        return None
    return max(len(case.keys & set(f.spans)) / len(case.keys | set(f.spans)) for f in found)


@dataclass
class Kind:
    """The counts of one kind of finding."""

    faults: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    """block -> runs with the fault"""
    found: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    false: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    overlap: list[float] = field(default_factory=list[float])


@dataclass
class Score:
    """Everything that was counted; add cases one by one."""

    kinds: dict[str, Kind] = field(default_factory=lambda: defaultdict[str, Kind](Kind))
    healthy: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    """block -> healthy runs"""
    alarms: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    """block -> healthy runs of which anything was told"""
    critical: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))
    missed: list[Case] = field(default_factory=list[Case])
    wrong: list[tuple[Case, str]] = field(default_factory=list[tuple[Case, str]])

    def add(self, case: Case) -> list[Finding]:
        """Count one case; gives the findings that hit."""
        block, kind = case.knobs.block, case.scenario.kind
        false = false_kinds(case)
        for name in false:
            self.kinds[name].false[block] += 1
            self.wrong.append((case, name))
        if kind is None:
            allowed = {*case.scenario.also, *(("data_quality",) if case.knobs.missing or case.knobs.skew_ns else ())}
            runs = case.scenario.runs
            self.healthy[block] += runs
            self.alarms[block] += len(false)
            blamed = {(f.trace_id, f.kind) for f in case.findings if f.severity == "critical" and f.kind not in allowed}
            self.critical[block] += len({run for run, _ in blamed})
            return []
        found = hits(case)
        counts = self.kinds[kind]
        counts.faults[block] += 1
        if found:
            counts.found[block] += 1
            overlap = localisation(case, found)
            if overlap is not None and block == "clean":
                counts.overlap.append(overlap)
        else:
            self.missed.append(case)
        return found

    def recall(self, block: str) -> tuple[int, int]:
        """(found, faults) over all kinds."""
        return sum(k.found[block] for k in self.kinds.values()), sum(k.faults[block] for k in self.kinds.values())

    def precision(self, block: str) -> tuple[int, int]:
        """(true, told) over all kinds."""
        found = sum(k.found[block] for k in self.kinds.values())
        return found, found + sum(k.false[block] for k in self.kinds.values())


def by(cases: Iterable[Case], what: Callable[[Case], str], good: Callable[[Case], bool]) -> dict[str, tuple[int, int]]:
    """value of a factor -> (good, all)."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for case in cases:
        counts[what(case)][0] += good(case)
        counts[what(case)][1] += 1
    return {name: (a, b) for name, (a, b) in sorted(counts.items())}
