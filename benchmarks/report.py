"""How long a report of a large cell takes, how much memory, and how large it is.

::

    python benchmarks/report.py --edge 2000

Writes a cube of raw, labels and segmentation, tiled from a synthetic cell: the coarse levels of the
pyramids and a corner of the finest, since all of 2000^3 voxels would take hours to write and
is not read. Prints a row of the table in benchmarks/README.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.volume.pyramid_levels import plan_pyramid
from asem.volume.zarr_arrays import create_level

ASEM = (sys.executable, "-m", "asem")
TILE = (96, 224, 400)
VOXEL_NM = 5.0
MAX_WHOLE = 512
"""Edge of levels that are written as a whole, and of the corner of the finest that is written."""


def write_image(path: Path, tile: npt.NDArray[np.unsignedinteger], edge: int) -> None:
    """Write an image of `edge` voxels along each axis; labels where its folder says so."""
    is_labels = path.name != "raw"
    datasets = []
    for number, level in enumerate(plan_pyramid((edge,) * 3, (VOXEL_NM,) * 3, (0.0,) * 3)):
        array = create_level(path, level, tile.dtype, is_labels=is_labels)
        is_written = number == 0 or level.shape[0] <= MAX_WHOLE
        count = min(level.shape[0], MAX_WHOLE) if is_written else 0
        indices = [np.arange(count) * 2**number % n for n in tile.shape]
        if count:
            array.write((slice(count),) * 3, tile[np.ix_(*indices)]).result()
        placement = [
            {"type": "scale", "scale": level.voxel_size},
            {"type": "translation", "translation": level.offset_nm},
        ]
        datasets.append({"path": level.path, "coordinateTransformations": placement})
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    ome |= {"image-label": {}} if is_labels else {}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (path / "zarr.json").write_text(json.dumps(document))


def main() -> None:
    """Print a row of the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=2000)
    edge = parser.parse_args().edge
    raw, labels = make_synthetic_cell(TILE, (10.0,) * 3, np.random.default_rng(7))
    prediction = np.roll(labels, 6, axis=2)
    prediction[40:60, 100:140, 200:240] = 1
    with tempfile.TemporaryDirectory() as name:
        cell = Path(name) / "cell.zarr"
        write_image(cell / "raw", raw, edge)
        write_image(cell / "labels/mito", labels, edge)
        write_image(cell / "predictions/mito/segmentation", prediction, edge)
        out, start = Path(name) / "report.html", time.perf_counter()
        subprocess.run([*ASEM, "report", str(cell), "--out", str(out)], check=True)
        seconds, size = time.perf_counter() - start, out.stat().st_size
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"| {edge:,}^3 | {seconds:.1f} s | {used.ru_utime + used.ru_stime:.1f} s "
        f"| {used.ru_maxrss / 2**20:.2f} GB | {size / 1e6:.1f} MB |"
    )


if __name__ == "__main__":
    main()
