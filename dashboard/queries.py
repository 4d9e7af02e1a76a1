"""Every read the pages make, in one place and cached by the state of the store.

A page asks `current()` first: what was recorded meanwhile is folded in (at most every `FOLD_EVERY_S`, whoever asks) and a
token says whether anything changed. Everything else takes that state, so an unchanged store costs nothing to look at.
No lease is held when these functions return; pages draw from copies.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import streamlit as st

from analyzers.backtest.guards import Stop, recordings
from analyzers.backtest.policy import good_runs, run_guard
from analyzers.backtest.sweep import Sweep, sweep
from analyzers.comparison.selection import By
from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import analyse
from dashboard import comparing, live_reads, run_reads, session_reads
from dashboard import facets as narrowing
from dashboard.alerting.overview import Alerting, alerting_of
from dashboard.analyst import PATIENCE_S, Analyst, StoreAnalysis, analyse_in_background
from dashboard.comparing import Sides, TwoRuns
from dashboard.economics import Economy, Worth, economy_of, worth_of
from dashboard.facets import Facets
from dashboard.health import Examination, examine
from dashboard.live_reads import Live
from dashboard.loading import load_frames, with_peers
from dashboard.pictures import PICTURES, Picture, Shown
from dashboard.population import Population, load_population
from dashboard.run_analysis import Errand, RunAnalysis, analyse_apart, look_into
from dashboard.run_reads import Order, Overview, RunPage
from dashboard.run_view import LARGE_SPANS, RunView, load_run, mark_of
from dashboard.session_reads import SessionPage
from dashboard.trace_query import TraceQuery, parse_query
from tracer.clock import SystemClock
from tracer.errors import BadInput
from tracer.store import reads
from tracer.store.database import Store
from tracer.store.keeping import keep_to_limits

STORE_VARIABLE = "TRACEHOUND_STORE"
DEFAULT_STORE = "./traces.duckdb"

FOLD_EVERY_S = 0.4
BACKTESTED = 300
"""newest runs that the Back-test page replays; `tracehound backtest` takes more"""


class NoStore(BadInput):
    """Nothing was recorded at the path yet."""


@dataclass(frozen=True, slots=True)
class StoreState:
    """Which store, and in which state; equal tokens mean equal answers."""

    path: str
    token: str


def store_path() -> Path:
    """The store this app shows: `TRACEHOUND_STORE`, which the launcher sets."""
    return Path(os.environ.get(STORE_VARIABLE) or DEFAULT_STORE)


def current() -> StoreState:
    """The store as it is now, with everything recorded so far folded in.

    Raises:
        NoStore: nothing was recorded at this path yet.
        StoreLocked, SchemaTooNew, StoreError: see `tracer.errors`.
    """
    path = str(store_path().resolve())
    store = _store(path)
    if not store.exists():
        raise NoStore(f"Nothing has been recorded at {path} yet.")
    return StoreState(path, _fold(path))


@st.cache_resource(show_spinner=False)
def _store(path: str) -> Store:
    return Store(path)


@st.cache_data(ttl=FOLD_EVERY_S, show_spinner=False)
def _fold(path: str) -> str:
    """Fold, and tell the state of the file. A stat is safe; opening the file here would drop DuckDB's lock on it."""
    store = _store(path)
    store.fold()
    if not store.path.exists():
        return "empty"
    keep_to_limits(store)
    stat = store.path.stat()
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


@st.cache_data(max_entries=32, show_spinner=False)
def overview(state: StoreState, since_ns: int | None) -> Overview:
    """The numbers of the Overview page."""
    return run_reads.overview(_store(state.path), since_ns=since_ns)


@st.cache_resource(max_entries=4, show_spinner=False)
def population(state: StoreState, since_ns: int | None, workflow: str | None = None) -> Population:
    """The runs of a window (and workflow) as frames without texts; cut to the newest where there are very many."""
    return load_population(_store(state.path), since_ns=since_ns, workflow=workflow)


