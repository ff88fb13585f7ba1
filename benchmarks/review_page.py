"""How large and how fast the page of a review is, driven by keyboard in a real browser.

::

    python benchmarks/review_page.py --objects 1000 --voxel 4

Writes a page of synthetic pictures, opens it in Chromium without a window (Debian's package
`chromium`), scrolls, decides by keyboard, saves, and reads the saved file. Prints a row of the
table in benchmarks/README.md; raises an error where the page does something else.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from asem.measure.review_decisions import Review, parse_decisions
from asem.report.review_page import (
    ReviewObject,
    ReviewPage,
    ReviewPicture,
    format_review_page,
    outline_mask,
)
from chromium import Browser

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


def drive(path: Path, folder: Path) -> tuple[float, float, float]:
    """Return the time to load the page, s, and of a frame of scrolling and of a key, ms (95 %)."""
    with Browser(folder) as browser:
        start = time.perf_counter()
        browser.open(path.as_uri())
        loaded = time.perf_counter() - start
        frame, key = browser.evaluate(SCROLL), browser.evaluate(DECIDE)
        browser.evaluate("document.getElementById('save').click()")
        while not list(folder.glob("*.csv")):
            time.sleep(0.1)
        assert not browser.find_faults()
    (file,) = folder.glob("*.csv")
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
        loaded, frame, key = drive(path, Path(name))
        size = path.stat().st_size / 1e6
    print(
        f"| {options.objects:,} | {options.voxel:g} nm | {size:.1f} MB | {loaded:.1f} s "
        f"| {frame:.0f} ms | {key:.0f} ms |"
    )


if __name__ == "__main__":
    main()
