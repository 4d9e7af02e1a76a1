"""The state of a store, of what waits beside it, and of this environment, with everything that is wrong and what to do.

`tracehound doctor` prints it, the Health page draws it. Leases are short; nothing is held when `examine` returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dashboard.environment import Recording, find_instrumentors, find_libraries, find_versions
from dashboard.figures.units import count
from tracer.errors import BadInput, StoreError
from tracer.store.database import Store
from tracer.store.health import (
    DatabaseHealth,
    ModelCalls,
    SpoolHealth,
    file_bytes,
    folded_offsets,
    look_at_database,
    look_at_spool,
)
from tracer.store.repair import Repair, repair


@dataclass(frozen=True, slots=True)
class Problem:
    """Something worth knowing: `critical` where data is lost or out of reach, `warning` where answers are incomplete."""

    severity: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Examination:
    """`document` is that of `tracehound doctor --json`; `problems` are in it too, here in their own form."""

    document: Mapping[str, Any]
    problems: tuple[Problem, ...]


def examine(path: Path, *, mend: bool = False) -> Examination:
    """Look at everything, and bring in what is pending; what cannot be looked at is one of the problems.

    Args:
        mend: also work out anew what can be.

    Raises:
        BadInput: `path` is a directory.
    """
    if path.is_dir():
        raise BadInput(f"The store {str(path)!r} is a directory; a file was expected.", hint="name the .duckdb file.")
    store = Store(path)
    before = look_at_spool(store.spool_path)
    offsets: dict[str, int] = {}
    database: DatabaseHealth | None = None
    trouble: list[Problem] = []
    repairs: list[Repair] = []
    exists = store.exists()
    if exists:
        try:
            offsets = folded_offsets(store)
            store.fold()
            if mend:
                repairs = repair(store)
                store.fold()
            database = look_at_database(store)
        except StoreError as error:
            trouble.append(Problem("critical", error.message, error.hint or ""))
    else:
        trouble.append(
            Problem("info", f"There is no store at {str(path)!r} yet.", "record something, or try `tracehound demo`.")
        )
    after = look_at_spool(store.spool_path)
    instrumentors = find_instrumentors()
    libraries = find_libraries()
    problems = [
        *trouble,
        *_of_spool(after),
        *(_of_database(database) if database else []),
        *(_of_library(library) for library in libraries if library.by is None),
    ]
    document = {
        "store": {
            "path": str(store.path),
            "exists": exists,
            "bytes": file_bytes(store.path),
            **(_sizes(database) if database else {}),
        },
        "spool": {
            "path": after.path,
            "pending_bytes": before.pending(offsets),
            "segments": len(before.segments),
            "dead_segments": len(before.sealed),
            "live_writers": before.live_writers,
            "dead_writers": before.dead_writers,
            "quarantined": after.quarantined,
            "quarantined_bytes": after.quarantined_bytes,
            "quarantine_reasons": list(after.reasons),
        },
        "counters": dict(database.counters) if database else {},
        "unpriced": [asdict(calls) for calls in database.unpriced] if database else [],
        "missing_tokens": [asdict(calls) for calls in database.without_tokens] if database else [],
        "orphans": [asdict(rows) for rows in database.orphans] if database else [],
        "repairs": [asdict(done) for done in repairs],
        "instrumentors": [asdict(found) for found in instrumentors],
        "libraries": [asdict(found) for found in libraries],
        "versions": find_versions(),
        "problems": [asdict(problem) for problem in problems],
    }
    return Examination(document, tuple(problems))


def _sizes(database: DatabaseHealth) -> dict[str, Any]:
    names = ("layout", "created_by", "spans", "running_spans", "runs", "events", "texts", "text_bytes")
    return {name: getattr(database, name) for name in (*names, "first_ns", "last_ns", "dropped_attributes")}


def _of_spool(spool: SpoolHealth) -> list[Problem]:
    if not spool.quarantined:
        return []
    return [
        Problem(
            "critical",
            f"{count(spool.quarantined)} stretches of recorded bytes could not be read ({'; '.join(spool.reasons)}).",
            f"they are kept in {spool.path}/quarantine; `tracehound doctor --repair` tries to read them again.",
        )
    ]


def _of_library(library: Recording) -> Problem:
    if library.why.startswith("off"):
        return Problem("info", f"{library.library} is installed and left alone ({library.why}).")
    return Problem(
        "info",
        f"{library.library} is installed without an instrumentor: only the calls of LLM clients below it are recorded.",
        f"install {library.hint} in the environment of the program." if library.hint else "",
    )


def _of_database(database: DatabaseHealth) -> list[Problem]:
    counted, found = database.counters, list[Problem]()
    found += [
        Problem(
            "critical",
            f"{count(rows.rows)} {rows.what}.",
            "make a copy (`tracehound backup`), then `tracehound doctor --repair`; please report it.",
        )
        for rows in database.orphans
    ]
    if number := counted["dropped_spans"]:
        found.append(
            Problem(
                "warning",
                f"{count(number)} spans were dropped by the programs that recorded them.",
                "they could not be written at the time: was the disk full? Their log says it.",
            )
        )
    if number := counted["shim_errors"]:
        found.append(
            Problem(
                "warning",
                f"{count(number)} errors of the recorder were kept from the programs; parts of their traces are missing.",
                "the first of each kind stands in the program's log, with its traceback; please report it.",
            )
        )
    if number := counted["forward_dropped_spans"]:
        found.append(
            Problem(
                "warning",
                f"{count(number)} spans did not reach the back-end that `init(forward=...)` names; they are in this store.",
                "it was busy, refused them or stayed away; the program's log names it.",
            )
        )
    if number := counted["rejected_spans"]:
        found.append(
            Problem(
                "warning",
                f"{count(number)} spans were rejected because of a malformed id or time.",
                "the exporter that sent them was told which and why.",
            )
        )
    if database.unpriced:
        found.append(
            Problem(
                "warning",
                f"{_total(database.unpriced)} calls have no price: {_models(database.unpriced)}.",
                "their cost is left out of every sum; it is unknown, not zero.",
            )
        )
    if database.without_tokens:
        found.append(
            Problem(
                "warning",
                f"{_total(database.without_tokens)} calls say nothing of their tokens: {_models(database.without_tokens)}.",
                "for streams, ask the client for usage (OpenAI: stream_options={'include_usage': True}).",
            )
        )
    if number := database.dropped_attributes:
        found.append(
            Problem(
                "warning",
                f"{count(number)} attributes were cut off by limits of the recording SDK.",
                "raise OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT there.",
            )
        )
    if number := counted["duplicate_spans"]:
        found.append(Problem("info", f"{count(number)} spans were delivered more than once and are stored once."))
    if number := database.unused_texts:
        found.append(
            Problem("info", f"{count(number)} texts are used by no run.", "`tracehound doctor --repair` removes them.")
        )
    if not database.references_checked:
        found.append(Problem("info", "The store is large; references from spans to texts were not checked."))
    return found


def _total(calls: Sequence[ModelCalls]) -> str:
    return count(sum(each.calls for each in calls))


def _models(calls: Sequence[ModelCalls], shown: int = 5) -> str:
    """Models by their calls, whatever providers they were called at."""
    models = Counter[str]()
    for each in calls:
        models[each.model or "no model name"] += each.calls
    named = [f"{model} ({count(number)})" for model, number in models.most_common(shown)]
    return ", ".join(named) + (f" and {len(models) - shown} more models" if len(models) > shown else "")
