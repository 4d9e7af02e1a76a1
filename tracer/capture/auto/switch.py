"""Switches on one instrumentor per library and says what was switched on, what was not, and why."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType
from typing import Any, Final

from .clients import CLIENTS, told_by_frameworks, wrap_client
from .imports import logger
from .libraries import LIBRARIES, Instrumentor, Library

OFF_VARIABLE: Final = "TRACEHOUND_DISABLE"
"""names of libraries that are left alone, with commas between them"""
CONTENT_VARIABLE: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_LATEST_VARIABLE: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"
_LATEST: Final = "gen_ai_latest_experimental"

_done: set[str] = set()
_tellers: set[str] = set()
"""frameworks switched on whose instrumentor writes LLM spans"""


def switch_on(library: Library, module: ModuleType, provider: Any, *, hints: bool = True) -> str | None:
    """Instrument `library`, which has just been imported; gives the source that was switched on.

    Each instrumentor that fails is logged and the next one tried; a client then gets our own wraps.
    """
    if library.name in _done or (library.marker and not hasattr(module, library.marker)):
        return None
    _done.add(library.name)
    if library.name in os.environ.get(OFF_VARIABLE, "").replace(" ", "").split(","):
        logger.info("tracehound: %s: off (named in %s)", library.name, OFF_VARIABLE)
        return None
    if library.client and library.name in CLIENTS and (teller := llm_teller()) is not None:
        # The framework tells of its own calls; ours see the calls that the program makes beside it.
        logger.info("tracehound: %s: instrumentors off (%s writes LLM spans)", library.name, teller)
    else:
        for instrumentor in library.instrumentors:
            if _try(library, instrumentor, provider):
                if instrumentor.llm:
                    if not library.client:
                        _tellers.add(library.name)
                    told_by_frameworks.update(library.callers)
                return instrumentor.source
    if library.name in CLIENTS:
        logger.info("tracehound: %s: on (own wraps of %s)", library.name, ", ".join(wrap_client(library.name)))
        return "tracehound"
    logger.log(
        logging.WARNING if hints else logging.INFO,
        "tracehound: %s is used without its instrumentor, so only its LLM calls are recorded. Hint: install %s",
        library.name,
        f"{library.hint}, or let `tracehound run --install` bring it"
        if library.hint
        else "a version with tracing of its own",
    )
    return None


def llm_teller() -> str | None:
    """The framework, installed with an instrumentor that writes LLM spans; None if there is none."""
    for library in LIBRARIES:
        if library.client:
            continue
        chosen = next((each for each in library.instrumentors if each.distribution and installed(each)), None)
        if chosen is not None and chosen.llm:
            return library.name
        if library.name in _tellers:
            return library.name
    return None


def installed(instrumentor: Instrumentor) -> bool:
    """True where its package is installed in this interpreter."""
    try:
        distribution(instrumentor.distribution)
    except PackageNotFoundError:
        return False
    return True


def _try(library: Library, instrumentor: Instrumentor, provider: Any) -> bool:
    if instrumentor.distribution and not installed(instrumentor):
        logger.debug("tracehound: %s: %s is not installed", library.name, instrumentor.distribution)
        return False
    try:
        said = _switch(instrumentor, provider)
    except Exception as error:  # noqa: BLE001 - a broken instrumentor must break neither the program nor the others
        logger.warning(
            "tracehound: %s: %s failed: %s: %s", library.name, _named(instrumentor), type(error).__name__, error
        )
        logger.debug("tracehound: details", exc_info=True)
        return False
    if said is not None:
        logger.warning("tracehound: %s: %s is not used: %s", library.name, _named(instrumentor), said)
        return False
    logger.info("tracehound: %s: on (%s)", library.name, _named(instrumentor))
    return True


def _switch(instrumentor: Instrumentor, provider: Any) -> str | None:
    """None if it is on now, else why it is not."""
    if not instrumentor.distribution:
        if instrumentor.switch:
            module, _, function = instrumentor.switch.partition(":")
            getattr(import_module(module), function)(provider)
        return None
    if instrumentor.source == "OpenTelemetry GenAI":
        ask_for_content()
    points = distribution(instrumentor.distribution).entry_points.select(group="opentelemetry_instrumentor")
    point = next(iter(points), None)
    if point is None:
        return "it has no entry point"
    target = point.load()()
    if target.is_instrumented_by_opentelemetry:
        return None  # by the program itself, with its own settings
    target.instrument(tracer_provider=provider, **instrumentor.options)
    return None if target.is_instrumented_by_opentelemetry else "it does not fit the installed version (see its log)"


def ask_for_content() -> None:
    """The official packages write no messages unless they are asked to, on spans; what the program's environment says stays.

    What of it is kept is decided where spans are recorded (`capture_content`, `redact`).
    """
    if CONTENT_VARIABLE not in os.environ:
        os.environ[CONTENT_VARIABLE] = "SPAN_ONLY"
        named = os.environ.get(_LATEST_VARIABLE, "")
        if _LATEST not in named:
            os.environ[_LATEST_VARIABLE] = f"{named},{_LATEST}" if named else _LATEST


def _named(instrumentor: Instrumentor) -> str:
    if not instrumentor.distribution:
        return "its own tracing"
    return f"{instrumentor.source}, {instrumentor.distribution} {distribution(instrumentor.distribution).version}"
