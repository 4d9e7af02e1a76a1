"""The scripted model of `tests/e2e/server.py`, with usage that grows with what is sent: a token is four characters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e import server
from tests.e2e.server import Model, Script, serving


@contextmanager
def measuring(script: Script) -> Iterator[Model]:
    """Serve `script`; input tokens are a quarter of the characters sent, nothing is cached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "completion", _measured(server.completion))
        patch.setattr(server, "response", _measured(server.response))
        with serving(script) as model:
            yield model


def _measured(make: Any) -> Any:
    def made(body: dict[str, Any], *rest: Any) -> dict[str, Any]:
        answer = make(body, *rest)
        usage, sent = answer["usage"], len(json.dumps(body.get("messages", body.get("input")))) // 4
        name = "input_tokens" if "input_tokens" in usage else "prompt_tokens"
        usage[name], usage["total_tokens"] = sent, sent + server.OUTPUT
        usage[f"{name}_details"] = {"cached_tokens": 0}
        return answer

    return made
