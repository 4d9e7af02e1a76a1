"""From what a producer sent to the rows of table `spans`.

RawSpan --normalise (span by span)--> Span --resolve (whole runs)--> Span --summarise--> one row of table `traces`
"""

from __future__ import annotations

from tracer.normalise.build import ADAPTERS, Batch, normalise
from tracer.normalise.outcome import TraceSummary, is_run, summarise
from tracer.normalise.resolve import resolve, resolve_owned

__all__ = ["ADAPTERS", "Batch", "TraceSummary", "is_run", "normalise", "resolve", "resolve_owned", "summarise"]
