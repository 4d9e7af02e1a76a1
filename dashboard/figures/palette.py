"""The visual language, once: colours of kinds, agents and states, glyphs, and the same as CSS variables.

Colour says the kind and is never alone: every kind has a glyph. The kind colours are Okabe-Ito (safe for colour-blind
readers) with a lighter twin for dark ground. Error and warning colours mean nothing else anywhere.
CSS: variables start with `--th-` and follow `color-scheme` through `light-dark()`; Streamlit's `--st-*` colours are taken where set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from tracer.model import SpanKind

Mode = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Ink:
    """One colour in both modes."""

    light: str
    dark: str

    def css(self) -> str:
        return f"light-dark({self.light}, {self.dark})"

    def of(self, mode: Mode) -> str:
        return self.light if mode == "light" else self.dark


BLUE: Final = Ink("#0072B2", "#3D9BE0")
AMBER: Final = Ink("#E69F00", "#E8AE33")
GREEN: Final = Ink("#009E73", "#2DB58E")
PINK: Final = Ink("#CC79A7", "#DD94BD")
SKY: Final = Ink("#56B4E9", "#7CC4EE")
RUST: Final = Ink("#D55E00", "#E8763A")
GREY: Final = Ink("#6B7280", "#9CA3AF")

ERROR: Final = Ink("#C1121F", "#FF6B6B")
WARNING: Final = Ink("#B45309", "#F5B942")
OK: Final = Ink("#3F7D58", "#7FBF9B")

GROUND: Final = Ink("#FFFFFF", "#12141A")
GROUND_2: Final = Ink("#F5F6F8", "#1A1D25")
TEXT: Final = Ink("#1C1F26", "#E4E7EC")
ACCENT: Final = Ink("#3454D1", "#6E8BFF")


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of span is drawn. `ink_on` is the text colour inside a filled bar."""

    glyph: str
    fill: Ink
    word: str
    ink_on: Ink = Ink("#FFFFFF", "#0B0D12")


_DARK_INK: Final = Ink("#14161B", "#0B0D12")

LOOKS: Final[dict[str, Look]] = {
    SpanKind.WORKFLOW: Look("◆", GREY, "workflow"),
    SpanKind.AGENT: Look("●", BLUE, "agent"),
    SpanKind.LLM: Look("✦", AMBER, "LLM call", _DARK_INK),
    SpanKind.TOOL: Look("⚒", GREEN, "tool call"),
    SpanKind.RETRIEVER: Look("⌕", GREEN, "retrieval"),
    SpanKind.EMBEDDING: Look("∷", AMBER, "embedding", _DARK_INK),
    SpanKind.HANDOFF: Look("⇄", PINK, "handoff", _DARK_INK),
    SpanKind.DECISION: Look("◇", GREY, "decision"),
    SpanKind.STATE_READ: Look("▤", SKY, "state read", _DARK_INK),
    SpanKind.STATE_WRITE: Look("▥", SKY, "state write", _DARK_INK),
    SpanKind.WAIT: Look("◔", GREY, "wait"),
    SpanKind.GUARDRAIL: Look("▣", RUST, "guardrail"),
    SpanKind.GUARD_TRIP: Look("⊘", RUST, "guard trip"),
    SpanKind.ESCALATION: Look("⚑", RUST, "escalation"),
    SpanKind.MESSAGE: Look("▸", PINK, "message", _DARK_INK),
    SpanKind.OTHER: Look("○", GREY, "step"),
}

AGENT_INKS: Final[tuple[Ink, ...]] = (
    BLUE,
    RUST,
    GREEN,
    PINK,
    AMBER,
    SKY,
    Ink("#7B5EA7", "#A98BD4"),
    Ink("#8A7A00", "#C9B93A"),
)
"""Cycled by `agent_slots`; a number tells the agents of one hue apart."""

STATUS_GLYPHS: Final[dict[str, str]] = {"ok": "✓", "error": "✕", "running": "◌", "interrupted": "⊗"}
SEVERITY_GLYPHS: Final[dict[str, str]] = {"critical": "✕", "warning": "▲", "info": "ℹ"}


def look(kind: str) -> Look:
    """The look of a span kind; unknown kinds look like `other`."""
    return LOOKS.get(kind, LOOKS[SpanKind.OTHER])


def agent_slots(names: Iterable[str | None]) -> dict[str, int]:
    """Agent name -> slot by sorted order, so that an agent keeps its colour on every page. Slot modulo 8 is the hue."""
    return {name: slot for slot, name in enumerate(sorted({name for name in names if name}))}


def agent_ink(slot: int) -> Ink:
    return AGENT_INKS[slot % len(AGENT_INKS)]


def css_variables() -> str:
    """The `--th-*` variables, to stand on `.th`, the class every figure's outermost element carries."""
    names: dict[str, str] = {
        "bg": f"var(--st-background-color, {GROUND.css()})",
        "bg2": f"var(--st-secondary-background-color, {GROUND_2.css()})",
        "fg": f"var(--st-text-color, {TEXT.css()})",
        "accent": f"var(--st-primary-color, {ACCENT.css()})",
        "muted": "color-mix(in srgb, var(--th-fg) 66%, var(--th-bg))",
        "line": "color-mix(in srgb, var(--th-fg) 14%, var(--th-bg))",
        "error": ERROR.css(),
        "warning": WARNING.css(),
        "ok": OK.css(),
    }
    for kind, shape in LOOKS.items():
        names[f"k-{kind}"] = shape.fill.css()
        names[f"on-{kind}"] = shape.ink_on.css()
    for slot, ink in enumerate(AGENT_INKS):
        names[f"a{slot}"] = ink.css()
    body = "".join(f"--th-{name}:{value};" for name, value in names.items())
    return f".th{{{body}}}.th[data-theme=light]{{color-scheme:light}}.th[data-theme=dark]{{color-scheme:dark}}"


def as_dict(mode: Mode) -> dict[str, dict[str, str]]:
    """The palette for charts drawn elsewhere: `kinds`, `glyphs`, `status`, `surface`; colours as hex."""
    return {
        "kinds": {kind: shape.fill.of(mode) for kind, shape in LOOKS.items()},
        "glyphs": {kind: shape.glyph for kind, shape in LOOKS.items()},
        "agents": {str(slot): ink.of(mode) for slot, ink in enumerate(AGENT_INKS)},
        "status": {"error": ERROR.of(mode), "warning": WARNING.of(mode), "ok": OK.of(mode), "running": ACCENT.of(mode)},
        "surface": {
            "ground": GROUND.of(mode),
            "ground2": GROUND_2.of(mode),
            "text": TEXT.of(mode),
            "accent": ACCENT.of(mode),
        },
    }


FIGURE_CSS: Final = css_variables() + (
    ".th{font:12px/1.4 Inter,system-ui,-apple-system,'Segoe UI',sans-serif;color:var(--th-fg)}"
    ".th svg{display:block;font:12px/1.4 Inter,system-ui,-apple-system,'Segoe UI',sans-serif}"
    ".th .hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}"
)
"""What every figure's style sheet starts with."""
