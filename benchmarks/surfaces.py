"""How accurate and fast surfaces and contacts are.

::

    python benchmarks/surfaces.py bodies            relative error of bodies, 12 poses each
    python benchmarks/surfaces.py thin              ratio of thin bodies
    python benchmarks/surfaces.py methods           other estimators on the same masks
    python benchmarks/surfaces.py contacts          gaps and areas of two spheres
    python benchmarks/surfaces.py speed             voxels/s of blocks of 256^3, one thread

Each prints a table for benchmarks/README.md.
"""

import argparse
import math
import os
import time
from collections.abc import Callable, Iterable

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes, mesh_surface_area

from asem.measure.contacts import (
    CONTACT_KEYS,
    CONTACT_REDUCTIONS,
    ContactSearch,
    derive_contacts,
)
from asem.measure.object_columns import Columns, merge_columns
from asem.measure.surfaces import area_unit_nm2, find_areas, read_with_mirrored_halo
from asem.volume.volume import Volume
from shapes import (
    Box,
    Capsule,
    Cylinder,
    Ellipsoid,
    Shape,
    Torus,
    Triple,
    random_pose,
    rasterize,
    sphere,
)

VOXEL_SIZES: tuple[Triple, ...] = ((5.0, 5.0, 5.0), (5.2, 4.0, 4.0))
Mask = npt.NDArray[np.bool_]
Estimator = Callable[[Mask, Triple], float]
POSES = 12
EDGE = 256


def bodies(n: float) -> dict[str, Shape]:
    """Return bodies; n is about the size of a voxel, nm."""
    return {
        "sphere 6": sphere(6 * n),
        "sphere 10": sphere(10 * n),
        "sphere 25": sphere(25 * n),
        "sphere 60": sphere(60 * n),
        "ellipsoid 6, 10, 16": Ellipsoid((6 * n, 10 * n, 16 * n)),
        "torus 14, 6": Torus(14 * n, 6 * n),
        "capsule 6, 24": Capsule(6 * n, 24 * n),
        "cylinder 6 x 12": Cylinder(6 * n, 12 * n),
        "cylinder 6 x 40": Cylinder(6 * n, 40 * n),
        "cylinder 10 x 20": Cylinder(10 * n, 20 * n),
        "cylinder 20 x 8": Cylinder(20 * n, 8 * n),
        "cube 20": Box((20 * n, 20 * n, 20 * n)),
    }


def thin_bodies(n: float) -> dict[str, Shape]:
    """Return plates, tubes and spheres of few voxels."""
    plates: dict[str, Shape] = {
        f"plate {t:g}": Box((t * n, 40 * n, 40 * n)) for t in (1, 1.5, 2, 3, 4)
    }
    tubes: dict[str, Shape] = {f"tube {d:g}": Capsule(d / 2 * n, 60 * n) for d in (2, 2.5, 3, 4, 6)}
    return plates | tubes | {f"sphere {r:g}": sphere(r * n) for r in (1.5, 2, 3, 4)}


def mesh_area(mask: Mask, voxel_size: Triple) -> float:
    """Return the surface that asem measures, nm^2."""
    volume = Volume(mask.astype(np.uint8), voxel_size, kind="labels")
    areas = find_areas(read_with_mirrored_halo(volume, volume.roi), voxel_size)
    return float(areas.sum(dtype=np.int64)) * area_unit_nm2(voxel_size)


def smooth(mask: Mask, sigma: float) -> npt.NDArray[np.float64]:
    """Return the indicator, smoothed by a Gaussian of a standard deviation in voxels."""
    return np.asarray(ndimage.gaussian_filter(mask.astype(float), sigma, truncate=4))


def marching(sigma: float, *, clamped: bool = False) -> Estimator:
    """Return marching cubes of the smoothed indicator; clamped: no voxel changes sides."""

    def estimate(mask: Mask, voxel_size: Triple) -> float:
        level = smooth(mask, sigma) if sigma else mask.astype(float)
        if clamped:
            level = np.where(mask, np.maximum(level, 0.501), np.minimum(level, 0.499))
        if level.max() <= 0.5:
            return 0.0
        vertices, faces, _, _ = marching_cubes(level, 0.5, spacing=voxel_size)
        return float(mesh_surface_area(vertices, faces))

    return estimate


