"""What the gate looks at: a store, or trace files read into a store that is thrown away; and the baseline's file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from analyzers.baseline import SCHEMA
from tracer.errors import BadInput
from tracer.importers import import_file
from tracer.store.database import Store
from tracer.store.segment import SegmentWriter


@contextmanager
def store_of_files(files: Sequence[Path], tell: Callable[[str], None]) -> Generator[Store]:
    """A store with what the files hold, as long as the block lasts. `tell` gets a sentence for each part that was left out.

    Raises:
        BadInput: a file does not exist, or nothing in it can be read: a gate that looked at nothing must not be green.
    """
    with tempfile.TemporaryDirectory(prefix="tracehound-check-") as folder:
        store = Store(Path(folder) / "traces.duckdb")
        writer = SegmentWriter(store.path)
        try:
            for file in files:
                report = import_file(file, writer)
                reasons = [f"{problem.file}:{problem.line or '-'}: {problem.reason}" for problem in report.problems]
                if report.read == 0:
                    raise BadInput(
                        f"Nothing can be read from {str(file)!r}: {reasons[0] if reasons else 'it is empty'}.",
                        hint="`tracehound import --help` names the formats.",
                    )
                for reason in reasons[:5]:
                    tell(reason)
                if report.skipped > 5:
                    tell(f"{file}: {report.skipped} parts were left out, {report.read} read.")
        finally:
            writer.close()
        store.fold()
        yield store


def read_baseline(path: Path) -> pl.DataFrame:
    """The rows of a baseline.

    Raises:
        BadInput: no such file, no Parquet, or other columns.
    """
    if not path.is_file():
        raise BadInput(
            f"There is no baseline {str(path)!r}.", hint="make one on the main branch: tracehound check --write-baseline FILE."
        )  # fmt: skip
    try:
        table = pl.read_parquet(path)
    except (PolarsError, OSError) as error:
        raise BadInput(f"The baseline {str(path)!r} is no Parquet file: {error}.", hint="write one: tracehound check --write-baseline FILE.") from error  # fmt: skip
    missing = [name for name in SCHEMA if name not in table.columns]
    if missing:
        raise BadInput(
            f"The baseline {str(path)!r} has no column {', '.join(missing)}.",
            hint="it was not written by `tracehound check --write-baseline`; write it anew.",
        )
    return table.select(list(SCHEMA)).cast(dict(SCHEMA))  # pyright: ignore[reportArgumentType]  (column name -> type)


def write_baseline(table: pl.DataFrame, path: Path) -> None:
    """
    Raises:
        BadInput: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        table.write_parquet(path)
    except OSError as error:
        raise BadInput(f"Cannot write the baseline {str(path)!r}: {error.strerror or error}.") from error
