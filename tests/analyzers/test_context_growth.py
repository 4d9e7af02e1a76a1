"""Histories sent again: when they are worth a word."""

from __future__ import annotations

import pytest

from analyzers.detectors.context_growth import find_context_growth, theil_sen
from analyzers.finding import Finding
from tests.drawn import Node, agent, frames, llm, run


def chat(calls: int, *, tokens: int = 1_000, keep: int | None = None, cached: float = 0.0) -> list[Node]:
    """`calls` calls, each sending all messages so far (or the last `keep`), `tokens` tokens each."""
    items: list[Node] = []
    for n in range(calls):
        history = [f"message {i} " + "x" * 400 for i in range(n + 1)][-keep if keep else 0 :]
        total = tokens * len(history)
        items.append(
            llm(n, n + 0.5, prompt=history, input_tokens=total, output_tokens=10, cached_tokens=int(total * cached))
        )
    return items


def found(*items: Node) -> list[Finding]:
    return find_context_growth(frames(run("w", agent("a", 0, 99, *items))))


@pytest.mark.parametrize(("calls", "severity"), [(7, None), (12, "info"), (24, "warning")])
def test_a_history_sent_again_is_told_by_its_price(calls: int, severity: str | None) -> None:
    """Few tokens are not mentioned, tens of thousands are a remark, hundreds of thousands a warning."""
    assert [f.severity for f in found(*chat(calls))] == ([severity] if severity else [])


def test_the_numbers_are_exact_where_texts_are_known() -> None:
    """Of 1 + 2 + ... + 24 equal messages all but 24 were sent before."""
    (finding,) = found(*chat(24))

    assert finding.data["resent_tokens"] == pytest.approx(1_000 * (24 * 25 // 2 - 24), rel=0.01)
    assert finding.data["resent_share"] == pytest.approx(1 - 24 / 300, abs=0.01)
    assert finding.data["slope_tokens_per_call"] == 1_000


NEGATIVES: dict[str, list[Node]] = {
    "a sliding window": chat(40, keep=5),
    "a prompt cache takes it": chat(24, cached=0.95),
    "short calls": chat(24, tokens=35),
    "new text each time": [llm(n, n + 0.5, prompt=f"{n} " + "y" * 500, input_tokens=9_000 + n, output_tokens=5) for n in range(30)],
}  # fmt: skip


@pytest.mark.parametrize("case", NEGATIVES)
def test_histories_that_cost_little_are_left_alone(case: str) -> None:
    """No growth, nothing paid twice, or next to nothing at all."""
    assert found(*NEGATIVES[case]) == []


def test_checks_follow_the_input() -> None:
    """More calls and a cache show in what was checked."""
    (plain,), (half,) = found(*chat(30)), found(*chat(30, cached=0.5))

    values = [{c.rule: c.value for c in f.checked}["tokens sent again at full price"] for f in (plain, half)]
    assert isinstance(values[0], int)
    assert isinstance(values[1], int)
    assert values[0] > values[1] > 0


def test_theil_sen_ignores_an_outlier() -> None:
    """One wild value does not turn the slope."""
    assert theil_sen([1, 2, 3, 900, 5, 6, 7]) == 1


def test_a_history_kept_as_one_text_is_seen_by_its_beginning() -> None:
    """One message that grows, with the same order at its end; as long texts that have little in common are new."""
    pieces = [f"entry {n} " + "x" * 400 for n in range(24)]
    grown = [
        llm(n, n + 0.5, prompt="\n".join(pieces[: n + 1]) + "\nGo on.", input_tokens=1_000 * (n + 1), output_tokens=9)
        for n in range(24)
    ]
    (finding,) = found(*grown)

    assert finding.data["resent_share"] == pytest.approx(1 - 24 / 300, abs=0.1)
    assert (
        found(
            *(
                llm(n, n + 0.5, prompt=f"{n} " * 200 * (n + 1), input_tokens=1_000 * (n + 1), output_tokens=9)
                for n in range(24)
            )
        )
        == []
    )