@st.cache_data(max_entries=4, show_spinner=False)
def workflows(state: StoreState) -> Sequence[str]:
    """The names of all workflows in the store, sorted."""
    return run_reads.workflows(_store(state.path))


@st.cache_data(max_entries=16, show_spinner=False)
def sessions(state: StoreState, since_ns: int | None, text: str, *, limit: int, offset: int) -> SessionPage:
    """One page of the sessions that were active in the window."""
    return session_reads.sessions(_store(state.path), since_ns=since_ns, text=text, limit=limit, offset=offset)


@st.cache_data(max_entries=16, show_spinner=False)
def session(state: StoreState, session_id: str) -> pl.DataFrame:
    """The runs of one session, oldest first."""
    return session_reads.runs_of(_store(state.path), session_id)


def live(state: StoreState) -> tuple[Live, int]:
    """What runs now, and the moment it was asked."""
    now_s = SystemClock().now_ns() // run_reads.SECOND_NS
    return _live(state, now_s), now_s * run_reads.SECOND_NS


@st.cache_data(max_entries=4, show_spinner=False)
def _live(state: StoreState, now_s: int) -> Live:
    """Once a second, whoever asks. What is usual is learned from the last week, and again every twenty seconds."""
    return live_reads.live(_store(state.path), _usual(state.path, now_s // 20), now_ns=now_s * run_reads.SECOND_NS)


@st.cache_data(max_entries=4, show_spinner=False)
def _usual(path: str, tick: int) -> live_reads.Usual:
    return live_reads.usual(_store(path), since_ns=(tick * 20 - 7 * 86_400) * run_reads.SECOND_NS)


def runs(state: StoreState, query: TraceQuery, *, order: Order, limit: int, offset: int, minute: int) -> RunPage:
    """One page of the list. `minute` is the clock's, so that `since:1h` moves on although the store does not."""
    among = None
    if query.findings:
        known = _analyst(state.path).wait(state.token).by_run
        among = tuple(run_id for run_id, found in known.items() if query.accepts_findings(f.kind for f in found))
    return _runs(state, query, order, limit, offset, minute, among)


@st.cache_data(max_entries=32, show_spinner=False)
def _runs(
    state: StoreState, query: TraceQuery, order: Order, limit: int, offset: int, minute: int, among: tuple[str, ...] | None
) -> RunPage:  # fmt: skip
    now_ns = minute * 60 * run_reads.SECOND_NS
    return run_reads.search(
        _store(state.path), query, now_ns=now_ns, order=order, limit=limit, offset=offset, among=among
    )


def facets(state: StoreState, query: TraceQuery, *, minute: int) -> Facets:
    """What the matches of a query could be narrowed down by. Findings are counted as far as they are known."""
    known = store_analysis(state)
    return _facets(state, query, minute, known.token if known else None)


@st.cache_data(max_entries=32, show_spinner=False)
def _facets(state: StoreState, query: TraceQuery, minute: int, analysis_token: str | None) -> Facets:
    del analysis_token  # part of the key: a newer analysis may know more findings
    known = store_analysis(state)
    by_run: Mapping[str, tuple[Finding, ...]] = known.by_run if known else {}
    kinds = {run_id: [f.kind for f in found if f.severity != "info"] for run_id, found in by_run.items()}
    among = None
    if query.findings:
        among = [run_id for run_id, found in by_run.items() if query.accepts_findings(f.kind for f in found)]
    now_ns = minute * 60 * run_reads.SECOND_NS
    return narrowing.facets(_store(state.path), query, now_ns=now_ns, kinds=kinds, among=among)


def worth(state: StoreState, since_ns: int | None, workflow: str | None) -> Worth:
    """What the orchestration of a workflow was worth, over its newest runs; findings count as far as they are known."""
    known = store_analysis(state)
    return _worth(state, since_ns, workflow, known.token if known else None)


@st.cache_resource(max_entries=8, show_spinner=False)
def _worth(state: StoreState, since_ns: int | None, workflow: str | None, analysis_token: str | None) -> Worth:
    del analysis_token  # part of the key: a newer analysis may know more findings
    known = store_analysis(state)
    by_run: Mapping[str, tuple[Finding, ...]] = known.by_run if known else {}
    return worth_of(_store(state.path), population(state, since_ns), workflow, by_run)


def economy(state: StoreState, since_ns: int | None, workflow: str | None) -> Economy | None:
    """Ledger and savings over the newest ended runs; findings count as far as they are known. None where none has ended."""
    known = store_analysis(state)
    return _economy(state, since_ns, workflow, known.token if known else None)


@st.cache_resource(max_entries=8, show_spinner=False)
def _economy(state: StoreState, since_ns: int | None, workflow: str | None, analysis_token: str | None) -> Economy | None:  # fmt: skip
    del analysis_token  # part of the key: a newer analysis may know more findings
    known = store_analysis(state)
    by_run: Mapping[str, tuple[Finding, ...]] = known.by_run if known else {}
    return economy_of(_store(state.path), population(state, since_ns, workflow), by_run)


@st.cache_data(max_entries=4, show_spinner=False)
def marked(state: StoreState) -> Mapping[str, str]:
    """Run id -> a person's newest verdict: ok or failed."""
    return dict(reads.marks(_store(state.path)).select("run_id", "verdict").iter_rows())


def this_minute() -> int:
    """The clock in whole minutes, rounded up."""
    return SystemClock().now_ns() // (60 * run_reads.SECOND_NS) + 1


@st.cache_resource(show_spinner=False)
def _analyst(path: str) -> Analyst:
    store = _store(path)
    return Analyst(lambda token: analyse_in_background(store, token))


def store_analysis(state: StoreState) -> StoreAnalysis | None:
    """Findings of the newest runs and of the fleet: the newest there are, None while the first analysis is being made."""
    return _analyst(state.path).ask(state.token)


def is_analysing(state: StoreState) -> bool:
    """Whether newer findings are on their way."""
    return _analyst(state.path).working


def run(state: StoreState, name: str) -> RunView:
    """The run called `name`: a run, trace or source id, or the beginning of one.

    A small run is analysed here and now. A large one is drawn at once, and judged when its analysis is there (`RunView.judged`).

    Raises:
        UnknownName: there is no such run; near names are offered.
    """
    run_id = _run_id(state, name)
    large = _loaded(state, run_id).spans.height >= LARGE_SPANS
    # A page of a large run must not wait for detectors, not even briefly, at every click.
    known = _analyst(state.path).ask(state.token, patience_s=0.0 if large else PATIENCE_S)
    alone = None
    if large and not _analyst(state.path).working and (known is None or not _knows(known, _row(state, run_id))):
        alone = looked_into(state, run_id)
    return _run(state, run_id, known.token if known else None, alone is not None, _Held(known, alone))


@st.cache_data(max_entries=200, show_spinner=False)
def _run_id(state: StoreState, name: str) -> str:
    """Asked several times for every drawing of a page; each would wait for the store's lease."""
    return reads.find_run(_store(state.path), name)


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known about a run, in a wrapper that the cache does not hash."""

    store: StoreAnalysis | None
    alone: RunAnalysis | None


@st.cache_resource(max_entries=8, show_spinner=False)
def _loaded(state: StoreState, run_id: str) -> Frames:
    return load_run(_store(state.path), run_id)


def _row(state: StoreState, run_id: str) -> Mapping[str, Any]:
    return _loaded(state, run_id).traces.row(0, named=True)


@st.cache_resource(max_entries=8, show_spinner=False)
def _run(state: StoreState, run_id: str, analysis_token: str | None, was_alone: bool, _held: _Held) -> RunView:
    del analysis_token, was_alone  # part of the key: a newer analysis may say more about this run
    frames, row = _loaded(state, run_id), _row(state, run_id)
    # The analysis of all runs knows more: what this workflow usually costs. Until it is there, or while the run goes on,
    # the run is judged alone.
    judged = True
    if _held.store is not None and _knows(_held.store, row):
        findings, skipped, failures = _held.store.by_run[run_id], _held.store.skipped, _held.store.failures
    elif _held.alone is not None:
        findings, skipped, failures = _held.alone.findings, _held.alone.skipped, _held.alone.failures
    elif frames.spans.height < LARGE_SPANS:
        alone = analyse(frames)
        findings, skipped, failures = alone.of(run_id), alone.skipped, alone.failures
    else:
        findings, skipped, failures, judged = (), (), (), False
    return RunView(
        run_id=run_id,
        frames=frames,
        row=row,
        findings=findings,
        skipped=tuple(refusal for refusal in skipped if refusal.trace_id == run_id),
        failures=failures,
        mark=mark_of(_store(state.path), run_id),
        judged=judged,
    )


def looked_into(state: StoreState, run_id: str) -> RunAnalysis | None:
    """The analysis of one large run, made by a process of its own; None until it is there."""
    return _errand(state, run_id).answer()


@st.cache_resource(max_entries=8, show_spinner=False)
def _errand(state: StoreState, run_id: str) -> Errand:
    return Errand(lambda: analyse_apart(Path(state.path), run_id))


def insight(state: StoreState, shown: RunView) -> Mapping[str, Any] | None:
    """Suspects and ledger of a run (`analyzers.document`); None while those of a large run are being made."""
    if shown.large:
        made = looked_into(state, shown.run_id)
        return None if made is None else made.document
    return _insight(state.path, shown, shown.stamp, shown.failed)


@st.cache_resource(max_entries=32, show_spinner=False)
def _insight(path: str, _shown: RunView, stamp: str, failed: bool) -> Mapping[str, Any]:
    del stamp, failed  # part of the key: the frames themselves are too large to hash
    return look_into(with_peers(_store(path), _shown.frames), _shown.findings)


def _knows(analysis: StoreAnalysis, row: Mapping[str, Any]) -> bool:
    """Whether the analysis saw the run as it is now."""
    seen = analysis.traces.filter(pl.col("run_id") == row["run_id"])
    if seen.is_empty() or row["outcome"] == "running":
        return False
    return seen.row(0, named=True) == dict(row)


def picture(shown: RunView, name: str, page: int = 0) -> Picture:
    """A figure of a run by its name in `PICTURES`, drawn once per state of the run."""
    return _picture(shown, shown.stamp, name, page)


@st.cache_resource(max_entries=32, show_spinner=False)
def _picture(_shown: RunView, stamp: str, name: str, page: int) -> Picture:
    del stamp  # part of the key: the frames themselves are too large to hash
    return PICTURES[name](Shown(_shown.frames, _shown.findings, _shown.path.pieces), page)


def find_run(state: StoreState, name: str) -> str:
    """The id of the run called `name`: a run, trace or source id, or the beginning of one.

    Raises:
        UnknownName: there is no such run; near names are offered.
    """
    return reads.find_run(_store(state.path), name)


@st.cache_data(max_entries=4, show_spinner=False)
def newest_runs(state: StoreState, limit: int) -> pl.DataFrame:
    """Rows of `traces`, newest first."""
    return reads.runs(_store(state.path), limit=limit)


@st.cache_resource(max_entries=4, show_spinner=False)
def two_runs(state: StoreState, a: str, b: str) -> TwoRuns:
    """Two runs aligned step by step, with their texts; `a` and `b` are run ids."""
    return comparing.two_runs(_store(state.path), a, b)


@st.cache_resource(max_entries=8, show_spinner=False)
def sides(state: StoreState, since_ns: int | None, workflow: str | None, by: By) -> Sides:
    """The groups of runs that a version, prompt, model or period makes, in pairs of neighbours."""
    return comparing.sides_by(population(state, since_ns, workflow), by)


@st.cache_resource(max_entries=8, show_spinner=False)
def sides_of_queries(
    state: StoreState, since_ns: int | None, workflow: str | None, a: str, b: str, minute: int
) -> Sides:
    """The runs that meet one query, and those that meet another.

    Raises:
        BadInput: a query cannot be read, or asks for findings.
    """
    shown = population(state, since_ns, workflow)
    now_ns = minute * 60 * run_reads.SECOND_NS
    parsed = [(text, parse_query(text)) for text in (a, b)]
    return comparing.sides_of_queries(_store(state.path), shown, parsed[0], parsed[1], now_ns=now_ns)


@st.cache_data(max_entries=8, show_spinner=False)
def changes(
    state: StoreState, since_ns: int | None, workflow: str | None, a: tuple[str, ...], b: tuple[str, ...], across: bool
) -> Sequence[Mapping[str, Any]]:  # fmt: skip
    """What changed from the runs `a` to the runs `b`, with effect, interval and verdict per metric."""
    return comparing.compare_pair(_store(state.path), population(state, since_ns, workflow), a, b, across=across)


def mark(state: StoreState, run_id: str, verdict: str, note: str) -> None:
    """Record a person's verdict ("ok" or "failed") and forget what was cached about the store."""
    reads.mark(_store(state.path), run_id, "ok" if verdict == "ok" else "failed", note.strip() or None)
    _fold.clear()


def counters(state: StoreState) -> Mapping[str, int]:
    """What went wrong while recording: bad_frames, rejected_spans, duplicate_spans, dropped_spans."""
    return _counters(state)


@st.cache_data(max_entries=4, show_spinner=False)
def _counters(state: StoreState) -> Mapping[str, int]:
    return reads.counters(_store(state.path))


@st.cache_data(max_entries=2, ttl=30.0, show_spinner=False)
def health(state: StoreState) -> Examination:
    """What `tracehound doctor` says of the store; looked at anew when the store changes, and every half minute."""
    return examine(Path(state.path))


@st.cache_data(max_entries=2, ttl=5.0, show_spinner=False)
def alerting(state: StoreState) -> Alerting:
    """What is on, what was told, and how fast money goes; alerts stand beside the store, so that its state does not tell of them."""
    return alerting_of(_store(state.path))


@dataclass(frozen=True, slots=True)
class Swept:
    """One guard over the newest runs: the curve, and what its suggestion (else its last threshold) stops."""

    curve: Sweep
    stops: Mapping[str, Stop]
    good: frozenset[str]
    traces: pl.DataFrame


@st.cache_resource(max_entries=12, show_spinner=False)
def swept(state: StoreState, since_ns: int | None, workflow: str | None, guard: str) -> Swept | None:
    """Back-test of one guard; None where no run started in the window."""
    store = _store(state.path)
    known = reads.runs(store, since_ns=since_ns, workflow=workflow, limit=BACKTESTED)
    if known.is_empty():
        return None
    by_run = _analyst(state.path).wait(state.token).by_run
    frames = load_frames(store, known["run_id"].to_list())
    findings = [finding for run_id in frames.run_ids for finding in by_run.get(run_id, ())]
    runs, good = recordings(frames, findings), good_runs(frames, findings)
    curve = sweep(runs, good, guard)
    at = curve.suggested or (curve.points[-1] if curve.points else None)
    return Swept(curve, run_guard(runs, guard, at.threshold) if at else {}, good, frames.traces)


def worst_runs(findings: StoreAnalysis, limit: int = 8) -> Sequence[tuple[Mapping[str, Any], tuple[Finding, ...]]]:
    """The runs most worth a look: by critical findings, then warnings, then money wasted, then newest."""
    rows = {row["run_id"]: row for row in findings.traces.iter_rows(named=True)}

    def weight(run_id: str) -> tuple[int, int, float, int]:
        found = findings.by_run[run_id]
        wasted = sum(float(finding.wasted_usd or 0) for finding in found)
        severities = [finding.severity for finding in found]
        return severities.count("critical"), severities.count("warning"), wasted, int(rows[run_id]["start_ns"])

    serious = [run_id for run_id, found in findings.by_run.items() if any(f.severity != "info" for f in found)]
    return [(rows[run_id], findings.by_run[run_id]) for run_id in sorted(serious, key=weight, reverse=True)[:limit]]
