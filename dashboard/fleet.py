"""Findings that only a view over many runs can see, as cards side by side: the Overview, Cost, Workflows and Agents pages show them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analyzers.finding import Finding
from analyzers.wording import amount
from dashboard import address
from dashboard.components import document_view
from dashboard.documents import blocks as b
from dashboard.documents.run import SEVERITY_TONES, finding_blocks
from dashboard.figures import units
from dashboard.run_reads import SECOND_NS

MOST = 4
FOLD_CHARS = 260


def fleet_cards(findings: Sequence[Finding], *, key: str) -> None:
    """Draw the first `MOST` findings in two columns, the others folded away; a click leads to the runs a card is about."""
    _cards(findings[:MOST], key)
    if rest := findings[MOST:]:
        with st.expander(f"{amount(len(rest), 'more finding')} over many runs"):
            _cards(rest, f"{key}_rest")


def _cards(shown: Sequence[Finding], key: str) -> None:
    places = st.columns(2, gap="small") if len(shown) > 1 else [st.container()]
    for number, place in enumerate(places):
        cards = [_card(finding) for finding in shown[number :: len(places)]]
        if cards:
            with place:
                document_view(cards, key=f"{key}_{number}", label="Findings over many runs", subject=key, on_pick=address.remember)  # fmt: skip


def _card(finding: Finding) -> b.Block:
    """Short, so that several fit on a screen: what to change and the evidence unfold."""
    title, chips, *rest = finding_blocks(finding, brief=True, items=_runs_chip(finding))
    blocks = [title, chips, b.prose(finding.explanation, fold=FOLD_CHARS)]
    if finding.suggestion:
        blocks.append(b.section("What to change", [b.prose(finding.suggestion)]))
    blocks += [block for block in rest if block["block"] == "section"]
    return b.card(blocks, tone=SEVERITY_TONES[finding.severity])


def _runs_chip(finding: Finding) -> list[b.Block]:
    """A way from a finding about a workflow to its runs."""
    workflow = finding.data.get("workflow")
    if not isinstance(workflow, str):
        return []
    query = address.term("workflow", workflow)
    if finding.start_ns is not None and finding.end_ns is not None:
        query += f" after:{_minute(finding.start_ns)} before:{_minute(finding.end_ns + 60 * SECOND_NS)}"
    return [b.chip("show these runs →", tone="info", pick={"query": query})]


def _minute(time_ns: int) -> str:
    return units.moment(time_ns)[:16].replace(" ", "T")
