"""From one function that describes a span to a name that is a decorator, a block and a statement, with its types kept.

@kind_of(Scope, AgentSpan)
def agent(called: str | None, /, *, reason: str | None = None) -> Spec: ...

@agent                          F -> F
agent("planner", reason="...")  Scope[AgentSpan]
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from .live import LiveSpan
from .scope import Make, Spec, give

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=LiveSpan)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")


class Kind(Protocol[P, T_co]):
    """`@kind` decorates what it gets; `kind("name", ...)` is a scope to enter or to decorate with."""

    @overload
    def __call__(self, name: F, /) -> F: ...
    @overload
    def __call__(self, name: str | None = None, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


class ScopedKind(Protocol[P, T_co]):
    """A `Kind` whose name is the scope it is about."""

    @overload
    def __call__(self, scope: F, /) -> F: ...
    @overload
    def __call__(self, scope: str | None = None, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


class DirectedKind(Protocol[P, T_co]):
    """A `Kind` whose name is whom it goes to, which has to be said."""

    @overload
    def __call__(self, to: F, /) -> F: ...
    @overload
    def __call__(self, to: str, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


Describe = Callable[Concatenate[str | None, P], Spec]
"""says what a span will be, given its name and what else is said; called when a span begins"""


def kind_of(
    scope: Callable[[Make[S], Callable[[str | None], Spec], str | None], T], make: Make[S]
) -> Callable[[Describe[P]], Kind[P, T]]:
    """Makes a kind of span of a function that describes one. `scope` is `Scope` or `Mark`, `make` the handle of the open span."""
    return lambda describe: cast("Kind[P, T]", _kind(scope, make, describe, "name"))


def scoped_kind_of(
    scope: Callable[[Make[S], Callable[[str | None], Spec], str | None], T], make: Make[S]
) -> Callable[[Describe[P]], ScopedKind[P, T]]:
    """`kind_of` for what is about a scope."""
    return lambda describe: cast("ScopedKind[P, T]", _kind(scope, make, describe, "scope"))


def directed_kind_of(
    scope: Callable[[Make[S], Callable[[str | None], Spec], str | None], T], make: Make[S]
) -> Callable[[Describe[P]], DirectedKind[P, T]]:
    """`kind_of` for what goes to somebody."""
    return lambda describe: cast("DirectedKind[P, T]", _kind(scope, make, describe, "to", needed=True))


def _kind(scope: Any, make: Any, describe: Callable[..., Spec], keyword: str, *, needed: bool = False) -> Any:
    accepted = inspect.signature(describe)
    known = set(accepted.parameters)

    @functools.wraps(describe)
    def made(*args: Any, **kwargs: Any) -> Any:
        if not args and keyword in kwargs:
            args = (kwargs.pop(keyword),)
        if not args and needed:
            raise TypeError(
                f'{describe.__name__}() needs {keyword!r}, for instance {describe.__name__}({keyword}="writer")'
            )
        if len(args) > 1 or not known.issuperset(kwargs):
            # A typing error is told where it is made.
            if args and keyword in kwargs:
                raise TypeError(f"{describe.__name__}() got {keyword!r} twice: {args[0]!r} and {kwargs[keyword]!r}")
            accepted.bind(*(args or (None,)), **kwargs)

        def build(called: str | None) -> Spec:
            return describe(called, **kwargs)

        return give(args[0] if args else None, lambda called: scope(make, build, called))

    return made
