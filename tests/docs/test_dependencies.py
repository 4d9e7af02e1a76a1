"""What we depend on, without asking anybody: every direct dependency is pinned, and all that is installed with us may be used with us.

Advisories are another matter: `pip-audit` asks for them (CONTRIBUTING.md).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="only where the sources are")
PERMISSIVE = re.compile(
    r"0BSD|Apache|BSD|CC0|HPND|ISC|MIT|PSF|Python Software Foundation|Unlicense|Zlib"
    r"|MPL|Mozilla"  # of the file, not of the whole: what uses it keeps its own licence
    r"|Dual License"
)
FORBIDDEN = re.compile(r"\b(?:A|L)?GPL|General Public|SSPL|BUSL|Business Source|Commons Clause|Elastic|Proprietary|NonCommercial", re.I)  # fmt: skip


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_every_direct_dependency_is_pinned_to_the_version_it_was_tested_with() -> None:
    """Of the package, its extras and the groups of development; bounds of the package stay open for those who install it."""
    held = project()
    asked = [
        *held["project"]["dependencies"],
        *(one for extra in held["project"]["optional-dependencies"].values() for one in extra),
        *(one for group in held["dependency-groups"].values() for one in group if isinstance(one, str)),
    ]
    pins = {canonicalize_name(one.name): one for one in map(Requirement, held["tool"]["uv"]["constraint-dependencies"])}
    names = {canonicalize_name(Requirement(one).name) for one in asked} - {"tracehound"}

    assert len(names) > 20
    assert [name for name in sorted(names) if name not in pins or not str(pins[name].specifier).startswith("==")] == []
    assert [one for one in asked if (pin := pins.get(canonicalize_name(Requirement(one).name))) is not None and not _fits(Requirement(one), pin)] == []  # fmt: skip
    assert "exclude-newer" in held["tool"]["uv"]


def _fits(asked: Requirement, pin: Requirement) -> bool:
    [version] = [one.version for one in pin.specifier]
    return asked.specifier.contains(version)


def test_what_is_installed_with_us_may_be_used_with_us() -> None:
    """The licence of each package that a user of the command line, the dashboard or the alerts gets, as the package itself states it."""
    found = {one.metadata["Name"]: stated(one) for one in installed("tracehound", frozenset({"alerts", "dashboard"}))}

    assert len(found) > 40
    assert {name: said for name, said in found.items() if not PERMISSIVE.search(said)} == {}
    assert {name: said for name, said in found.items() if FORBIDDEN.search(said)} == {}


@pytest.mark.parametrize(
    "said", ["GPL-3.0-only", "AGPL-3.0", "GNU Lesser General Public License v3 (LGPLv3)", "BUSL-1.1"]
)
def test_a_licence_that_binds_us_would_be_seen(said: str) -> None:
    assert FORBIDDEN.search(said)


def test_a_traced_program_gets_few_packages() -> None:
    """OpenTelemetry, and what that needs: the recorder adds nothing of its own to a program."""
    names = {
        canonicalize_name(one.metadata["Name"])
        for one in installed("opentelemetry-sdk") | installed("opentelemetry-proto")
    }

    assert names <= {
        "opentelemetry-api", "opentelemetry-proto", "opentelemetry-sdk", "opentelemetry-semantic-conventions", "protobuf", "typing-extensions",
        "importlib-metadata", "zipp",
    }  # fmt: skip


def stated(package: Distribution) -> str:
    """The licence in the package's own words: the expression, else classifiers, else the first line of the field."""
    told = package.metadata
    if told["License-Expression"]:
        return told["License-Expression"]
    classifiers = [
        one.rpartition(" :: ")[2] for one in told.get_all("Classifier") or [] if one.startswith("License ::")
    ]
    return ", ".join(classifiers) or (told["License"] or "").strip().partition("\n")[0]


def installed(name: str, extras: frozenset[str] = frozenset()) -> set[Distribution]:
    """The package and all it brings here, by the requirements that the packages state."""
    seen: dict[tuple[str, frozenset[str]], Distribution] = {}

    def wanted(package: Distribution, of: frozenset[str]) -> Iterator[Requirement]:
        for text in package.requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in of or {""}):
                yield one

    def walk(name: str, of: frozenset[str]) -> None:
        key = (canonicalize_name(name), of)
        if key in seen:
            return
        try:
            seen[key] = distribution(name)
        except PackageNotFoundError:  # for another Python or system
            return
        for one in wanted(seen[key], of):
            walk(one.name, frozenset(one.extras))

    walk(name, extras)
    return set({canonicalize_name(one.metadata["Name"]): one for one in seen.values()}.values())
