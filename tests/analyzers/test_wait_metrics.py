"""What runs waited for, per reason and awaited party."""

from __future__ import annotations

from analyzers.metrics.versions import version_metrics
from analyzers.metrics.waits import wait_metrics
from tests import drawn


def test_waits_are_summed_per_party_and_open_ones_are_told_apart() -> None:
    """The longest total comes first; a wait that goes on has no length yet."""
    frames = drawn.frames(
        drawn.run(
            "desk",
            drawn.agent("A", 0, 20, drawn.wait("Person", 1, 11), drawn.wait("B", 12, 13)),
            drawn.agent("C", 0, None, drawn.wait("B", 14, None)),
            id="w",
        )
    )
    rows = wait_metrics(frames).to_dicts()
    assert [(row["target"], row["waits"], row["running"], row["total_s"]) for row in rows] == [
        ("Person", 1, 0, 10.0),
        ("B", 2, 1, 1.0),
    ]
    assert rows[1]["agents"] == ["A", "C"]


def test_versions_stand_apart_with_the_newest_first() -> None:
    """Calls, errors and money per version of service and prompt."""
    old = drawn.llm(0, 1, cost="0.01", service_version="1.0")
    new = drawn.llm(2, 4, cost="0.03", service_version="1.1", prompt_version="b")
    spans = drawn.frames(drawn.run("desk", drawn.agent("A", 0, 5, old, new), id="v")).spans
    rows = version_metrics(spans.filter(spans["agent"] == "A")).to_dicts()
    assert [(row["service_version"], row["prompt_version"], row["llm_calls"]) for row in rows] == [
        ("1.1", "b", 1),
        ("1.0", None, 1),
        (None, None, 0),
    ]
    assert rows[0]["cost_per_run_usd"] == 0.03
    assert rows[0]["latency_p50_s"] == 2.0
