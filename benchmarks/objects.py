"""How well objects are separated and measured, how fast, and in how much memory.

::

    python benchmarks/objects.py split --data ../shared/data    objects found, beside other methods
    python benchmarks/objects.py shapes                         errors of volume, surface, length
    python benchmarks/objects.py speed --size 512               beside cc3d and scikit-image

Each prints a table for benchmarks/README.md. Data is made below --folder and deleted.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
import pandas as pd
import tifffile
from scipy import ndimage
from scipy.spatial.transform import Rotation
from skimage.feature import peak_local_max
from skimage.measure import regionprops_table
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from asem.measure.object_overlap import merge_overlaps, record_overlap
from asem.measure.object_scores import ScoredObjects, score_objects
from asem.structures import find_preset
from asem.volume.roi import Roi
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.measure import measure_instances
from shapes import Cylinder, Ellipsoid, Shape, Torus, Triple, random_pose, rasterize, sphere

Labels = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]
UROCELL: Triple = (15.0, 16.0, 16.0)
VOXEL_SIZES: tuple[Triple, ...] = ((5.0, 5.0, 5.0), (5.2, 4.0, 4.0))
H_NM = (4.0, 8.0, 16.0)
"""Depths of the h-maxima."""
PHANTOMS = 20
TOUCH = 0.2
"""How far a rod of the phantoms reaches into another one, parts of its radius: contacts are up to
0.6 times as wide as it."""
POSES = 12
ASEM = Path(sys.executable).with_name("asem")


def save_labels(folder: Path, labels: npt.NDArray[Any], voxel_size: Triple) -> Path:
    """Import labels into an image in `folder`."""
    tifffile.imwrite(folder / "labels.tif", labels)
    image = folder / "labels.zarr"
    import_volume(
        folder / "labels.tif", image, voxel_size=voxel_size, kind="labels", overwrite=True
    )
    return image


# Separation of touching objects


def separate(mask: Mask, voxel_size: Triple, structure: str) -> Labels:
    """Separate objects as ``asem instances --split --structure`` does."""
    with tempfile.TemporaryDirectory() as folder:
        image = save_labels(Path(folder), mask.astype(np.uint8), voxel_size)
        split = find_preset(structure).split
        found = label_instances(image, Path(folder) / "out.zarr", split=split)
        return np.asarray(found.read(found.roi))


def distances(mask: Mask, voxel_size: Triple) -> npt.NDArray[np.float64]:
    """Return the distance of each voxel to the background, nm."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=voxel_size))


def textbook_watershed(mask: Mask, voxel_size: Triple, _: str) -> Labels:
    """Watershed from all local maxima of the distance: scikit-image's example."""
    distance = distances(mask, voxel_size)
    peaks = peak_local_max(distance, footprint=np.ones((3, 3, 3)), labels=ndimage.label(mask)[0])
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(watershed(-distance, markers, mask=mask), np.uint32)


def h_maxima_watershed(h_nm: float) -> Callable[[Mask, Triple, str], Labels]:
    """Return the watershed from maxima of the smoothed distance that are `h_nm` deep."""

    def find(mask: Mask, voxel_size: Triple, _: str) -> Labels:
        distance = ndimage.gaussian_filter(distances(mask, voxel_size), 1) * mask
        markers = ndimage.label(h_maxima(distance, h_nm), np.ones((3, 3, 3)))[0]
        return np.asarray(watershed(-distance, markers, mask=mask), np.uint32)

    return find


def connected_components(mask: Mask, _: Triple, __: str) -> Labels:
    """Return the connected components (6 neighbours)."""
    return np.asarray(cc3d.connected_components(mask, connectivity=6), np.uint32)


METHODS: dict[str, Callable[[Mask, Triple, str], Labels]] = {
    "components": connected_components,
    "watershed, all maxima (scikit-image)": textbook_watershed,
    "`asem instances --split`": separate,
    **{f"watershed, h-maxima of {h:g} nm": h_maxima_watershed(h) for h in H_NM},
}


def object_scores(predicted: Labels, truth: npt.NDArray[Any]) -> dict[str, Any]:
    """Return the scores of objects (`asem.measure.object_scores.score_objects`)."""
    block = Roi((0, 0, 0), truth.shape)
    scored = np.ones(truth.shape, bool)
    record = record_overlap(predicted, truth, scored, block=block, shape=truth.shape)
    overlap = merge_overlaps([(block, record)], truth.shape)
    return score_objects(ScoredObjects.from_overlap(overlap))


def count_touching_pairs(labels: npt.NDArray[Any]) -> int:
    """Return how many pairs of objects share faces of voxels."""
    return len(cc3d.contacts(labels.astype(np.uint32), connectivity=6))


