"""Question: is one failing call tried again and again, perhaps by several layers at once?

    load_page  attempt 1                 attempt 2                 attempt 3
      fetch    X  X  X                   X  X  X                   X  X  X        3 x 3 = 9 calls for one page

A storm is one call (same agent, same tool or model, same arguments) made five times of which at least four failed.
Layers are found by climbing: where the attempts lie under several failed spans of one name, that name retries too, and
the attempts multiply. A call that fails with another error after another tool has worked in between got further: it begins
a new count. Three tries with pauses that end well are how retries should be. Source: note on cost, section 4.
Tries that a client made inside one span (`tracehound.client.tries`) count like spans of their own.
Known misses: calls recorded without arguments under different parents; retries inside a client that nobody recorded.
Cost: one set-based count of failed calls; only runs with four failures of one step are read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, cast

import polars as pl

from analyzers.attributes import attributes_of
from analyzers.finding import Check, Finding, Severity
from analyzers.frames import Frames
from analyzers.overlaps import MARKED
from analyzers.tally import COUNTED, end_of, spent
from analyzers.wording import amount, duration, onwards, usd
from tracer.model import SpanKind, SpanStatus
from tracer.online.novelty import mask_error
from tracer.semconv import Tracehound

KIND = "retry_storm"
Row = Mapping[str, Any]
_CALLS = (SpanKind.TOOL, SpanKind.LLM, SpanKind.RETRIEVER, SpanKind.EMBEDDING)
_COLUMNS = list(dict.fromkeys((
    *COUNTED, "trace_id", "parent_span_id", "name", "agent", "start_ns", "end_ns", "status", "error_type", "error_message",
    "model", "tool_name", "args_hash", "input_refs", "attempt", "retry_of", "attributes",
)))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStormThresholds:
    attempts: int = 5
    """common clients try three times"""
    failures: int = 4
    critical_attempts: int = 10


def find_retry_storms(frames: Frames, thresholds: RetryStormThresholds = RetryStormThresholds()) -> list[Finding]:
    """One finding per call that was stormed."""
    counted = frames.spans.filter(pl.col("duplicate_of").is_null())
    failed = counted.filter(pl.col("kind").is_in([str(k) for k in _CALLS]) & (pl.col("status") == SpanStatus.ERROR))
    step = pl.coalesce("tool_name", "model", "name")
    steps = failed.group_by("run_id", "agent", "kind", step.alias("step")).len()
    inside = counted.filter(
        (pl.col("kind") == SpanKind.LLM) & pl.col("attributes").str.contains(Tracehound.TRIES, literal=True)
    )
    suspects = pl.concat([steps.filter(pl.col("len") >= thresholds.failures)["run_id"], inside["run_id"]]).unique()
    spans = counted.filter(pl.col("run_id").is_in(suspects.implode())).sort("run_id", "start_ns", "span_id")
    found: list[Finding] = []
    for (run_id,), part in spans.group_by("run_id", maintain_order=True):
        rows = part.select(_COLUMNS).to_dicts()
        held = {row["span_id"]: row for row in rows}
        for attempts in _operations(rows, held):
            failures = sum(row["status"] == SpanStatus.ERROR for row in attempts)
            if len(attempts) >= thresholds.attempts and failures >= thresholds.failures:
                layers = _layers(attempts, held)
                if len(layers) == 1 and (again := _restarts(attempts)):
                    layers.append({"name": f"what runs {layers[0]['name']}", "tries": again + 1})
                found.append(
                    _finding(
                        str(run_id), rows[0]["start_ns"], attempts, layers, _mechanical(attempts, rows), thresholds
                    )
                )
    return found


def _operations(rows: Sequence[Row], held: Mapping[str, Row]) -> list[list[Row]]:
    """Calls that are one operation tried several times, each from its first try to its first success."""
    grouped: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row["kind"] not in _CALLS:
            continue
        first = row
        while first["retry_of"] in held and first["retry_of"] != first["span_id"]:
            before = held[first["retry_of"]]
            if before["start_ns"] >= first["start_ns"]:
                break
            first = before
        same = first["args_hash"] or tuple(first["input_refs"] or ()) or ("parent", first["parent_span_id"])
        who = first["agent"], first["kind"], first["tool_name"] or first["model"] or first["name"], same
        grouped[who] += _tries_inside(row)
    operations: list[list[Row]] = []
    done: dict[str | None, list[int]] = defaultdict(list)
    for row in rows:
        if row["kind"] == SpanKind.TOOL and row["status"] == SpanStatus.OK:
            done[row["agent"]].append(end_of(row))
    for members in grouped.values():
        tries: list[Row] = []
        for row in members:
            if tries and _got_further(tries[-1], row, sorted(done[row["agent"]])):
                operations.append(tries)
                tries = []
            tries.append(row)
            if row["status"] != SpanStatus.ERROR:
                operations.append(tries)
                tries = []
        operations.append(tries)
    return operations


def _got_further(before: Row, row: Row, done: Sequence[int]) -> bool:
    """Whether something was mended between two tries: another tool worked, and what fails now is another error."""
    if row["retry_of"] or (row["attempt"] or 1) > 1 or row["status"] != SpanStatus.ERROR:
        return False
    between = bisect_left(done, row["start_ns"]) > bisect_left(done, end_of(before))
    errors = [(one["error_type"], mask_error(one["error_message"] or "")) for one in (before, row)]
    return between and errors[0] != errors[1]


def _tries_inside(row: Row) -> list[Row]:
    """The requests that a client made for one call by itself, evenly over its time; the last is the call and has its cost."""
    said = attributes_of(row["attributes"]) if Tracehound.TRIES in (row["attributes"] or "") else {}
    failed = said.get(Tracehound.TRIES_FAILED)
    if not isinstance(failed, list) or not failed:
        return [row]
    outcomes = cast("list[object]", failed)
    step = max(0, end_of(row) - row["start_ns"]) // (len(outcomes) + 1)
    unpaid = dict.fromkeys(("cost_usd", "input_tokens", "output_tokens"))
    starts = [row["start_ns"] + step * number for number in range(len(outcomes) + 1)]
    tries = [
        {**row, **unpaid, "status": SpanStatus.ERROR, "error_type": f"HTTP {how}" if str(how).isdigit() else str(how),
         "attempt": number, "start_ns": at, "end_ns": at}
        for number, (how, at) in enumerate(zip(outcomes, starts, strict=False), 1)
    ]  # fmt: skip
    return [*tries, {**row, "attempt": len(starts), "start_ns": starts[-1]}]


def _layers(attempts: Sequence[Row], held: Mapping[str, Row]) -> list[dict[str, Any]]:
    """The layers that retry, innermost first: name and how many tries of it there were."""
    layers = [{"name": _name(attempts[0]), "tries": len(attempts)}]
    level = list(attempts)
    while True:
        above = {row["parent_span_id"]: held[row["parent_span_id"]] for row in level if row["parent_span_id"] in held}
        parents = list(above.values())
        if not parents:
            return layers
        names = {(row["kind"], _name(row)) for row in parents}
        again = any(row["status"] == SpanStatus.ERROR or (row["attempt"] or 1) > 1 for row in parents)
        if 1 < len(parents) < len(level) and len(names) == 1 and again:
            layers.append({"name": _name(parents[0]), "tries": len(parents)})
        level = parents


def _restarts(attempts: Sequence[Row]) -> int:
    """How often the recorded numbers begin again (1 2 3 1 2 3): something around the retries, of which no span tells, retries too."""
    numbers = [row["attempt"] for row in attempts]
    return sum(a is not None and b == 1 and a > 1 for a, b in pairwise(numbers))


def _mechanical(attempts: Sequence[Row], rows: Sequence[Row]) -> bool:
    """True where the tries follow each other with no other call of the agent in between: nobody thought about it again.

    An agent that asks its model, hears of the failure and makes the same call again goes round in a loop instead.
    """
    tries = {row["span_id"] for row in attempts}
    others = [
        row["start_ns"]
        for row in rows
        if row["agent"] == attempts[0]["agent"] and row["kind"] in _CALLS and row["span_id"] not in tries
        and row["parent_span_id"] not in tries
    ]  # fmt: skip
    return all(
        bisect_left(others, after["start_ns"]) == bisect_left(others, end_of(before))
        for before, after in pairwise(attempts)
    )


def _name(row: Row) -> str:
    return row["tool_name"] or row["model"] or row["name"]


def _finding(
    run_id: str,
    start_ns: int,
    attempts: Sequence[Row],
    layers: Sequence[Mapping[str, Any]],
    mechanical: bool,
    t: RetryStormThresholds,
) -> Finding:
    first, last = attempts[0], attempts[-1]
    failures = [row for row in attempts if row["status"] == SpanStatus.ERROR]
    solved = last["status"] != SpanStatus.ERROR
    money, tokens, calls = spent(failures)
    pauses = [max(0, b["start_ns"] - end_of(a)) for a, b in pairwise(attempts)]
    backed_off = len(pauses) > 1 and median(pauses[len(pauses) // 2 :]) >= 1.5 * max(
        median(pauses[: len(pauses) // 2]), 1
    )
    severity: Severity = (
        "critical" if not solved and (len(attempts) >= t.critical_attempts or len(layers) > 1) else "warning"
    )
    what, agent = _name(first), first["agent"]
    lost_ns = end_of(last) - first["start_ns"]
    factors = _factors(layers)
    errors = sorted({row["error_type"] or "error" for row in failures})
    nested = (
        f" {len(layers)} layers retry, so the tries multiply: {factors}, counted from the outermost."
        if len(layers) > 1
        else ""
    )
    return Finding(
        kind=KIND,
        severity=severity,
        confidence=0.95 if first["args_hash"] or first["input_refs"] or first["retry_of"] else 0.8,
        title=f"{what} was tried {len(attempts)} times"
        + (f" ({factors})" if len(layers) > 1 else "")
        + (", and failed every time" if not solved else ", and worked only then"),
        explanation=(
            f"{agent or 'The run'} called {what} with the same input {len(attempts)} times {onwards(first['start_ns'], start_ns)}, "
            f"over {duration(lost_ns)}; {amount(len(failures), 'try', 'tries')} failed ({', '.join(errors)}).{nested}"
            + (f" The failed calls cost {usd(money)}." if money is not None else "")
            + (" The pauses between the tries grew." if backed_off else " The pauses between the tries did not grow.")
            + (" The last try worked." if solved else " Nothing came of it.")
            + (
                " Sure: the tries name the one they repeat."
                if mechanical
                else " Sure: tool and arguments are the same and each try failed."
            )
        ),
        suggestion=(
            (f"Retry in one layer only ({_either(layers[-1]['name'], layers[0]['name'])}); " if len(layers) > 1 else "")
            + f"stop after 3 tries with growing pauses, open a circuit breaker for {what}, and go to a fallback or fail clearly."
        ),
        trace_id=run_id,
        spans=tuple(dict.fromkeys(row["span_id"] for row in attempts)),
        agents=(agent,) if agent else (),
        start_ns=first["start_ns"],
        end_ns=end_of(last),
        wasted_usd=money,
        wasted_tokens=tokens,
        checked=(
            Check(rule="tries of the same call", value=len(attempts), threshold=t.attempts, passed=True),
            Check(rule="failed tries", value=len(failures), threshold=t.failures, passed=True),
            Check(rule="layers that retry", value=len(layers), threshold=2, passed=len(layers) > 1),
            Check(
                rule="ruled out: the agent thought in between (then it is a loop)",
                value=not mechanical,
                threshold=True,
                passed=mechanical,
            ),
            Check(rule="ruled out: growing pauses", value=backed_off, threshold=True, passed=not backed_off),
            Check(rule="ruled out: a try worked", value=solved, threshold=True, passed=not solved),
        ),
        data={
            "attempts": len(attempts),
            "failures": len(failures),
            "layers": [dict(layer) for layer in reversed(layers)],
            "solved": solved,
            MARKED: mechanical
            or len(layers) > 1
            or any(row["retry_of"] or (row["attempt"] or 1) > 1 for row in attempts),
            "lost_s": round(lost_ns / 1e9, 3),
            "errors": errors,
            "wasted_spans": calls,
        },
    )


def _either(inner: str, outer: str) -> str:
    """The two layers that retry, in words.

    >>> _either("what runs fetch_prices", "fetch_prices")
    'fetch_prices or what runs it, not both'
    """
    if outer == f"what runs {inner}" or inner == f"what runs {outer}":
        return f"{min(inner, outer, key=len)} or what runs it, not both"
    return f"{inner} or what calls it, not both" if inner == outer else f"{inner} or {outer}, not both"


def _factors(layers: Sequence[Mapping[str, Any]]) -> str:
    """ "3 x 3": tries per layer, outermost first."""
    counts = [int(layer["tries"]) for layer in reversed(layers)]
    per = [counts[0], *(f"{b / a:.2g}" for a, b in pairwise(counts))]
    return " x ".join(map(str, per))
