"""The state of a page is its address: read here, changed here, so that a copied link shows the same picture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

VIEWS = Path(__file__).with_name("views")
OVERVIEW, TRACES, TRACE = VIEWS / "overview.py", VIEWS / "traces.py", VIEWS / "trace.py"
COMPARE = VIEWS / "compare.py"

PAGES: tuple[tuple[Path, str], ...] = (
    (OVERVIEW, "Overview"),
    (VIEWS / "live.py", "Live"),
    (TRACES, "Traces"),
    (TRACE, "Trace"),
    (VIEWS / "sessions.py", "Sessions"),
    (VIEWS / "workflows.py", "Workflows"),
    (VIEWS / "agents.py", "Agents"),
    (VIEWS / "coordination.py", "Coordination"),
    (VIEWS / "cost.py", "Cost"),
    (COMPARE, "Compare"),
    (VIEWS / "alerts.py", "Alerts"),
    (VIEWS / "backtest.py", "Back-test"),
    (VIEWS / "health.py", "Health"),
)
"""Every page with its title, in the order of the navigation; the first is the one without a path. A test compares the
table with the folder."""

_PICKED, _CHANGES, _WALKED = "picked", "address_changes", "history_steps"
_LIST_STATE = frozenset({"q", "order", "page", "window"})

Name = Literal["trace", "span", "finding", "weight", "workflow", "agent", "session", "a", "b"]


@dataclass(frozen=True, slots=True)
class Change:
    """The newest value of a name, and those it replaced: messages that are on their way may still carry them."""

    now: str | None
    before: frozenset[str | None]

    def followed_by(self, value: str | None) -> Change:
        """As it is after one more change."""
        return Change(value, (self.before | {self.now}) - {value})


def overtaken(changes: Mapping[str, Change], sent: Mapping[str, str], *, alone: bool) -> dict[str, str | None] | None:
    """What to correct in an address that the browser sent, and None where the address is right and `changes` are over.

    A change made here reaches the browser a moment later, and what the browser sends meanwhile carries the address as it
    was: the timer of a part of the page, or a second click. Back and Forward, links and reloads send the whole page.

    Args:
        sent: the address as it came.
        alone: a part of the page is drawn, not all of it.
    """
    differing = {name: change for name, change in changes.items() if sent.get(name) != change.now}
    if any(not alone or sent.get(name) not in change.before for name, change in differing.items()):
        return None
    return {name: change.now for name, change in differing.items()}


def settle() -> None:
    """Correct an address that was sent before the browser knew of a change made here. Every part of a page begins with it."""
    changes: dict[str, Change] = st.session_state.get(_CHANGES, {})
    if not changes:
        return
    context = get_script_run_ctx()
    late = overtaken(changes, st.query_params.to_dict(), alone=bool(context and context.fragment_ids_this_run))
    if late is None:
        st.session_state[_CHANGES] = {}
    elif late:
        _write(late)


def arrive() -> None:
    """Take the address as it came. Called once before a whole page is drawn."""
    settle()
    context = get_script_run_ctx()
    if context and context.is_history_navigation:
        st.session_state[_WALKED] = st.session_state.get(_WALKED, 0) + 1


def fresh(key: str) -> str:
    """The key of a widget that begins with what the address says: another one after Back and Forward.

    Streamlit keeps what a person chose in a widget with a key, whatever its default says by then.
    """
    steps = st.session_state.get(_WALKED, 0)
    return f"{key}_{steps}" if steps else key


def get(name: Name) -> str | None:
    """The value in the address, None where it is absent or empty."""
    settle()
    return st.query_params.get(name) or None


def put(**values: str | None) -> None:
    """Change some values; None takes one out."""
    settle()
    changes: dict[str, Change] = st.session_state.setdefault(_CHANGES, {})
    for name, value in values.items():
        known = changes.get(name) or Change(st.query_params.get(name), frozenset())
        if value != known.now:
            changes[name] = known.followed_by(value)
    _write(values)


def _write(values: Mapping[str, str | None]) -> None:
    """Each message to the browser is a step in its history, so that what is set is set together."""
    for name in (name for name, value in values.items() if value is None):
        st.query_params.pop(name, None)
    st.query_params.update({name: value for name, value in values.items() if value is not None})


def one_of(name: str, options: Collection[str], default: str) -> str:
    """The value in the address if it is one of `options`."""
    value = st.query_params.get(name, default)
    return value if value in options else default


def follows(name: str, key: str, *, default: str = "", forget: Collection[str] = ()) -> Callable[[], None]:
    """A callback for the widget `key` that keeps the address up to date; at its default the value is taken out.

    Streamlit's own `bind="query-params"` would do this, but a bound name cannot be set when going to another page. The
    key has to be a `fresh` one.

    Args:
        forget: names to take out with every change, such as the page of a list that just became another.
    """

    def follow() -> None:
        value = str(st.session_state[key] or default)
        put(**{name: None if value == default else value}, **dict.fromkeys(forget))

    return follow


def _leave_for(page: Path, query: Mapping[str, str]) -> None:
    """Go to another page. Raises what Streamlit ends a page with.

    A part of the old page that draws itself again may ask for that once more before the browser knows of the new page.
    Streamlit would draw it there, over the new one, as long as it knows the part.
    """
    context = get_script_run_ctx()
    if context is not None:
        context.fragment_storage.clear()
    st.switch_page(page, query_params=query)


def open_trace(run_id: str, *, span: str | None = None) -> None:
    """Go to the trace page of a run, with one span selected.

    What the page left behind had in its address (its query, its order) stays in it: Streamlit writes the new address
    into the history once under the old page and once under the new one, and Back must find the list as it was.
    """
    kept = {name: value for name, value in st.query_params.to_dict().items() if name in _LIST_STATE}
    _leave_for(TRACE, {**kept, "trace": run_id, **({"span": span} if span else {})})


def open_traces(query: str = "") -> None:
    """Go to the list, filtered."""
    _leave_for(TRACES, {"q": query} if query else {})


def remember(pick: Mapping[str, str]) -> None:
    """For `on_pick` of a document: a run that was clicked is opened, a query is shown on the Traces page.

    A callback cannot change the page, so what was clicked waits for `go`, in the run of the script that follows.
    """
    st.session_state[_PICKED] = dict(pick)


def go() -> None:
    """Go where the click led that `remember` keeps; nothing where there is none. Called before a page or fragment is drawn."""
    pick = st.session_state.pop(_PICKED, {})
    if "run" in pick:
        open_trace(pick["run"], span=pick.get("span"))
    if "query" in pick:
        open_traces(pick["query"])


def open_compare(a: str | None, b: str | None) -> None:
    """Go to the page that compares two runs; one that is None is chosen there."""
    _leave_for(COMPARE, {name: run for name, run in (("a", a), ("b", b)) if run})


def term(field: str, value: str) -> str:
    """A term of the query box that names `value` exactly: `agent:"desk \\"A\\""`."""
    return f'{field}:"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