def curved_rod(rng: np.random.Generator, voxel_nm: float) -> Mask:
    """Return a rod of random radius (60 to 150 nm), length (0.2 to 1 um) and bend, cut out."""
    radius, length = rng.uniform(60, 150), rng.uniform(200, 1000)
    bend = rng.uniform(0.01, 1.5)  # rad from end to end
    angles = np.linspace(-bend / 2, bend / 2, 200)
    line = length / bend * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    line = Rotation.random(rng=rng).apply(line - line.mean(axis=0)) / voxel_nm
    margin = int(radius / voxel_nm) + 2
    voxels = np.rint(line - line.min(axis=0)).astype(int) + margin
    apart = np.ones(voxels.max(axis=0) + margin + 1, bool)
    apart[tuple(voxels.T)] = False
    return np.asarray(ndimage.distance_transform_edt(apart) <= radius / voxel_nm)


def make_touching_rods(seed: int, edge: int = 160, voxel_nm: float = 10.0) -> Labels:
    """Return mitochondria of unequal sizes, most of which touch another one.

    A rod is accepted where it reaches into earlier ones by at most `TOUCH` of its radius; common
    voxels remain those of the earlier ones. One of four is also accepted where it meets none.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros((edge,) * 3, np.uint32)
    count = 0
    for attempt in range(400):
        rod = curved_rod(rng, voxel_nm)
        if max(rod.shape) >= edge:
            continue
        start = [int(rng.integers(0, edge - n + 1)) for n in rod.shape]
        window = labels[tuple(slice(a, a + n) for a, n in zip(start, rod.shape, strict=True))]
        depth = ndimage.distance_transform_edt(np.pad(rod, 1))[1:-1, 1:-1, 1:-1]
        common = depth[rod & (window > 0)].max(initial=0) / depth.max()
        if 0 < common < TOUCH or (common == 0 and (count == 0 or attempt % 4 == 0)):
            free = rod & (window == 0)
            if cc3d.connected_components(free, connectivity=6, return_N=True)[1] == 1:
                count += 1
                window[free] = count
    return labels


def print_split(data: Path) -> None:
    """Print the object F1 of each method on each volume."""
    shapes = data / "urocell_shapes"
    volumes = {
        "vesicles": (tifffile.imread(shapes / "vesicles_instances.tif"), UROCELL, "ccp"),
        **{
            f"mitochondria {n}": (
                tifffile.imread(shapes / f"mitochondria_instances_{n}.tif"),
                UROCELL,
                "mito",
            )
            for n in (0, 1)
        },
    }
    phantoms = [make_touching_rods(seed) for seed in range(PHANTOMS)]
    pairs = [count_touching_pairs(phantom) for phantom in phantoms]
    numbers = [int(phantom.max()) for phantom in phantoms]
    print(f"phantoms: {sum(numbers)} objects, {sum(pairs)} touching pairs")
    for name, (truth, *_) in volumes.items():
        print(f"{name}: {len(np.unique(truth)) - 1} objects, {count_touching_pairs(truth)} pairs")
    columns = [f"{name} {t}" for name in volumes for t in ("F1 (IoU 0.5)", "F1 (0.75)", "objects")]
    columns += ["phantoms F1 (IoU 0.5)", "F1 (0.75)", "least F1 (0.5)"]
    print(f"\n| method | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for method, find in METHODS.items():
        cells = []
        for truth, size, structure in volumes.values():
            scores = object_scores(find(truth > 0, size, structure), truth)
            cells += [f"{scores[key]['f1']:.3f}" for key in ("iou_50", "iou_75")]
            cells.append(str(scores["predicted_objects"]))
        found = [object_scores(find(truth > 0, (10.0,) * 3, "mito"), truth) for truth in phantoms]
        first, second = (pooled_f1(found, key) for key in ("iou_50", "iou_75"))
        least = min(scores["iou_50"]["f1"] for scores in found)
        cells += [f"{first:.3f}", f"{second:.3f}", f"{least:.3f}"]
        print(f"| {method} | {' | '.join(cells)} |", flush=True)


def pooled_f1(scores: list[dict[str, Any]], key: str) -> float:
    """Return the F1 of the objects of all volumes together."""
    hits, false, missed = (
        sum(one[key][name] for one in scores)
        for name in ("true_positives", "false_positives", "false_negatives")
    )
    return float(2 * hits / (2 * hits + false + missed))


# Errors of measurements


def measured_shapes(n: float) -> dict[str, Shape]:
    """Return bodies of known size; n is about the size of a voxel, nm."""
    return {
        "sphere 6": sphere(6 * n),
        "sphere 10": sphere(10 * n),
        "sphere 30": sphere(30 * n),
        "ellipsoid 8, 12, 20": Ellipsoid((8 * n, 12 * n, 20 * n)),
        "ellipsoid 10, 10, 40": Ellipsoid((10 * n, 10 * n, 40 * n)),
        "torus 16, 5": Torus(16 * n, 5 * n),
        "torus 40, 10": Torus(40 * n, 10 * n),
        "cylinder 5 x 40": Cylinder(5 * n, 40 * n),
        "cylinder 10 x 60": Cylinder(10 * n, 60 * n),
        "cylinder 10 x 120": Cylinder(10 * n, 120 * n),
    }


def measure_poses(shape: Shape, voxel_size: Triple) -> pd.DataFrame:
    """Measure a body in random poses, all in one image; return ``objects.parquet``."""
    poses = [random_pose(np.random.default_rng(seed), voxel_size) for seed in range(POSES)]
    masks = [rasterize(shape, voxel_size, *pose) for pose in poses]
    extent = [
        sum(mask.shape[0] for mask in masks),
        *(max(m.shape[a] for m in masks) for a in (1, 2)),
    ]
    labels, z = np.zeros(extent, np.uint8), 0
    for number, mask in enumerate(masks, start=1):
        depth, height, width = mask.shape
        labels[z : z + depth, :height, :width][mask] = number
        z += depth
    with tempfile.TemporaryDirectory() as folder:
        image = save_labels(Path(folder), labels, voxel_size)
        measure_instances(image, Path(folder) / "out")
        return pd.read_parquet(Path(folder) / "out/objects.parquet")


def print_shapes() -> None:
    """Print mean and largest errors, per cent."""
    print("| body (radii, lengths in voxels) | voxels (nm) | volume | surface | skeleton length |")
    print("|---|---|---|---|---|")
    for voxel_size in VOXEL_SIZES:
        edge = math.prod(voxel_size) ** (1 / 3)
        for name, shape in measured_shapes(edge).items():
            table = measure_poses(shape, voxel_size)
            ratios = (
                table["volume_um3"] / shape.volume_nm3 * 1e9,
                table["surface_um2"] / shape.surface_nm2 * 1e6,
                table["skeleton_length_nm"] / shape.length_nm,
            )
            cells = [
                f"{100 * r.mean() - 100:+.1f} (<= {100 * abs(r - 1).max():.1f})" for r in ratios
            ]
            voxels = " x ".join(f"{length:g}" for length in voxel_size)
            print(f"| {name} | {voxels} | {' | '.join(cells)} |", flush=True)


# Speed and memory


def make_cell(folder: Path, size: int) -> None:
    """Write planes of a segmentation of size^3 voxels: touching rods, repeated as mirror images."""
    tile = (make_touching_rods(0, edge=128) > 0).astype(np.uint8)
    (folder / "planes").mkdir(parents=True)
    repeats = -(-size // 256)
    for z in range(size):
        plane = tile[z % 256 if z % 256 < 128 else 255 - z % 256]
        plane = np.concatenate([plane, plane[::-1]])
        plane = np.concatenate([plane, plane[:, ::-1]], axis=1)
        tifffile.imwrite(
            folder / f"planes/p{z:05d}.tif", np.tile(plane, (repeats, repeats))[:size, :size]
        )


def run_measured(*words: object) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory, GiB, at least that of this process."""
    began = time.perf_counter()
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, words
    return time.perf_counter() - began, usage.ru_maxrss / 2**20


