"""What the matches of a query could be narrowed down by, with counts: outcome, workflow, agent, model, convention, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.run_reads import ORDERS, Leasing
from dashboard.trace_query import TraceQuery, condition

SHOWN = 8
"""values per facet"""
LOOKED_INTO = 5_000
"""newest matches whose spans are read for agents and models; all are counted for what stands in the table of runs"""


@dataclass(frozen=True, slots=True)
class Facet:
    """`values` are (value, runs), most runs first, up to `SHOWN` of `total`."""

    field: str
    values: tuple[tuple[str, int], ...]
    total: int


@dataclass(frozen=True, slots=True)
class Facets:
    """`looked_into` of `matches` runs were read for agents, models and findings."""

    facets: tuple[Facet, ...]
    matches: int
    looked_into: int


def facets(
    store: Leasing, query: TraceQuery, *, now_ns: int, kinds: Mapping[str, Sequence[str]], among: Sequence[str] | None = None
) -> Facets:  # fmt: skip
    """Counts over the runs that meet `query`.

    Args:
        kinds: run id -> kinds of findings, of the runs that were analysed.
        among: as in `run_reads.search`.
    """
    where = condition(query, now_ns=now_ns)
    sql, bound = where.sql, list(where.parameters)
    if among is not None:
        sql = f"({sql}) AND t.run_id IN (SELECT unnest(?::VARCHAR[]))"
        bound.append(list(among))
    grouped = (
        "SELECT outcome, workflow, convention, count(*), grouping_id(outcome, workflow, convention)"
        f" FROM traces AS t WHERE {sql} GROUP BY GROUPING SETS ((outcome), (workflow), (convention), ())"
    )
    newest = f"SELECT t.run_id FROM traces AS t WHERE {sql} ORDER BY {ORDERS['newest']} LIMIT ?"
    # Spans lie in order of arrival: the bound on time lets DuckDB skip most of them.
    named = (
        "SELECT {column}, count(DISTINCT run_id) FROM (SELECT run_id, {column}, start_ns FROM spans UNION ALL"
        " SELECT run_id, {column}, start_ns FROM running_spans) WHERE {column} IS NOT NULL AND start_ns >= ?"
        " AND run_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1"
    )
    counts: dict[str, Counter[str]] = {
        name: Counter() for name in ("outcome", "workflow", "convention", "agent", "model")
    }
    matches = 0
    with store.lease() as connection:
        for outcome, workflow, convention, number, which in connection.execute(grouped, bound).fetchall():
            name, value = {3: ("outcome", outcome), 5: ("workflow", workflow), 6: ("convention", convention)}.get(
                which, ("", None)
            )
            if not name:
                matches = number
            elif value:
                counts[name][value] = number
        ids = [row[0] for row in connection.execute(newest, [*bound, LOOKED_INTO]).fetchall()]
        if ids:
            [(first,)] = connection.execute(
                "SELECT min(start_ns) FROM traces WHERE run_id IN (SELECT unnest(?::VARCHAR[]))", [ids]
            ).fetchall()
            for column in ("agent", "model"):
                counts[column].update(dict(connection.execute(named.format(column=column), [first, ids]).fetchall()))
    counts["finding"] = Counter(kind for run_id in ids for kind in set(kinds.get(run_id, ())))
    order = ("outcome", "workflow", "agent", "model", "finding", "convention")
    found = (
        Facet(
            name, tuple(sorted(counts[name].items(), key=lambda item: (-item[1], item[0]))[:SHOWN]), len(counts[name])
        )
        for name in order
    )
    return Facets(tuple(facet for facet in found if facet.values), matches, len(ids))
