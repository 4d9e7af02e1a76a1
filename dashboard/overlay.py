"""`tracehound run --install`: the instrumentors that a program's interpreter lacks, in a directory beside it.

Nothing is installed into the program's environment. The packages and what they need go into an overlay under the user's
cache, named by what they were chosen for, and are looked for behind everything that the environment has itself; the
versions of the environment are kept to, so that both fit.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracer.capture.auto.libraries import LIBRARIES
from tracer.errors import BadInput, TracehoundError

_PROBE = """
import importlib.util, json, sys
from importlib.metadata import distributions
def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
names = [name for name in json.loads(sys.argv[1]) if there(name)]
versions = {each.name: each.version for each in distributions() if each.name}
print(json.dumps([sys.executable, ".".join(map(str, sys.version_info[:2])), names, versions]))
"""
INSTALL_S = 600


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What an interpreter has."""

    executable: str
    version: str
    """as 3.11"""
    modules: Sequence[str]
    """those of the frameworks that we know"""
    versions: Mapping[str, str]
    """distribution -> version, names as in `canonical`"""


def canonical(name: str) -> str:
    """The name of a distribution as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def interpreter_of(command: Sequence[str]) -> str:
    """The interpreter that runs `command`: itself, or the one in a script's first line.

    Raises:
        BadInput: neither is a Python.
    """
    found = shutil.which(command[0]) or command[0]
    if Path(found).name.startswith(("python", "pypy")):
        return found
    with open(found, "rb") as file:
        first = file.readline(500)
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = [shutil.which(words[-1]) or words[-1]]
    if words and Path(words[0]).name.startswith(("python", "pypy")):
        return words[0]
    raise BadInput(
        f"{command[0]!r} is no Python program, so --install does not know which interpreter it is for.",
        hint="name the interpreter: tracehound run --install -- .venv/bin/python -m ...",
    )


def look_at(executable: str) -> Interpreter:
    """Ask an interpreter what it has.

    Raises:
        TracehoundError: it does not answer.
    """
    names = [library.module for library in LIBRARIES if not library.client]
    # Away from the program, whose own modules may have the names of frameworks: `.venv/bin/python` must still be found.
    found = os.path.abspath(executable) if os.sep in executable else executable
    done = subprocess.run(
        [found, "-P", "-c", _PROBE, json.dumps(names)],
        cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise TracehoundError(
            f"{executable} cannot be asked what is installed: {done.stderr.strip()[-300:]}",
            hint="Python 3.11 or newer is needed.",
        )
    path, version, modules, versions = json.loads(done.stdout.splitlines()[-1])
    return Interpreter(path, version, modules, {canonical(name): number for name, number in versions.items()})


def missing(there: Interpreter) -> list[str]:
    """The instrumentors to install: for each framework that has neither one nor tracing of its own, the preferred one."""
    wanted: list[str] = []
    for library in LIBRARIES:
        if library.client or library.module not in there.modules:
            continue  # clients have our own wraps
        names = [each.distribution for each in library.instrumentors]
        if all(name and canonical(name) not in there.versions for name in names):
            wanted.append(names[0])
    return wanted


def overlay(command: Sequence[str], cache: Path | None = None) -> Path | None:
    """The directory with what is missing for `command`, installed now or before; None where nothing is.

    Raises:
        BadInput: it is not known which interpreter runs the command.
        TracehoundError: the packages cannot be installed.
    """
    there = look_at(interpreter_of(command))
    wanted = missing(there)
    if not wanted:
        return None
    told = json.dumps([there.executable, there.version, sorted(wanted), sorted(there.versions.items())])
    root = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracehound" / "overlays"
    root.mkdir(parents=True, exist_ok=True)
    target = root / hashlib.sha256(told.encode()).hexdigest()[:16]
    with (root / f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=root) as scratch:
                _install(there, wanted, Path(scratch))
                os.replace(Path(scratch) / "packages", target)
    return target


def _install(there: Interpreter, wanted: Sequence[str], scratch: Path) -> None:
    """Into `scratch`/packages, and nowhere else."""
    constraints = scratch / "constraints.txt"
    constraints.write_text("".join(f"{name}=={number}\n" for name, number in sorted(there.versions.items())))
    uv = shutil.which("uv")
    pip = [uv, "pip", "install", "--python", there.executable] if uv else [there.executable, "-m", "pip", "install"]
    command = [*pip, "--quiet", "--target", str(scratch / "packages"), "-c", str(constraints), *wanted]
    variables = {name: text for name, text in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    try:
        done = subprocess.run(
            command, cwd=scratch, env=variables, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
        said = done.stderr.strip()
    except subprocess.TimeoutExpired:
        said = f"it took more than {INSTALL_S} s"
    else:
        if done.returncode == 0:
            return
    raise TracehoundError(
        f"{', '.join(wanted)} cannot be installed for {there.executable}: {said[-500:]}",
        hint="without --install the program runs, and its LLM calls are recorded.",
    )
