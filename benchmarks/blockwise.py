"""How fast the block-wise steps are, what memory they take, what Dask costs.

::

    python benchmarks/blockwise.py steps --size 512      voxels/s per step, with 0, 1 and 2 workers
    python benchmarks/blockwise.py memory                peak memory per step, 256^3 to 1024^3
    python benchmarks/blockwise.py ratios --size 512     import beside tensorstore, CLAHE beside
                                                         scikit-image in the published route
    python benchmarks/blockwise.py day                   10,000 blocks of 20 ms, 1 % of them fail

Each prints a table for benchmarks/README.md. Data is made below --folder and deleted.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import tifffile
from distributed import Client, LocalCluster
from scipy import ndimage

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.journal import Journal
from asem.blocks.open_executor import open_executor
from asem.blocks.run_blocks import run_blocks
from asem.structures import find_preset
from asem.volume.block_grid import split_into_blocks
from asem.volume.pyramid_levels import PyramidLevel
from asem.volume.roi import Roi
from asem.volume.zarr_arrays import SHARD, create_level
from asem.workflows.clahe import clahe_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.labels import label_volume
from asem.workflows.mask import mask_volume

SIZE = (5.0, 5.0, 5.0)
STEPS = ("import", "clahe", "mask", "labels mito", "labels er", "instances")


def make_planes(folder: Path, size: int) -> None:
    """Write grey planes and label planes of size^3 voxels: smooth blobs, noise, no repetition."""
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random((128, 128, 128)).astype(np.float32), 4, mode="wrap")
    noise = (noise - noise.mean()) / noise.std()
    repeats = -(-size // 128)
    for name in ("raw", "annotation"):
        (folder / name).mkdir(parents=True)
    for z in range(size):
        plane = np.tile(noise[z % 128], (repeats, repeats))[:size, :size]
        plane = np.roll(plane, z // 128 * 17, axis=1)
        grey = 130 + 25 * plane + rng.normal(0, 12, plane.shape).astype(np.float32)
        tifffile.imwrite(folder / f"raw/p{z:05d}.tif", np.clip(grey, 0, 255).astype(np.uint8))
        blobs = (plane > 0.8).astype(np.uint8)
        tifffile.imwrite(folder / f"annotation/p{z:05d}.tif", blobs)


def step(
    name: str, folder: Path, out: Path, executor=SERIAL_EXECUTOR, progress=lambda *_: None
) -> None:
    """Run one step into `out`; the steps behind import read what it wrote."""
    options = {"executor": executor, "progress": progress}
    raw, labels = folder / "raw.zarr", folder / "labels.zarr"
    if name == "import":
        import_volume(folder / "raw", out, voxel_size=SIZE, **options)
    elif name == "clahe":
        clahe_volume(raw, out, **options)
    elif name == "mask":
        mask_volume(raw, out, **options)
    elif name.startswith("labels"):
        label_volume(
            labels, out, find_preset(name.split()[1]), exclusion_zone=out.with_suffix(".zone"),
            **options,
        )  # fmt: skip
    else:
        label_instances(labels, out, **options)


def prepare(folder: Path, size: int) -> None:
    """Make planes and import them."""
    make_planes(folder, size)
    import_volume(folder / "raw", folder / "raw.zarr", voxel_size=SIZE)
    import_volume(folder / "annotation", folder / "labels.zarr", voxel_size=SIZE, kind="labels")


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Yield the seconds since the beginning."""
    began = time.perf_counter()
    yield lambda: time.perf_counter() - began


@contextmanager
def pinned(workers: int) -> Iterator[Executor]:
    """Start workers with a core of their own each, and one thread for everything they do."""
    threads = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), "1")
    with ExitStack() as stack:
        scheduler = stack.enter_context(LocalCluster(n_workers=0, dashboard_address=None))
        for core in range(workers):
            words = [
                "taskset",
                "-c",
                str(core),
                sys.executable,
                "-m",
                "distributed.cli.dask_worker",
            ]
            words += [scheduler.scheduler_address, "--nthreads", "1", "--no-dashboard"]
            worker = subprocess.Popen(
                words, env={**os.environ, **threads}, stderr=subprocess.DEVNULL
            )
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        with Client(scheduler) as client:
            client.wait_for_workers(workers)
        yield stack.enter_context(open_executor(scheduler=scheduler.scheduler_address))


