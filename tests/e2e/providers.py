"""The scripted model behind the APIs of Anthropic and Google, with the same tokens as behind OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.e2e.server import CACHED, INPUT, OUTPUT, REASONING, Reply


def message(body: dict[str, Any], reply: Reply, number: int) -> dict[str, Any]:
    """Anthropic counts cached tokens apart from the others and says nothing about reasoning."""
    usage = {
        "input_tokens": INPUT - CACHED, "cache_read_input_tokens": CACHED, "cache_creation_input_tokens": 0,
        "output_tokens": OUTPUT,
    }  # fmt: skip
    return {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "stop_reason": "end_turn",
        "stop_sequence": None, "content": [{"type": "text", "text": reply.text}], "usage": usage,
    }  # fmt: skip


def message_events(whole: dict[str, Any]) -> Iterator[str]:
    usage = {**whole["usage"], "output_tokens": 1}
    yield _event("message_start", message={**whole, "content": [], "stop_reason": None, "usage": usage})
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for word in whole["content"][0]["text"].split():
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": word + " "})
    yield _event("content_block_stop", index=0)
    yield _event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": OUTPUT}
    )
    yield _event("message_stop")


def generated(reply: Reply, number: int, model: str) -> dict[str, Any]:
    """Google counts thoughts apart from the answer."""
    return {
        "responseId": f"g_{number}", "modelVersion": model,
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": reply.text}]}}],
        "usageMetadata": {
            "promptTokenCount": INPUT, "cachedContentTokenCount": CACHED, "candidatesTokenCount": OUTPUT - REASONING,
            "thoughtsTokenCount": REASONING, "totalTokenCount": INPUT + OUTPUT,
        },
    }  # fmt: skip


def generated_chunks(whole: dict[str, Any]) -> Iterator[str]:
    words = whole["candidates"][0]["content"]["parts"][0]["text"].split()
    for at, word in enumerate(words):
        last = at == len(words) - 1
        candidate = {"index": 0, "content": {"role": "model", "parts": [{"text": word + " "}]}}
        piece = {**whole, "candidates": [{**candidate, "finishReason": "STOP"} if last else candidate]}
        if not last:
            del piece["usageMetadata"]
        yield f"data: {json.dumps(piece)}\r\n\r\n"


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"
