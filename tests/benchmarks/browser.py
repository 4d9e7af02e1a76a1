"""How fast the trace page draws and answers: `python -m tests.benchmarks.browser`.

Makes runs of 1,000, 10,000 and 50,000 spans with prompts (`tests.benchmarks.generate`), serves them with the real dashboard and
opens each in a real Chromium. Prints medians beside the goals: the server is warm, every navigation is a fresh page.

    drawn         from navigation until the waterfall shows its rows: goal 3 s
    step          one key of zooming, moving or selecting, from the key to the drawn frame, nothing asked of the server: goal 50 ms
    click         a row clicked, until the details panel shows that span: goal 1 s
    bytes         what came over the socket, for the navigation and for a click after it

`--short` does 1,000 spans, twice, without judging times: it shows that everything is drawn and answered.
Exits with 1 where a goal is missed, except with `--short`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, WebSocket, expect, sync_playwright

from dashboard import launch
from tests.benchmarks.generate import Shape, into_segments
from tests.browser.conftest import FLAGS, find_chromium
from tracer.store import reads
from tracer.store.database import Store

SIZES = (1_000, 10_000, 50_000)
GOALS_MS = {"drawn": 3_000.0, "step": 50.0, "click": 1_000.0}
KEYS = ("j", "w", "d", "a", "s", "k", "j", "w", "d", "s")
PATIENCE_MS = 120_000.0

_STEP = """async (key) => {
  const host = [...document.querySelectorAll('*')].map((e) => e.shadowRoot && e.shadowRoot.querySelector('.tv')).find(Boolean);
  const began = performance.now();
  host.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
}"""


@dataclass
class Socket:
    """Counts what a page received."""

    received: int = 0

    def watch(self, page: Page) -> None:
        page.on("websocket", self._opened)

    def _opened(self, socket: WebSocket) -> None:
        socket.on("framereceived", self._frame)

    def _frame(self, payload: str | bytes) -> None:
        self.received += len(payload)


@dataclass(slots=True)
class Measured:
    """One run's figures; times in ms."""

    spans: int
    drawn: list[float] = field(default_factory=list[float])
    step: list[float] = field(default_factory=list[float])
    click: list[float] = field(default_factory=list[float])
    opened_bytes: list[int] = field(default_factory=list[int])
    click_bytes: list[int] = field(default_factory=list[int])

    def missed(self) -> list[str]:
        """Goals that the medians miss."""
        return [name for name, goal in GOALS_MS.items() if statistics.median(getattr(self, name)) > goal]


def measure(browser: Browser, url: str, run_id: str, spans: int, *, repeats: int, clicks: int) -> Measured:
    """Open one run `repeats` times (once before that, to warm the server) and play with it."""
    made = Measured(spans)
    for turn in range(repeats + 1):
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        socket = Socket()
        socket.watch(page)
        try:
            opened = _timed(lambda page=page: _open(page, f"{url}/trace?trace={run_id}"))
            if turn == 0:
                continue
            made.drawn.append(opened)
            page.wait_for_timeout(800)  # what is still on its way is not the click's
            made.opened_bytes.append(socket.received)
            for number in range(clicks):
                before = socket.received
                made.click.append(_timed(lambda page=page, number=number: _click(page, number)))
                page.wait_for_timeout(300)
                made.click_bytes.append(socket.received - before)
            # A key that selects tells the server in the background; the step itself is the browser's alone.
            made.step += [page.evaluate(_STEP, key) for key in KEYS]
        finally:
            page.close()
    return made


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1_000


def _open(page: Page, url: str) -> None:
    page.goto(url)
    page.locator(".tv-r").first.wait_for(timeout=PATIENCE_MS)


def _click(page: Page, number: int) -> None:
    row = page.locator(".tv-r:visible").nth(3 + number)
    span = row.get_attribute("data-span")
    row.click()
    shown = page.locator(f".document[aria-label='Details'][data-subject^='{span} ']")
    expect(shown).to_have_count(1, timeout=PATIENCE_MS)


def report(found: list[Measured]) -> None:
    """Print the table."""
    print(f"{'spans':>8} {'drawn':>10} {'step':>10} {'worst step':>11} {'click':>10} {'opened':>10} {'per click':>10}")
    for one in found:
        middle = {name: statistics.median(getattr(one, name)) for name in GOALS_MS}
        print(
            f"{one.spans:>8,} {middle['drawn']:>7,.0f} ms {middle['step']:>7,.0f} ms {max(one.step):>8,.0f} ms"
            f" {middle['click']:>7,.0f} ms {statistics.median(one.opened_bytes) / 1e3:>7,.0f} kB"
            f" {statistics.median(one.click_bytes) / 1e3:>7,.0f} kB"
        )
    print("goals:   " + ", ".join(f"{name} {goal:,.0f} ms" for name, goal in GOALS_MS.items()))


def prepare(folder: Path, sizes: tuple[int, ...]) -> tuple[Store, dict[int, str]]:
    """A store with a run of each size; size -> run id."""
    path = folder / "traces.duckdb"
    into_segments(Shape(spans=sum(sizes) + 400, big=sizes, days=1, text=600), path)
    store = Store(path)
    store.fold()
    known = reads.runs(store)
    return store, {row["spans"]: row["run_id"] for row in known.iter_rows(named=True) if row["spans"] in sizes}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.browser", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--short", action="store_true", help="1,000 spans, no judgement of times")
    parser.add_argument("--repeats", type=int, default=5, help="navigations of each run (default: 5)")
    parser.add_argument(
        "--store", type=Path, help="an existing store with runs of these sizes, to save the making of one"
    )
    given = parser.parse_args(arguments)
    path = find_chromium()
    if path is None:
        print("no Chromium found: apt-get install -y chromium, or set CHROMIUM to its path", file=sys.stderr)
        return 2
    sizes = SIZES[:1] if given.short else SIZES
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if given.store is None:
            store, runs = prepare(folder, sizes)
        else:
            store = Store(given.store)
            runs = {
                row["spans"]: row["run_id"] for row in reads.runs(store).iter_rows(named=True) if row["spans"] in sizes
            }
        port = launch.free_port()
        server = launch.start(store.path, port=port, log=folder / "server.log")
        try:
            url = launch.base_url(launch.LOOPBACK, port)
            launch.wait_until_ready(server, url)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
                repeats, clicks = (1, 2) if given.short else (given.repeats, 4)
                found = [
                    measure(browser, url, runs[size], size, repeats=repeats, clicks=clicks)
                    for size in sizes
                    if size in runs
                ]
                browser.close()
        finally:
            launch.stop(server)
    report(found)
    missed = [f"{one.spans:,} spans: {', '.join(one.missed())}" for one in found if one.missed()]
    if missed and not given.short:
        print(f"missed: {'; '.join(missed)}")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
