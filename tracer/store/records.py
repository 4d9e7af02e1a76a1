"""Frames of our own records, thousands at a time, as columns: DuckDB reads their JSON, and no span becomes an object.

`frame` says what such a frame holds, and reads one at a time; both must agree.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import local
from typing import Any, cast

import duckdb
import polars as pl

from tracer.model import RawSpan
from tracer.normalise.leaves import COLUMN, READABLE
from tracer.semconv import GenAI, Tracehound
from tracer.store.arrow import ArrowStream, fetched
from tracer.store.frame import from_json, span_of_body

SOURCE = "_source"
"""column that numbers rows by what they were made from; no table has it"""
_HEAD = {
    **dict.fromkeys(("resource", "dropped", "counts", "contents", "bodies"), "JSON"),
    "scope": "VARCHAR",
    "starts": ["JSON"],
}
_FIELDS = {
    "trace_id": "VARCHAR",
    "span_id": "VARCHAR",
    "parent_span_id": "VARCHAR",
    "name": "VARCHAR",
    "start_ns": "BIGINT",
    "end_ns": "BIGINT",
    "status": "VARCHAR",
    "status_message": "VARCHAR",
    "scope": "VARCHAR",
    "attributes": "JSON",
    "events": "JSON",
    "links": "JSON",
    "resource": "JSON",
    "dropped_attributes": "BIGINT",
    "content": "JSON",
}
_IN_JSON = frozenset({"attributes", "events", "links", "resource", "content"})
_BETWEEN = "\x1f"
_SLOTS = {"input": ["BIGINT"], "output": ["BIGINT"]}
TELLING = (GenAI.OPERATION, Tracehound.KIND)
"""attributes whose values, not only their names, say what a span is"""
_HEADS = "CREATE TEMP TABLE heads AS SELECT frame, unnest(from_json(head, $head)) FROM incoming"
# `json_structure` would say in one word what the keys and the kinds of some values say here, in three times the time.
_SPANS = """
    CREATE TEMP TABLE written AS
    SELECT *, to_json(json_keys(attributes))::VARCHAR AS names FROM (
        SELECT frame, unnest(spans, recursive := true) FROM (SELECT frame, from_json(head, $spans).spans AS spans FROM incoming)
    )
"""
_ROWS = """
    SELECT * EXCLUDE ("values", refs, names), concat_ws(chr(31), names, {kinds}) AS structure,
        refs.input AS input_refs, refs.output AS output_refs, array_to_string(json_keys(content), ' ') AS slots{columns}
    FROM (SELECT *, from_json(attributes, '{values}') AS "values", from_json(content, '{slots}') AS refs FROM written)
"""
_STARTS = """
    SELECT frame, json FROM (
        SELECT frame, json, unnest(from_json(json, '{"trace_id":"VARCHAR","span_id":"VARCHAR"}'))
        FROM (SELECT frame, unnest(starts) AS json FROM heads)
    ) ANTI JOIN (SELECT trace_id, span_id FROM written WHERE end_ns IS NOT NULL) USING (trace_id, span_id)
