"""Instrumentors that write no messages by themselves are asked to, unless the program's environment has an opinion."""

from __future__ import annotations

import os

import pytest

from tracer.capture.auto.switch import CONTENT_VARIABLE, ask_for_content

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
LATEST = "gen_ai_latest_experimental"


@pytest.mark.parametrize(
    ("content", "opted", "asked"),
    [
        (None, None, ("SPAN_ONLY", LATEST)),
        (None, "http", ("SPAN_ONLY", f"http,{LATEST}")),
        (None, f"{LATEST},http", ("SPAN_ONLY", f"{LATEST},http")),
        ("NO_CONTENT", None, ("NO_CONTENT", None)),
        ("EVENT_ONLY", "http", ("EVENT_ONLY", "http")),
    ],
)
def test_what_the_official_packages_are_told(
    content: str | None,
    opted: str | None,
    asked: tuple[str | None, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Messages on spans, in the current names."""
    for name, value in ((CONTENT_VARIABLE, content), (OPT_IN, opted)):
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    ask_for_content()
    assert (os.environ.get(CONTENT_VARIABLE), os.environ.get(OPT_IN)) == asked
