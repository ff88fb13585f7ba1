"""The steps of `asem evaluate`: functions of one block of a prediction and labels, and their sums.

::

    voxels         block + width of the zone       counts by cube, zone, truth and value
    objects        block                           components, and overlaps of pairs
    boundaries     block + largest distance        histograms of distances
    centre lines   objects that begin in a block   voxels of each centre line that are covered
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.measure_blocks import Arrays, measure_blocks
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.labels import is_foreground
from asem.image.map_overlap import read_with_halo
from asem.measure.boundary_distance import (
    BOUNDARY_VOXEL_BYTES,
    DistanceBins,
    count_distances,
    find_boundary,
)
from asem.measure.object_overlap import (
    OVERLAP_VOXEL_BYTES,
    ObjectOverlap,
    is_overlap_record,
    merge_overlaps,
    overlap_specs,
    record_overlap,
)
from asem.measure.score_counts import (
    NOT_SCORED,
    VALUES,
    CubeGrid,
    count_scored_voxels,
)
from asem.measure.zone_curve import ZoneSeries
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi, negate, per_axis
from asem.workflows.evaluation_inputs import ScoredPair, clear_unlabelled
from asem.workflows.probability_check import FOREGROUND_UINT8

VOXEL_BYTES = 32
"""Memory in bytes of each voxel of a block, with its halo, while voxels are counted."""


@dataclass(frozen=True)
class BlockRunner:
    """Runs the steps of one prediction over its blocks.

    Parameters
    ----------
    pair
        The prediction and the labels.
    blocks
        Cover `pair.roi`, in (z, y, x) order.
    output
        Stores the results of blocks; None: they are computed in this process and not stored.
    progress
        Progress callback, where `output` is None.
    """

    pair: ScoredPair
    blocks: Sequence[Roi]
    output: BlockOutput | None = None
    progress: Progress = no_progress

    def run(
        self, stage: str, measure: Any, *, halo: IntZYX = (0, 0, 0), voxel_bytes: int, **checks: Any
    ) -> Iterator[tuple[Roi, Arrays]]:
        """Yield each block and its arrays (`measure_blocks`)."""
        name = f"{stage} of {self.pair.name}" if self.pair.name else stage
        largest = max(block.grow(halo).size for block in self.blocks)
        return measure_blocks(
            measure,
            self.blocks,
            self.output,
            stage=name,
            block_bytes=largest * voxel_bytes,
            progress=self.progress,
            **checks,
        )


@dataclass(frozen=True)
class VoxelCounts:
    """Counts of the scored voxels of a prediction.

    Parameters
    ----------
    by_cube
        By cube, zone (0 outside, 1 inside), truth and value, (cubes, 2, 2, 256).
    curve
        By truth, prediction and index of the first zone, (2, 2, zones + 1).
    """

    by_cube: npt.NDArray[np.int64]
    curve: npt.NDArray[np.int64]


def count_voxels(runner: BlockRunner, zones: ZoneSeries, zone: int, cubes: CubeGrid) -> VoxelCounts:
    """Count the scored voxels of a prediction.

    Parameters
    ----------
    runner
        Runs the blocks.
    zones, zone
        Exclusion zones, and the index of that outside of which is scored (-1: none).
    cubes
        Cubes of the scored box.
    """
    count = partial(_count_block, pair=runner.pair, zones=zones, zone=zone, cubes=cubes)
    end = len(zones.widths_nm) + 1
    specs = {
        "cubes": ArraySpec("int64", (None,)),
        "values": ArraySpec("int64", (None, 2, 2, VALUES)),
        "curve": ArraySpec("int64", (2, 2, end)),
    }
    total = VoxelCounts(
        np.zeros((prod(cubes.shape), 2, 2, VALUES), np.int64), np.zeros((2, 2, end), np.int64)
    )

    def is_consistent(arrays: Arrays) -> bool:
        numbers = arrays["cubes"]
        inside = numbers.min(initial=0) >= 0 and numbers.max(initial=0) < len(total.by_cube)
        return bool(inside and len(numbers) == len(arrays["values"]))

    results = runner.run(
        "evaluate",
        count,
        halo=zones.halo,
        voxel_bytes=VOXEL_BYTES,
        specs=lambda _: specs,
        is_consistent=is_consistent,
    )
    for _, arrays in results:
        total.by_cube[arrays["cubes"]] += arrays["values"]  # each cube once
        total.curve[:] += arrays["curve"]
    return total


def _count_block(
    block: Roi, *, pair: ScoredPair, zones: ZoneSeries, zone: int, cubes: CubeGrid
) -> Arrays:
    """Count the voxels of a block.

    ::

        read     |-- halo --|--- block ---|-- halo --|    of the labels, clipped to them
    """
    labels, core = read_with_halo(pair.labels, pair.to_labels(block), zones.halo)
    steps = None
    if zones.widths_nm:
        steps = np.ascontiguousarray(zones.find_steps(labels)[core])
    return count_scored_voxels(
        pair.read_values(block),
        pair.make_truth(labels[core], block),
        steps,
        cube_indices=cubes.axis_indices(block),
        cube_shape=cubes.shape,
        zone=zone,
        zones=len(zones.widths_nm),
        threshold=FOREGROUND_UINT8,
    )


def find_objects(runner: BlockRunner) -> ObjectOverlap:
    """Find the objects of the prediction and of the labels, and their overlaps."""
    results = runner.run(
        "objects",
        partial(_record_objects, pair=runner.pair),
        voxel_bytes=OVERLAP_VOXEL_BYTES,
        specs=overlap_specs,
        is_consistent=is_overlap_record,
    )
    return merge_overlaps(results, runner.pair.roi.end)


def _record_objects(block: Roi, *, pair: ScoredPair) -> Arrays:
    labels = pair.read_labels(block)
    return record_overlap(
        pair.read_objects(block),
        clear_unlabelled(labels),
        pair.make_truth(labels, block) != NOT_SCORED,
        block=block,
        shape=pair.predicted.shape,
    )


def measure_boundaries(
    runner: BlockRunner, bins: DistanceBins
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the histograms of distances of the boundary of the prediction to that of the truth.

    Returns
    -------
    to_truth, to_prediction
        Shape (bins.count,) each.
    """
    spec = ArraySpec("int64", (bins.count,))
    results = runner.run(
        "boundaries",
        partial(_measure_block_boundaries, pair=runner.pair, bins=bins),
        halo=bins.halo,
        voxel_bytes=BOUNDARY_VOXEL_BYTES,
        specs=lambda _: {"to_truth": spec, "to_prediction": spec},
    )
    to_truth, to_prediction = np.zeros((2, bins.count), np.int64)
    for _, arrays in results:
        to_truth += arrays["to_truth"]
        to_prediction += arrays["to_prediction"]
    return to_truth, to_prediction


