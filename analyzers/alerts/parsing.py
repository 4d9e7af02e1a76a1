"""Alert rules from TOML: `[[rule]]` tables over the defaults that come with tracehound. Format: docs/alerts.md."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import cast

from analyzers.alerts.rules import MEASURES, NoData, Per, Rule
from analyzers.finding import SEVERITIES, Severity
from analyzers.toml_tables import Table, TomlFile
from tracer.errors import BadInput

OTHER_TABLES = ("channel", "guard", "sweep")
"""what else may stand in the file: where alerts go, and policies to back-test"""


_INSTEAD = {
    True: "findings have a severity of their own: `severity` says from which on, `kinds` of which kinds.",
    False: 'it goes with measure = "findings" or "fleet_findings"; this measure has levels: `warning` and `critical`.',
}
"""about findings -> what to write instead"""


def default_rules() -> tuple[Rule, ...]:
    """The rules of `defaults.toml`."""
    return tuple(_rule(table, None) for table in _defaults().tables("rule"))


def default_text() -> str:
    """The defaults as a file to start from."""
    return files("analyzers.alerts").joinpath("defaults.toml").read_text(encoding="utf-8")


def read_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a file, over the defaults.

    Raises:
        BadInput: the file cannot be read, or something in it is not as it must be; the message has file and line.
    """
    return rules_of(TomlFile.read(path))


def rules_of(file: TomlFile) -> tuple[Rule, ...]:
    """As `read_rules`, of a file that is read already."""
    top = file.top(tables=("rule", *OTHER_TABLES))
    use_defaults = top.flag("defaults", default=True)
    top.done()
    rules = {rule.name: rule for rule in default_rules()} if use_defaults else dict[str, Rule]()
    base = {table.text("name"): table.values for table in _defaults().tables("rule")} if use_defaults else {}
    own: set[str] = set()
    for table in file.tables("rule"):
        name = table.text("name")
        if name in own:
            raise BadInput(f"{table.place('name')}: there are two rules called {name!r}.", hint="names are unique.")
        own.add(name)
        if not table.flag("enabled", default=True):
            rules.pop(name, None)
            continue
        if name in base:  # a default rule is changed key by key
            table.values = {**base[name], **table.values}
        rules[name] = _rule(table, rules.get(name))
    return tuple(rules.values())


def _defaults() -> TomlFile:
    return TomlFile(default_text(), "defaults.toml")


def _rule(table: Table, _before: Rule | None) -> Rule:
    name = table.text("name")
    table.flag("enabled", default=True)
    measure = MEASURES[table.choice("measure", MEASURES)]
    per = cast("Per", table.choice("per", measure.pers, measure.pers[0]))
    about_findings = measure.name in ("findings", "fleet_findings")
    for key in ("warning", "critical") if about_findings else ("kinds", "severity"):
        if key in table:
            raise BadInput(f"{table.place(key)}: {table.called()} has {key!r}, which means nothing to {measure.name!r}.", hint=_INSTEAD[about_findings])  # fmt: skip
    warning, critical = (None, None) if about_findings else (table.number("warning", None), table.number("critical", None))  # fmt: skip
    rule = Rule(
        name=name,
        measure=measure,
        per=per,
        warning=warning,
        critical=critical,
        window_ns=table.duration("window"),
        min_samples=table.whole("min_samples", 1, least=1),
        workflow=table.texts("workflow", ("*",)),
        agent=table.texts("agent", ("*",)) if per == "agent" or "agent" not in table else _no_agent(table),
        kinds=table.texts("kinds", ("*",)) if about_findings else ("*",),
        severity=cast("Severity", table.choice("severity", SEVERITIES, "critical")) if about_findings else "critical",
        no_data=cast("NoData", table.choice("no_data", ("ok", "keep", "alert"), "ok")),
        cooldown_ns=table.duration("cooldown", "0s"),
        then=table.text("then", ""),
        attach=table.texts("attach"),
    )
    table.done()
    if rule.window_ns <= 0:
        table.refuse("window", table.raw("window"), "a length of time above zero")
    if not about_findings:
        _check_levels(table, rule)
    _check_kinds(table, rule)
    return rule


def _no_agent(table: Table) -> tuple[str, ...]:
    measured = [name for name, measure in MEASURES.items() if "agent" in measure.pers]
    raise BadInput(
        f"{table.place('agent')}: {table.called()} chooses agents, but does not look at any.",
        hint=f'per = "agent" goes with {", ".join(measured)}.',
    )


def _check_levels(table: Table, rule: Rule) -> None:
    if rule.warning is None and rule.critical is None:
        raise BadInput(
            f"{table.place()}: {table.called()} has neither a warning nor a critical level.",
            hint="add `warning = ...` or `critical = ...`.",
        )
    for key, limit in (("warning", rule.warning), ("critical", rule.critical)):
        if limit is None:
            continue
        if rule.measure.unit == "ratio" and not 0 <= limit <= 1:
            table.refuse(key, limit, "a share from 0 to 1", "80 % is 0.8.")
        if limit < 0:
            table.refuse(key, limit, "a number from 0 on")
    if rule.warning is not None and rule.critical is not None and rule.warning != rule.critical:
        ordered = rule.critical < rule.warning if rule.measure.below else rule.critical > rule.warning
        if not ordered:
            word = "below" if rule.measure.below else "above"
            table.refuse("critical", rule.critical, f"a value {word} the warning level {rule.warning:g}")


def _check_kinds(table: Table, rule: Rule) -> None:
    from analyzers.detectors import DETECTORS

    known = {detector.name for detector in DETECTORS}
    for key, patterns in (("kinds", rule.kinds), ("attach", rule.attach)):
        for pattern in patterns:
            name = pattern.removeprefix("!")
            if "*" not in name and name not in known:
                near = ", ".join(sorted(known))
                table.refuse(key, pattern, "a kind of finding", f"there are {near}.")
