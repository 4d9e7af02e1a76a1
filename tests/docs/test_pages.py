"""The documentation is true: its blocks run, its links lead somewhere, its reference is what the code says."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs import reference
from tests.docs.blocks import RUNNABLE, Block, blocks, furnish, pages, run

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="only where the sources are")
BLOCKS = list(blocks()) if (ROOT / "docs").exists() else []
RUN = [block for block in BLOCKS if block.language in RUNNABLE and not block.not_run]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with what the pages talk of, made once; each block gets a copy."""
    folder = tmp_path_factory.mktemp("furnished")
    return folder, furnish(folder)


@pytest.mark.slow
@pytest.mark.parametrize("block", [pytest.param(block, id=block.name) for block in RUN])
def test_a_block_runs(block: Block, furnished: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """As it stands, in a folder with a store, a program and files to import."""
    source, placeholders = furnished
    folder = tmp_path / "here"
    shutil.copytree(source, folder, symlinks=True)
    for other in BLOCKS:
        if other.file and other.page == block.page:
            with (folder / other.file).open("a") as out:
                out.write(other.code)
    code = f"{block.before}\n{block.code}"
    for word, value in placeholders.items():
        code = re.sub(rf"\b{word}\b", value, code)

    if block.language == "python":
        (folder / "block.py").write_text(code)
        run("python block.py", folder)
    elif block.language == "sql":
        for question in filter(str.strip, code.split(";")):
            (folder / "question.sql").write_text(question)
            run('tracehound sql "$(cat question.sql)"', folder)
    else:
        run(code, folder)


def test_what_is_not_run_says_why() -> None:
    """Every block has a language; one that cannot run here gives its reason; most run."""
    silent = [block.name for block in BLOCKS if not block.language]

    assert silent == []
    assert len(RUN) > len([block for block in BLOCKS if block.not_run])


def _anchors(page: Path) -> set[str]:
    """The names GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()])
def test_links_lead_somewhere(page: Path) -> None:
    """No relative link is dead, nor the heading it points at."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    dead: list[str] = []
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)", text):
        path, _, heading = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (heading and heading not in _anchors(target)):
            dead.append(link)

    assert dead == []


def test_every_page_is_reached_from_the_index() -> None:
    """docs/README.md leads to every page beside it."""
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    beside = [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md"]

    assert [name for name in beside if f"({name})" not in index] == []


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse words its help differently in each version")
@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    """`python -m tests.docs.reference` would change nothing."""
    assert (ROOT / "docs" / name).read_text("utf-8") == reference.page(name)
