"""Pictures of the dashboard, for README and for review: `python -m tests.benchmarks.screenshots`.

Records the demo into a store of its own, serves it, and writes the README's pictures to `docs/images` as WebP files.

    --store FILE      a store that exists, instead of recording the demo
    --every FOLDER    every page instead, whole, light at 1280 px and dark at 1600 px, as PNG files into FOLDER
    --only NAME ...   of every page, these
    --output FOLDER   where README's pictures go
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from dashboard import address, launch
from tests.browser.conftest import FLAGS, find_chromium
from tracer.store import reads
from tracer.store.database import Store

IMAGES = Path(__file__).parents[2] / "docs" / "images"
MOST_BYTES = 200_000
PATIENCE_MS = 240_000.0
LOOKS = (("light", 1280, 900), ("dark", 1600, 1000))
"""theme, width, height"""
MAIN = "[data-testid=stMain]"


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture in README: a page, what is chosen on it, and what must be on it before it is taken."""

    name: str
    page: str
    ready: str
    theme: str = "light"
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    of: str | None = None
    """id of the run it shows, as the demo names it"""


PICTURES = (
    Picture("overview", "", ".document[aria-label='Worst runs'] tr.pickable"),
    Picture("trace", "trace", ".tv-r", theme="dark", of="research_loop-0"),
    Picture("sequence", "trace", ".figure[data-ready] .sq", of="research_loop-0", query={"view": "Sequence"}),
    Picture("cost", "cost", ".document[aria-label='Savings']", query={"by": "Agent"}),
)


def record_demo(folder: Path) -> Path:
    """Run `tracehound demo` as a user does; the path of its store."""
    store = folder / "demo.duckdb"
    command = [sys.executable, "-m", "dashboard.cli", "demo", "--no-dashboard", "--store", str(store), "--output", str(folder)]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return store


def open_page(browser: Browser, url: str, *, theme: str, width: int, height: int, scale: float = 1.0) -> Page:
    """A fresh browser context on `url`."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light",
        device_scale_factor=scale, reduced_motion="reduce",
    )  # fmt: skip
    page = context.new_page()
    page.goto(url)
    return page


def settle(page: Page) -> None:
    """Wait until the script has run to its end and every chart on the page is drawn, findings included."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=PATIENCE_MS)
    expect(page.get_by_text("being looked for")).to_have_count(0, timeout=PATIENCE_MS)
    expect(page.locator("[data-testid=stSkeleton], [data-testid=stSpinner]")).to_have_count(0, timeout=PATIENCE_MS)
    charts = page.get_by_test_id("stPlotlyChart")
    for i in range(charts.count()):
        charts.nth(i).locator(".main-svg").first.wait_for(timeout=PATIENCE_MS)
    page.wait_for_load_state("networkidle")


def take_every(browser: Browser, url: str, folder: Path, only: list[str]) -> None:
    """Every page in both looks, as high as its content."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, title in address.PAGES:
        if only and path.stem not in only:
            continue
        place = "" if path == address.OVERVIEW else path.stem
        for theme, width, height in LOOKS:
            page = open_page(browser, f"{url}/{place}", theme=theme, width=width, height=height)
            settle(page)
            whole = page.evaluate(f"document.querySelector('{MAIN}').scrollHeight")
            page.set_viewport_size({"width": width, "height": min(max(height, int(whole) + 60), 4_000)})
            settle(page)
            target = folder / f"{path.stem}-{theme}-{width}.png"
            page.screenshot(path=target, animations="disabled")
            page.context.close()
            print(f"{title}: {target}", file=sys.stderr)


def take_readme(browser: Browser, url: str, store: Path, folder: Path) -> list[Path]:
    """README's pictures; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for picture in PICTURES:
        query = dict(picture.query)
        if picture.of is not None:
            query["trace"] = reads.find_run(Store(store), picture.of)
        link = f"{url}/{picture.page}" + (f"?{urlencode(query)}" if query else "")
        page = open_page(browser, link, theme=picture.theme, width=1360, height=850, scale=1.5)
        page.locator(picture.ready).first.wait_for(timeout=PATIENCE_MS)
        settle(page)
        target = folder / f"{picture.name}.webp"
        Image.open(io.BytesIO(page.screenshot(animations="disabled"))).save(target, quality=80, method=6)
        page.context.close()
        made.append(target)
    return made


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.screenshots", description=(__doc__ or "").split("\n")[0])  # fmt: skip
    parser.add_argument("--store", type=Path)
    parser.add_argument("--output", type=Path, default=IMAGES)
    parser.add_argument("--every", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="*", default=[], metavar="PAGE")
    options = parser.parse_args(arguments)
    browser_path = find_chromium()
    if browser_path is None:
        print("no Chromium found: apt-get install -y chromium, or set CHROMIUM to its path", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        store = options.store or record_demo(Path(scratch))
        port = launch.free_port()
        server = launch.start(store, port=port, log=Path(scratch) / "server.log")
        url = launch.base_url(launch.LOOPBACK, port)
        try:
            launch.wait_until_ready(server, url)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=browser_path, args=list(FLAGS))
                if options.every:
                    take_every(browser, url, options.every, options.only)
                    return 0
                made = take_readme(browser, url, store, options.output)
        finally:
            launch.stop(server)
    for target in made:
        print(f"{target.stat().st_size / 1e3:6.0f} kB  {target}")
    return int(any(target.stat().st_size > MOST_BYTES for target in made))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
