"""The reference pages, from the code: `python -m tests.docs.reference` writes docs/commands.md, attributes.md and frameworks.md anew.

What stands above the line `<!-- from here on written by tests/docs/reference.py -->` of a page is written by people and kept.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dashboard.commands import COMMANDS
from tracer.capture.auto.libraries import LIBRARIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINE = "<!-- from here on written by tests/docs/reference.py -->\n"
_HELP = partial(argparse.HelpFormatter, width=98)
"""help texts of one width, whatever the terminal"""


def commands() -> str:
    """One section per command: its help as `tracehound COMMAND --help` prints it."""
    parts: list[str] = []
    for command in COMMANDS:
        parser = argparse.ArgumentParser(
            prog=f"tracehound {command.name}", description=command.help, formatter_class=_HELP
        )
        command.add_arguments(parser)
        parts.append(f"## {command.name}\n\n```text\n{parser.format_help().rstrip()}\n```\n")
    return "\n" + "\n".join(parts)


def attributes() -> str:
    """One table per class of `tracer/semconv.py`: the names, newest spelling first, and what its comment says."""
    tree = ast.parse((ROOT / "tracer" / "semconv.py").read_text())
    parts: list[str] = []
    for group in tree.body:
        if isinstance(group, ast.ClassDef):
            head = f"## {group.name}\n\n{ast.get_docstring(group) or ''}".rstrip()
            rows = [f"| {names} | {_words(constant)} | {meaning} |" for constant, names, meaning in _constants(group)]
            parts.append("\n".join([head, "", "| attribute | holds | note |", "|---|---|---|", *rows]) + "\n")
    return "\n" + "\n".join(parts)


def frameworks() -> str:
    """One row per library: who records it, the first that is installed."""
    rows = [
        f"| {library.name} | `{library.module}` | "
        + ", else ".join(
            f"{each.source} `{each.distribution}`" if each.distribution else "its own tracing"
            for each in library.instrumentors
        )
        + " |"
        for library in LIBRARIES
    ]
    return "\n".join(["", "| library | once imported | recorded by |", "|---|---|---|", *rows]) + "\n"


def _constants(group: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    """(constant, its attribute names as Markdown, the text under it) in the order of the file."""
    for here, below in zip(group.body, [*group.body[1:], None], strict=True):
        if not isinstance(here, ast.Assign):
            continue
        [target] = here.targets
        assert isinstance(target, ast.Name)
        value = ast.literal_eval(here.value)
        names = (value,) if isinstance(value, str) else value
        said = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
        yield target.id, ", ".join(f"`{name}`" for name in names), " ".join(str(said).replace("|", "\\|").split())


def _words(constant: str) -> str:
    return constant.lower().replace("_", " ")


PAGES = {"commands.md": commands, "attributes.md": attributes, "frameworks.md": frameworks}


def page(name: str) -> str:
    """The whole page `name`: what people wrote, then the part that is written here."""
    by_hand, line, _ = (DOCS / name).read_text("utf-8").partition(LINE)
    if not line:
        raise SystemExit(f"docs/{name} lacks the line {LINE.strip()!r}, below which the reference goes.")
    return by_hand + line + PAGES[name]()


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(page(name), "utf-8")
