"""A scripted model behind the OpenAI API on loopback: chat completions and responses, streamed or not, with tool calls.

A script gets a `Request` and gives the `Reply`. Usage is the same for every call, so that costs can be computed by hand.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INPUT, CACHED, OUTPUT, REASONING = 1_000, 400, 200, 50
"""tokens of every call; cached is part of input, reasoning part of output"""


@dataclass(frozen=True)
class Request:
    system: str
    tools: tuple[str, ...]
    """names of the tools on offer"""
    called: tuple[str, ...]
    """names of the tools called so far in this conversation"""
    texts: tuple[str, ...]
    """what was said, without the system prompt"""
    names: tuple[str, ...]
    """names of the speakers, where messages carry them"""
    headers: dict[str, str]
    model: str = ""


@dataclass(frozen=True)
class Reply:
    text: str = ""
    tools: tuple[tuple[str, dict[str, Any]], ...] = ()
    status: int = 200
    """an error that may be tried again at once"""
    usage: bool = True
    """False: the answer says nothing about tokens"""


Script = Callable[[Request], Reply]


@dataclass
class Model:
    url: str
    requests: list[Request] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """The environment of a program that talks to it."""
        return {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": "sk-scripted"}


@contextmanager
def serving(script: Script) -> Iterator[Model]:
    """Serve on a free port of the loopback interface until the block ends."""
    numbers = itertools.count(1)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/embeddings"):
                self.answer(json.dumps(embeddings(body)))
                return
            request = read_request(body, {key.lower(): value for key, value in self.headers.items()})
            with lock:
                model.requests.append(request)
                reply, number = script(request), next(numbers)
            if reply.status != 200:
                self.answer(json.dumps({"error": {"message": reply.text, "type": "scripted"}}), status=reply.status)
                return
            whole, pieces = answers(self.path, body, reply, number)
            if "stream" in self.path or body.get("stream"):
                self.answer("".join(pieces()), kind="text/event-stream")
            else:
                self.answer(json.dumps(whole))

        def answer(self, text: str, *, status: int = 200, kind: str = "application/json") -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            if status != 200:
                self.send_header("Retry-After-Ms", "20")
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model = Model(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(
    path: str, body: dict[str, Any], reply: Reply, number: int
) -> tuple[dict[str, Any], Callable[[], Iterator[str]]]:
    """The answer of whichever API is at `path`, whole and in pieces."""
    from tests.e2e import providers

    if path.endswith("/messages"):
        whole = providers.message(body, reply, number)
        return whole, lambda: providers.message_events(whole)
    if ":" in path:
        whole = providers.generated(reply, number, path.rpartition("/")[2].partition(":")[0])
        return whole, lambda: providers.generated_chunks(whole)
    of_responses = path.endswith("/responses")
    whole = response(body, reply, number) if of_responses else completion(body, reply, number)
    if not reply.usage:
        whole["usage"] = None
    return whole, lambda: response_events(whole) if of_responses else completion_chunks(body, whole)


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """A vector for every text, told by its length; 5 tokens each."""
    given = body["input"]
    texts = [given] if isinstance(given, str) else given
    data = [
        {"object": "embedding", "index": at, "embedding": [len(text) % 7 / 7, 0.5, 0.25]}
        for at, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 5 * len(texts), "total_tokens": 5 * len(texts)}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


def read_request(body: dict[str, Any], headers: dict[str, str]) -> Request:
    """What a script decides by, from either API."""
    items: Any = body.get("messages", body.get("input", []))
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    system, texts, called, names = [body.get("instructions") or ""], [], [], []
    for item in items:
        content = item.get("content", item.get("output"))
        text = content if isinstance(content, str) else " ".join(part.get("text", "") for part in content or ())
        (system if item.get("role") in ("system", "developer") else texts).append(text)
        if item.get("type") == "function_call":
            called.append(item["name"])
        called += [call["function"]["name"] for call in item.get("tool_calls") or ()]
        if item.get("name"):
            names.append(item["name"])
    tools = [tool.get("name") or tool["function"]["name"] for tool in body.get("tools") or ()]
    return Request(
        "\n".join(system), tuple(tools), tuple(called), tuple(texts), tuple(names), headers, body.get("model", "")
    )


def _usage(sent: str, got: str) -> dict[str, Any]:
    return {
        f"{sent}_tokens": INPUT,
        f"{got}_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        f"{sent}_tokens_details": {"cached_tokens": CACHED},
        f"{got}_tokens_details": {"reasoning_tokens": REASONING},
    }


def completion(body: dict[str, Any], reply: Reply, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tools:
        message["tool_calls"] = [
            {
                "id": f"call_{number}_{at}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(given)},
            }
            for at, (name, given) in enumerate(reply.tools)
        ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if reply.tools else "stop"}
    return {
        "id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": body["model"],
        "choices": [choice], "usage": _usage("prompt", "completion"),
    }  # fmt: skip


def completion_chunks(body: dict[str, Any], whole: dict[str, Any]) -> Iterator[str]:
    message = whole["choices"][0]["message"]
    base = {"id": whole["id"], "object": "chat.completion.chunk", "created": 1, "model": whole["model"]}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word + " "} for word in (message["content"] or "").split()]
    for at, call in enumerate(message.get("tool_calls", ())):
        deltas.append({"tool_calls": [{"index": at, **call}]})
    for delta in deltas:
        yield _event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    end = {"index": 0, "delta": {}, "finish_reason": whole["choices"][0]["finish_reason"]}
    yield _event({**base, "choices": [end]})
    if whole["usage"] and (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**base, "choices": [], "usage": whole["usage"]})
    yield "data: [DONE]\n\n"


def response(body: dict[str, Any], reply: Reply, number: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    if reply.text:
        text = {"type": "output_text", "text": reply.text, "annotations": []}
        items.append(
            {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        )
    for at, (name, given) in enumerate(reply.tools):
        ids = {"id": f"fc_{number}_{at}", "call_id": f"call_{number}_{at}"}
        items.append(
            {"type": "function_call", "name": name, "arguments": json.dumps(given), "status": "completed", **ids}
        )
    return {
        "id": f"resp_{number}", "object": "response", "created_at": 1, "status": "completed", "error": None,
        "incomplete_details": None, "instructions": body.get("instructions"), "metadata": {}, "model": body["model"],
        "output": items, "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto",
        "tools": body.get("tools") or [], "top_p": 1.0, "usage": _usage("input", "output"),
    }  # fmt: skip


def response_events(whole: dict[str, Any]) -> Iterator[str]:
    numbers = itertools.count()

    def event(kind: str, **fields: Any) -> str:
        return f"event: {kind}\n" + _event({"type": kind, "sequence_number": next(numbers), **fields})

    yield event("response.created", response={**whole, "status": "in_progress", "output": [], "usage": None})
    for at, item in enumerate(whole["output"]):
        yield event("response.output_item.added", output_index=at, item={**item, "status": "in_progress"})
        if item["type"] == "message":
            for word in item["content"][0]["text"].split():
                yield event(
                    "response.output_text.delta", output_index=at, content_index=0, item_id=item["id"],
                    delta=word + " ", logprobs=[],
                )  # fmt: skip
        yield event("response.output_item.done", output_index=at, item=item)
    yield event("response.completed", response=whole)


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"