def coarea(sigma: float) -> Estimator:
    """Return the integral of the gradient of the smoothed indicator."""

    def estimate(mask: Mask, voxel_size: Triple) -> float:
        gradient = np.gradient(smooth(mask, sigma), *voxel_size)
        return float(np.sqrt(sum(g**2 for g in gradient)).sum() * math.prod(voxel_size))

    return estimate


def projected_faces(sigma: float) -> Estimator:
    """Return the faces of voxels times the cosine of the smoothed normal."""

    def estimate(mask: Mask, voxel_size: Triple) -> float:
        gradient = np.stack(np.gradient(smooth(mask, sigma), *voxel_size))
        total = 0.0
        for axis in range(3):
            first, second = (np.moveaxis(mask, axis, 0)[part] for part in (np.s_[:-1], np.s_[1:]))
            ends = np.moveaxis(gradient, axis + 1, 1)
            between = (ends[:, :-1] + ends[:, 1:])[:, first != second]
            cosine = abs(between[axis]) / np.sqrt((between**2).sum(axis=0))
            total += cosine.sum() * math.prod(voxel_size) / voxel_size[axis]
        return total

    return estimate


METHODS: dict[str, Estimator] = {
    "asem": mesh_area,
    "marching cubes, binary": marching(0),
    "marching cubes, sigma 0.5": marching(0.5),
    "marching cubes, sigma 0.7": marching(0.7),
    "marching cubes, sigma 1": marching(1),
    "marching cubes, sigma 1, clamped": marching(1, clamped=True),
    "coarea, sigma 0.7": coarea(0.7),
    "coarea, sigma 1": coarea(1),
    "projected faces, sigma 1": projected_faces(1),
}


