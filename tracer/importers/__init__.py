"""Traces that others wrote, from files. To add a format: one file with `sniff` and `read`, one line in `IMPORTERS`."""

from __future__ import annotations

from pathlib import Path

from tracer.errors import StoreError, UnknownName
from tracer.importers import (
    any_agent,
    inspect_log,
    jaeger,
    langfuse_export,
    langsmith_runs,
    otlp_json,
    otlp_protobuf,
    phoenix_spans,
    spans_json,
    transcript,
)
from tracer.importers.base import Importer, Sink
from tracer.importers.report import ImportReport, Problem
from tracer.importers.source import Source, Unreadable
from tracer.store.segment import SegmentWriter

__all__ = ["IMPORTERS", "ImportReport", "Importer", "Problem", "import_file"]

IMPORTERS: tuple[Importer, ...] = (
    otlp_json.IMPORTER,
    otlp_protobuf.IMPORTER,
    any_agent.IMPORTER,
    jaeger.IMPORTER,
    langfuse_export.IMPORTER,
    inspect_log.IMPORTER,
    langsmith_runs.IMPORTER,
    phoenix_spans.IMPORTER,
    spans_json.IMPORTER,
    transcript.IMPORTER,
)
"""asked in this order; the first that recognises a file reads it"""


def import_file(path: str | Path, writer: SegmentWriter, format: str = "auto") -> ImportReport:
    """Hand the good part of a file to the store and say what was left out, at which line and why.

    Args:
        path: The file; gzip is opened.
        writer: Where spans go; the caller closes it.
        format: Name of an importer, or "auto" to look at the file.

    Raises:
        UnknownName: There is no importer called `format`.
        StoreError: The store could not be written (disk full ...). Nothing that a file holds raises.
    """
    known = {importer.name: importer for importer in IMPORTERS}
    if format != "auto" and format not in known:
        raise UnknownName.among("format", format, known)
    report = ImportReport(Path(path))
    source = Source(report.file)
    try:
        head = source.head()
        if not head.strip():
            report.skip(None, source.damage or "the file is empty")
            return report
        importer = known.get(format) or next((i for i in IMPORTERS if i.sniff(head)), None)
        if importer is None:
            report.skip(1, source.damage or f"format not recognised; known are {', '.join(known)}")
            return report
        report.format = importer.name
        sink = Sink(writer, report)
        importer.read(source, sink)
        sink.report_cycles()
    except Unreadable as error:
        report.skip(error.line, error.reason)
    except OSError as error:
        raise StoreError(f"Cannot write to the store: {error}.", hint="is the disk full?") from error
    if report.read == 0 and not report.problems:
        report.skip(1, "nothing to import was found")
    return report
