"""How soon `asem view` displays a large image in a real browser, and how much it reads.

::

    python benchmarks/view.py --edge 2176

Writes an image of edge^3 voxels of 8 bits, tiled from a small synthetic cell: levels from the third
on as a whole, the finest two in 8 shards and 1 shard at their middle only, where the view starts.
Opens it in Chromium without a window (Debian's package `chromium`), whose software computes WebGL,
twice: the whole image, and 2 um in its middle. Prints a row of the table in benchmarks/README.md
for each: seconds until the link, until the first request of a chunk, until the whole picture.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.provenance import make_provenance
from asem.view.open_view import ViewOptions, open_view
from asem.view.screenshot import request_picture
from asem.volume.downsample import downsample
from asem.volume.ngff import write_image_metadata
from asem.volume.pyramid_levels import plan_pyramid
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD, create_level
from asem.volume.zero_array import ZeroArray
from chromium import Browser

VOXEL_NM, TILE = 8.0, 128
SIZE = (1600, 1000)
"""Of the picture, pixels."""
DETAIL_NM = 2000.0
WHOLE_FROM = 2
"""First level that is written as a whole."""


def write_large(path: Path, edge: int) -> None:
    """Write the image."""
    size, offset = (VOXEL_NM,) * 3, (0.0, 0.0, 0.0)
    levels = plan_pyramid((edge,) * 3, size, offset)
    tile, _ = make_synthetic_cell((TILE,) * 3, size, np.random.default_rng(0))
    shard = SHARD[0]
    start = edge // 2 // (2 * shard) * (2 * shard)
    for number, level in enumerate(levels):
        if number:
            tile = downsample(tile, level.factors, kind="image") if min(tile.shape) > 1 else tile
        array = create_level(path, level, np.dtype(np.uint8), is_labels=False)
        low, high = 0, level.shape[0]
        if number < WHOLE_FROM:
            low, high = start >> number, (start + 2 * shard) >> number
        for z in range(low, high, shard):
            depth = min(shard, high - z)
            repeats = [-(-edge // tile.shape[0]) for edge in (depth, high - low, high - low)]
            voxels = np.tile(tile, repeats)[:depth, : high - low, : high - low]
            index = (slice(z, z + depth), slice(low, high), slice(low, high))
            array.write(index, voxels).result()
    volume = Volume(ZeroArray((edge,) * 3, np.dtype(np.uint8)), size, offset, name=str(path))
    write_image_metadata(path, volume, levels, make_provenance("benchmark", {}))


def measure(path: Path, folder: Path, options: ViewOptions) -> tuple[float, float, float, int, int]:
    """Return seconds until the link, the first chunk and the picture; requests and bytes."""
    with Browser(folder, SIZE, webgl=True) as browser:
        start = time.perf_counter()
        with open_view([path], options) as view:
            linked = time.perf_counter() - start
            wait = request_picture(view.server, SIZE)
            browser.open(view.url)
            first = None
            while (picture := wait(0.01)) is None:
                browser.evaluate("0")  # collects events
                if first is None and any("/c/" in url for url in browser.find_requests()):
                    first = time.perf_counter() - start
            drawn, traffic = time.perf_counter() - start, view.server.traffic
            browser.open("about:blank")
            (folder / "picture.png").write_bytes(picture)
            return linked, first or drawn, drawn, traffic.requests, traffic.sent_bytes


def main() -> None:
    """Print the rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=2176, help="voxels along each axis")
    parser.add_argument("--keep", type=Path, help="folder in which the image and pictures are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = options.keep or Path(name)
        folder.mkdir(exist_ok=True)
        path = folder / "large.zarr" / "raw"
        if not path.exists():
            write_large(path, options.edge)
        for title, view in (
            ("the whole image", ViewOptions(width_nm=options.edge * VOXEL_NM * SIZE[0] / SIZE[1])),
            (f"{DETAIL_NM / 1000:g} µm", ViewOptions(width_nm=DETAIL_NM)),
        ):
            linked, first, drawn, requests, sent = measure(path, folder, view)
            (folder / "picture.png").rename(folder / f"{title}.png")
            print(
                f"| {options.edge**3:.3g} | {title} | {linked:.2f} s | {first:.1f} s "
                f"| {drawn:.1f} s | {requests} | {sent / 1e6:.1f} MB |"
            )


if __name__ == "__main__":
    main()
