"""`tracehound sql`: one read-only question to the store, with no access to files or the network."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dashboard.commands.common import add_csv, add_json, add_store, note, print_csv, print_json, print_table
from dashboard.loading import open_store
from tracer.store import reads


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "query", metavar="QUERY", help='e.g. "SELECT agent, sum(cost_usd) FROM llm_calls GROUP BY agent"'
    )
    add_store(parser)
    add_json(parser)
    add_csv(parser, "the rows")


def run(args: Namespace) -> int:
    """Print the rows as a table, as a JSON list of objects, or as CSV."""
    answer = reads.sql(open_store(args.store), args.query)
    if args.json:
        print_json(answer.to_dicts())
        return 0
    if args.csv:
        print_csv(answer.to_dicts(), answer.columns)
        return 0
    columns = {name: "right" if dtype.is_numeric() else "left" for name, dtype in answer.schema.items()}
    print_table(columns, [["" if cell is None else str(cell) for cell in row] for row in answer.iter_rows()])
    note(f"{answer.height:,} rows")
    return 0
