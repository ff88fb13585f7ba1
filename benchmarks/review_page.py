"""How large and how fast the page of a review is, driven by keyboard in a real browser.

::

    python benchmarks/review_page.py --objects 1000 --voxel 4

Writes a page of synthetic pictures, opens it in Chromium without a window (Debian's package
`chromium`), scrolls, decides by keyboard, saves, and reads the saved file. Prints a row of the
table in benchmarks/README.md; raises an error where the page does something else.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from tornado.websocket import WebSocketClientConnection, websocket_connect

from asem.measure.review_decisions import Review, parse_decisions
from asem.report.review_page import (
    ReviewObject,
    ReviewPage,
    ReviewPicture,
    format_review_page,
    outline_mask,
)

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
KEYS = 60
SCROLL = """(async () => {
  const frames = [];
  for (let last = performance.now(), end = last + 4000; last < end;) {
    window.scrollBy(0, 300);
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return frames.sort((a, b) => a - b)[Math.floor(0.95 * frames.length)];
})()"""
DECIDE = f"""(async () => {{
  goTo(0);
  const times = [];
  for (let n = 0; n < {KEYS}; n++) {{
    const start = performance.now();
    document.body.dispatchEvent(new KeyboardEvent("keydown", {{key: "ar"[n % 2], bubbles: true}}));
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - start);
  }}
  return times.sort((a, b) => a - b)[Math.floor(0.95 * times.length)];
}})()"""


class Browser:
    """Chromium, controlled by the DevTools protocol."""

    def __init__(self, folder: Path) -> None:
        words = ["chromium", *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        self.port_file, self.events = folder / "DevToolsActivePort", list[dict[str, Any]]()

    async def connect(self, downloads: Path) -> None:
        """Connect to the first page; files are saved in `downloads`."""
        while not (self.port_file.is_file() and self.port_file.read_text()):
            await asyncio.sleep(0.1)
        port = int(self.port_file.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        self.socket: WebSocketClientConnection = await websocket_connect(
            page["webSocketDebuggerUrl"], max_message_size=2**28
        )
        for domain in ("Page", "Runtime", "Network"):
            await self.call(f"{domain}.enable")
        await self.call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads)
        )

    async def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; collect the events until it returns."""
        await self.socket.write_message(
            json.dumps({"id": 1, "method": method, "params": parameters})
        )
        while True:
            message = json.loads(await self.socket.read_message() or "{}")
            if message.get("id") == 1:
                return message["result"]
            self.events.append(message)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def find_faults(self) -> list[dict[str, Any]]:
        """Return exceptions of the page, and requests for anything outside of it."""
        return [
            event
            for event in self.events
            if event.get("method") == "Runtime.exceptionThrown"
            or (
                event.get("method") == "Network.requestWillBeSent"
                and not event["params"]["request"]["url"].startswith(("file:", "data:", "blob:"))
            )
        ]


def make_objects(count: int, voxel: float) -> Iterator[ReviewObject]:
    """Yield objects with three planes of +-100 nm and a view of 2 nm, of smoothed noise."""
    rng, n = np.random.default_rng(0), int(np.ceil(100 / voxel))
    distance = np.hypot(*np.indices((2 * n + 1, 2 * n + 1)) - n) * voxel
    angles = np.arange(36) * np.pi / 18
    points = 50 + 22 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    for number in range(1, count + 1):
        pictures = []
        for title, size, pixel in (
            *((t, 2 * n + 1, voxel) for t in ("xy", "xz", "yz")),
            ("", 101, 2.0),
        ):
            noise = ndimage.gaussian_filter(rng.normal(0, 1, (size, size)), 3 / pixel)
            grey = np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)
            mask = outline_mask(distance < 70) if title else []
            dots = [] if title else [point[None] for point in points]
            pictures.append(ReviewPicture(title, grey, (pixel, pixel), mask, dots))
        flags = ["outlier"] if number % 9 == 0 else []
        place = (200.0 * number, 0.0, 0.0)
        yield ReviewObject(number, place, 90.0, ["diameter 90 nm"] * 4, flags, [], pictures)


async def drive(path: Path, folder: Path) -> tuple[float, float, float]:
    """Return the time to load the page, s, and of a frame of scrolling and of a key, ms (95 %)."""
    browser, downloads = Browser(folder / "browser"), folder / "downloads"
    try:
        await browser.connect(downloads)
        start = time.perf_counter()
        await browser.call("Page.navigate", url=path.as_uri())
        while await browser.evaluate("document.readyState") != "complete":
            await asyncio.sleep(0.05)
        loaded = time.perf_counter() - start
        frame, key = await browser.evaluate(SCROLL), await browser.evaluate(DECIDE)
        await browser.evaluate("document.getElementById('save').click()")
        while not list(downloads.glob("*.csv")):
            await asyncio.sleep(0.1)
        assert not browser.find_faults()
    finally:
        browser.process.terminate()
        browser.process.wait()
    (file,) = downloads.glob("*.csv")
    decisions = [one.decision for one in parse_decisions(file.read_bytes(), file.name)]
    assert decisions == ["accept", "reject"] * (KEYS // 2)
    return loaded, frame, key


def main() -> None:
    """Print a row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--voxel", type=float, default=4.0, help="voxel size, nm")
    options = parser.parse_args()
    page = ReviewPage("Review", "benchmark", "Diameter, nm", "rim", "asem pores", "review.csv")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        path = Path(name) / "review.html"
        objects = make_objects(options.objects, options.voxel)
        path.write_bytes(format_review_page(page, objects, Review({})))
        loaded, frame, key = asyncio.run(drive(path, Path(name)))
        size = path.stat().st_size / 1e6
    print(
        f"| {options.objects:,} | {options.voxel:g} nm | {size:.1f} MB | {loaded:.1f} s "
        f"| {frame:.0f} ms | {key:.0f} ms |"
    )


if __name__ == "__main__":
    main()
