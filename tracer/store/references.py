"""Which texts are used, and by whom: what may be forgotten when runs are removed."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import duckdb
import polars as pl

from tracer.store.columns import select_with, with_frame
from tracer.store.frame import Frame, FrameKind, decode_records
from tracer.store.lease import Lease
from tracer.store.spool import list_spool, read_segment
from tracer.store.upkeep import give_way

WINDOW_SPANS = 100_000
"""spans looked through under one lease: a few tenths of a second"""
RELEASED_AT_ONCE = 50_000
_ID = {"content_id": pl.Int64}

# A text in attributes stands as {"$content": id}, messages as {"$messages": [id, ...]}; in a text of the user's own the
# quotes would be escaped.
_IN_ATTRIBUTES = r"""
    unnest(regexp_extract_all({attributes}, '"\$(?:content|messages)":\s*(?:-?\d+|\[[-\d,\s]*\])')
        .list_transform(lambda stands: regexp_extract_all(stands, '-?\d+')).flatten())
"""


def used_in(source: str, *columns: str) -> str:
    """SQL for the ids (`content_id`, with repeats) that rows of `source` refer to, in its list `columns` and its attributes."""
    attributes = _IN_ATTRIBUTES.format(attributes="attributes")
    parts = [f"SELECT unnest({column}) AS content_id FROM rows" for column in columns]
    parts.append(
        f"SELECT try_cast(id AS BIGINT) AS content_id FROM (SELECT {attributes} AS id FROM rows "
        """WHERE contains(attributes, '"$content"') OR contains(attributes, '"$messages"'))"""
    )
    return f"WITH rows AS ({source}) {' UNION ALL '.join(parts)}"


def everything_used(spans: str = "TRUE", others: str = "TRUE") -> str:
    """SQL for the ids that the rows of all tables refer to that fulfil the conditions."""
    queries = [
        used_in(f"SELECT * FROM spans WHERE {spans}", "input_refs", "output_refs"),
        used_in(f"SELECT * FROM running_spans WHERE {others}", "input_refs", "output_refs"),
        used_in(f"SELECT * FROM events WHERE {others}", "refs"),
        used_in(f"SELECT * FROM links WHERE {others}"),
    ]
    return " UNION ALL ".join(f"FROM ({query})" for query in queries)


def release(lease: Lease, candidates: pl.Series) -> tuple[int, int]:
    """Remove those of the `candidates` that nothing refers to; how many texts that were and their bytes.

    The caller keeps folds away (`upkeep.without_folds`). Leases are short, however large the store.
    """
    unused = pl.DataFrame({"content_id": candidates.unique()}, schema=_ID)
    unused = unused.join(_in_segments(lease.spool), on="content_id", how="anti")
    for condition in _windows(lease):
        if not unused.height:
            return 0, 0
        with lease.hold() as con:
            found = select_with(
                con,
                unused,
                f"SELECT DISTINCT content_id FROM ({everything_used(*condition)}) SEMI JOIN incoming USING (content_id)",
            )
        unused = unused.join(found, on="content_id", how="anti")
        give_way()
    texts = size = 0
    for part in unused.iter_slices(RELEASED_AT_ONCE):
        with lease.hold() as con:
            gone = with_frame(
                con,
                part,
                "DELETE FROM contents USING incoming WHERE contents.content_id = incoming.content_id RETURNING bytes",
            )
        texts, size = texts + len(gone), size + sum(row[0] for row in gone)
        give_way()
    return texts, size


def count_orphans(con: duckdb.DuckDBPyConnection, spool: Path) -> int:
    """How many texts nothing refers to, in one look: for stores of a size for which that is quick."""
    query = f"SELECT count(*) FROM contents ANTI JOIN ({everything_used()}) USING (content_id) ANTI JOIN incoming USING (content_id)"
    [(number,)] = with_frame(con, _in_segments(spool), query)
    return number


def _in_segments(spool: Path) -> pl.DataFrame:
    """The texts in segment files that are still there.

    A recorder writes a text once a segment and then only refers to it, so the frames that refer to it may come later.
    """
    found: set[int] = set()
    for segment in list_spool(spool).segments:
        for frame in read_segment(segment, 0):
            if isinstance(frame, Frame) and frame.kind == FrameKind.RECORDS:
                found.update(_texts_of(frame))
    return pl.DataFrame({"content_id": sorted(found)}, schema=_ID)


def _texts_of(frame: Frame) -> Iterable[int]:
    try:
        return decode_records(frame.payload).contents
    except ValueError:
        return ()  # the fold puts such a frame into quarantine


def _windows(lease: Lease) -> Generator[tuple[str, str]]:
    """Conditions (on spans; on the other tables) that together cover the store, about `WINDOW_SPANS` spans each."""
    with lease.hold() as con:
        borders = con.execute(
            """
            SELECT max(start_ns) FROM (
                SELECT start_ns, sum(spans) OVER (ORDER BY start_ns, run_id) // $window AS part FROM traces
            ) GROUP BY part ORDER BY 1
            """,
            {"window": WINDOW_SPANS},
        ).fetchall()
    low = "TRUE"
    for (border,) in borders[:-1]:
        yield f"{low} AND start_ns <= {border}", "FALSE"
        low = f"start_ns > {border}"
    yield low, "TRUE"