def measure_whole_array(planes: Path) -> None:
    """Label and measure the whole array with cc3d and scikit-image (a process of its own)."""
    mask = tifffile.imread(sorted(planes.iterdir()))
    labels = cc3d.connected_components(mask, connectivity=6)
    properties = ("label", "area", "centroid", "bbox", "inertia_tensor_eigvals")
    table = pd.DataFrame(regionprops_table(labels, properties=properties))
    table.to_csv(planes.parent / "whole.csv", index=False)


def timed_commands(folder: Path) -> Iterator[tuple[str, list[object]]]:
    """Yield the names and the words of the commands to time."""
    source, objects, parts = folder / "cell.zarr", folder / "objects.zarr", folder / "parts.zarr"
    yield "`asem instances`", [ASEM, "instances", source, objects]
    yield "`asem measure`", [ASEM, "measure", objects, "--out", folder / "out"]
    yield "`asem instances --split`", [ASEM, "instances", source, parts, "--split"]
    yield "cc3d + regionprops", [sys.executable, __file__, "whole", "--folder", folder]


def print_speed(folder: Path, size: int) -> None:
    """Print voxels/s and peak memory of each command."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        place = Path(name)
        make_cell(place, size)
        options = ["--voxel-size", "10", "--kind", "labels"]
        words = [ASEM, "import", place / "planes", place / "cell.zarr", *options]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        print("| size | command | s | M voxels/s | peak memory, GiB |\n|---|---|---|---|---|")
        for command, words in timed_commands(place):
            seconds, memory = run_measured(*words)
            speed = size**3 / seconds / 1e6
            print(
                f"| {size} | {command} | {seconds:.1f} | {speed:.1f} | {memory:.2f} |", flush=True
            )
        print(f"{len(pd.read_parquet(place / 'out/objects.parquet'))} objects, {size}^3 voxels")


def main() -> None:
    """Print the table of a subcommand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=("split", "shapes", "speed", "whole"))
    parser.add_argument("--data", type=Path, help="folder of the real volumes, for split")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--size", type=int, default=512, help="edge of the volume, for speed")
    options = parser.parse_args()
    if options.table == "split":
        print_split(options.data)
    elif options.table == "shapes":
        print_shapes()
    elif options.table == "speed":
        print_speed(options.folder, options.size)
    else:
        measure_whole_array(options.folder / "planes")


if __name__ == "__main__":
    main()
