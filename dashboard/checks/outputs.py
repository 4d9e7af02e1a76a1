"""A gate's answer in the words of build servers: GitHub's workflow commands, and JUnit's XML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator

from analyzers.gate import Gate, Problem

_COMMANDS = {"critical": "error", "warning": "warning", "info": "notice"}


def github_annotations(gate: Gate) -> Iterator[str]:
    """One line per problem that is not known: `::error title=...::text`. Data are escaped as GitHub wants it."""
    for problem in gate.problems:
        if not problem.known:
            title = _property(f"tracehound {problem.name}" + (f" in {problem.workflow}" if problem.workflow else ""))
            yield f"::{_COMMANDS[problem.severity]} title={title}::{_data(_text(problem))}"


def junit_xml(gate: Gate) -> bytes:
    """One suite per workflow with one case per run, and one suite for what is not about a run. What fails the gate is a failure."""
    failing = set(gate.failing)
    by_run: dict[str | None, list[Problem]] = defaultdict(list)
    for problem in gate.problems:
        by_run[problem.run_id].append(problem)
    root = ET.Element("testsuites", name="tracehound check")
    for (workflow,), runs in gate.runs.sort("start_ns", "run_id").group_by("workflow", maintain_order=True):
        suite = ET.SubElement(root, "testsuite", name=_legal(f"{workflow or 'no workflow'}"))
        for row in runs.iter_rows(named=True):
            case = ET.SubElement(suite, "testcase", classname=suite.get("name", ""), name=row["run_id"],
                                 time=f"{row['duration_s'] or 0:.3f}")  # fmt: skip
            _problems(case, by_run[row["run_id"]], failing)
    over = ET.SubElement(root, "testsuite", name="over many runs")
    groups: dict[str, list[Problem]] = defaultdict(list)
    for problem in by_run[None]:
        groups[f"{problem.source} {problem.name}"].append(problem)
    for name, problems in groups.items():
        _problems(ET.SubElement(over, "testcase", classname="over many runs", name=_legal(name)), problems, failing)
    for suite in root:
        suite.set("tests", str(len(suite)))
        suite.set("failures", str(len(suite.findall("./testcase/failure"))))
    root.set("tests", str(sum(len(suite) for suite in root)))
    root.set("failures", str(len(root.findall("./testsuite/testcase/failure"))))
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True)


def _problems(case: ET.Element, problems: list[Problem], failing: set[Problem]) -> None:
    for problem in problems:
        if problem in failing:
            failure = ET.SubElement(case, "failure", type=f"{problem.severity} {problem.name}", message=_legal(problem.title))  # fmt: skip
            failure.text = _legal(_text(problem))
    rest = [p for p in problems if p not in failing and (p.severity != "info" or p.known)]
    if rest:
        told = [f"{'known ' if p.known else ''}{p.severity} {p.name}: {p.title}" for p in rest]
        ET.SubElement(case, "system-out").text = _legal("\n".join(told))


def _text(problem: Problem) -> str:
    parts = [problem.title, problem.explanation, f"Do: {problem.suggestion}" if problem.suggestion else ""]
    if problem.run_id:
        parts.append(f"Run: {problem.run_id}")
    return "\n".join(part for part in parts if part)


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold, not even escaped: texts of models may carry any."""
    return "".join(c if c in "\t\n\r" or (" " <= c <= "\ud7ff") or ("\ue000" <= c <= "\ufffd") or c > "\uffff" else "\ufffd" for c in text)  # fmt: skip


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
