"""`tracehound import` of what nothing can be read from: exit 2, the reason with its place, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard.cli import main


@pytest.mark.parametrize(
    ("content", "reason", "hint"),
    [
        (None, "no such file", "Hint: look at the path"),
        ("not json at all", "format not recognised", "Hint: say what it is with --format NAME"),
        ('{"resourceSpans": [', "the text is cut off", "Hint: the lines above say where reading ended"),
    ],
)
def test_bad_input_has_a_reason_and_a_hint(
    content: str | None, reason: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.json"
    if content is not None:
        file.write_text(content)
    assert main(["import", str(file), "--store", str(tmp_path / "t.duckdb"), "--json"]) == 2
    said = capsys.readouterr().err
    assert f"{file}:" in said
    assert reason in said
    assert hint in said
