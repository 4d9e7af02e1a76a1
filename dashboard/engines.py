"""Where the parts of a large analysis are computed. An engine only maps a function over parts; to add one is one entry in `ENGINES`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from typing import Any, TypeVar

from tracer.errors import BadInput

T = TypeVar("T")
R = TypeVar("R")
Engine = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]
"""(function, parts) -> (number of the part, its result), in the order they are ready"""

RETRIES = 5
"""times a part is computed anew because the worker that had it died"""
HELD = 64
"""parts ordered ahead, so that results do not pile up in the cluster's memory"""


def local(function: Callable[[T], R], parts: Sequence[T]) -> Iterator[tuple[int, R]]:
    """One part after the other, in this process: memory for one part at a time."""
    for number, part in enumerate(parts):
        yield number, function(part)


def ray(function: Callable[[T], R], parts: Sequence[T]) -> Iterator[tuple[int, R]]:
    """On the Ray cluster at $RAY_ADDRESS, else the one this machine belongs to. tracehound must be installed on its workers.

    Raises:
        BadInput: Ray is not installed, or there is no cluster. An error of `function` is raised as it is.

    Whoever takes the results writes nothing to stdout meanwhile: until the last one it is stderr.
    """
    try:
        cluster: Any = import_module("ray")
    except ImportError as error:
        raise BadInput(
            "The engine ray needs the package ray.", hint="install the extra: uv tool install 'tracehound[ray]'."
        ) from error
    with redirect_stdout(sys.stderr):  # Ray prints what it has to say of nodes that die, and stdout is for the answer
        yield from _on_cluster(cluster, function, parts)


def _on_cluster(cluster: Any, function: Callable[[T], R], parts: Sequence[T]) -> Iterator[tuple[int, R]]:
    connected = bool(cluster.is_initialized())
    if not connected:
        try:
            cluster.init(address="auto", log_to_driver=False, logging_level="error", include_dashboard=False)
        except ConnectionError as error:
            raise BadInput(
                f"There is no Ray cluster to compute on: {str(error).splitlines()[0]}",
                hint="start one with `ray start --head`, or name it: RAY_ADDRESS=host:6379.",
            ) from error
    try:
        # A worker that dies takes its parts with it; Ray computes them again elsewhere. An exception of ours is no death.
        task = cluster.remote(_call).options(max_retries=RETRIES, name=_name(function))
        waiting: dict[Any, int] = {}
        for number, part in enumerate(parts):
            if len(waiting) >= HELD:
                yield from _ready(cluster, waiting)
            waiting[task.remote(function, part)] = number
        while waiting:
            yield from _ready(cluster, waiting)
    finally:
        if not connected:
            cluster.shutdown()


def _call(function: Callable[[T], R], part: T) -> R:
    """Ray takes plain functions only, no `partial`."""
    return function(part)


def _name(function: Callable[[Any], Any]) -> str:
    """What Ray's own tools and the workers' process titles call the task."""
    return str(getattr(getattr(function, "func", function), "__name__", "part"))


def _ready(cluster: Any, waiting: dict[Any, int]) -> Iterator[tuple[int, Any]]:
    """At least one result that is there."""
    done, _ = cluster.wait(list(waiting), num_returns=1)
    for reference in done:
        number = waiting.pop(reference)
        try:
            yield number, cluster.get(reference)
        except cluster.exceptions.RayTaskError as error:
            raise error.cause from None


ENGINES: Mapping[str, Engine] = {"local": local, "ray": ray}
