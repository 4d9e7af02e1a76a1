"""Where the command `tracehound` begins: under a name that no program has, because programs do have a `dashboard` or a `tracer` of their own.

With `PYTHONPATH=src` such a package would be found before ours, and neither the command nor what it starts could run. Directories of
PYTHONPATH that hold one are left out of this process; the program of `tracehound run` gets PYTHONPATH as it was. Standard library only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

OURS = ("tracer", "analyzers", "dashboard")
GIVEN = "TRACEHOUND_GIVEN_PYTHONPATH"
"""environment variable: PYTHONPATH as the user set it, for the programs that we run"""


def main() -> int:
    """The command line, with our own packages."""
    make_way()
    from dashboard.cli import main as command_line

    return command_line()


def make_way() -> None:
    """Take directories that hold packages of our names, and are not ours, out of this process's and its children's path."""
    given = os.environ.get("PYTHONPATH", "")
    entries = given.split(os.pathsep) if given else []
    foreign = [entry for entry in entries if _is_foreign(Path(entry))]
    if not foreign:
        return
    gone = {os.path.abspath(entry) for entry in foreign}
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) not in gone]
    kept = [entry for entry in entries if entry not in foreign]
    os.environ[GIVEN] = given
    os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    if not kept:
        del os.environ["PYTHONPATH"]


def is_ours(directory: Path) -> bool:
    """Whether our packages lie in `directory`."""
    return (
        all((directory / name / "__init__.py").is_file() for name in OURS)
        and (directory / "tracer" / "semconv.py").is_file()
    )


def _is_foreign(directory: Path) -> bool:
    return not is_ours(directory) and any(
        (directory / name).is_dir() or (directory / f"{name}.py").is_file() for name in OURS
    )
