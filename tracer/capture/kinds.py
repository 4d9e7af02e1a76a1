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
    def __call__(self, name: str | None = None, /, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


def kind_of(
    scope: Callable[[Make[S], Callable[[str | None], Spec], str | None], T], make: Make[S]
) -> Callable[[Callable[Concatenate[str | None, P], Spec]], Kind[P, T]]:
    """Makes a kind of span of a function that says what such a span will be, given its name and what else is said.

    `scope` is `Scope` or `Mark`, `make` the handle of the open span. The function is called when a span begins.
    """

    def kind(describe: Callable[Concatenate[str | None, P], Spec]) -> Kind[P, T]:
        accepted = inspect.signature(describe)
        known = set(accepted.parameters)

        @functools.wraps(describe)
        def made(name: Any = None, /, *args: P.args, **kwargs: P.kwargs) -> Any:
            if args or not known.issuperset(kwargs):
                accepted.bind(name, *args, **kwargs)  # a typing error is told where it is made

            def build(called: str | None) -> Spec:
                return describe(called, *args, **kwargs)

            return give(name, lambda called: cast("Any", scope(make, build, called)))

        return cast("Kind[P, T]", made)

    return kind


class NamedKind(Protocol[P, T_co]):
    """A `Kind` that needs its name."""

    @overload
    def __call__(self, name: F, /) -> F: ...
    @overload
    def __call__(self, name: str, /, *args: P.args, **kwargs: P.kwargs) -> T_co: ...


def named(kind: Kind[P, T]) -> NamedKind[P, T]:
    """`kind`, which then cannot be used without a name."""

    @functools.wraps(kind)
    def made(name: Any, /, *args: P.args, **kwargs: P.kwargs) -> Any:
        return kind(name, *args, **kwargs)

    return cast("NamedKind[P, T]", made)
