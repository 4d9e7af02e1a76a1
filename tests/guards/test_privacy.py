"""Nothing of a secret reaches a file, whichever way it takes; and it costs next to nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

import tracer
from tracer.capture.privacy import Privacy, redactor
from tracer.capture.secrets import mask_secrets
from tracer.store.frame import BadFrame, scan_frames
from tracer.store.segment import SegmentWriter, spool_path
from tracer.testing import recording_to, tmp_store

_DICE = random.Random(7)


def _secret(alphabet: str, length: int) -> str:
    return "".join(_DICE.choice(alphabet) for _ in range(length))


UPPER, DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
ALL = UPPER + UPPER.lower() + DIGITS
BODY = _secret(ALL + "+/", 200)
# (what is written, the part that must be gone); put together here so that no scanner takes them for real ones.
SECRETS: dict[str, tuple[str, str]] = {
    name: (before + body + after, body)
    for name, before, body, after in (
        ("openai", "sk-", _secret(ALL, 48), ""),
        ("openai project", "sk-proj-", _secret(ALL + "-_", 60), ""),
        ("anthropic", "sk-ant-" + "api03-", _secret(ALL + "-_", 90), ""),
        ("aws", "AKIA", _secret(UPPER + DIGITS, 16), ""),
        ("aws secret", "aws_secret_access_key = ", _secret(ALL + "/+", 40), ""),
        ("github", "ghp_", _secret(ALL, 36), ""),
        ("github new", "github_pat_", _secret(ALL + "_", 60), ""),
        ("slack", "xoxb-", _secret(DIGITS, 12) + "-" + _secret(ALL, 24), ""),
        ("google", "AIza", _secret(ALL + "-_", 35), ""),
        ("bearer", "Authorization: Bearer ", _secret(ALL + "-._~", 40), ""),
        ("basic", "authorization: Basic ", _secret(ALL, 30) + "==", ""),
        ("json", '{"api_key": "', _secret(ALL, 32), '"}'),
        ("private key", "-----BEGIN RSA PRIVATE " + "KEY-----\n", BODY, "\n-----END RSA PRIVATE " + "KEY-----"),
        ("torn private key", "-----BEGIN PRIVATE " + "KEY-----\n", BODY, ""),
    )
}
Way = Callable[[str], None]


def _message(text: str) -> None:
    with tracer.llm_call("m", messages=[{"role": "user", "content": text}]) as span:
        span.completion(text)


def _tool(text: str) -> None:
    with tracer.tool("t", arguments={"header": text}) as span:
        span.output({"deep": [{"er": text}]})


def _error(text: str) -> None:
    try:
        with tracer.agent("a"):
            raise ValueError(text)
    except ValueError:
        pass


def _state(text: str) -> None:
    state = tracer.state({})
    state["config"] = {"key": text}
    state["config"] = {"key": text + " and more"}


def _attributes(text: str) -> None:
    span = tracer.current_span().otel
    assert isinstance(span, trace.Span)
    with tracer.agent(f"asked {text}", reason=text) as inner:
        inner.set({"llm.input_messages.0.message.content": text, "http.request.header.authorization": [text]})
        inner.event(f"said {text}", detail=text)
        inner.fail(text)


def _marks(text: str) -> None:
    tracer.message(text, to="b")
    tracer.handoff("b", reason=text, payload=text)
    tracer.decision("d", choice=text, options=[text], reason=text)
    tracer.escalate("human", question=text)
    tracer.progress(text)


WAYS: tuple[Way, ...] = (_message, _tool, _error, _state, _attributes, _marks)


def written(directory: Path, text: str, **options: Any) -> str:
    """Everything that lies in the segment files after `text` was recorded in every way, unpacked."""
    with recording_to(SegmentWriter(tmp_store(directory)), privacy=Privacy(**options)), tracer.workflow("w"):
        for way in WAYS:
            way(f"use {text} for it")
    found: list[str] = []
    for segment in spool_path(tmp_store(directory)).glob("*.seg"):
        for frame in scan_frames(segment.read_bytes(), sealed=False):
            assert not isinstance(frame, BadFrame)
            found.append(frame.payload.decode())
    assert found
    return "\n".join(found)


def pieces(secret: str) -> set[str]:
    """Every eight neighbouring characters."""
    return {secret[at : at + 8] for at in range(len(secret) - 7)}


@pytest.mark.parametrize("capture", [True, "hashed", False])
@pytest.mark.parametrize("kind", SECRETS)
def test_nothing_of_a_secret_is_written(kind: str, capture: Any, tmp_path: Path) -> None:
    """Messages, arguments, results, errors, state, attributes, names, events: not eight characters of it, by default."""
    text, secret = SECRETS[kind]
    files = written(tmp_path, text, capture_content=capture)
    assert not [piece for piece in pieces(secret) if piece in files]
    assert "[redacted]" in files


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    """`redact=False` writes what was said."""
    text, secret = SECRETS["openai"]
    assert secret in written(tmp_path, text, redact=False)


def test_own_patterns_come_on_top(tmp_path: Path) -> None:
    """Secrets stay masked beside a pattern, a list of patterns or a callable; one that fails hides the whole text."""
    text, secret = SECRETS["github"]
    for number, own in enumerate(
        (r"user \d+", [re.compile(r"user \d+")], lambda t: t.replace("user 4711", "?"), _broken)
    ):
        files = written(tmp_path / str(number), f"{text} of user 4711", redact=own)
        assert "4711" not in files
        assert secret not in files


def _broken(_text: str) -> str:
    raise RuntimeError("no")


ORDINARY = (
    "The task-force met at 10; bearer of news: the risk-adjusted return of sk-learn is fine.",
    "authorization is needed for this; the secret: nobody knows. api_key = None",
    '{"input_tokens": 1200, "tokenizer": "cl100k", "api": "https://api.example.org/v1/keys?id=1234567890"}',
    "AKIA is a prefix, ghp_ too, xox is not a word, AIza neither. sk-short",
    "a3f1c2" * 10,
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_stay(text: str) -> None:
    """Talk about keys is no key; digests and ids are left alone."""
    assert mask_secrets(text) is text or mask_secrets(text) == text


def test_an_equal_text_is_looked_at_once() -> None:
    """An own callable sees each distinct text once, however often instrumentors write the history again."""
    seen: list[str] = []

    def own(text: str) -> str:
        seen.append(text)
        return text

    privacy = Privacy(redact=own)
    for _ in range(5):
        privacy.attributes({f"llm.input_messages.{n}.message.content": f"message {n}" for n in range(10)})
    assert len(seen) == 10
    assert redactor(False) is None
