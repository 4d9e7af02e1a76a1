"""What a sampler leaves behind: the trace state of a span, and the ratio of samplers that write none.

Source: OTel's TraceState probability sampling: `ot=th:<hex>` is the rejection threshold, 56 bits, trailing zeros left out; a trace is kept
where its randomness is at or above it, so with the probability 1 - th / 2**56. TraceIdRatioBased of the stable SDK writes nothing.
"""

from __future__ import annotations

import re
from typing import Any

_RATIO = re.compile(r"(?:^|root:)TraceIdRatioBased\{([0-9.eE+-]+)\}")
_BITS = 56


def state_of(sampler: Any) -> str:
    """The trace state that a root kept by `sampler` would have; "" where the sampler keeps everything, or says nothing."""
    try:
        found = _RATIO.search(sampler.get_description())
        kept = float(found[1]) if found else 1.0
    except (AttributeError, TypeError, ValueError):
        return ""  # not every provider has a sampler, and not every sampler describes itself
    if not 0.0 < kept < 1.0:
        return ""
    return f"ot=th:{round((1.0 - kept) * 2**_BITS):014x}".rstrip("0")
