"""Asks every question of the frames: `analyse(frames) -> Analysis`. A detector that crashes is recorded, never hidden."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from analyzers.detectors import DETECTORS, Detector
from analyzers.finding import DetectorFailure, Finding, Skipped, by_importance
from analyzers.frames import Frames
from analyzers.lost_spans import doubted
from analyzers.overlaps import without_repetition
from analyzers.remarks import folded
from analyzers.waste import charge_fleet_once, charge_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything an analysis said, in a fixed order."""

    findings: tuple[Finding, ...]
    """about single runs"""
    fleet: tuple[Finding, ...]
    """about many runs of a workflow"""
    skipped: tuple[Skipped, ...]
    failures: tuple[DetectorFailure, ...]

    def of(self, trace_id: str) -> tuple[Finding, ...]:
        """The findings about one run, most important first."""
        return tuple(finding for finding in self.findings if finding.trace_id == trace_id)


@dataclass(frozen=True, slots=True)
class Answers:
    """What detectors said, before findings about the same trouble are weighed against each other."""

    findings: tuple[Finding, ...] = ()
    fleet: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    failures: tuple[DetectorFailure, ...] = ()

    def __add__(self, other: Answers) -> Answers:
        return Answers(
            self.findings + other.findings,
            self.fleet + other.fleet,
            self.skipped + other.skipped,
            self.failures + other.failures,
        )


def analyse(frames: Frames, detectors: Sequence[Detector] = DETECTORS) -> Analysis:
    """Ask all `detectors`; the same frames in any row order give the same analysis."""
    return settle(ask(frames, detectors), frames)


def ask(frames: Frames, detectors: Sequence[Detector]) -> Answers:
    """What each of `detectors` says of `frames`, in their order."""
    findings: list[Finding] = []
    fleet: list[Finding] = []
    skipped: list[Skipped] = []
    failures: list[DetectorFailure] = []
    for detector in detectors:
        try:
            answers = detector.find(frames)
        except Exception as error:  # noqa: BLE001  a crash of one question must not silence the others; it is shown to the user
            failures.append(
                DetectorFailure(
                    detector=detector.name, error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc()
                )
            )
            continue
        for answer in answers:
            if isinstance(answer, Skipped):
                skipped.append(answer)
            else:
                (fleet if detector.scope == "fleet" else findings).append(answer)
    return Answers(tuple(findings), tuple(fleet), tuple(skipped), tuple(failures))


def settle(answers: Answers, frames: Frames) -> Analysis:
    """One trouble one finding, no money charged twice, doubted where spans are missing, said once, in a fixed order.

    Of `frames` it needs the runs, their LLM calls, and the ids of all spans.
    """
    told, remarks = folded(
        doubted(charge_once(without_repetition(answers.findings), frames), frames.spans), frames.traces
    )
    return Analysis(
        findings=tuple(sorted(told, key=by_importance)),
        fleet=tuple(sorted([*charge_fleet_once(answers.fleet), *remarks], key=by_importance)),
        skipped=tuple(sorted(answers.skipped, key=lambda s: (s.detector, s.trace_id or "", s.reason))),
        failures=answers.failures,
    )
