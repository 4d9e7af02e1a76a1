"""The pytest plugin in a pytest of its own: which tests of the example fail, and what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.slow
PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """test -> (passed, failure or error, what it says)."""
    folder = tmp_path_factory.mktemp("desk")
    for name, copy in (("desk.py", "desk.py"), ("desk_tests.py", "test_desk.py")):
        (folder / copy).write_text((PROGRAMS / name).read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--strict-markers", "--junitxml", "out.xml"]  # fmt: skip
    done = subprocess.run([*command, "test_desk.py"], cwd=folder, capture_output=True, text=True, timeout=200, check=False)  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, tuple[str, str]] = {}
    for case in ET.parse(folder / "out.xml").iter("testcase"):
        said = [(child.tag, (child.get("message") or "") + (child.text or "")) for child in case if child.tag in ("failure", "error")]  # fmt: skip
        found[case.get("name", "")] = said[0] if said else ("passed", "")
    return found


@pytest.mark.parametrize(
    ("test", "outcome", "said"),
    [
        ("test_healthy", "passed", ""),
        ("test_loops", "failure", "critical loop: "),
        ("test_loops_as_agreed", "passed", ""),
        ("test_overspends", "failure", "overspent: $2.0000 of $0.5000"),
        ("test_conflicts", "failure", "conflicting_decisions: "),
        ("test_records_nothing", "failure", "nothing was recorded"),
        ("test_own_failure_comes_first", "failure", "assert 'Thursday' in 'Friday'"),
        ("test_without_the_fixture", "passed", ""),
        ("test_misspelt_limit", "error", "no limit budget; there are allow, budget_usd"),
    ],
)
def test_a_users_tests(outcomes: dict[str, tuple[str, str]], test: str, outcome: str, said: str) -> None:
    """Loops, overspending and conflicts fail the test, with what was found and where to look; everything else is left alone."""
    assert outcomes[test][0] == outcome, outcomes[test]
    assert said in outcomes[test][1]
    if outcome == "failure" and "nothing" not in said and "assert" not in said:
        assert "tracehound report" in outcomes[test][1]
