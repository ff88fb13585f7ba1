"""How good labels from a few strokes are, and how long one waits for them.

::

    python benchmarks/annotation.py quality DATA [--planes 1 3 5 9]
    python benchmarks/annotation.py speed DATA
    python benchmarks/annotation.py cuts DATA

`quality` prints F1 of strokes on k planes, `speed` the seconds of a first cut and of another,
`cuts` the seconds and energies of solvers of the minimum cut (`minimum_cuts.py`).

DATA is a folder with `epfl_hippocampus/{raw,mitochondria}.tif` (FIB-SEM, 5 nm, Lucchi et al. 2013)
and `medulla/{raw,bodies}.tif` (FIB-SEM, 10 nm, Janelia FlyEM).

Strokes are simulated: on each of k planes, evenly spread, a brush of 2 voxels walks at random along
the medial axis of every object, over 70 % of its length, and along 10 stretches of 40 voxels of the
background's.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage
from skimage.morphology import skeletonize
from skimage.segmentation import random_walker

from asem.annotate import membrane_energy
from asem.annotate.edits import STROKE_LABELS
from asem.annotate.energy import Energy
from asem.annotate.graphcut import GraphCutConfig, cut_region, prepare_region
from asem.annotate.hard_constraints import downsample_strokes, drop_grazing_strokes
from asem.annotate.paper_energy import PAPER_TERMS, PaperConfig
from asem.annotate.prepared_region import PreparedRegion
from asem.annotate.supervoxel_energy import PreparedSupervoxels, SupervoxelGraph
from asem.annotate.supervoxels import SupervoxelConfig
from asem.config import NmZYX
from asem.volume.contrast import scale_to_unit
from minimum_cuts import compared, random_energy

Bool = npt.NDArray[np.bool_]
EPFL = (
    *((20, 60), (300, 100), (550, 300), (80, 500), (330, 700), (540, 800)),
    *((0, 672), (504, 616), (560, 0), (168, 756), (252, 476), (0, 280), (224, 308)),
)
"""First (y, x) of windows of 165 x 200 x 200."""
BODIES = 12
"""The largest of a window of 200^3 are one object each."""
EDGE, BRUSH, SHARE, STRETCHES, LENGTH = 200, 2, 0.7, 10, 40
GREYS = (0.0, 255.0)
COARSER = 2
"""The random walker takes minutes and gigabytes at every voxel; it walks on every second one."""


def windows(data: Path) -> Iterator[tuple[str, npt.NDArray[np.float32], NmZYX, Bool]]:
    """Yield names, grey values in [0, 1], voxel sizes and truth."""
    raw = tifffile.imread(data / "epfl_hippocampus/raw.tif")
    mito = tifffile.imread(data / "epfl_hippocampus/mitochondria.tif") > 0
    for y, x in EPFL:
        part = np.s_[:, y : y + EDGE, x : x + EDGE]
        yield f"mitochondria, {y}, {x}", scale_to_unit(raw[part], GREYS), (5.0,) * 3, mito[part]
    cube = (slice(25, 25 + EDGE),) * 3
    unit = scale_to_unit(tifffile.imread(data / "medulla/raw.tif")[cube], GREYS)
    bodies = tifffile.imread(data / "medulla/bodies.tif")[cube]
    ids, sizes = np.unique(bodies[bodies > 0], return_counts=True)
    for body in ids[np.argsort(-sizes)][:BODIES]:
        yield f"neuron {body}", unit, (10.0,) * 3, bodies == body


def strokes(truth: Bool, planes: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw on `planes` planes, evenly spread over those that have foreground."""
    drawn, there = np.zeros(truth.shape, np.uint8), np.flatnonzero(truth.any((1, 2)))
    for z in there[((np.arange(planes) + 0.5) * len(there) / planes).astype(int)]:
        for kind, region in zip(STROKE_LABELS, (truth[z], ~truth[z]), strict=True):
            inside = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
            for path in paths(skeletonize(region), kind == STROKE_LABELS[0], rng):
                for y, x in path:
                    brush(drawn[z], (y, x), min(BRUSH, inside[y, x] - 1), kind)
    return drawn


