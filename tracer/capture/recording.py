"""What `tracer.init` set up, and where to find it. Imports no SDK, so that guards and hooks may ask."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .active import Target, remove

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from .processor import RecordingProcessor
    from .tee import Tee


STORE_VARIABLE: Final = "TRACEHOUND_STORE"
DEFAULT_STORE: Final = "traces.duckdb"


@dataclass(eq=False)
class Recording:
    """What `init` set up; `shutdown` ends it."""

    store: Path
    provider: TracerProvider
    processor: RecordingProcessor
    target: Target
    joined: bool
    """True where the host had a provider of its own, which is left running at the end"""
    fold_at_exit: bool
    tee: Tee | None = None
    pid: int = field(default_factory=os.getpid)

    @property
    def dropped(self) -> int:
        """Records lost so far, because they could not be made or written."""
        return self.processor.dropped

    @property
    def forward_dropped(self) -> int:
        """Spans of this process that the back-end of `forward` did not get: its queue was full, or it refused or stayed away."""
        return self.tee.dropped if self.tee is not None else 0

    def flush(self) -> bool:
        """Write everything that is known, starts of running spans included; False when something could not be written."""
        return self.processor.force_flush()

    def shutdown(self) -> None:
        """Write what is left and seal it; later spans are not recorded."""
        remove(self.target)
        self.processor.shutdown()


_current: Recording | None = None


def recording() -> Recording | None:
    """What `init` set up, while it lasts."""
    return _current


def keep(made: Recording | None) -> None:
    """From now on `recording` gives `made`."""
    global _current
    _current = made
