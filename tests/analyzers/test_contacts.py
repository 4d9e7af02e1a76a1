"""Who turned to whom, counted over runs."""

from __future__ import annotations

from analyzers.contacts import find_contacts
from tests import drawn


def _team(name: str, *, handoff: bool) -> drawn.Drawn:
    helper = drawn.agent("Helper", 2, 4, drawn.llm(2, 3))
    marks = [drawn.handoff("Lead", "Helper", 1.5)] if handoff else []
    return drawn.run(
        "team", drawn.agent("Lead", 0, 5, *marks, helper, drawn.message("Lead", "user", 4.5, "done")), id=name
    )


def test_an_invocation_counts_unless_a_handoff_says_the_same() -> None:
    """One handoff and one bare invocation of the same pair are two contacts, not three."""
    rows = find_contacts(drawn.frames(_team("a", handoff=True), _team("b", handoff=False)))
    found = {(row["source"], row["target"], row["way"]): row["contacts"] for row in rows.iter_rows(named=True)}
    assert found == {("Lead", "Helper", "handoff"): 1, ("Lead", "Helper", "invoke"): 1, ("Lead", "user", "message"): 2}


def test_invocations_have_a_mean_time_and_count_failures() -> None:
    """The time is the callee's; failures are its failed spans."""
    failing = drawn.agent("Helper", 1, 3, status="error")
    rows = find_contacts(
        drawn.frames(drawn.run("team", drawn.agent("Lead", 0, 5, failing, drawn.agent("Helper", 3, 4)), id="c"))
    )
    [row] = rows.filter(rows["way"] == "invoke").to_dicts()
    assert (row["contacts"], row["runs"], row["failed"], row["mean_s"]) == (2, 1, 1, 1.5)


def test_nothing_recorded_is_no_contact() -> None:
    """An empty store gives an empty table with all its columns."""
    assert find_contacts(drawn.frames()).columns == ["source", "target", "way", "contacts", "runs", "failed", "mean_s"]
