"""Client libraries that are not there: modules with the layout of openai and anthropic, answering from a script.

`installed(tmp_path)` puts them on the path; they are then imported like the real ones.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

OPENAI = '''
"""The layout of openai's client: resources.chat.completions and resources.responses, create and parse, sync and async."""
from types import SimpleNamespace as N

server = None

class Stream:
    def __init__(self, pieces): self._iterator = iter(pieces)
    def __next__(self): return next(self._iterator)
    def __iter__(self):
        for piece in self._iterator: yield piece

class AsyncStream:
    def __init__(self, pieces): self._iterator = self._all(pieces)
    async def _all(self, pieces):
        for piece in pieces: yield piece
    async def __anext__(self): return await anext(self._iterator)
    async def __aiter__(self):
        async for piece in self._iterator: yield piece

class Raw:
    def __init__(self, body):
        text = {"usage": getattr(body, "usage", None) and vars(body.usage), "model": "gpt-4o"}
        self.http_response, self._body = N(json=lambda: text), body
    def parse(self): return self._body
    def close(self): pass

def answer(kwargs, stream):
    body = server(kwargs)
    if isinstance(body, BaseException): raise body
    if kwargs.get("stream"): body = stream(body)
    raw = (kwargs.get("extra_headers") or {}).get("X-Stainless-Raw-Response")
    return Raw(body) if raw else body
'''
CALLS = """
import openai
class {0}:
    def create(self, **kwargs): return openai.answer(kwargs, openai.Stream)
    def parse(self, **kwargs): return openai.answer(kwargs, openai.Stream)
class Async{0}:
    async def create(self, **kwargs): return openai.answer(kwargs, openai.AsyncStream)
    async def parse(self, **kwargs): return openai.answer(kwargs, openai.AsyncStream)
"""
FILES = {
    "openai/__init__.py": OPENAI,
    "openai/resources/__init__.py": "",
    "openai/resources/chat/__init__.py": "",
    "openai/resources/chat/completions/__init__.py": CALLS.format("Completions"),
    "openai/resources/responses/__init__.py": CALLS.format("Responses"),
    "anthropic/__init__.py": "",
    "anthropic/resources/__init__.py": "",
    "anthropic/resources/messages.py": CALLS.format("Messages"),
    "google/genai/__init__.py": "",
    "google/genai/models.py": CALLS.format("Models").replace("def create", "def generate_content"),
    "litellm.py": """
def completion(**kwargs):
    from openai.resources.chat.completions import Completions
    return Completions().create(**kwargs)
async def acompletion(**kwargs):
    from openai.resources.chat.completions import AsyncCompletions
    return await AsyncCompletions().create(**kwargs)
""",
}
ROOTS = ("openai", "anthropic", "litellm", "google")


class Script:
    """The provider: counts requests and answers each with the same tokens."""

    def __init__(self, input_tokens: int = 100, output_tokens: int = 100, *, usage: bool = True) -> None:
        self.requests: list[dict[str, Any]] = []
        self.usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens} if usage else None
        self.text = "done"

    def __call__(self, request: dict[str, Any]) -> Any:
        self.requests.append(request)
        usage = SimpleNamespace(**self.usage) if self.usage else None
        if request.get("stream"):
            words = [
                SimpleNamespace(model="gpt-4o", usage=None, choices=[SimpleNamespace(delta={"content": part})])
                for part in (self.text[:2], self.text[2:])
            ]
            return [*words, SimpleNamespace(model="gpt-4o", usage=usage, choices=[])]
        message = {"role": "assistant", "content": self.text}
        return SimpleNamespace(
            id="r1", model="gpt-4o", usage=usage, choices=[SimpleNamespace(message=message, finish_reason="stop")]
        )


@contextmanager
def installed(directory: Path, script: Any) -> Generator[Any]:
    """The made-up libraries can be imported, and are forgotten afterwards; gives the `openai` module."""
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] in ROOTS}
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(directory))
    try:
        import openai  # pyright: ignore[reportMissingImports]

        openai.server = script
        yield openai
    finally:
        sys.path.remove(str(directory))
        for name in [name for name in sys.modules if name.split(".")[0] in ROOTS]:
            del sys.modules[name]
        sys.modules.update(before)
