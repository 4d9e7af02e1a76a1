"""Plain pages around the viewer, for tests that need no server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analyzers.finding import Finding
from dashboard.figures.trace_view import build_view, packed, payload, viewer_source
from tests.drawn import Drawn, frames

_PAGE = """<!doctype html><meta charset="utf-8"><style>:root{color-scheme:light dark}body{margin:12px;background:light-dark(#fff,#12141A)}</style>
<div id="place"></div><script type="text/plain" id="data">%s</script><script type="module">%s
const bytes = Uint8Array.from(atob(document.getElementById('data').textContent), (c) => c.charCodeAt(0));
const payload = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
window.picked = []; window.states = [];
window.viewer = mountTrace(document.getElementById('place'), payload, {...%s, onSelect: (id) => window.picked.push(id), onState: (s) => window.states.push(s)});
</script>"""


def viewer_page(target: Path, drawn: Drawn, findings: Sequence[Finding] = (), **options: Any) -> str:
    """Write a page that mounts the viewer on a drawn run; its file:// address. `window.viewer` is the API, `window.picked` what was selected."""
    data = packed(payload(build_view(frames(drawn), findings)))
    target.write_text(_PAGE % (data, viewer_source(), json.dumps(options)), encoding="utf-8")
    return target.as_uri()
