"""`tracehound run`: an unmodified program, recorded.

The program runs in a process of its own with our bootstrap first on its path; this process passes signals on, waits,
folds what was recorded, and ends the way the program ended.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import uuid
from argparse import REMAINDER, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from dashboard.commands.common import add_store, count, note
from tracer.errors import BadInput, TracehoundError
from tracer.online.limits import parse

PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
FROM_TERMINAL = ("SIGINT", "SIGQUIT")
"""the terminal sends these to the program as well"""


def add_arguments(parser: ArgumentParser) -> None:
    add_store(parser)
    parser.add_argument("-m", dest="module", action="store_true", help="the program is a module, as in python -m")
    parser.add_argument(
        "--guard", action="append", default=[], metavar="LIMIT=VALUE",
        help="stop the program's LLM calls at a limit, over all of its processes: budget=5, tokens=200k, iterations=50, loop=critical ...",
    )  # fmt: skip
    parser.add_argument(
        "--install", action="store_true",
        help="put the instrumentors that the program's interpreter lacks into a cached directory beside it, and use them",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="say what is instrumented, what is not, and why")
    parser.add_argument(
        "words", nargs=REMAINDER, metavar="-- PROGRAM [ARGS]",
        help="app.py args, or the interpreter to use: .venv/bin/python app.py args",
    )  # fmt: skip


def run(args: Namespace) -> int:
    """Run the program; returns its exit code, or dies of the signal that it died of.

    Raises:
        BadInput: there is no such program, or the store's directory does not exist.
        TracehoundError: `--install` was asked for and is not possible.
    """
    words: list[str] = args.words[1:] if args.words[:1] == ["--"] else args.words
    command = command_line(words, module=args.module)
    store = Path(args.store).absolute()
    if not store.parent.is_dir():
        raise BadInput(f"There is no directory {str(store.parent)!r}.", hint="create it, or name another --store.")
    began_ns = time.time_ns()
    parse(args.guard)
    variables = environment(store, command, verbose=args.verbose, guards=args.guard)
    if args.install:
        variables["TRACEHOUND_OVERLAY"] = str(_overlay(command) or "")
    code = _wait(command, variables)
    _clear_guard(store, variables["TRACEHOUND_RUN_ID"])
    try:
        _tell(store, began_ns)
    except TracehoundError as error:
        note(f"tracehound: recorded, but not folded into {store}: {error.message} The next reading command does it.")
    return _end_like(code)


def command_line(words: list[str], *, module: bool) -> list[str]:
    """What to execute: a script or module with this interpreter, anything else as it stands.

    Raises:
        BadInput: nothing was named, or nothing of that name can be run.
    """
    if not words:
        raise BadInput("Which program?", hint="tracehound run -- app.py args, or tracehound run -m -- package args.")
    if module:
        return [sys.executable, "-m", *words]
    program = Path(words[0])
    if program.is_dir() or program.suffix in (".py", ".pyz", ".pyc"):
        if not program.exists():
            raise BadInput(
                f"There is no file {words[0]!r}.", hint="the program is looked for in the working directory."
            )
        return [sys.executable, *words]
    if shutil.which(words[0]) is not None:
        return words
    if program.is_file():
        return [sys.executable, *words]
    raise BadInput(
        f"{words[0]!r} is neither a file nor a command.",
        hint="name a script, or use -m for a module, or an interpreter.",
    )


def environment(
    store: Path, command: list[str], *, verbose: bool = False, guards: Sequence[str] = ()
) -> dict[str, str]:
    """The program's environment: our bootstrap first on its path, and what its children need to join the run."""
    variables = dict(os.environ)
    # As the user set it: directories with packages of our names are out of the way for ourselves only.
    here = variables.pop("TRACEHOUND_GIVEN_PYTHONPATH", None) or variables.get("PYTHONPATH")
    variables["PYTHONPATH"] = os.pathsep.join([str(_bootstrap()), *([here] if here else [])])
    variables["TRACEHOUND_STORE"] = str(store)
    variables["TRACEHOUND_RUN_ID"] = uuid.uuid4().hex
    variables["TRACEHOUND_SERVICE"] = service_name(command)
    variables["TRACEHOUND_LEND"] = str(_directory_of("opentelemetry.sdk.trace").parents[2])
    variables.pop("TRACEHOUND_MAIN", None)
    if guards:
        variables["TRACEHOUND_GUARD"] = "\n".join(guards)
    if verbose:
        variables["TRACEHOUND_LOG"] = "info"
    return variables


def service_name(command: list[str]) -> str:
    """What the program is called: its script, its module, else its executable."""
    words = command[1:] if Path(command[0]).name.startswith(("python", "pypy")) else command
    if words[:1] == ["-m"] and len(words) > 1:
        return words[1]
    first = next((word for word in words if not word.startswith("-")), command[0])
    return Path(first).resolve().stem or "python"


def _bootstrap() -> Path:
    return _directory_of("tracer") / "bootstrap"


def _directory_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise TracehoundError(f"The package {package} is not installed here.", hint="install tracehound again.")
    return Path(spec.origin).parent


def _wait(command: list[str], variables: dict[str, str]) -> int:
    """Run to the end, passing signals on; the exit code, or minus the signal that ended it.

    Raises:
        BadInput: it cannot be executed.
    """
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        if child is None:
            early.append(number)
        elif child.poll() is None and not (signal.Signals(number).name in FROM_TERMINAL and _in_foreground()):
            child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in map(_signal, PASSED_ON)}
    try:
        try:
            child = subprocess.Popen(command, env=variables)
        except OSError as error:
            raise BadInput(f"{command[0]!r} cannot be executed: {error.strerror}.") from None
        for number in early:
            child.send_signal(number)
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(name: str) -> signal.Signals:
    return signal.Signals[name]


def _in_foreground() -> bool:
    """True where a terminal has sent its Ctrl-C to our whole process group, the program included."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _tell(store: Path, began_ns: int) -> None:
    """Fold, and say on one line what there is."""
    # Only now: the program must not wait for DuckDB and polars.
    from tracer.store import reads
    from tracer.store.database import Store

    found = Store(store)
    if not found.spool_path.is_dir():
        note("tracehound: nothing was recorded. Hint: `tracehound run --verbose` says what was looked for.")
        return
    found.fold()
    known = reads.runs(found, since_ns=began_ns)
    runs, spans = known.height, int(known["spans"].sum())  # as `tracehound traces` counts them; starts were folded, too
    note(
        f"tracehound: {count(runs)} run{'' if runs == 1 else 's'}, {count(spans)} span{'' if spans == 1 else 's'} -> {store}"
    )


def _overlay(command: list[str]) -> Path | None:
    from dashboard.overlay import overlay

    found = overlay(command)
    note("tracehound: nothing is missing." if found is None else f"tracehound: instrumentors from {found}")
    return found


def _clear_guard(store: Path, run_id: str) -> None:
    """Remove the budget that the processes of the run shared, unless one of them still runs."""
    from tracer.online.ledger import ledger_path
    from tracer.online.shared import SharedBook

    folder = ledger_path(store) / f"run-{run_id}"
    if folder.is_dir():
        SharedBook(folder).discard()


def _end_like(code: int) -> int:
    if code >= 0:
        return code
    # Whoever waits for us sees the same signal; the core dump, if any, is the program's.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
    sys.stdout.flush()
    sys.stderr.flush()
    os.kill(os.getpid(), -code)
    return 128 - code
