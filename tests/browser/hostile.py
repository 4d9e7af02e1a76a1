"""A store full of text that wants to be more than text, in every field a recording can carry."""

from __future__ import annotations

from pathlib import Path

from tests import drawn
from tests.dashboard import stores
from tracer.store import reads
from tracer.store.database import Store

STRANGER = "http://tracker.example"
IMAGE = f"![pixel]({STRANGER}/pixel.png)"
PAYLOADS = (
    "<script>window.pwned='script'</script>",
    "</script><script>window.pwned='closed'</script>",
    "<img src=x onerror=window.pwned='image'>",
    "<svg onload=window.pwned='svg'></svg>",
    "\"' onmouseover=window.pwned='attribute' x=\"",
    "javascript:window.pwned='scheme'",
    "[click](javascript:window.pwned='link')",
    IMAGE,
    f"[link]({STRANGER}/link) <{STRANGER}/auto> {STRANGER}/bare www.tracker.example",
    "# head\n- list\n\n**bold** `code` :red[red] :material/delete: $x^2$ | a | b |",
    "\u202eright to left\u202c \u2066isolated\u2069 zero\u200bwidth",
    "\x1b[31mANSI\x1b[0m \x1b]8;;http://tracker.example\x07link\x1b]8;;\x07 \x07",
    "NUL\x00NUL \ufeff \ufffe",
    "%{customdata} %{y} {{7*7}} ${7*7} <%= 7*7 %> {0}",
    "x' OR 1=1; DROP TABLE traces; --",
    "../../../../etc/passwd\\..\\..",
)
EVERYTHING = " ".join(PAYLOADS)
LONG_CHARS = 5_000_000
LONG = "<img src=x onerror=window.pwned='long'>" + "A" * LONG_CHARS


def poisoned(number: int, text: str) -> drawn.Drawn:
    """A run in which every name, reason, key, text and error is `text`."""
    run = drawn.run(
        text,
        drawn.agent(text, 0, 9, drawn.llm(0, 2, id=f"call-{number}", model=text, provider=text, prompt=text, answer=text, system=text, cost="0.01",
                                          input_tokens=900, output_tokens=90, prompt_name=text, prompt_version=text, finish_reason=text,
                                          tool_calls=[{"id": "c1", "name": text, "arguments": {text: text}}]),
                    drawn.tool(text, 2, 3, args={text: text}, result=text, status="error", error_type=text, error_message=text),
                    drawn.decision(text, text, 3, options=[text, "other"], reason=text),
                    drawn.state_read(text, 3.2, version=1, value={text: text}),
                    drawn.state_write(text, 3.5, version=2, expected=1, before={text: 1}, value={text: text}, changed=[text], cas="conflict"),
                    drawn.wait(text, 4, 5, reason=text), drawn.handoff(text, f"{text} 2", 6, reason=text, text=text),
                    drawn.message(text, "user", 7, text), drawn.escalation(text, 8, end=8.5, reason=text), drawn.guard_trip(text, 8.8, limit=1, spent=2),
                    task=text, answer=text, attributes={text: text}),
        drawn.agent(f"{text} 2", 6, 9, drawn.llm(6, 8, model=text, prompt=text, answer=text, cost="0.02"), drawn.message(f"{text} 2", text, 8, text)),
        id=f"bad-{number}", at=100.0 * number, outcome="failed", outcome_reason=text, source_id=f"{text} {number}",
        session_id=text, user_id=text, service=text, service_version=text, environment=text, release=text, tags=[text],
    )  # fmt: skip
    run.summary.update(session_id=text, user_id=text, service=text)
    return run


def write(path: Path) -> tuple[str, str]:
    """Write the store; the ids of a run with all payloads as agents, and of one with texts of five million characters."""
    together = drawn.run(
        "together", *(drawn.agent(text, i, i + 1, drawn.llm(i, i + 0.5, model=text, prompt=text, answer=text), drawn.message(text, PAYLOADS[i - 1], i + 0.9, text))
                      for i, text in enumerate(PAYLOADS)), id="together", at=5_000, outcome="failed",
    )  # fmt: skip
    long = drawn.run(
        "long", drawn.agent("Reader", 0, 3, drawn.llm(0, 1, id="long-call", prompt=LONG, answer=LONG),
                            drawn.tool("fetch", 1, 2, args={"page": LONG}, result=LONG), drawn.message("Reader", "user", 2.5, LONG)),
        id="long", at=6_000, outcome="failed", outcome_reason=LONG[:20_000],
    )  # fmt: skip
    open_ended = drawn.run(
        PAYLOADS[0], drawn.agent(PAYLOADS[7], 0, None, drawn.wait(PAYLOADS[2], 1, None, reason=PAYLOADS[8])),
        id="open", at=7_000, outcome="running",
    )  # fmt: skip
    bad = [poisoned(number, text) for number, text in enumerate((*PAYLOADS, EVERYTHING))]
    store: Store = stores.write(path, drawn.frames(*bad, together, long, open_ended))
    for run in bad:
        reads.mark(store, run.run_id, "failed", note=run.summary["workflow"])
    return together.run_id, long.run_id
