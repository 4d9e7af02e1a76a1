"""`tracehound demo`: from agents to pictures in one command, with nothing to set up."""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import polars as pl
from rich.text import Text

from analyzers.finding import Finding
from analyzers.frames import Frames
from analyzers.run import Analysis, analyse
from dashboard.commands.common import count, note, print_table, progress, usd
from dashboard.commands.report import make_folder, write_report
from dashboard.demo.checking import Verdict, check_truth, false_alarms
from dashboard.demo.recording import Played, plan, record_and_tell
from dashboard.loading import analyse_runs, load_frames, open_store
from dashboard.report import FORMATS, Case
from reference_runtime.truth import Truth
from tracer.clock import SystemClock
from tracer.errors import BadInput, TracehoundError
from tracer.store.database import Store
from tracer.store.segment import spool_path

DEFAULT_STORE = Path("tracehound-demo.duckdb")
MARKER = "made-by-tracehound-demo"
"""A file in the spool that says: this store is the demo's own and may be replaced."""


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--no-dashboard", action="store_true", help="stop after the findings and the post-mortem")
    parser.add_argument("--store", type=Path, default=DEFAULT_STORE, metavar="PATH", help=f"default: {DEFAULT_STORE}")
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where the post-mortem goes (default: here)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another telling of the same incidents")
    parser.add_argument("--port", type=int, default=8501, help="port of the dashboard (default: 8501)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def run(args: Namespace) -> int:
    """Record, analyse, print, write the post-mortem, serve.

    Returns 0 when every incident was found and every twin was silent, else 2.
    """
    began = time.monotonic()
    prepare(args.store)
    make_folder(args.output)
    note("Running a small multi-agent system through what goes wrong in production ...")
    played = _record(args.store, args.seed)
    with progress("Analysing"):
        frames = load_frames(open_store(args.store))
        analysis = analyse(frames)
    rows = _rows_by_source(frames)
    verdicts = {
        part.name: [check_truth(t, _rows_of(t, rows, played), analysis) for t in part.truths] for part in played
    }
    alarms = {part.name: _alarms(part, frames, analysis) for part in played if part.healthy}
    _print(played, verdicts, alarms)

    written = _write_reports(args.output, Store(args.store), verdicts)
    print()
    print(
        f"{count(frames.spans.height)} spans of {count(frames.traces.height)} runs in {time.monotonic() - began:.0f} s"
    )
    print(f"Store        {args.store}")
    for path in written:
        print(f"Post-mortem  {path}")
    print(f"Next         tracehound show {frames.traces['run_id'][0][:8]} --store {args.store}")
    for failure in analysis.failures:
        note(f"The detector {failure.detector} crashed: {failure.error}")
    sound = not analysis.failures and all(v.met for vs in verdicts.values() for v in vs) and not any(alarms.values())
    if not args.no_dashboard:
        from dashboard.launch import serve  # Streamlit comes with an extra; without it the rest of the demo still works

        return serve(args.store, port=args.port, open_browser=not args.no_browser)
    return 0 if sound else 2


def prepare(store: Path) -> None:
    """Make room for a fresh demo store; only a store that an earlier demo made is replaced.

    Raises:
        BadInput: `store` is something else.
    """
    spool = spool_path(store)
    if store.exists() or spool.exists():
        if not (spool / MARKER).exists():
            raise BadInput(
                f"{str(store)!r} exists and was not made by the demo.",
                hint="the demo never touches your own traces; name another file with --store.",
            )
        store.unlink(missing_ok=True)
        Path(f"{store}.wal").unlink(missing_ok=True)
        shutil.rmtree(spool)
    if not store.parent.is_dir():
        raise BadInput(f"There is no directory {str(store.parent)!r}.", hint="create it, or name another --store.")
    spool.mkdir(parents=True)
    (spool / MARKER).touch()


def _record(path: Path, seed: int) -> list[Played]:
    """Record in a process of its own, as agents run in production, and fold here each part that has ended."""
    store = Store(path)
    # Spawned, not forked: this process has used DuckDB, which does not survive a fork.
    processes = get_context("spawn")
    receiving, sending = processes.Pipe(duplex=False)
    recorder = processes.Process(target=record_and_tell, args=(sending, path, seed, SystemClock().now_ns()))
    recorder.start()
    sending.close()
    with progress("Recording", len(plan())) as advance:
        try:
            while isinstance(message := receiving.recv(), str):
                advance(1)
                store.fold()
        except EOFError:
            recorder.join()
            raise TracehoundError(f"The recording process ended with exit code {recorder.exitcode}.") from None
    recorder.join()
    return message


def _rows_by_source(frames: Frames) -> dict[str, list[dict[str, object]]]:
    """Recorded spans per run, under the id the runtime gave the run."""
    sources = frames.traces.select("run_id", "source_id")
    joined = frames.spans.join(sources, on="run_id")
    return {str(key[0]): part.to_dicts() for key, part in joined.partition_by("source_id", as_dict=True).items()}


def _rows_of(
    truth: Truth, rows: dict[str, list[dict[str, object]]], played: Sequence[Played]
) -> list[dict[str, object]]:
    if truth.run_id is not None:
        return rows.get(truth.run_id, [])
    runs = [run_id for part in played if truth.workflow in part.workflows for run_id in part.run_ids]
    return [row for run_id in runs for row in rows.get(run_id, [])]


def _alarms(part: Played, frames: Frames, analysis: Analysis) -> list[Finding]:
    runs = frames.traces.filter(pl.col("source_id").is_in(part.run_ids))["run_id"]
    return false_alarms(analysis, set(runs), set(part.workflows))


def _print(played: Sequence[Played], verdicts: dict[str, list[Verdict]], alarms: dict[str, list[Finding]]) -> None:
    good, bad = ("✓", "green"), ("✗", "bold red")
    rows: list[list[str | Text]] = []
    for part in (p for p in played if not p.healthy):
        for verdict in verdicts[part.name]:
            finding = verdict.finding
            sign, style = good if verdict.met else bad
            told = finding.title if finding else "no finding is due" if verdict.met else "missed"
            if verdict.missing:
                told += f" ({'; '.join(verdict.missing)})"
            rows.append(
                [part.title, finding.kind if finding else "—", finding.severity if finding else "—", told,
                 usd(finding.wasted_usd) if finding else "—", Text(sign, style=style)]
            )  # fmt: skip
    print_table(
        {
            "incident": "left",
            "finding": "left",
            "severity": "left",
            "what tracehound says": "left",
            "wasted": "right",
            "": "left",
        },
        rows,
    )
    print()
    twins = [
        [part.title, part.explanation, Text("silent ✓", style="green")]
        if not alarms[part.name]
        else [
            part.title,
            "; ".join(f"{f.kind}: {f.title}" for f in alarms[part.name]),
            Text("false alarm ✗", style="bold red"),
        ]
        for part in played
        if part.healthy
    ]
    print_table({"healthy look-alike": "left", "why nothing is wrong": "left", "": "left"}, twins)


def _write_reports(output: Path, store: Store, verdicts: dict[str, list[Verdict]]) -> list[Path]:
    """A post-mortem, as HTML and Markdown, of the first incident that is about one run."""
    found = next((v.finding for vs in verdicts.values() for v in vs if v.finding and v.finding.trace_id), None)
    if found is None or found.trace_id is None:
        return []
    frames, analysis = analyse_runs(store, [found.trace_id])
    written: list[Path] = []
    for suffix in (".html", ".md"):
        target = output / f"tracehound-report-{found.trace_id[:8]}{suffix}"
        write_report(target, FORMATS[suffix](Case.of(frames, analysis.findings, analysis.skipped, analysis.failures)))
        written.append(target)
    return written
