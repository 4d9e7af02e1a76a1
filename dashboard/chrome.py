"""What surrounds every page: style corrections, and the pages for "nothing yet" and "not now"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from analyzers.sampling import in_words, stood_for
from analyzers.wording import amount
from dashboard import address, queries
from dashboard.analyst import StoreAnalysis
from dashboard.charts.base import Figure, table_of
from dashboard.figures.markup import readable
from dashboard.figures.palette import Mode
from dashboard.parts import part
from dashboard.population import Population
from tracer.errors import SchemaTooNew, StoreLocked, TracehoundError

ICON = Path(__file__).with_name("web") / "icon.svg"
_WORDMARK = ICON.with_name("wordmark.svg")

_CSS = """<style>
[data-testid="stMainBlockContainer"] { padding-inline: 1.75rem; max-width: 1760px; }
[data-testid="stHeader"] { border-bottom: 1px solid var(--st-border-color, rgba(128,128,128,.25)); }
[data-testid="stMetricValue"], [data-testid="stMetricDelta"], td, th { font-variant-numeric: tabular-nums; }
[data-testid="stMetric"]:has([data-testid="stMetricChart"]) { min-height: 9.2rem; }
[data-testid="stVerticalBlock"] { gap: 0.75rem; }
[data-testid="stMetricDelta"] { background: none; padding: 0; }
[data-testid="stMetricDelta"] * { overflow: hidden; text-overflow: ellipsis; }
[data-testid="stPlotlyChart"] { overflow: hidden; }
.st-key-save_view { gap: 6px; }
.st-key-save_view button { min-height: 24px; height: 24px; padding: 0 9px; border-radius: 4px; }
.st-key-save_view button p { font-size: 12.5px; }
.st-key-live [data-stale] { opacity: 1 !important; }
h1 { padding-block: 0.15rem 0.75rem !important; }
.st-key-name [data-testid="stText"] { font-size: 1.15rem; font-weight: 600; white-space: normal; overflow-wrap: anywhere; }
.st-key-said [data-testid="stText"] { white-space: pre-wrap; overflow-wrap: anywhere; }
</style>"""


def draw() -> None:
    """Trim Streamlit's chrome; nothing here depends on the store."""
    st.html(_CSS)
    st.logo(_WORDMARK, size="medium")


_PLOTLY_CONFIG = {"displayModeBar": False, "responsive": True}


def name(text: str) -> None:
    """Draw a recorded name as a heading. Streamlit's own headings read Markdown, where a name could be a link or an image."""
    with st.container(key="name"):
        st.text(readable(text))


def say(text: str) -> None:
    """Draw a remark that quotes what was recorded or typed; Streamlit's coloured boxes read Markdown, this does not."""
    with st.container(key="said", border=True):
        st.text(readable(text))


def explain_input(error: TracehoundError) -> None:
    """Say what is wrong with what a person typed, and what to write instead."""
    hint = f" {error.hint[0].upper()}{error.hint[1:]}" if error.hint else ""
    say("▲ " + (error.message + hint).replace("`", "'"))


def looked_at(shown: Population, analysis: StoreAnalysis | None) -> None:
    """Say what a page over many runs was computed from, where that is not everything."""
    said: list[str] = []
    if shown.looked_at < shown.total:
        said.append(f"Over the newest {shown.looked_at:,} of {amount(shown.total, 'run')}.")
    if analysis is None:
        said.append("Findings are still being looked for.")
    elif missing := len(set(shown.frames.run_ids) - set(analysis.by_run)):
        said.append(f"Findings are not known for {amount(missing, 'older run')}.")
    if sampled := sampled_remark(shown.kept, shown.looked_at):
        said.append(sampled)
    if said:
        st.caption(" ".join(said))


def sampled_remark(kept: Mapping[str, float], runs: int) -> str:
    """What a reader of numbers over `runs` must know where a sampler kept some of them; "" where none did."""
    if not kept:
        return ""
    which = f"{len(kept):,} of these {amount(runs, 'run')}" if len(kept) < runs else "These runs"
    rates = {in_words(probability) for probability in kept.values()}
    rate = f", {rates.pop()}" if len(rates) == 1 else ""
    return (
        f"≈ {which} {'was' if len(kept) == 1 < runs else 'were'} kept by a sampler{rate}: counts and sums are of what was kept, "
        f"about {stood_for(kept):,} took place. Shares and averages hold."
    )


def numbers(figures: Sequence[tuple[str, str, str]]) -> None:
    """Draw a row of figures: label, value, and a remark under it."""
    for column, (label, value, note) in zip(st.columns(len(figures), gap="small"), figures, strict=True):
        column.metric(label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch")


def chart(place: Any, title: str, figure: Figure, key: str) -> None:
    """Draw a Plotly figure under its title in `place`, a column or container, with the same as a table that can be saved."""
    head = place.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key=f"head_{key}"
    )
    head.caption(title)
    table = table_of(figure)
    if table.height:
        head.popover("Table", type="tertiary").dataframe(
            table, hide_index=True, width=560, key=f"table_{key}", alt=title
        )
    place.plotly_chart(figure, key=f"chart_{key}", config=_PLOTLY_CONFIG, theme="streamlit", alt=title)


def mode() -> Mode:
    """Whether the person looks at the light or the dark theme."""
    return "dark" if st.context.theme.type == "dark" else "light"


def follow(state: queries.StoreState, *, recording: bool, findings_of: str | None) -> None:
    """Redraw the page when there is news: runs go on, or findings are on their way. Asks a small question now and then.

    Args:
        recording: runs on this page have not ended.
        findings_of: token of the analysis the page shows, None if it shows none yet.
    """
    waiting = queries.is_analysing(state)
    if not recording and not waiting:
        return

    def look() -> None:
        now = queries.current()
        known = queries.store_analysis(now) if waiting else None
        if (recording and now.token != state.token) or (known is not None and known.token != findings_of):
            st.rerun()

    part(look, every_s=1.0 if waiting else 2.0)()


def explain(error: TracehoundError) -> None:
    """Say what went wrong and what to do; errors of the store are often over by the next second."""
    st.title("This cannot be shown right now" if isinstance(error, StoreLocked | SchemaTooNew) else "Not found")
    with st.container(border=True):
        st.text(readable(error.message))
        if error.hint:
            st.text(readable(f"Hint: {error.hint}"))
    if isinstance(error, StoreLocked):
        st.button("Try again", type="primary")
    else:
        st.page_link(address.TRACES, label="To the list of runs", icon=":material/list:")


def welcome(error: TracehoundError) -> None:
    """The page of a store that does not exist yet; it goes over to the real one as soon as something is recorded."""
    st.title("No traces yet")
    st.text(error.message)
    how_to_record()
    st.markdown("Or in your own code:")
    st.code("import tracer\n\ntracer.init()", language="python")
    part(_wait_for_store, every_s=0.5)()


def how_to_record() -> None:
    """The commands that fill a store."""
    st.markdown("Record something, and it appears here within a second:")
    st.code("tracehound demo                  # incidents of the bundled runtime, ready to look at\n"
            "tracehound run app.py            # your program, unchanged, instrumented\n"
            "tracehound import traces.json    # OTLP or a message transcript", language=None)  # fmt: skip


def _wait_for_store() -> None:
    path = queries.store_path()
    if path.exists() or path.with_suffix(".spool").is_dir():
        st.rerun()
