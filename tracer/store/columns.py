"""From rows of our dataclasses to polars frames and into DuckDB, column by column (a row at a time is 50 times slower)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import Any, cast

import duckdb
import polars as pl
from polars.exceptions import PolarsError

from tracer.store.arrow import ArrowStream, fetched
from tracer.store.schema import table_schema

_INT64 = range(-(1 << 63), 1 << 63)
_MAX_MONEY = Decimal(10**9)


@cache
def empty_frame(table: str) -> pl.DataFrame:
    """The frame of no rows, always the same: making one of seventy columns takes longer than a small chunk."""
    return pl.DataFrame(schema=table_schema(table))


def frame_of(table: str, rows: Sequence[Any], **more: Sequence[Any]) -> pl.DataFrame:
    """The frame for `table` of objects whose attributes are its columns; `more` gives columns they lack.

    A value its column cannot hold (a number beyond 64 bits, half a surrogate pair) is mended or becomes NULL.
    """
    if not rows:
        return empty_frame(table)
    schema = table_schema(table)
    columns = {**_columns(rows, [name for name in schema if name not in more]), **more}
    return pl.DataFrame(
        [
            _series(name, columns[name], dtype) if name in columns else _nulls(dtype, len(rows)).alias(name)
            for name, dtype in schema.items()
        ]
    )


def frame_of_columns(
    table: str, columns: Mapping[str, Sequence[Any]], same: Mapping[str, Any], rows: int
) -> pl.DataFrame:
    """As `frame_of`, of values that are columns already; `same` holds those that are equal in all `rows`.

    Columns of which nothing is known are left out: seventy of them cost more than the values.
    """
    schema = table_schema(table)
    return pl.DataFrame(
        [
            _series(name, columns[name], dtype)
            if name in columns
            else pl.Series(name, [same[name]], dtype=dtype).new_from_index(0, rows)
            for name, dtype in schema.items()
            if name in columns or same.get(name) is not None
        ]
    )


def stacked(table: str, frames: Sequence[pl.DataFrame], needed: Sequence[str] = ()) -> pl.DataFrame:
    """The rows of `frames`, each of which has some of the columns of `table`, with the columns `needed` in any case."""
    filled = [frame for frame in frames if frame.height]
    if not filled:
        return empty_frame(table)
    frame = filled[0] if len(filled) == 1 else pl.concat(filled, how="diagonal")
    schema = table_schema(table)
    return frame.with_columns(
        [_nulls(schema[name], frame.height).alias(name) for name in needed if name not in frame.columns]
    )


def _columns(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Column name -> values; a column that no row sets is left out where its default is None."""
    kind = cast("type[Any]", type(rows[0]))
    if not hasattr(rows[0], "__dict__"):
        return dict(zip(names, zip(*map(attrgetter(*names), rows), strict=True), strict=True))
    given: list[dict[str, Any]] = [vars(row) for row in rows]
    alike: dict[tuple[str, ...], list[int]] = {}  # rows made alike have the same names
    for at, values in enumerate(given):
        alike.setdefault(tuple(values), []).append(at)
    shapes = [(frozenset(shape), positions) for shape, positions in alike.items()]
    columns: dict[str, Sequence[Any]] = {}
    for name in names:
        default = getattr(kind, name, None)
        having = [positions for shape, positions in shapes if name in shape]
        if len(having) == len(shapes):
            columns[name] = [values[name] for values in given]
        elif having or default is not None:
            column = [default] * len(rows)
            for positions in having:
                for at in positions:
                    column[at] = given[at][name]
            columns[name] = column
    return columns


def insert(con: duckdb.DuckDBPyConnection, table: str, frame: pl.DataFrame) -> None:
    """Append the rows of `frame` to `table`, columns matched by name; one that is left out is NULL."""
    if frame.height:
        frame = frame.select([column for column in frame if column.null_count() < frame.height])
        with_frame(con, frame, f'INSERT INTO "{table}" BY NAME SELECT * FROM incoming')


def with_frame(
    con: duckdb.DuckDBPyConnection, frame: pl.DataFrame, sql: str, values: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run `sql`, in which `incoming` stands for `frame`, and return its rows."""
    con.register("incoming", ArrowStream(frame))
    try:
        return con.execute(sql, dict(values) if values else None).fetchall()
    finally:
        con.unregister("incoming")


def select_with(con: duckdb.DuckDBPyConnection, frame: pl.DataFrame, sql: str) -> pl.DataFrame:
    """The answer to the query `sql`, in which `incoming` stands for `frame`; it does not keep the database open."""
    con.register("incoming", ArrowStream(frame))
    try:
        return fetched(con.sql(sql))
    finally:
        con.unregister("incoming")


def _series(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    if values.count(None) == len(values):  # most of the seventy columns of most chunks
        return _nulls(dtype, len(values)).alias(name)
    try:
        if isinstance(dtype, pl.Decimal):
            return pl.Series(name, [_money(value) for value in values], dtype=pl.String).cast(dtype)
        if isinstance(dtype, pl.List):
            return _lists(name, values, dtype)
        return pl.Series(name, values, dtype=dtype, strict=True)
    except (TypeError, ValueError, OverflowError, PolarsError):
        return pl.Series(name, [_mended(value, dtype) for value in values], dtype=dtype, strict=True)


def _nulls(dtype: pl.DataType, times: int) -> pl.Series:
    return _null(dtype).new_from_index(0, times)


@cache
def _null(dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=pl.Null).cast(dtype)


def _lists(name: str, values: Sequence[list[Any] | None], dtype: pl.List) -> pl.Series:
    """A column of lists: built flat and grouped, since polars takes lists of lists one Python object at a time."""
    rows = [row for row, items in enumerate(values) if items for _ in items]
    flat = [item for items in values if items for item in items]
    if not flat:
        return pl.Series(name, values, dtype=dtype, strict=True)
    frame = pl.DataFrame(
        [pl.Series("row", rows, dtype=pl.UInt32), pl.Series("items", flat, dtype=dtype.inner, strict=True)]
    )
    grouped = frame.group_by("row", maintain_order=True).agg("items")
    order = pl.DataFrame({"row": range(len(values)), "empty": [items is not None for items in values]})
    joined = order.cast({"row": pl.UInt32}).join(grouped, on="row", how="left", maintain_order="left")
    empty = pl.when("empty").then(pl.lit([], dtype=dtype))
    return joined.select(pl.col("items").fill_null(empty).alias(name)).to_series()


def _money(value: Any) -> str | None:
    """An amount as text: polars rounds that, and is six times faster with it; Decimals of 40 digits or NaN abort it."""
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value) >= _MAX_MONEY:
        return None
    return str(value)


def _mended(value: Any, dtype: pl.DataType) -> Any:
    """`value` as `dtype` can hold it, else None."""
    if value is None:
        return None
    if isinstance(dtype, pl.List):
        inner = dtype.inner
        if not isinstance(value, list | tuple) or not isinstance(inner, pl.DataType):
            return None
        return [_mended(item, inner) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if dtype == pl.String:
        return str(value).encode("utf-8", "replace").decode()
    if dtype == pl.Int64:
        return int(value) if isinstance(value, int | float) and value == value and value in _INT64 else None
    if dtype == pl.Float64:
        return float(value) if isinstance(value, int | float) else None
    if dtype == pl.Boolean:
        return bool(value)
    return value
