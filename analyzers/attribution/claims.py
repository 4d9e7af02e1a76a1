"""What a run says of itself that does not hold: first-tier signals read off words, mainly of transcripts.

    claims a look-up    "I have reviewed the article", and no tool, machine or page answered before it
    nothing came back   a search or program that succeeded and gave nothing, and the same call did not give more later
    no progress         the run's own monitor (a Magentic progress ledger) says that the step before gained nothing, or goes in circles

Each is charged in full the first time and at less than half afterwards: the rest builds on the first. O(text).
Known misses: claims in other languages or words; a look-up that was made outside what was recorded looks like a claim.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzers.attribution.steps import Step
from analyzers.attribution.suspect import Charge

LATER = 0.4
"""share of a signal's weight from its second time on"""
CLAIMS = re.compile(
    r"\b(?:upon (?:review|check|examin|search|inspect|access)\w*|after (?:review|check|examin|search|inspect|access|look)\w*|"
    r"I(?:'ve| have) (?:\w+ )?(?:found|retrieved|reviewed|accessed|located|looked up|checked|searched|visited|watched|listened|verified|"
    r"confirmed|extracted)|I (?:found|retrieved|reviewed|accessed|located|looked up|searched)|"
    r"the (?:article|page|website|paper|document|book|record|video) (?:states|says|shows|lists|indicates))\b",
    re.IGNORECASE,
)
PAGE = re.compile(r"here is a screenshot of|the viewport shows|viewport position|automatic ocr of|^address: ", re.IGNORECASE | re.MULTILINE)  # fmt: skip
"""an agent that shows what it looked at needs no other proof"""
NOTHING = re.compile(
    r"(?:exitcode: 0 \(execution succeeded\)\s*)?(?:code output:)?\s*"
    r"(?:\[\]|\{\}|no (?:results?|matches|data)[^\n]{0,40}|0 results[^\n]{0,40}|empty dataframe[\s\S]{0,60}|)\s*",
    re.IGNORECASE,
)
STALLS = re.compile(
    r'"is_progress_being_made":\s*\{[^}]*?"answer":\s*false|"is_in_loop":\s*\{[^}]*?"answer":\s*true', re.DOTALL
)


def charge_claims(steps: Sequence[Step], charge: Charge) -> None:
    """Workers that say they looked something up where nothing was looked up."""
    made = 0
    for step in steps:
        claim = CLAIMS.search(step.text) if step.role == "worker" and not PAGE.search(step.text) else None
        if claim is None or _backed(steps, step):
            continue
        charge(step.place, "claims", f'claims "{claim[0]}", and nothing was looked up before it', LATER if made else 1)
        made += 1


def _backed(steps: Sequence[Step], step: Step) -> bool:
    """Whether something had answered: in a transcript the message before, among spans any tool of the run so far."""
    if step.step is not None:
        before = steps[step.place - 1 : step.place]
    else:
        before = [one for one in steps[: step.place] if one.start_ns < step.start_ns]
    return any(one.role == "machine" and one.error is None and not _came_to_nothing(one) for one in before)


def _came_to_nothing(step: Step) -> bool:
    """Of a tool's span only a recorded empty answer counts: many return nothing because they do something."""
    return NOTHING.fullmatch(step.text) is not None and (step.step is not None or bool(step.text.strip()))


def charge_empty(steps: Sequence[Step], authors: Sequence[int | None], charge: Charge) -> None:
    """Who wrote what succeeded and came back with nothing; `authors`: place of a machine's step -> the place to blame."""
    more: dict[tuple[str | None, str | None], int] = {
        (s.agent, s.tool): s.place for s in steps if s.role == "machine" and s.tool and not _came_to_nothing(s)
    }
    made = 0
    for step in steps:
        if step.role != "machine" or step.error is not None or not _came_to_nothing(step):
            continue
        author = authors[step.place]
        if author is None or more.get((step.agent, step.tool), -1) > step.place:
            continue
        charge(author, "nothing came back", f"{step.tool or 'what it ran'} came back with nothing", LATER if made else 1)  # fmt: skip
        made += 1


def charge_stalls(steps: Sequence[Step], charge: Charge) -> None:
    """The last worker's step before the run's own monitor says that nothing was gained."""
    last: int | None = None
    made = 0
    for step in steps:
        stalled = STALLS.search(step.text) is not None
        if step.role == "worker" and not stalled:
            last = step.place
        if last is not None and stalled:
            charge(last, "no progress", "the run's own ledger says that no progress was made with it", LATER if made else 1)  # fmt: skip
            made += 1
