"""Frames in and out of DuckDB without pyarrow, which the base install does not bring."""

from __future__ import annotations

import duckdb
import polars as pl


class ArrowStream:
    """A frame or relation as nothing but an Arrow stream.

    Registered as polars, DuckDB would need pyarrow to read it; given as itself, a relation is asked by polars for so much
    else that DuckDB reports leaked objects when the process ends.
    """

    def __init__(self, source: pl.DataFrame | duckdb.DuckDBPyRelation) -> None:
        self._source = source

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._source.__arrow_c_stream__(requested_schema)


def fetched(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    """The rows of `relation` as a frame that does not keep the database open."""
    return pl.DataFrame(ArrowStream(relation))
