"""Puts guards between agents and providers, by wrapping the calls of the client libraries.

Frameworks swallow what their hooks raise; the one place where every one of them stops is the client's own `create()`.
Libraries that are there are wrapped when the first guard begins, others when they are imported. The wraps stay and do
nothing where no guard is around; they may lie around or inside wraps of instrumentors.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..auto.managers import through_manager
from ..auto.unread import when_parsed
from ..complaints import complain
from . import carry, framework_agents
from .calls import Ticket, admit
from .core import current
from .reading import Answered, read_answer, read_request
from .streams import metered

logger = logging.getLogger("tracehound")

MARK = "__tracehound_guarded__"
UNREAD = object()
"""the host has the response before it is read (`with_streaming_response`)"""


@dataclass(frozen=True, slots=True)
class Client:
    """A call of a client library that reaches a provider."""

    module: str
    """after whose import it is there"""
    owner: str | None
    """the class; None for a function of the module"""
    names: tuple[str, ...]
    """the first that is there is wrapped"""
    is_async: bool = False
    by_manager: bool = False
    """it gives a manager that makes the request when it is entered"""


CLIENTS: tuple[Client, ...] = (
    *(
        Client(f"openai.resources.{module}", f"{prefix}{owner}", (name,), bool(prefix))
        for module, owner in (("chat.completions", "Completions"), ("responses", "Responses"))
        for prefix in ("", "Async")
        for name in ("create", "parse")
    ),
    *(
        Client(f"anthropic.resources.{module}", f"{prefix}Messages", (name,), bool(prefix), name == "stream")
        for module in ("messages", "beta.messages")
        for prefix in ("", "Async")
        for name in ("create", "parse", "stream")
    ),
    Client("litellm", None, ("completion",)),
    Client("litellm", None, ("acompletion",), True),
    *(
        # The inner one makes one request; the public one may make several when it calls tools by itself.
        Client("google.genai.models", f"{prefix}Models", (f"_{name}", name), bool(prefix))
        for prefix in ("", "Async")
        for name in ("generate_content", "generate_content_stream")
    ),
)
_MODULES = frozenset(client.module for client in CLIENTS) | framework_agents.MODULES
_lock = threading.RLock()
_finder: _Finder | None = None


def watch() -> None:
    """Wrap every client library that is imported, and those that will be. Doing it again is harmless."""
    global _finder
    with _lock:
        if _finder is None:
            _finder = _Finder()
            sys.meta_path.insert(0, _finder)
            carry.watch()
        for name in _MODULES:
            module = sys.modules.get(name)
            if module is not None:
                wrap_module(module, name)


def wrap_module(module: ModuleType, name: str) -> None:
    """Wrap what `CLIENTS` names in a module that has been imported; what is not there is passed over."""
    framework_agents.wrap_module(module, name)
    for client in CLIENTS:
        if client.module != name:
            continue
        owner: Any = module if client.owner is None else getattr(module, client.owner, None)
        found = next((each for each in client.names if callable(getattr(owner, each, None))), None)
        if owner is None or found is None:
            continue
        original = getattr(owner, found)
        if not _guarded(original):
            try:
                setattr(owner, found, _wrapped(original, client))
            except (AttributeError, TypeError):
                logger.warning("tracehound: %s.%s cannot be guarded", client.owner or name, found, exc_info=True)


def _wrapped(original: Callable[..., Any], client: Client) -> Callable[..., Any]:
    around = functools.partial(guarded, is_async=client.is_async)
    if not client.by_manager:
        return around(original)
    wrapper = through_manager(original, around, is_async=client.is_async)
    setattr(wrapper, MARK, True)
    return wrapper


def guarded(original: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    """`original`, which asks the guards around before each call and tells them what it cost afterwards."""
    names = _parameters(original)

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        ticket = _ticket(names, args, kwargs)
        if ticket is None:
            return original(*args, **kwargs)
        try:
            with ticket.active():
                result = original(*args, **kwargs)
        except BaseException as error:
            ticket.settle(Answered(), None, error)
            raise
        return _settled(result, _parsed(result, kwargs), ticket)

    @functools.wraps(original)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        ticket = _ticket(names, args, kwargs)
        if ticket is None:
            return await original(*args, **kwargs)
        try:
            with ticket.active():
                result = await original(*args, **kwargs)
            parsed = _parsed(result, kwargs)
            if inspect.isawaitable(parsed):
                parsed = await parsed
        except BaseException as error:
            ticket.settle(Answered(), None, error)
            raise
        return _settled(result, parsed, ticket)

    wrapper = call_async if is_async else call
    setattr(wrapper, MARK, True)
    return wrapper


def _ticket(names: Sequence[str], args: Sequence[Any], kwargs: dict[str, Any]) -> Ticket | None:
    guard = current()
    if guard is None:
        return None
    try:
        given = kwargs if not args else {**dict(zip(names, args, strict=False)), **kwargs}
        asked = read_request(given, with_tools=any(each.limits.loop is not None for each in guard.chain()))
    except Exception:  # noqa: BLE001 - an odd request is guarded by an estimate; logged once
        complain("reading a request")
        asked = read_request({})
    return admit(asked)


def _parameters(original: Callable[..., Any]) -> list[str]:
    try:
        return list(inspect.signature(original).parameters)
    except (TypeError, ValueError):
        return []


def _settled(result: Any, parsed: Any, ticket: Ticket) -> Any:
    """`result`, which may be a stream to be settled later, or something around `parsed`."""
    try:
        if parsed is None:
            ticket.settle(Answered())
        elif parsed is UNREAD:
            http = result.http_response  # not `result` itself, whose end is waited for
            when_parsed(
                result,
                lambda answer: metered(answer, ticket.settle),
                lambda error: ticket.settle(_read_by_host(http), None, error),
            )
        elif parsed is result:
            return metered(result, ticket.settle)
        else:
            metered(parsed, ticket.settle)
    except Exception:  # noqa: BLE001 - the answer belongs to the host; charged by estimate, logged once
        complain("reading an answer")
        ticket.settle(Answered())
    return result


def _parsed(result: Any, kwargs: dict[str, Any]) -> Any:
    """The answer in a raw response (`with_raw_response`), whose parsing is cached; None where it cannot be read, `UNREAD` where that is for the host."""
    if not hasattr(result, "http_response") or not callable(getattr(result, "parse", None)):
        return result
    headers: Mapping[str, Any] = kwargs.get("extra_headers") or {}
    if headers.get("X-Stainless-Raw-Response") == "stream":
        return UNREAD if callable(getattr(result, "close", None)) else None
    try:
        return result.parse()
    except Exception:  # noqa: BLE001 - the host meets the same error when it parses; charged by estimate, logged once
        complain("parsing a raw response")
        return None


def _read_by_host(http: Any) -> Answered:
    """The answer in a response whose bytes the host has read by itself; an empty one where it has not, or it is no JSON."""
    try:
        body = http.json()
    except Exception:  # noqa: BLE001 - not read, streamed, or no JSON: charged by estimate
        return Answered()
    return read_answer(body) if isinstance(body, dict) else Answered()


def _guarded(function: Any) -> bool:
    """True where our wrap is there already, perhaps below those of others."""
    for _ in range(20):
        if function is None:
            return False
        if getattr(function, "__dict__", {}).get(MARK):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


class _Finder(MetaPathFinder):
    """Wraps a client library as soon as it has been loaded by whoever loads it."""

    def __init__(self) -> None:
        self._busy = threading.local()

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname not in _MODULES or getattr(self._busy, "at", None) == fullname:
            return None
        self._busy.at = fullname
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy.at = None
        loader = spec.loader if spec is not None else None
        if spec is None or loader is None:
            return None
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            try:
                wrap_module(module, fullname)
            except Exception:  # noqa: BLE001 - the import must succeed; logged once
                complain(f"guarding {fullname}")

        loader.exec_module = exec_module
        return spec
