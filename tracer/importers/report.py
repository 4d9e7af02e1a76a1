"""What an import did: how much was read, what was left out, and where and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

MAX_PROBLEMS = 1_000
"""reasons kept per file; a file that is bad all over would repeat itself"""


class Problem(NamedTuple):
    """Something in a file that could not be used, or was used with a repair."""

    file: str
    line: int | None
    """1-based; None where the file has no lines (binary, missing)"""
    reason: str


@dataclass(slots=True)
class ImportReport:
    """The result of importing one file."""

    file: Path
    format: str | None = None
    """name of the importer; None where none recognised the file"""
    read: int = 0
    """spans and log records (OTLP) or runs (transcripts) handed to the store; those stored before are counted too"""
    skipped: int = 0
    """spans, records, lines or runs left out"""
    problems: list[Problem] = field(default_factory=list[Problem])

    @property
    def reasons(self) -> list[Problem]:
        """The same as `problems`: (file, line, reason)."""
        return self.problems

    def skip(self, line: int | None, reason: str, count: int = 1) -> None:
        """Note something that was left out."""
        self.skipped += count
        self.note(line, reason)

    def note(self, line: int | None, reason: str) -> None:
        """Note something worth saying about data that was imported all the same."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(str(self.file), line, reason))
