"""The critical path of the analysis document for a reader: the chain of work and waits that made the run as long as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from analyzers.wording import amount
from dashboard.documents import blocks as b
from dashboard.figures import palette, units
from dashboard.figures.timeline import shape_name
from dashboard.report.bars import Slice
from dashboard.report.case import Case

SHOWN: Final = 15
_SLICES: Final = 400


def _path(case: Case) -> dict[str, Any] | None:
    path: dict[str, Any] | None = case.run["critical_path"]
    return None if path is None or "skipped" in path else path


def path_slices(case: Case) -> list[Slice]:
    """The path from start to end, neighbours of one agent and kind as one; short ones become part of what goes before."""
    path = _path(case)
    if path is None:
        return []
    least = (path["end_ns"] - path["start_ns"]) / _SLICES
    merged: list[tuple[str, str, int, int]] = []
    for piece in path["pieces"]:
        who, kind, length = piece["agent"] or "", piece["kind"], piece["end_ns"] - piece["start_ns"]
        if merged and ((who, kind) == merged[-1][:2] or length < least):
            merged[-1] = (*merged[-1][:2], merged[-1][2] + length, merged[-1][3] + 1)
        else:
            merged.append((who, kind, length, 1))
    return [
        Slice(f"{palette.look(kind).glyph} {who or palette.look(kind).word}", length, shape_name(kind),
              f"{palette.look(kind).word}, {units.duration(length)}" + (f", {amount(count, 'span')}" if count > 1 else ""))
        for who, kind, length, count in merged
    ]  # fmt: skip


def path_document(case: Case, names: Mapping[str, str]) -> list[b.Block]:
    """By agent and kind, the longest pieces, waits, and what would have made the run shorter."""
    path = _path(case)
    if path is None:
        held: dict[str, Any] = case.run["critical_path"] or {}
        return [b.note(f"No critical path: {held.get('skipped', 'the question could not be answered')}.")]
    length = max(1, path["end_ns"] - path["start_ns"])
    document: list[b.Block] = [
        b.facts(
            [
                b.fact("By agent", _shares(path["by_agent"], "agent")),
                b.fact("By kind", _shares(path["by_kind"], "kind")),
                *([b.fact("Waits", ", ".join(f"{one['reason']}: {units.duration(one['on_path_s'] * 1e9)} of the path ({units.duration(one['seconds'] * 1e9)} in all)" for one in path["waits"]))] if path["waits"] else []),
                *([b.fact("Calls at a time", f"{path['parallelism']:.2f} on average")] if path["parallelism"] is not None else []),
            ]
        )
    ]  # fmt: skip
    pieces: Sequence[dict[str, Any]] = path["pieces"]
    longest = sorted(range(len(pieces)), key=lambda k: (pieces[k]["start_ns"] - pieces[k]["end_ns"], k))[:SHOWN]
    rows = [
        b.row(
            [
                f"+{units.duration(piece['start_ns'] - path['start_ns'])}",
                f"{palette.look(piece['kind']).glyph} {names.get(piece['span_id'] or '', piece['name'])}",
                piece["agent"],
                units.duration(piece["end_ns"] - piece["start_ns"]),
                f"{(piece['end_ns'] - piece['start_ns']) / length:.1%}",
            ],
            pick={"span": piece["span_id"]} if piece["span_id"] else None,
        )
        for piece in (pieces[k] for k in sorted(longest))
    ]
    columns = [
        b.column("from", right=True, tight=True),
        b.column("span"),
        b.column("agent"),
        b.column("took", right=True),
        b.column("share", right=True),
    ]
    document.append(b.table(columns, rows))  # fmt: skip
    if len(pieces) > len(rows):
        document.append(b.note(f"Showing the {len(rows)} longest of {amount(len(pieces), 'piece')}, in order of time."))
    faster = [one for one in path.get("what_if") or () if one["saved_share"] >= 0.005]
    if faster:
        rows = [
            b.row(
                [
                    one["change"] + (" (at best)" if one["upper_bound"] else ""),
                    units.duration(one["seconds"] * 1e9),
                    f"{one['saved_share']:.1%}",
                ]
            )
            for one in faster
        ]
        document += [
            b.heading("What would have made it shorter", level=2),
            b.table([b.column("change"), b.column("run would take", right=True), b.column("less", right=True)], rows),
        ]
    return document


def _shares(entries: Sequence[Mapping[str, Any]], key: str, shown: int = 6) -> str:
    texts = [f"{_name(one[key], key)} {one['share']:.0%}" for one in entries[:shown] if one["share"] >= 0.005]
    return ", ".join(texts) + (f", and {len(entries) - shown} more" if len(entries) > shown else "")


def _name(value: str | None, key: str) -> str:
    return palette.look(value or "other").word if key == "kind" else value or "no agent"
