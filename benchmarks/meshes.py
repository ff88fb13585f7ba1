"""How fast `asem mesh` is, and how much memory it needs, beside zmesh on the whole array at once.

::

    python benchmarks/meshes.py [--edge 512] [--workers 2]

Bodies of about 30 voxels fill a sixth of the volume. The command reads a Zarr image and writes all
levels of detail; zmesh meshes an array in memory and writes nothing. Prints a table for
benchmarks/README.md.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.blocks.open_executor import open_executor
from asem.blocks.output_image import create_image
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.mesh import mesh_instances

VOXEL_SIZE = (5.24, 4.0, 4.0)


def make_objects(edge: int) -> npt.NDArray[np.uint32]:
    """Return the connected bodies of smoothed noise above a level."""
    noise = np.random.default_rng(0).standard_normal((edge,) * 3, np.float32)
    smooth = ndimage.gaussian_filter(noise, 8, truncate=3)
    objects: npt.NDArray[np.uint32] = cc3d.connected_components(
        smooth > smooth.std(), connectivity=6, out_dtype=np.uint32
    )
    return objects


def save(objects: npt.NDArray[np.uint32], path: Path) -> None:
    """Write the instances as an image."""
    volume = Volume(objects, VOXEL_SIZE, kind="labels")
    with create_image(path, volume, command="benchmark", request={}, sources=()) as output:
        output.fill(volume.read, stage="instances", voxel_bytes=8)


def run_asem(folder: Path, workers: int | None) -> int:
    """Run the command; return the triangles of the finest level."""
    with open_executor(workers, None) as executor:
        result = mesh_instances(folder / "instances", folder / f"m{workers}", executor=executor)
    return int(result["triangles"])


def run_zmesh(folder: Path, _: int | None) -> int:
    """Mesh the array at once; return its triangles."""
    from zmesh import Mesher

    volume = open_volume(folder / "instances")
    voxels = np.pad(volume.read(volume.roi), 1)
    start = time.perf_counter()
    mesher = Mesher(VOXEL_SIZE)
    mesher.mesh(voxels)
    triangles = sum(len(mesher.get(number).faces) for number in mesher.ids())
    SECONDS["zmesh"] = time.perf_counter() - start  # without reading
    return triangles


SECONDS: dict[str, float] = {}
Row = tuple[int, float, float]


def measure(run: Callable[[Path, int | None], int], folder: Path, workers: int | None) -> Row:
    """Return triangles, seconds and peak memory in GB of this process."""
    start = time.perf_counter()
    triangles = run(folder, workers)
    seconds = SECONDS.get("zmesh", time.perf_counter() - start)
    return triangles, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            pool.submit(prepare, folder, options.edge).result()
        print(f"| {options.edge}^3 voxels | triangles | s | M voxels/s | peak memory, GB |")
        print("|---|---|---|---|---|")
        runs = [
            ("zmesh, whole array", run_zmesh, None),
            ("asem mesh", run_asem, None),
            (f"asem mesh --workers {options.workers}", run_asem, options.workers),
        ]
        for title, run, workers in runs:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                triangles, seconds, peak = pool.submit(measure, run, folder, workers).result()
            speed = options.edge**3 / seconds / 1e6
            memory = "" if workers else f"{peak:.1f}"
            row = (title, f"{triangles:,}", f"{seconds:.1f}", f"{speed:.1f}", memory)
            print(f"| {' | '.join(row)} |", flush=True)
        written = sum(file.stat().st_size for file in (folder / "mNone").rglob("*.shard"))
        print(f"\nfiles: {written / 1e6:.1f} MB")


def prepare(folder: Path, edge: int) -> None:
    """Write the instances, and compile the kernels with a small image."""
    save(make_objects(edge), folder / "instances")
    (folder / "small").mkdir()
    save(make_objects(32), folder / "small" / "instances")
    run_asem(folder / "small", None)


if __name__ == "__main__":
    main()
