"""What this environment has: versions, frameworks, and who would record them."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from tracer.capture.auto.clients import CLIENTS
from tracer.capture.auto.libraries import LIBRARIES, Library
from tracer.capture.auto.switch import OFF_VARIABLE, installed, llm_teller

PACKAGES = (
    "tracehound", "duckdb", "polars", "opentelemetry-sdk", "opentelemetry-proto", "protobuf", "genai-prices",
    "starlette", "uvicorn", "streamlit", "plotly",
)  # fmt: skip
INSTRUMENTOR_GROUPS = ("openinference_instrumentor", "opentelemetry_instrumentor")


@dataclass(frozen=True, slots=True)
class Instrumentor:
    """A package in this environment that records calls of a library."""

    library: str
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A framework or client in this environment, and who would record it."""

    library: str
    by: str | None
    """the chosen instrumentor, `its own tracing`, or `tracehound` for our wraps of its calls; None: nobody"""
    hint: str
    why: str = ""
    """why this one, or why nobody; what was passed over and why"""


def find_instrumentors() -> list[Instrumentor]:
    """The instrumentors that packages of this environment register, each package once."""
    found: dict[str, Instrumentor] = {}
    for group in INSTRUMENTOR_GROUPS:
        for point in entry_points(group=group):
            if point.dist is not None:
                package = point.dist.name
                found.setdefault(package, Instrumentor(point.name, package, point.dist.version))
    return sorted(found.values(), key=lambda each: (each.library, each.package))


def find_libraries() -> list[Recording]:
    """The libraries of `tracer.capture.auto` that this environment has."""
    return [_recording(library) for library in LIBRARIES if _importable(library.module)]


def _recording(library: Library) -> Recording:
    """By the rules of `tracer.capture.auto.switch`, in the order in which they are asked there."""
    if library.name in os.environ.get(OFF_VARIABLE, "").replace(" ", "").split(","):
        return Recording(library.name, None, "", f"off: named in {OFF_VARIABLE}")
    is_client = library.name in CLIENTS
    teller = llm_teller() if library.client and is_client else None
    if teller is not None:
        return Recording(
            library.name, "tracehound", "", f"instrumentors off: {teller} writes LLM spans; own wraps for other calls"
        )
    missing: list[str] = []
    for each in library.instrumentors:
        passed = f"; not installed: {', '.join(missing)}" if missing else ""
        if not each.distribution:
            return Recording(library.name, "its own tracing", "", "on: it has tracing of its own" + passed)
        if installed(each):
            chosen = f"{each.distribution} {version(each.distribution)}"
            return Recording(library.name, chosen, "", f"on: {each.source}" + passed)
        missing.append(each.distribution)
    without = f"not installed: {', '.join(missing)}" if missing else "there is no instrumentor"
    return Recording(library.name, "tracehound" if is_client else None, library.hint, without)


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package of the dotted name is missing
        return False


def find_versions() -> dict[str, str | None]:
    """Versions of Python, the system and the packages that matter; None for one that is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
