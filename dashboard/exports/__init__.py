"""One run as files that other tools read. Pure functions; `FORMATS` is the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from analyzers.frames import Frames
from dashboard.exports.otlp import otlp
from dashboard.exports.perfetto import perfetto
from dashboard.exports.speedscope import speedscope
from dashboard.exports.tables import spans_csv, spans_json


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file."""

    title: str
    suffix: str
    """of the file's name, without the dot"""
    media_type: str
    write: Callable[[Frames], bytes]
    """the frames of one run -> the file"""
    many: bool = False
    """one file may hold many runs"""
    texts: bool = False
    """prompts and payloads are part of it: `contents` must hold every text"""


FORMATS: Mapping[str, Format] = {
    "perfetto": Format("Perfetto / Chrome trace", "trace.json", "application/json", perfetto),
    "speedscope": Format("speedscope", "speedscope.json", "application/json", speedscope),
    "csv": Format("Spans as CSV", "csv", "text/csv", spans_csv),
    "json": Format("Spans as JSON", "json", "application/json", spans_json),
    "otlp": Format("OTLP JSON", "otlp.json", "application/json", otlp, many=True, texts=True),
}
