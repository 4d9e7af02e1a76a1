"""An analysis as the JSON document of `tracehound analyze --json`.

    {traces: [{trace_id, run_id, source_id, workflow, outcome, verdict, findings, suspects, ledger, critical_path,
               architecture}],
     fleet: [{workflow, window_start_ns, window_end_ns, findings}], skipped: [...], failures: [...]}

Suspects, critical path and ledger look into single runs and are not part of `analyse()`: they are made here, for the runs that
are asked for, failed ones and ones with findings first, up to `DEEP_RUNS` runs and `DEEP_SPANS` spans. Null says "not looked
at", and `skipped` why, also where the evidence about a failed run does not suffice to name suspects.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import cache, partial
from typing import Any

import polars as pl

from analyzers.attribution import Attribution, Verdict, attribute, verdicts
from analyzers.attribution.judge import Judge
from analyzers.attribution.judge import judged as ask_judge
from analyzers.critical_path import RunTree, critical_path_document
from analyzers.economics.architecture import Profile, architecture_document, profile_run, run_document
from analyzers.economics.claims import Workspace
from analyzers.economics.dataflow import Reading
from analyzers.economics.savings import find_savings, savings_document
from analyzers.finding import DetectorFailure, Finding, Skipped
from analyzers.frames import Frames
from analyzers.ledger import Ledger, ledger_document, split
from analyzers.run import Analysis
from analyzers.what_if import what_if_document
from tracer.model import Purpose

DEEP_RUNS, DEEP_SPANS = 200, 30_000
"""beyond these a run must be asked for by name"""


def analysis_document(frames: Frames, analysis: Analysis, judge: Judge | None = None) -> dict[str, Any]:
    """Every run of `frames` in order of start, with its findings, most important first; then what only many runs show.

    `judge` re-ranks the suspects of failed runs; without one no model is asked.
    """
    judged = verdicts(frames)
    by_run: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in analysis.findings:
        by_run[finding.trace_id].append(finding)
    skipped, failures = list(analysis.skipped), list(analysis.failures)
    runs = frames.traces.sort("start_ns", "run_id").select("trace_id", "run_id", "source_id", "workflow", "outcome")
    deep = _deep(frames, by_run, judged, skipped, failures, judge)
    return {
        "traces": [
            {
                **run,
                "verdict": judged[run["run_id"]].to_json(),
                "findings": [finding.to_json() for finding in by_run[run["run_id"]]],
                "suspects": [],
                "ledger": None,
                "critical_path": None,
                "architecture": None,
                **deep.get(run["run_id"], {}),
            }
            for run in runs.iter_rows(named=True)
        ],
        "fleet": _fleet(analysis),
        "skipped": [asdict(one) for one in skipped],
        "failures": [asdict(failure) for failure in failures],
    }


def deep_runs(frames: Frames, analysis: Analysis) -> list[str]:
    """The runs whose texts `analysis_document` looks into, for a caller that has not loaded all texts."""
    by_run: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in analysis.findings:
        by_run[finding.trace_id].append(finding)
    return _chosen(frames, by_run, verdicts(frames), [])


def _deep(
    frames: Frames,
    by_run: Mapping[str | None, Sequence[Finding]],
    judged: Mapping[str, Verdict],
    skipped: list[Skipped],
    failures: list[DetectorFailure],
    judge: Judge | None,
) -> dict[str, dict[str, Any]]:
    """run_id -> what is made of single runs; a question that crashes is told in `failures`, and its field stays empty."""
    made: dict[str, dict[str, Any]] = {}
    held = _split(frames, _chosen(frames, by_run, judged, skipped))
    try:
        peers = _split(frames, _compared(frames, held, judged))
        if frames.peers is not None:
            peers |= _split(frames.peers, frames.peers.run_ids)
        found = [finding for run_id in held for finding in by_run.get(run_id, ())]
        attributed = attribute({**peers, **held}, found, judged, asked=held)
    except Exception as error:  # noqa: BLE001  a crash of one question must not silence the others; it is shown to the user
        attributed = dict[str, Attribution]()
        failures.append(_failure("suspects", "", error))
    if judge is not None:
        try:
            attributed, unanswered = ask_judge(attributed, held, judge)
            skipped += unanswered
        except Exception as error:  # noqa: BLE001  as above
            failures.append(_failure("judge", "", error))
    profiles: dict[str | None, dict[str, Profile]] = defaultdict(dict)
    workflows = dict(frames.traces.select("run_id", "workflow").iter_rows())
    try:
        workspace = Workspace.of(
            Frames(
                spans=frames.spans.filter(pl.col("run_id").is_in(list(held))),
                traces=frames.traces,
                contents=frames.contents,
            )
        )
    except Exception as error:  # noqa: BLE001  as above
        workspace = Workspace({}, {})
        failures.append(_failure("savings", "", error))
    for run_id, one in held.items():
        answer = attributed.get(run_id, Attribution(suspects=()))
        if answer.reasons and not answer.suspects:
            skipped.append(Skipped(detector="suspects", reason="; ".join(answer.reasons), trace_id=run_id))
        made[run_id] = {"suspects": [suspect.to_json() for suspect in answer.suspects]}
        reading, found = Reading(one), by_run.get(run_id, ())
        books = cache(partial(split, one, found, reading))
        questions: dict[str, Callable[[], Any]] = {
            "critical_path": lambda reading=reading, found=found: _path(reading, found),
            "ledger": lambda reading=reading, found=found, books=books: _money(reading, found, books(), workspace),
            "architecture": lambda reading=reading, found=found, books=books: profile_run(reading, found, books()),
        }
        for field, ask in questions.items():
            try:
                made[run_id][field] = ask()
            except Exception as error:  # noqa: BLE001  a crash of one question must not silence the others; it is shown to the user
                failures.append(_failure(field, f"run {run_id}: ", error))
        profile = made[run_id].pop("architecture", None)
        if profile is not None:
            profiles[workflows.get(run_id)][run_id] = profile
    for workflow, members in profiles.items():
        verdict = architecture_document(workflow, members)
        for run_id, profile in members.items():
            made[run_id]["architecture"] = {**verdict, "run": run_document(profile)}
    return made


def _money(reading: Reading, findings: Sequence[Finding], ledger: Ledger, workspace: Workspace) -> dict[str, Any]:
    """The ledger of a run, and what could have been saved."""
    document = ledger_document(reading.frames, findings, ledger=ledger)
    costs = reading.frames.billed["cost_usd"].drop_nulls().to_list()
    spent = sum(costs, Decimal(0)) if costs else None
    return {**document, "savings": savings_document(find_savings(reading, findings, workspace), spent)}


def _path(reading: Reading, findings: Sequence[Finding]) -> dict[str, Any]:
    """The critical path of a run, and what would have made it shorter."""
    path = critical_path_document(reading.frames)
    if "skipped" in path:
        return path
    routing = {turn.span_id for turn in reading.run.turns if turn.delegates or turn.purpose == Purpose.ROUTE}
    tree = RunTree.of(reading.frames)
    return {**path, "what_if": what_if_document(reading.frames, tree, routing=routing, findings=findings)}


def _failure(question: str, where: str, error: Exception) -> DetectorFailure:
    told = "".join(traceback.format_exception(error))
    return DetectorFailure(detector=question, error=f"{where}{type(error).__name__}: {error}", traceback=told)


def _chosen(
    frames: Frames,
    by_run: Mapping[str | None, Sequence[Finding]],
    judged: Mapping[str, Verdict],
    skipped: list[Skipped],
) -> list[str]:
    """The runs to look into: failed ones first, then ones with findings, then the newest; within the bounds."""
    failed = {run_id for run_id, verdict in judged.items() if verdict.failed}
    rows = frames.traces.select("run_id", "spans", "start_ns").sort("run_id").rows()
    rows.sort(key=lambda row: (row[0] not in failed, not by_run.get(row[0]), -row[2]))
    chosen: list[str] = []
    spent = 0
    for run_id, spans, _ in rows:
        if chosen and (len(chosen) >= DEEP_RUNS or spent + spans > DEEP_SPANS):
            break
        chosen.append(run_id)
        spent += spans
    if len(chosen) < len(rows):
        reason = f"made for {len(chosen)} of {len(rows)} runs, the most telling ones first; name a run to have its own"
        skipped.append(Skipped(detector="suspects, ledger and critical_path", reason=reason))
    return chosen


def _compared(frames: Frames, held: Mapping[str, Frames], judged: Mapping[str, Verdict]) -> list[str]:
    """Runs that are not looked into themselves, of the workflows of those that failed: what these are compared with."""
    failed = [run_id for run_id in held if judged[run_id].failed]
    if not failed:
        return []
    workflows = frames.traces.filter(pl.col("run_id").is_in(failed))["workflow"].drop_nulls().unique()
    others = frames.traces.filter(pl.col("workflow").is_in(workflows.implode()) & ~pl.col("run_id").is_in(list(held)))
    newest = others.sort("start_ns", "run_id", descending=True)
    return newest.filter(pl.col("spans").cum_sum() <= DEEP_SPANS)["run_id"].to_list()


def _split(frames: Frames, run_ids: Sequence[str]) -> dict[str, Frames]:
    """The frames of each run, without a pass over all frames per run."""
    if len(run_ids) <= 1:
        return {run_id: frames.only(run_id) for run_id in run_ids}
    spans = _by(frames.spans.filter(pl.col("run_id").is_in(list(run_ids))), "run_id")
    traces = _by(frames.traces, "run_id")
    events, links = _by(frames.events, "trace_id"), _by(frames.links, "trace_id")

    def parts(table: dict[str, pl.DataFrame], trace_ids: Sequence[str], empty: pl.DataFrame) -> pl.DataFrame:
        return pl.concat([empty, *(table[one] for one in trace_ids if one in table)])

    held: dict[str, Frames] = {}
    for run_id in run_ids:
        own = spans.get(run_id, frames.spans.clear())
        ids = own["trace_id"].unique().sort().to_list()
        held[run_id] = Frames(
            spans=own,
            traces=traces.get(run_id, frames.traces.clear()),
            contents=frames.contents,
            events=parts(events, ids, frames.events.clear()),
            links=parts(links, ids, frames.links.clear()),
        )
    return held


def _by(table: pl.DataFrame, column: str) -> dict[str, pl.DataFrame]:
    return {str(key[0]): part for key, part in table.partition_by(column, as_dict=True).items()}


def _fleet(analysis: Analysis) -> list[dict[str, Any]]:
    """One entry per workflow and window, in order of time; a window is what the finding's data name, else its own span of time."""
    windows: dict[tuple[int, int, str], list[Finding]] = defaultdict(list)
    for finding in analysis.fleet:
        start = finding.data.get("window_start_ns", finding.start_ns) or 0
        end = finding.data.get("window_end_ns", finding.end_ns) or 0
        windows[start, end, str(finding.data.get("workflow") or "")].append(finding)
    return [
        {
            "workflow": workflow or None,
            "window_start_ns": start,
            "window_end_ns": end,
            "findings": [finding.to_json() for finding in findings],
        }
        for (start, end, workflow), findings in sorted(windows.items())
    ]
