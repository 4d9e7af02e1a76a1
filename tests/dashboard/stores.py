"""Stores for tests of the dashboard: drawn runs put into a real DuckDB file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from analyzers.frames import Frames
from tests import drawn
from tracer.ids import span_id_of, trace_id_of
from tracer.model import RawSpan, SpanKind
from tracer.semconv import Tracehound
from tracer.store.arrow import ArrowStream
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


def write(path: Path, frames: Frames) -> Store:
    """A store at `path` that holds `frames`, running spans in their own table."""
    store = Store(path)
    running = pl.col("status") == "running"
    texts = pl.DataFrame(
        {
            "content_id": list(frames.contents.keys()),
            "bytes": [len(body.encode()) for body in frames.contents.values()],
            "body": list(frames.contents.values()),
        },
        schema={"content_id": pl.Int64, "bytes": pl.Int64, "body": pl.String},
    )
    windows = frames.spans.group_by("trace_id", "run_id").agg(
        first_ns=pl.col("start_ns").min(), last_ns=pl.col("start_ns").max()
    )
    tables = {
        "spans": frames.spans.filter(~running),
        "running_spans": frames.spans.filter(running).with_columns(writer=pl.lit("w")),
        "traces": frames.traces,
        "contents": texts,
        "run_traces": windows,
    }
    with store.lease() as connection:
        for table, rows in tables.items():
            connection.register("incoming_rows", ArrowStream(rows))
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming_rows").fetchall()
            connection.unregister("incoming_rows")
    return store


def looping(name: str = "loop", *, rounds: int = 9, at: float = 0.0) -> drawn.Drawn:
    """Researcher and Analyst ask each other for more context, round after round."""
    turns: list[drawn.Node] = []
    for i in range(rounds):
        start = 2.0 + 4 * i
        turns += [
            drawn.agent(
                "Researcher", start, start + 2,
                drawn.llm(start + 0.2, start + 1.7, prompt=f"Round {i}: what does the market say?", answer="I need more context before I can go on.",
                          system="You are the Researcher.", input_tokens=900 + 40 * i, output_tokens=60, cost="0.0031"),
                drawn.message("Researcher", "Analyst", start + 1.8, "I need more context before I can go on."),
                task="Look into the market",
            ),
            drawn.agent(
                "Analyst", start + 2, start + 4,
                drawn.llm(start + 2.2, start + 3.6, prompt="I need more context before I can go on.", answer="Please send me the data first.",
                          system="You are the Analyst.", input_tokens=700 + 40 * i, output_tokens=40, cost="0.0024"),
                drawn.message("Analyst", "Researcher", start + 3.8, "Please send me the data first."),
            ),
        ]  # fmt: skip
    return drawn.run("market_report", *turns, id=name, at=at, outcome="timed_out", outcome_reason="deadline of 40 s")


def mixed(name: str = "mixed", *, at: float = 0.0) -> drawn.Drawn:
    """Three agents in parallel, tools, a refused state write, a handoff, an error, and a call without a price."""
    return drawn.run(
        "release_notes",
        drawn.agent(
            "Planner", 0, 3,
            drawn.llm(0.2, 1.4, prompt="Plan the release notes", answer="Three parts.", input_tokens=420, output_tokens=80, cost="0.0040", purpose="plan", temperature=0.2),
            drawn.decision("structure", "three parts", 2, options=["three parts", "one page"], reason="reads best"),
            drawn.handoff("Planner", "Writer", 2.8, reason="the outline stands", text="Here is the outline."),
        ),
        drawn.agent("Writer", 3, 9, drawn.state_read("draft", 3.2, version=1, value={"title": "1.0", "parts": []}),
                    drawn.llm(3.5, 7, prompt="Write part one", answer="<b>Not bold</b> & **not bold either**", input_tokens=1_300, output_tokens=600, cost="0.0210"),
                    drawn.state_write("draft", 8, version=2, expected=1, before={"title": "1.0", "parts": []}, value={"title": "1.0", "parts": ["one"]}, changed=["parts[0]"], cas="ok")),
        drawn.agent("Checker", 3, 8, drawn.tool("git.log", 3.3, 4.1, args={"since": "v0.9"}, result=["fix a", "fix b"]),
                    drawn.llm(4.2, 6, model="house-model", prompt="Check the list", answer="Fine.", input_tokens=300, output_tokens=10),
                    drawn.state_write("draft", 8.5, expected=1, before={"title": "1.0", "parts": ["one"]}, value={"title": "1.0", "parts": ["check"]}, cas="conflict")),
        drawn.agent("Publisher", 3, 11, drawn.tool("cms.publish", 9, 10.5, args={"page": 7}, status="error", error_type="TimeoutError", error_message="the upstream timed out"),
                    drawn.escalation("human_operator", 10.6, end=10.9, reason="publishing failed")),
        id=name, at=at, outcome="escalated",
    )  # fmt: skip


def abandoned(name: str = "abandoned", *, at: float = 0.0) -> drawn.Drawn:
    """A run without an end: two agents wait for each other. Its writer is gone, so a fold finds it interrupted."""
    return drawn.run(
        "triage",
        drawn.agent("Planner", 0, None, drawn.wait("Critic", 1, None)),
        drawn.agent("Critic", 0, None, drawn.wait("Planner", 2, None)),
        id=name, at=at, outcome="running",
    )  # fmt: skip


def plain(number: int, *, at: float) -> drawn.Drawn:
    """A healthy short run."""
    cost = f"{0.002 + number % 7 / 1000:.4f}"
    return drawn.run(
        "answer_ticket",
        drawn.agent("Support", 0, 2 + number % 5, drawn.llm(0.2, 1.5, prompt=f"Ticket {number}", answer="Done.", input_tokens=200, output_tokens=40, cost=cost)),
        id=f"plain-{number}", at=at, outcome="failed" if number % 17 == 3 else "completed",
    )  # fmt: skip


def examples(healthy: int = 20) -> Frames:
    """One run of every kind above, and `healthy` short ones, a minute apart."""
    return drawn.frames(
        *(plain(i, at=60.0 * i) for i in range(healthy)),
        looping(at=60.0 * healthy),
        mixed(at=60.0 * (healthy + 1)),
        abandoned(at=60.0 * (healthy + 2)),
    )


class Recorder:
    """A program that is recording right now: agents whose starts are written before their ends."""

    def __init__(self, writer: SegmentWriter) -> None:
        self.trace_id = trace_id_of("live", "run")
        self._writer = writer
        self._started: dict[str, RawSpan] = {}

    def start(self, agent: str, *, at_s: float) -> str:
        """Write the start of an agent's work; returns its span id."""
        span = RawSpan(
            trace_id=self.trace_id, span_id=span_id_of(self.trace_id, agent), name=agent, start_ns=drawn.ns(at_s), end_ns=None,
            attributes={Tracehound.KIND: SpanKind.AGENT.value, Tracehound.AGENT: agent, Tracehound.WORKFLOW: "live_work"},
        )  # fmt: skip
        self._started[agent] = span
        self._writer.write_spans([], starts=[span])
        return span.span_id

    def end(self, agent: str, *, at_s: float) -> None:
        """Write its end."""
        span = self._started[agent]
        span.end_ns, span.status = drawn.ns(at_s), "ok"
        self._writer.write_spans([span])


@contextmanager
def recording(path: Path) -> Iterator[Recorder]:
    """A live writer on the store at `path`."""
    writer = SegmentWriter(path)
    try:
        yield Recorder(writer)
    finally:
        writer.close()
