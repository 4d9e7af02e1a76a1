"""The commands, in the order `tracehound --help` shows them. One file and one line here each."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple


class Command(NamedTuple):
    """A sub-command; its module is imported only when it runs, so that `--help` stays quick."""

    name: str
    help: str
    module: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Let the command's module declare its arguments."""
        self._function("add_arguments")(parser)

    def run(self, args: Namespace) -> int:
        """Run the command; returns the exit code."""
        return self._function("run")(args)

    def _function(self, name: str) -> Callable[..., int]:
        return getattr(import_module(f"dashboard.commands.{self.module}"), name)


COMMANDS: tuple[Command, ...] = (
    Command("demo", "run the bundled incidents, explain them and open the dashboard", "demo"),
    Command("run", "run an unmodified program and record what its agents do", "run"),
    Command("import", "read traces that other tools or frameworks wrote", "import_"),
    Command("traces", "list runs", "traces"),
    Command("show", "draw one run as a tree in the terminal", "show"),
    Command("watch", "follow what agents do, line by line, while they do it", "watch"),
    Command("metrics", "numbers per agent, workflow and coordination", "metrics"),
    Command("analyze", "find what went wrong, with evidence", "analyze"),
    Command("compare", "compare two runs step by step, or many runs against many", "compare"),
    Command("check", "the gate of a build: exit 1 where runs break rules or have new findings", "check"),
    Command("alerts", "evaluate alert rules, send what they say, show what is on", "alerts"),
    Command("backtest", "what guards and alert rules would have done to the stored runs", "backtest"),
    Command("report", "write a post-mortem of one run (HTML, Markdown or JSON)", "report"),
    Command(
        "export", "write runs as OTLP or Parquet, or one for Perfetto, speedscope, a spreadsheet or a program", "export"
    ),
    Command("mark", "record a person's verdict on a run", "mark"),
    Command("serve", "receive traces over OTLP/HTTP from any language", "serve"),
    Command("dashboard", "serve the dashboard", "dashboard"),
    Command("doctor", "explain the state of the store, the spool and this environment", "doctor"),
    Command("prune", "remove old runs and give the disk space back", "prune"),
    Command("backup", "copy the store while everything goes on", "backup"),
    Command("sql", "ask the store a read-only SQL question", "sql"),
)
