"""The command line as others rely on it: names, exit codes, clean stdout, errors without tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dashboard.commands as commands
from dashboard.cli import main
from dashboard.commands import COMMANDS

READING = ["traces", "watch", "metrics", "analyze", "show abc", "report abc", "mark abc ok", "sql 'SELECT 1'"]


def run(line: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    import shlex

    try:
        code = main(shlex.split(line))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    out, err = capsys.readouterr()
    return code, out, err


def test_the_folder_is_the_table() -> None:
    """A command file without its line in COMMANDS, or a line without its file, is a failing test."""
    files = {path.stem for path in Path(commands.__path__[0]).glob("*.py")} - {"__init__", "common"}

    assert files == {command.module for command in COMMANDS}


@pytest.mark.smoke
@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`tracehound NAME --help` succeeds and says what the command does."""
    code, out, _ = run(f"{name} --help", capsys)

    assert code == 0
    assert out.startswith(f"usage: tracehound {name}")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "frobnicate",
        "traces --no-such-option",
        "traces --limit 0",
        "metrics --since soon",
        "dashboard --port -1",
        "watch --for -1",
    ],
)
def test_bad_usage_is_exit_code_2_with_a_message(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake on the command line is answered on stderr, with nothing on stdout."""
    code, out, err = run(line, capsys)

    assert (code, out) == (2, "")
    assert err.strip()


def test_a_misspelt_command_is_answered_with_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("anlyze", capsys) == (
        2,
        "",
        "tracehound: There is no command 'anlyze'.\nHint: did you mean 'analyze'?\n",
    )


@pytest.mark.parametrize("line", READING)
def test_reading_commands_never_create_a_store(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a store a command says so, gives a hint, and leaves nothing behind."""
    store = tmp_path / "none.duckdb"

    code, out, err = run(f"{line} --store {store}", capsys)

    assert (code, out) == (2, "")
    assert "no store" in err
    assert "Hint:" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["traces", "watch --for 0"])
def test_an_empty_file_is_no_store(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped path to an empty file is not answered with "no runs", and the file is not made into a store."""
    store = tmp_path / "notes.txt"
    store.touch()

    code, out, err = run(f"{line} --store {store}", capsys)

    assert (code, out) == (2, "")
    assert "no store" in err
    assert "the file is empty" in err
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("notes.txt", 0)]


def test_a_file_of_another_kind_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is left as it is, and nothing is put beside it."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\r\n" + bytes(20_000))

    code, out, err = run(f"traces --store {picture}", capsys)

    assert (code, out) == (2, "")
    assert "is no store: it is no DuckDB database" in err
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`tracehound --help | head -1` ends quietly."""
    script = f"{sys.executable} -m dashboard.cli --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.smoke
def test_help_stays_light() -> None:
    """`tracehound --help` imports none of the heavy packages."""
    script = (
        "import sys; from dashboard.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'duckdb', 'polars', 'streamlit', 'plotly', 'networkx'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )

    assert done.returncode == 0, done.stderr