"""


@dataclass(slots=True)
class Head:
    """What a frame says of itself."""

    resource: dict[str, Any]
    scope: str
    dropped: int
    counts: dict[str, Any]
    contents: dict[str, Any]
    bodies: list[tuple[int, int]]


@dataclass(slots=True)
class Records:
    """What many frames hold."""

    heads: list[Head]
    spans: pl.DataFrame
    """ended spans: frame, the fields of a record, input_refs and output_refs of their content, the structure of their
    attributes (see `kinds`), `SOURCE`, and per attribute that may fill a column one `COLUMN` + name"""
    starts: list[tuple[int, str]]
    """(frame, JSON) of the spans that have started and are not among the ended ones"""
    readable: list[str]
    """attributes that have a column in `spans`"""

    def kinds(self, structure: str) -> dict[str, str] | None:
        """attribute -> what its value is in JSON, "" where that was not asked, in spans of this `structure`.

        None where one attribute stands there twice.
        """
        written, *told = structure.split(_BETWEEN)
        names: list[str] = json.loads(written)
        if len(set(names)) < len(names):
            return None
        kinds = dict(zip(self.readable, told[0].strip("[]").split(", "), strict=True))
        kinds |= zip(_lists(self.readable), told[1:], strict=True)
        return {name: kinds.get(name, "") for name in names}

    def some(self, numbers: pl.Series) -> list[RawSpan]:
        """The rows with these numbers of `spans` as spans of their own.

        Raises:
            ValueError, TypeError, AttributeError: one is none.
        """
        made: list[RawSpan] = []
        for row in self.spans.select("frame", *_FIELDS)[numbers].iter_rows(named=True):
            head = self.heads[int(row.pop("frame"))]
            given = {name: value for name, value in row.items() if value is not None}
            for name in _IN_JSON & given.keys():
                given[name] = from_json(given[name])
            made.append(span_of_body(given, head.resource, head.scope))
        return made

    def start(self, frame: int, text: str) -> RawSpan:
        """As `span`, one of the `starts`."""
        head = self.heads[frame]
        return span_of_body(from_json(text), head.resource, head.scope)


def read_records(heads: Sequence[bytes], spans: int) -> Records:
    """The records in `heads`, the JSON of frames, in which there are so many ended spans and starts.

    Raises:
        ValueError, duckdb.Error: something is unusual; each frame is to be read by itself.
    """
    texts = pl.DataFrame({"frame": range(len(heads)), "head": pl.Series(heads, dtype=pl.Binary).cast(pl.String)})
    with _engine() as con:
        con.register("incoming", ArrowStream(texts))
        con.execute(_HEADS, {"head": json.dumps(_HEAD)})
        con.register("incoming", ArrowStream(texts))
        con.execute(_SPANS, {"spans": json.dumps({"spans": [_FIELDS]})})
        con.unregister("incoming")
        told = con.execute(
            "SELECT * EXCLUDE (frame, starts), coalesce(len(starts), 0) FROM heads ORDER BY frame"
        ).fetchall()
        started = sum(row[-1] for row in told)
        starts = con.execute(_STARTS).fetchall() if started else []
        known = con.execute("SELECT DISTINCT names FROM written WHERE names IS NOT NULL").fetchall()
        readable = sorted({*TELLING, *READABLE.keys() & {name for (names,) in known for name in json.loads(names)}})
        wanted = {name: READABLE[name] for name in readable}
        columns = "".join(f', "values"[\'{name}\'] AS "{COLUMN}{name}"' for name in readable)
        sql = _ROWS.format(columns=columns, kinds=_kinds(readable), values=json.dumps(wanted), slots=json.dumps(_SLOTS))
        rows = fetched(con.sql(sql))
    missing = rows.select(pl.col("trace_id", "span_id", "name", "start_ns").null_count()).row(0)
    if rows.height + started != spans or any(missing):
        raise ValueError("not all spans are where they are expected")
    rows = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(SOURCE))
    return Records(_heads(told), rows, starts, readable)


@contextmanager
def one_engine() -> Generator[None]:
    """Within it all calls of this thread use one database in memory, which takes 20 ms to make; it is made when one is needed.

    It does not outlast the fold: in the child of a program that forks, DuckDB crashes where it is let go.
    """
    with ExitStack() as kept:
        _THREAD.kept, _THREAD.engine = kept, None
        try:
            yield
        finally:
            del _THREAD.kept, _THREAD.engine


@contextmanager
def _engine() -> Generator[duckdb.DuckDBPyConnection]:
    kept: ExitStack | None = getattr(_THREAD, "kept", None)
    if kept is None:
        with one_engine(), _engine() as made:
            yield made
        return
    if _THREAD.engine is None:
        _THREAD.engine = kept.enter_context(duckdb.connect(":memory:", config={"threads": 1}))
    with _THREAD.engine.cursor() as con:  # temporary tables go with it
        yield con


_THREAD = local()


def _heads(told: Sequence[tuple[Any, ...]]) -> list[Head]:
    resources: dict[str | None, dict[str, Any]] = {}
    heads: list[Head] = []
    for resource, dropped, counts, contents, bodies, scope, _ in told:
        if resource not in resources:
            known: Any = from_json(resource) if resource else {}
            if not isinstance(known, dict):
                raise ValueError("a resource is no object")
            resources[resource] = cast("dict[str, Any]", known)
        heads.append(
            Head(
                resources[resource],
                scope or "",
                int(dropped) if dropped else 0,
                json.loads(counts) if counts else {},
                json.loads(contents) if contents else {},
                json.loads(bodies) if bodies else [],
            )
        )
    return heads


def _kinds(readable: Sequence[str]) -> str:
    """SQL for what the values of these attributes are in JSON; of a list also what its items are."""
    paths = ", ".join(f"'$.\"{name}\"'" for name in readable)
    items = [f"json_structure(json_extract(attributes, '$.\"{name}\"'))::VARCHAR" for name in _lists(readable)]
    return ", ".join([f"json_type(attributes, [{paths}])::VARCHAR", *(f"coalesce({item}, '')" for item in items)])


def _lists(readable: Sequence[str]) -> list[str]:
    return [name for name in readable if not isinstance(READABLE[name], str)]
