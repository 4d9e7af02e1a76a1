"""From rows of our dataclasses to polars frames and into DuckDB, column by column (a row at a time is 50 times slower)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

_INT64 = range(-(1 << 63), 1 << 63)
_MAX_MONEY = Decimal(10**9)


def _single(name: str) -> Callable[[Any], tuple[Any]]:
    get = attrgetter(name)
    return lambda row: (get(row),)


def _series(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    if isinstance(dtype, pl.Decimal):
        values = [_money(value) for value in values]  # polars aborts on NaN
    try:
        if isinstance(dtype, pl.List):
            return _lists(name, values, dtype)
        return pl.Series(name, values, dtype=dtype, strict=True)
    except (TypeError, ValueError, OverflowError, PolarsError):
        return pl.Series(name, [_mended(value, dtype) for value in values], dtype=dtype, strict=True)


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


def _money(value: Any) -> Decimal | None:
    if not isinstance(value, Decimal) or not value.is_finite() or abs(value) >= _MAX_MONEY:
        return None
    return value


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
