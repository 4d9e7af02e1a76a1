"""Alert rules as people write them: the defaults, changes to them, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzers.alerts.evaluate import READERS
from analyzers.alerts.parsing import default_rules, read_rules, rules_of
from analyzers.alerts.rules import MEASURES, preview
from analyzers.toml_tables import TomlFile
from tracer.errors import BadInput

HOUR_NS = 3_600 * 10**9
RULE = '[[rule]]\nname = "mine"\nmeasure = "run_cost_usd"\nwindow = "1h"\n'


def test_the_defaults_are_the_documented_ones() -> None:
    """Success below 80 %, cost above twice the median of 7 days from 10 runs on, longer than 30 s, a trip, findings, losses."""
    rules = {rule.name: rule for rule in default_rules()}
    cost, slow, trip = rules["run-cost"], rules["run-latency"], rules["breaker-trip"]

    assert [(rules[name].critical, rules[name].min_samples) for name in ("agent-success-rate", "completion-rate")] == [(0.8, 10)] * 2  # fmt: skip
    assert (cost.warning, cost.window_ns, cost.min_samples) == (2.0, 7 * 24 * HOUR_NS, 10)
    assert slow.warning == 30
    assert "loop" in slow.attach
    assert "review" in trip.then
    assert (rules["critical-finding"].severity, rules["fleet-finding"].measure.name, rules["lost-data"].warning) == ("critical", "fleet_findings", 1)  # fmt: skip


def test_every_measure_is_read_and_every_rule_has_its_sentence() -> None:
    """The two tables have the same keys; a preview names threshold, window and what follows."""
    assert MEASURES.keys() == READERS.keys()
    for rule in default_rules():
        assert rule.then in preview(rule)
    [success] = [rule for rule in default_rules() if rule.name == "completion-rate"]
    assert preview(success) == (
        "Watches each workflow: the share of its ended runs that completed. Alerts below 80 % (critical), given 10 runs, over the "
        "last 1 h; then stays quiet about the same for 1 h and counts what came meanwhile. "
        "Then: page somebody: runs of this workflow do not get to an answer."
    )


def test_a_file_changes_adds_and_switches_off(tmp_path: Path) -> None:
    """A default rule is changed key by key; others stay as they are; `defaults = false` drops them."""
    path = tmp_path / "alerts.toml"
    path.write_text('[[rule]]\nname = "run-latency"\ncritical = 120\nworkflow = ["support*", "!support_batch"]\n'
                    '[[rule]]\nname = "run-cost"\nenabled = false\n' + RULE + "critical = 5\n")  # fmt: skip
    rules = {rule.name: rule for rule in read_rules(path)}

    assert (rules["run-latency"].warning, rules["run-latency"].critical) == (30, 120)
    assert "(workflow support* but support_batch)" in preview(rules["run-latency"])
    assert "run-cost" not in rules
    assert rules["mine"].critical == 5
    assert [rule.name for rule in rules_of(TomlFile("defaults = false\n" + RULE + "critical = 5", "f"))] == ["mine"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\nname = "a"\nmeasure = "luck"', "f.toml:3: measure = 'luck' in [[rule]] 'a'; one of"),
        (RULE + 'critical = "much"', "f.toml:5: critical = 'much' in [[rule]] 'mine'; a number was expected"),
        (RULE + "critical = 1\ncritcal = 2", "f.toml:6: [[rule]] 'mine' has an unknown key 'critcal'"),
        (RULE, "f.toml:1: [[rule]] 'mine' has neither a warning nor a critical level"),
        (RULE + "warning = 2\ncritical = 1", "f.toml:6: critical = 1.0 in [[rule]] 'mine'; a value above the warning level 2"),
        ('[[rule]]\nname = "completion-rate"\ncritical = 80', "f.toml:3: critical = 80.0"),
        ('[[rule]]\nname = "a"\nmeasure = "runs"\nwindow = "an hour"\nwarning = 1', "f.toml:4: window = 'an hour'"),
        ('[[rule]]\nname = "a"\nmeasure = "findings"\nwindow = "1h"\nkinds = ["lop"]', "f.toml:5: kinds = 'lop'"),
        ('[[rule]]\nname = "a"\nmeasure = "runs"\nwarning = 1', "f.toml:1: [[rule]] 'a' has no 'window'"),
        ('[[rule]]\nname = "run-cost"\n[[rule]]\nname = "run-cost"', "f.toml:4: there are two rules called 'run-cost'"),
        ("[[rule]\n", "f.toml is no TOML"),
        ("[rule]\nname = 1", "no list of tables"),
        ("[[rules]]\nname = 1", "f.toml:1: [top of the file] has an unknown key 'rules'"),
        (RULE + "warning = inf", "f.toml:5: warning = inf in [[rule]] 'mine'; a number was expected"),
        (RULE + 'warning = 1\ncooldown = "9999999d"', "f.toml:6: cooldown = '9999999d' in [[rule]] 'mine'; at most ten years"),
        (RULE + 'warning = 1\nagent = "a"', "f.toml:6: [[rule]] 'mine' chooses agents, but does not look at any"),
        (RULE + 'warning = 1\nkinds = ["loop"]', "f.toml:6: [[rule]] 'mine' has 'kinds', which means nothing to"),
        ('[[rule]]\nname = "critical-finding"\nwarning = 3', "f.toml:3: [[rule]] 'critical-finding' has 'warning', which means nothing to"),
        ("default = false", "f.toml:1: [top of the file] has an unknown key 'default'"),
    ],
)  # fmt: skip
def test_every_mistake_has_file_line_value_and_expectation(text: str, said: str) -> None:
    """And a bad file never leaves some of its rules behind."""
    with pytest.raises(BadInput) as caught:
        rules_of(TomlFile(text, "f.toml"))
    assert said in caught.value.message


def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    """Absent, a directory, or no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.toml", ".", "binary"):
        with pytest.raises(BadInput):
            read_rules(tmp_path / name)