def steps(folder: Path, size: int) -> None:
    """Print voxels/s of each step."""
    prepare(folder / "small", 64)
    prepare(folder / "large", size)
    seconds: dict[tuple[str, int], float] = {}
    for workers in (0, 1, 2):
        with ExitStack() as stack:
            executor = stack.enter_context(pinned(workers)) if workers else SERIAL_EXECUTOR
            for name in STEPS:  # compile, load, fill the cache of the disk
                step(name, folder / "small", folder / f"warm {name} {workers}", executor)
            for name in STEPS:
                with timed() as passed:
                    step(name, folder / "large", folder / f"{name} {workers}", executor)
                seconds[name, workers] = passed()
    print(f"M voxels/s of {size}^3, disk to disk, pyramids included\n")
    print("| step | this process, 2 cores | 1 worker, 1 core | 2 workers, 2 cores | speed-up |")
    print("|---|---|---|---|---|")
    for name in STEPS:
        rates = [size**3 / seconds[name, workers] / 1e6 for workers in (0, 1, 2)]
        cells = " | ".join(f"{rate:.1f}" for rate in rates)
        print(f"| {name} | {cells} | {rates[2] / rates[1]:.2f} |")


def memory(folder: Path) -> None:
    """Print the peak memory of each step, each in a process of its own."""
    print("| step | 256^3 | 512^3 | 1024^3 |\n|---|---|---|---|")
    sizes = (256, 512, 1024)
    for size in sizes:
        prepare(folder / str(size), size)
    for name in STEPS:
        cells = []
        for size in sizes:
            words = [sys.executable, __file__, "peak", name, str(folder / str(size))]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            cells.append(f"{int(done.stdout) / 1024:.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\nMiB, with the interpreter and its libraries")


def peak(name: str, folder: Path) -> None:
    """Run one step and print the peak of the resident memory in KiB."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        step(name, folder, Path(out) / "out")
    # Not getrusage, whose peak a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def ratios(folder: Path, size: int) -> None:
    """Print import beside tensorstore, and CLAHE beside the published route; medians of three."""
    from skimage.exposure import equalize_adapthist

    prepare(folder, size)
    planes = [tifffile.imread(path) for path in sorted((folder / "raw").iterdir())]
    voxels, runs = np.stack(planes), range(4)  # the first run compiles and warms up
    written, imported, whole, equalized = ([] for _ in range(4))
    for run in runs:
        level = PyramidLevel("0", voxels.shape, (1, 1, 1), SIZE, (0, 0, 0))
        array = create_level(folder / f"ts{run}", level, voxels.dtype, is_labels=False)
        with timed() as passed:
            for layer in split_into_blocks(
                Roi.of_shape(voxels.shape), (SHARD[0], *voxels.shape[1:])
            ):
                array.write(layer.slices, voxels[layer.slices]).result()
        written.append(passed())
        ends: dict[str, float] = {}
        with timed() as passed:
            step(
                "import", folder, folder / f"import{run}",
                progress=lambda name, *_, ends=ends, now=passed: ends.__setitem__(name, now()),
            )  # fmt: skip
        whole.append(passed())
        imported.append(ends["import"])
        with timed() as passed:
            step("clahe", folder, folder / f"clahe{run}")
        equalized.append(passed())
    block = voxels[:256, :256, :256]
    with timed() as passed:
        equalize_adapthist(block, kernel_size=128, clip_limit=0.02)
    published = 128**3 / passed()  # voxels kept a second, one core
    rates = [
        size**3 / np.median(times[1:]) / 1e6 for times in (written, imported, whole, equalized)
    ]
    print(f"{size}^3, medians of three\n\n| what | M voxels/s | ratio |\n|---|---|---|")
    print(f"| tensorstore from memory, a layer of shards at a time | {rates[0]:.0f} | 1 |")
    print(f"| import: headers, planes, shards | {rates[1]:.0f} | {rates[1] / rates[0]:.2f} |")
    print(f"| import with its pyramid | {rates[2]:.0f} | {rates[2] / rates[0]:.2f} |")
    print(f"| CLAHE, published route, 2 cores (twice one core) | {2 * published / 1e6:.2f} | 1 |")
    ratio = rates[3] / (2 * published / 1e6)
    print(f"| CLAHE, disk to disk with its pyramid | {rates[3]:.0f} | {ratio:.0f} |")


def simulated(block: Roi) -> None:
    """Take 20 ms and fail by chance."""
    time.sleep(0.02)
    if random.random() < 0.01:
        raise OSError("chance")


def day(folder: Path, number: int = 10_000, workers: int = 2) -> None:
    """Print what Dask costs."""
    blocks = [Roi((n, 0, 0), (1, 1, 1)) for n in range(number)]
    with open_executor(workers) as executor, Journal(folder, {}) as journal, timed() as passed:
        run_blocks(simulated, blocks, journal, stage="day", executor=executor)
        took = passed()
    ideal = number * 0.02 * 1.01 / workers
    print(f"{number} blocks, {workers} workers: {took:.1f} s, overhead {took / ideal - 1:.1%}")


def main() -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["steps", "memory", "ratios", "day", "peak"])
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--folder", type=Path, default=None, help="where data is made")
    given = parser.parse_args()
    if given.what == "peak":
        peak(given.rest[0], Path(given.rest[1]))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run = {"steps": steps, "memory": memory, "ratios": ratios, "day": day}[given.what]
        run(Path(folder), *([given.size] if given.what in ("steps", "ratios") else []))


if __name__ == "__main__":
    main()