def estimate_all(
    found: dict[str, Shape], voxel_size: Triple, estimator: Estimator
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the ratios of estimated to true surface of bodies in random poses."""
    ratios = {}
    for name, body in found.items():
        poses = [random_pose(np.random.default_rng(seed), voxel_size) for seed in range(POSES)]
        areas = [estimator(rasterize(body, voxel_size, *pose), voxel_size) for pose in poses]
        ratios[name] = np.array(areas) / body.surface_nm2
    return ratios


def size_of(voxel_size: Triple) -> float:
    """Return the edge of a cube of the volume of a voxel."""
    return math.prod(voxel_size) ** (1 / 3)


def print_bodies(make: Callable[[float], dict[str, Shape]]) -> None:
    """Print mean, standard deviation and largest error of bodies, in per cent."""
    print("| body (voxels) | 5 x 5 x 5 nm | largest | 5.2 x 4 x 4 nm | largest |")
    print("|---|---|---|---|---|")
    columns = [estimate_all(make(size_of(size)), size, mesh_area) for size in VOXEL_SIZES]
    for name in columns[0]:
        errors = [100 * (column[name] - 1) for column in columns]
        cells = [f"{e.mean():+.1f} ± {e.std():.1f} | {abs(e).max():.1f}" for e in errors]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def print_methods() -> None:
    """Print the mean error of each method, in per cent."""
    size = VOXEL_SIZES[0]
    names = (
        "sphere 6",
        "sphere 25",
        "torus 14, 6",
        "cylinder 6 x 12",
        "cylinder 20 x 8",
        "cube 20",
    )
    chosen = {name: bodies(size[0])[name] for name in names}
    chosen |= {name: thin_bodies(size[0])[name] for name in ("plate 1", "plate 3", "tube 3")}
    print(f"| method | {' | '.join(chosen)} |\n|---|{'---|' * len(chosen)}")
    for method, estimator in METHODS.items():
        ratios = estimate_all(chosen, size, estimator)
        print(
            f"| {method} | {' | '.join(f'{100 * r.mean() - 100:+.1f}' for r in ratios.values())} |"
        )


def two_spheres(radius: float, gap: float, voxel_size: Triple, seed: int) -> npt.NDArray[np.uint8]:
    """Return two spheres at a distance in a random direction, as labels 1 and 2."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=3)
    centre = (radius + gap / 2) * direction / np.linalg.norm(direction)
    shift = rng.uniform(-0.5, 0.5, 3) * voxel_size
    counts = np.ceil((abs(centre) + radius) / voxel_size).astype(int) + 3
    axes = [np.arange(-n, n + 1) * size for n, size in zip(counts, voxel_size, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1) - shift
    labels = np.zeros(points.shape[:3], np.uint8)
    for label, sign in ((1, 1), (2, -1)):
        labels[((points - sign * centre) ** 2).sum(-1) <= radius**2] = label
    return labels


def find_all(objects: Volume, others: Volume | None, within_nm: float) -> Columns:
    """Return the table of contacts, found in one block."""
    found = ContactSearch(objects, others, within_nm).measure(objects.roi)
    return derive_contacts(
        merge_columns([found], CONTACT_REDUCTIONS, CONTACT_KEYS), objects.voxel_size
    )


def print_contacts() -> None:
    """Print errors of gaps in nm, and ratios of areas within reach."""
    print("| radius, gap, within (nm) | voxels (nm) | gap - true gap | area / true area |")
    print("|---|---|---|---|")
    for radius, gap, within in ((40, 10, 20), (60, 20, 30), (60, 20, 50), (100, 20, 30)):
        for size in VOXEL_SIZES:
            d = 2 * radius + gap
            cosine = (radius**2 + d**2 - (radius + within) ** 2) / (2 * radius * d)
            gaps, ratios = [], []
            for seed in range(POSES):
                labels = two_spheres(radius, gap, size, seed)
                found = find_all(Volume(labels, size, kind="labels"), None, within)
                gaps += (found["gap_nm"] - gap).tolist()
                ratios += (
                    1e6 * found["area_um2"] / (2 * math.pi * radius**2 * (1 - cosine))
                ).tolist()
            errors = f"{np.mean(gaps):+.1f} ± {np.std(gaps):.1f}"
            areas = f"{np.mean(ratios):.2f} ± {np.std(ratios):.2f}"
            voxels = " x ".join(f"{edge:g}" for edge in size)
            print(f"| {radius}, {gap}, {within} | {voxels} | {errors} | {areas} |", flush=True)


def make_blocks() -> dict[str, npt.NDArray[np.uint32]]:
    """Return vesicles, a network and a dense tissue, 256^3 voxels each."""
    rng, axis = np.random.default_rng(0), np.arange(EDGE)
    vesicles, count = np.zeros((EDGE,) * 3, np.uint32), 0
    for _ in range(24_000):
        centre = rng.uniform(8, EDGE - 8, 3)
        box = tuple(slice(int(c) - 7, int(c) + 8) for c in centre)
        grid = np.ix_(*[axis[part] - c for part, c in zip(box, centre, strict=True)])
        ball = sum(g**2 for g in grid) <= 25
        if not vesicles[box][ball].any():
            count += 1
            vesicles[box][ball] = count
    z, y, x = np.ix_(0.1 * axis, 0.1 * axis, 0.1 * axis)
    gyroid = np.sin(z) * np.cos(y) + np.sin(y) * np.cos(x) + np.sin(x) * np.cos(z)
    seeds = cKDTree(rng.uniform(0, EDGE, (500, 3)))
    cells = seeds.query(np.argwhere(np.ones((EDGE,) * 3, bool)))[1].reshape((EDGE,) * 3)
    return {
        f"{count} vesicles of radius 5": vesicles,
        "a network": (gyroid > 0.6).astype(np.uint32),
        "500 cells without gaps": (cells + 1).astype(np.uint32),
    }


def timed(function: Callable[[], object]) -> float:
    """Return the processor time of a second call, s."""
    function()
    start = time.process_time()
    function()
    return time.process_time() - start


def print_speed(distances: Iterable[float]) -> None:
    """Print millions of voxels per second of surfaces and contacts."""
    blocks = make_blocks()
    print("| block | surfaces | " + " | ".join(f"within {d:g} nm" for d in distances) + " |")
    print("|---|---|" + "---|" * len(list(distances)))
    for name, labels in blocks.items():
        volume = Volume(labels, VOXEL_SIZES[0], kind="labels")
        read = read_with_mirrored_halo(volume, volume.roi)
        times = [timed(lambda read=read: find_areas(read, VOXEL_SIZES[0]))]
        for within in distances:
            search = ContactSearch(volume, None, within)
            times.append(timed(lambda search=search, roi=volume.roi: search.measure(roi)))
        print(
            f"| {name} | {' | '.join(f'{labels.size / t / 1e6:.1f}' for t in times)} |", flush=True
        )


def main() -> None:
    """Print the table of a subcommand."""
    tables = {
        "bodies": lambda: print_bodies(bodies),
        "thin": lambda: print_bodies(thin_bodies),
        "methods": print_methods,
        "contacts": print_contacts,
        "speed": lambda: print_speed((0.0, 30.0, 100.0)),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=tables)
    tables[parser.parse_args().table]()


if __name__ == "__main__":
    main()
