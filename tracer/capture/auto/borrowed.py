"""Lends OpenTelemetry, and nothing else, to an interpreter that lacks it. Standard library only.

`tracehound run -- .venv/bin/python app.py` records in an environment into which nothing was installed. A finder behind
all others answers for the packages below from the directory they are installed in; what the environment has itself wins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, MetadataPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Final

PACKAGES: Final = frozenset({"opentelemetry", "typing_extensions"})
DISTRIBUTIONS: Final = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-semantic-conventions")
"""The SDK finds its context and its resource detectors through entry points, so their metadata are lent as well."""


class Lender:
    """A finder for `sys.meta_path` that knows the packages above in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, *rest = name.split(".")
        if top not in PACKAGES:
            return None
        return PathFinder.find_spec(name, [str(self.directory.joinpath(top, *rest[:-1]) if rest else self.directory)])

    def find_distributions(self, context: Any = None) -> Iterator[Distribution]:
        wanted = getattr(context, "name", None)
        for name in DISTRIBUTIONS:
            if wanted is None or wanted.lower().replace("_", "-") == name:
                yield from MetadataPathFinder.find_distributions(
                    MetadataPathFinder.Context(name=name, path=[str(self.directory)])
                )


def lend(directory: Path) -> None:
    """Answer for OpenTelemetry from `directory` wherever this interpreter finds none itself."""
    sys.meta_path.append(Lender(directory))  # pyright: ignore[reportArgumentType]
