"""The sequence diagram as Mermaid text, for Markdown."""

from __future__ import annotations

import re
from typing import Final

from dashboard.figures import units
from dashboard.figures.fold import Fold
from dashboard.figures.markup import clip, readable
from dashboard.figures.sequence import SequenceDiagram
from dashboard.figures.steps import Step

_ARROWS: Final = {"answer": "-->>", "read": "-->>"}
_SPECIAL: Final = re.compile(r'[#;<>"`{}\[\]%&\\|]')


def mermaid(diagram: SequenceDiagram, *, limit: int = 150) -> str:
    """`sequenceDiagram` text of the first `limit` rows; what is left out is said in a note. Recorded text cannot break out of its line."""
    people = diagram.found.participants
    alias = {p.name: f"p{k}" for k, p in enumerate(people)}
    lines = ["sequenceDiagram"]
    lines += [
        f"    {'actor' if p.kind == 'person' else 'participant'} {alias[p.name]} as {plain(p.name, 40)}" for p in people
    ]

    def said(step: Step, indent: str = "    ") -> str:
        text = plain(("✕ " if step.failed else "") + step.label, 70)
        if step.source == step.target:
            return f"{indent}Note over {alias[step.source]}: {text}"
        return f"{indent}{alias[step.source]}{_ARROWS.get(step.kind, '->>')}{alias[step.target]}: {text}"

    for row in diagram.rows[:limit]:
        if not isinstance(row, Fold):
            lines.append(said(diagram.found.steps[row]))
            continue
        folded = [diagram.found.steps[k] for k in row.folded]
        cost = sum(step.cost_usd for step in folded)
        took = units.took(max(step.done_ns for step in folded) - folded[0].at_ns, folded[0].at_ns)
        lines.append(
            f"    loop {row.times} times{f', {took}' if took else ''}{f', {units.money(cost)}' if cost else ''}"
        )
        lines += [said(diagram.found.steps[k], "        ") for k in row.shown]
        lines.append("    end")
    if len(diagram.rows) > limit and people:
        lines.append(f"    Note over {alias[people[0].name]}: {len(diagram.rows) - limit} more rows are not shown")
    return "\n".join(lines)


def plain(text: str, limit: int) -> str:
    """One line that Mermaid takes as text: its special characters as entity codes, the keyword `end` defused."""
    line = clip(readable(text), limit) or "(no text)"
    line = _SPECIAL.sub(lambda m: f"#{ord(m[0])};", line)
    return re.sub(r"\bend\b", "e#110;d", line, flags=re.IGNORECASE)
