"""The client for compatible endpoints, against a real HTTP server on the loopback interface."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from reference_runtime.clock import RealClock, VirtualClock
from reference_runtime.errors import BadModelOutput, ModelError, ModelTimeout, ModelUnavailable, RateLimited
from reference_runtime.model import ChatMessage, ModelRequest, ToolCall, ToolSpec, Usage
from reference_runtime.openai_client import OpenAICompatible
from reference_runtime.patterns import PATTERNS


class Endpoint:
    """Answers every request with `status` and `body`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.body: Any = completion("fine")
        self.delay = threading.Event()
        self.delay.set()
        self.seen: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                endpoint.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                endpoint.keys.append(self.headers["Authorization"])
                endpoint.delay.wait(5)
                body = endpoint.body if isinstance(endpoint.body, bytes) else json.dumps(endpoint.body).encode()
                self.send_response(endpoint.status if self.path == "/v1/chat/completions" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"


def completion(text: str | None, **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "model": "tiny-2026",
        "choices": [{"message": {"role": "assistant", "content": text, **message}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 16}},
    }


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield endpoint
    endpoint.delay.set()
    endpoint.server.shutdown()
    thread.join()
    endpoint.server.server_close()


REQUEST = ModelRequest(
    model="tiny",
    messages=(
        ChatMessage(role="system", content="You are A."),
        ChatMessage(role="assistant", content="", name="Deal Desk", tool_calls=(ToolCall(id="c1", name="find", arguments={"q": "x"}),)),
        ChatMessage(role="tool", content="found", name="find", tool_call_id="c1"),
    ),
    tools=(ToolSpec(name="find", description="Find."),),
    max_tokens=50,
    purpose="route",
)  # fmt: skip


def test_request_and_answer(endpoint: Endpoint) -> None:
    """Messages, tools and key go out as the API wants them; text, tokens and id come back."""
    client = OpenAICompatible(base_url=endpoint.url + "/", api_key="secret")
    response = VirtualClock().run(client.complete(REQUEST))
    sent = endpoint.seen[0]

    assert (response.text, response.id, response.model) == ("fine", "chatcmpl-1", "tiny-2026")
    assert response.usage == Usage(input_tokens=40, output_tokens=9, cached_tokens=16)
    assert endpoint.keys == ["Bearer secret"]
    assert sent["messages"][1]["name"] == "Deal_Desk"
    assert sent["messages"][1]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q": "x"}'}
    assert sent["messages"][2]["tool_call_id"] == "c1"
    assert sent["tools"][0]["function"]["name"] == "find"
    assert "purpose" not in sent


def test_tool_calls_come_back(endpoint: Endpoint) -> None:
    """A wish for a tool call is read, arguments included."""
    call = {"id": "c9", "type": "function", "function": {"name": "find", "arguments": '{"q": "pumps"}'}}
    endpoint.body = completion(None, tool_calls=[call])
    response = VirtualClock().run(OpenAICompatible(base_url=endpoint.url, api_key="").complete(REQUEST))

    assert response.tool_calls == (ToolCall(id="c9", name="find", arguments={"q": "pumps"}),)
    assert endpoint.keys == [None]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, {"error": "slow down"}, RateLimited),
        (504, {"error": "gateway"}, ModelTimeout),
        (500, {"error": "oops"}, ModelError),
        (401, {"error": "who are you"}, ModelUnavailable),
        (200, b"<html>", BadModelOutput),
        (200, {"choices": []}, BadModelOutput),
        (200, completion(None, tool_calls=[{"function": {"name": "f", "arguments": "[1]"}}]), BadModelOutput),
        (200, completion(None, tool_calls=[{"function": {"name": "f", "arguments": "{"}}]), BadModelOutput),
    ],
)
def test_failures_have_their_type(endpoint: Endpoint, status: int, body: Any, error: type[Exception]) -> None:
    """What went wrong decides whether trying again makes sense."""
    endpoint.status, endpoint.body = status, body

    with pytest.raises(error):
        VirtualClock().run(OpenAICompatible(base_url=endpoint.url, api_key="").complete(REQUEST))


def test_slow_endpoints_time_out(endpoint: Endpoint) -> None:
    """No answer within the timeout is a ModelTimeout."""
    endpoint.delay.clear()

    with pytest.raises(ModelTimeout):
        VirtualClock().run(OpenAICompatible(base_url=endpoint.url, api_key="", timeout_s=0.05).complete(REQUEST))


def test_closed_port_is_unavailable() -> None:
    """Nobody listens: asking again does not help."""
    with pytest.raises(ModelUnavailable):
        VirtualClock().run(OpenAICompatible(base_url="http://127.0.0.1:9/v1", api_key="").complete(REQUEST))


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_patterns_run_against_a_real_endpoint(endpoint: Endpoint, pattern: Any) -> None:
    """The same workflows take a real model's answers; one that never answers in JSON fails the run, not the program."""
    endpoint.body = completion("Renew for 12 months. TERMINATE")
    client = OpenAICompatible(base_url=endpoint.url, model="tiny", api_key="")
    (result,) = pattern.build(0, clock=RealClock(speed=1000), model=client).play()
    expected = "failed" if pattern.name in ("supervisor", "coordinated") else "completed"

    assert result.outcome == expected
    assert {seen["model"] for seen in endpoint.seen} == {"tiny"}