def _measure_block_boundaries(block: Roi, *, pair: ScoredPair, bins: DistanceBins) -> Arrays:
    """Count the distances of the scored boundary voxels of a block.

    ::

        read     |-- halo --|--- block ---|-- halo --|    of both, clipped to what both cover
    """
    predicted, labels = pair.predicted, pair.labels
    covered = predicted.roi_of(labels)
    start = per_axis(min, predicted.roi.offset, covered.offset)
    box = block.grow(bins.halo).intersect(
        Roi.from_bounds(start, per_axis(max, predicted.roi.end, covered.end))
    )
    core = block.shift(negate(box.offset)).slices
    truth = predicted.read_aligned(labels, box, fill=np.iinfo(labels.dtype).max)
    found, is_inside = np.zeros((2, *box.shape), np.bool_)
    part = box.intersect(predicted.roi)
    inner = part.shift(negate(box.offset)).slices
    found[inner] = pair.read_values(part) >= FOREGROUND_UINT8
    is_inside[inner] = True
    scored = np.zeros(box.shape, np.bool_)
    scored[core] = pair.make_truth(truth[core], block) != NOT_SCORED
    ends = (
        find_boundary(found, is_inside & ~found),
        find_boundary(is_foreground(truth), truth == 0),
    )
    return {
        "to_truth": count_distances(ends[0] & scored, ends[1], bins),
        "to_prediction": count_distances(ends[1] & scored, ends[0], bins),
    }
