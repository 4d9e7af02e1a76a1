"""The command line: finds the command, runs it, and turns errors into a sentence and an exit code.

Exit codes: 0 fine; 1 only where `--fail-on` was given and met; 2 bad usage or bad input.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version

from dashboard.commands import COMMANDS
from tracer.errors import BadInput, TracehoundError, shorten

EXIT_BAD_INPUT = 2


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser with one sub-parser per entry of `COMMANDS`.

    Only the `chosen` command declares its arguments: doing so imports its module, and `--help` must stay quick.
    """
    parser = argparse.ArgumentParser(
        prog="tracehound",
        description="Trace, explain and prevent the failures of multi-agent LLM systems.",
        epilog="Start with `tracehound demo`.",
    )
    parser.add_argument("--version", action="version", version=f"tracehound {version('tracehound')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = subparsers.add_parser(command.name, help=command.help, description=command.help)
        if command.name == chosen:
            command.add_arguments(sub)
            sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
            sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in words if not word.startswith("-")), None)
    names = [command.name for command in COMMANDS]
    if chosen is not None and words[0] == chosen and chosen not in names:
        near = get_close_matches(chosen, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`tracehound --help` lists them."
        return _refuse("tracehound", BadInput(f"There is no command {shorten(chosen)!r}.", hint=hint))
    args = build_parser(chosen).parse_args(words)
    try:
        return args.run(args)
    except TracehoundError as error:
        if args.debug:
            raise
        return _refuse(f"tracehound {args.command}", error)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); point stdout elsewhere so that the exit flush stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _refuse(who: str, error: TracehoundError) -> int:
    print(f"{who}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"Hint: {error.hint}", file=sys.stderr)
    return EXIT_BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
