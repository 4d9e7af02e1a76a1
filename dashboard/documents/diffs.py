"""What changed between two recorded values, as lines."""

from __future__ import annotations

from difflib import SequenceMatcher

from dashboard.documents.messages import pretty

_CONTEXT = 2
_MOST_LINES = 4_000
"""above that many lines the comparison would take seconds; it is quadratic in the worst case"""


def json_diff(before: str, after: str, *, context: int = _CONTEXT) -> list[tuple[str, str]]:
    """Lines of `after` against `before`: "+" added, "-" removed, " " kept near a change, "@" where kept lines are left out.

    JSON is compared in its indented form, so that a change shows on the line of its key. Equal values give one "@" line.
    """
    old, new = (pretty(text).splitlines() for text in (before, after))
    if len(old) + len(new) > _MOST_LINES:
        return [("@", f"too large to compare line by line: {len(old):,} lines before, {len(new):,} after")]
    rows: list[tuple[str, str]] = []
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    groups = list(matcher.get_grouped_opcodes(context))
    if not groups:
        return [("@", "no change")]
    last = 0
    for group in groups:
        first = group[0][1]
        if first > last:
            rows.append(("@", _left_out(first - last)))
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                rows += [(" ", line) for line in old[i1:i2]]
                continue
            rows += [("-", line) for line in old[i1:i2]]
            rows += [("+", line) for line in new[j1:j2]]
        last = group[-1][2]
    if last < len(old):
        rows.append(("@", _left_out(len(old) - last)))
    return rows


def _left_out(lines: int) -> str:
    return f"{lines:,} unchanged line{'' if lines == 1 else 's'}"
