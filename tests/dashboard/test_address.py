"""An address that the browser sent before it knew of a change: corrected; one that a person chose: obeyed."""

from __future__ import annotations

import pytest

from dashboard.address import Change, overtaken

CLICKED = {"span": Change(None, frozenset()).followed_by("a").followed_by("b")}


@pytest.mark.parametrize(
    ("sent", "alone", "expected"),
    [
        pytest.param({"span": "b"}, True, {}, id="the browser knows"),
        pytest.param({}, True, {"span": "b"}, id="a timer from before both clicks"),
        pytest.param({"span": "a"}, True, {"span": "b"}, id="a timer from between the clicks"),
        pytest.param({"span": "c"}, True, None, id="a selection from elsewhere"),
        pytest.param({}, False, None, id="Back to the beginning"),
        pytest.param({"span": "a"}, False, None, id="Back by one"),
        pytest.param({"span": "b", "view": "Flame"}, False, {}, id="another view, the same selection"),
    ],
)
def test_what_was_overtaken(sent: dict[str, str], alone: bool, expected: dict[str, str | None] | None) -> None:
    """Parts of a page are corrected, whole pages are believed."""
    assert overtaken(CLICKED, sent, alone=alone) == expected


def test_a_selection_that_was_undone_stays_undone() -> None:
    """A late message with what was cleared does not bring it back; selecting it again does."""
    cleared = {"finding": Change("f", frozenset({None})).followed_by(None)}
    assert overtaken(cleared, {"finding": "f"}, alone=True) == {"finding": None}
    again = {"finding": cleared["finding"].followed_by("f")}
    assert overtaken(again, {"finding": "f"}, alone=True) == {}
    assert overtaken(again, {}, alone=True) == {"finding": "f"}
