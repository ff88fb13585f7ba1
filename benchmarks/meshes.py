"""How fast `asem mesh` is, and how much memory it needs, beside zmesh on the whole array at once.

::

    python benchmarks/meshes.py [--edge 512]

Bodies of about 30 voxels fill a sixth of the volume. The command reads a Zarr image and writes all
levels of detail; zmesh meshes an array in memory and writes nothing. Prints a table for
benchmarks/README.md: CPU time of one thread, which other programs change little.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.blocks.output_image import create_image
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.mesh import mesh_instances

VOXEL_SIZE = (5.24, 4.0, 4.0)
Result = TypeVar("Result")
Row = tuple[int, float]


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


def run_asem(folder: Path) -> Row:
    """Run the command; return triangles and CPU seconds."""
    start = time.process_time()
    result = mesh_instances(folder / "instances", folder / "meshes")
    return int(result["triangles"]), time.process_time() - start


def run_zmesh(folder: Path) -> Row:
    """Mesh the array at once; return triangles and CPU seconds, without reading."""
    from zmesh import Mesher

    volume = open_volume(folder / "instances")
    voxels = np.pad(volume.read(volume.roi), 1)
    start = time.process_time()
    mesher = Mesher(VOXEL_SIZE)
    mesher.mesh(voxels)
    triangles = sum(len(mesher.get(number).faces) for number in mesher.ids())
    return triangles, time.process_time() - start


def measure(run: Callable[[Path], Row], folder: Path) -> tuple[int, float, float]:
    """Return triangles, CPU seconds and peak memory in GB of this process."""
    triangles, seconds = run(folder)
    return triangles, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def prepare(folder: Path, edge: int) -> None:
    """Write the instances, and compile the kernels with a small image."""
    save(make_objects(edge), folder / "instances")
    (folder / "small").mkdir()
    save(make_objects(32), folder / "small" / "instances")
    run_asem(folder / "small")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_alone(prepare, folder, options.edge)
        print(f"| {options.edge}^3 voxels | triangles | CPU s | M voxels/s | peak memory, GB |")
        print("|---|---|---|---|---|")
        for title, run in (("zmesh, whole array", run_zmesh), ("`asem mesh`", run_asem)):
            triangles, seconds, peak = run_alone(measure, run, folder)
            row = (f"{triangles:,}", f"{seconds:.1f}", f"{options.edge**3 / seconds / 1e6:.1f}")
            print(f"| {title} | {' | '.join(row)} | {peak:.1f} |", flush=True)
        written = sum(file.stat().st_size for file in (folder / "meshes").rglob("*.shard"))
        print(f"\nfiles: {written / 1e6:.1f} MB")


def run_alone(function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a new process."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