def paths(axis: Bool, each: bool, rng: np.random.Generator) -> Iterator[list[tuple[int, int]]]:
    """Yield walks: one along each part of a medial axis, or some stretches of all of it."""
    parts, number = ndimage.label(axis, np.ones((3, 3)))
    for part in range(1, number + 1) if each else [0] * STRETCHES:
        places = np.argwhere(parts == part if part else axis)
        if len(places):
            start = places[rng.integers(len(places))]
            length = max(1, int(SHARE * len(places))) if each else LENGTH
            yield walk(axis, (int(start[0]), int(start[1])), length, rng)


def walk(
    axis: Bool, start: tuple[int, int], length: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Walk along an axis, never twice over the same place."""
    path = [start]
    while len(path) < length:
        y, x = path[-1]
        near = ((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        free = [
            (a, b)
            for a, b in near
            if 0 <= a < axis.shape[0] and 0 <= b < axis.shape[1] and axis[a, b]
            if (a, b) not in path
        ]
        if not free:
            break
        path.append(free[rng.integers(len(free))])
    return path


def brush(plane: npt.NDArray[np.uint8], place: tuple[int, int], radius: float, kind: int) -> None:
    """Draw a disk."""
    y, x = place
    low, left = max(0, y - BRUSH), max(0, x - BRUSH)
    part = plane[low : y + BRUSH + 1, left : x + BRUSH + 1]
    dy, dx = np.ogrid[low - y : low - y + part.shape[0], left - x : left - x + part.shape[1]]
    part[dy**2 + dx**2 <= max(radius, 0) ** 2] = kind


def f1(found: Bool, truth: Bool) -> float:
    """Return the F1 of all voxels."""
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def nearest(graph: SupervoxelGraph, drawn: npt.NDArray[np.uint8]) -> Bool:
    """Give each supervoxel the kind of the stroke that is nearer on average."""
    away = [ndimage.distance_transform_edt(drawn != kind, graph.spacing) for kind in STROKE_LABELS]
    nearer = graph.sums(away[0] - away[1]) < 0
    return np.asarray(nearer[graph.labels])


def walked(unit: npt.NDArray[np.float32], drawn: npt.NDArray[np.uint8]) -> Bool:
    """Return where a random walker is likelier to meet the foreground first (Grady, 2006)."""
    coarse = ndimage.uniform_filter(unit, COARSER, origin=-1)[::COARSER, ::COARSER, ::COARSER]
    marks = np.zeros(coarse.shape, np.int8)
    for kind in STROKE_LABELS[::-1]:
        marks[tuple(np.argwhere(drawn == kind).T // COARSER)] = kind
    labels = random_walker(coarse, marks, beta=130, mode="cg_j", tol=1e-3)
    fine = labels.repeat(COARSER, 0).repeat(COARSER, 1).repeat(COARSER, 2)
    return np.asarray(fine[tuple(map(slice, unit.shape))] == STROKE_LABELS[0])


def quality(args: argparse.Namespace) -> None:
    """Print F1 of each way, for each window and the median."""
    ways = ["ours", "the paper's energy", "SLIC, nearest stroke", "random walker"]
    scores: dict[tuple[int, str], list[float]] = {}
    print(f"| window | planes | {' | '.join(ways)} |\n|---|---|{'---|' * len(ways)}")
    for number, (name, unit, voxel_size, truth) in enumerate(windows(args.data)):
        ours = prepare_region(unit, voxel_size)
        paper = PAPER_TERMS.prepare(unit, voxel_size, PaperConfig())
        for planes in args.planes:
            drawn = strokes(truth, planes, np.random.default_rng(number))
            found = [cut_region(ours, drawn).foreground, cut_region(paper, drawn).foreground]
            found += [nearest(paper.graph, drawn), walked(unit, drawn)]
            row = [f1(one, truth) for one in found]
            for way, score in zip(ways, row, strict=True):
                scores.setdefault((planes, way), []).append(score)
            columns = " | ".join(f"{score:.3f}" for score in row)
            print(f"| {name} | {planes} | {columns} |", flush=True)
    for planes in args.planes:
        columns = " | ".join(f"{np.median(scores[planes, way]):.3f}" for way in ways)
        print(f"| **median** | {planes} | {columns} |")


def regions(data: Path) -> Iterator[tuple[int, GraphCutConfig, npt.NDArray[np.float32], Bool]]:
    """Yield edges, configurations, grey values and truth of 200^3 and 400^3 voxels."""
    raw = scale_to_unit(tifffile.imread(data / "medulla/raw.tif"), GREYS)
    bodies = tifffile.imread(data / "medulla/bodies.tif")
    for edge, number in ((200, 4_000), (400, 32_000)):
        pad = [(0, max(0, edge - size)) for size in raw.shape]
        part = np.s_[:edge, :edge, :edge]
        unit = np.ascontiguousarray(np.pad(raw, pad, mode="reflect")[part])
        truth = np.pad(bodies, pad, mode="reflect")[part]
        truth = truth == np.bincount(truth[truth > 0]).argmax()
        coarse = PaperConfig(supervoxels=SupervoxelConfig(number=number))
        for config in (GraphCutConfig(), GraphCutConfig(energy="paper", paper=coarse)):
            yield edge, config, unit, truth


def speed(args: argparse.Namespace) -> None:
    """Print the seconds of the first cut and of another one with one more stroke."""
    print("| energy | voxels | pieces | first cut, s | re-cut, s |\n|---|---|---|---|---|")
    warm = np.random.default_rng(0).random((16, 16, 16), np.float32)  # compiles what numba does
    kinds = np.arange(16**3, dtype=np.uint8).reshape(warm.shape) % 3
    cut_region(prepare_region(warm, (10.0,) * 3), kinds)
    for edge, config, unit, truth in regions(args.data):
        drawn = strokes(truth, 5, np.random.default_rng(0))
        began = time.perf_counter()
        region = prepare_region(unit, (10.0,) * 3, config)
        pieces = len(cut_region(region, drawn).node_margins)
        first = time.perf_counter() - began
        plane = edge // 2 + edge // 10  # between two that have strokes
        drawn[plane] = strokes(truth[plane][None], 1, np.random.default_rng(1))[0]
        began = time.perf_counter()
        cut_region(region, drawn)
        again = time.perf_counter() - began
        print(f"| {config.energy} | {edge}^3 | {pieces} | {first:.1f} | {again:.2f} |", flush=True)


def energy_of(region: PreparedRegion, drawn: npt.NDArray[np.uint8]) -> Energy:
    """Return the energy that a cut minimizes; the paper's without splitting supervoxels."""
    if isinstance(region, PreparedSupervoxels):
        return region.build_energy(drawn)
    assert isinstance(region, membrane_energy.PreparedMembraneRegion)
    labels = region.fragments.labels
    marks = drop_grazing_strokes(
        downsample_strokes(drawn, region.bin_factors, labels.shape), labels
    )
    fragments, features = region.split(marks)
    return membrane_energy.build_membrane_energy(fragments, features, marks, region.config)


def cuts(args: argparse.Namespace) -> None:
    """Print the seconds of each solver of the minimum cut, and how far its energy is off."""
    print("| energy | nodes | edges | solver | CPU s | above PyMaxflow's energy by |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    compared("200 random ones", [random_energy(rng) for _ in range(200)])
    for edge, config, unit, truth in regions(args.data):
        region = prepare_region(unit, (10.0,) * 3, config)
        energy = energy_of(region, strokes(truth, 5, np.random.default_rng(0)))
        compared(f"{config.energy}, {edge}^3", [energy])


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for function in (quality, speed, cuts):
        added = commands.add_parser(function.__name__)
        added.set_defaults(function=function)
        added.add_argument("data", type=Path)
        if function is quality:
            added.add_argument("--planes", type=int, nargs="+", default=[1, 3, 5, 9])
    args = parser.parse_args(sys.argv[1:])
    args.function(args)


if __name__ == "__main__":
    main()
