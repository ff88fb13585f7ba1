"""Measure the skeletons of all objects of a volume.

Each object is measured as a whole, in the job of the block in which its bounding box starts. A job
reads its block and a margin behind it once, for all objects that are inside; the others part by
part, at the places where an earlier pass over the blocks found them.
"""

from functools import partial
from math import prod

import numpy as np

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.measure.object_boxes import (
    BlockBoxes,
    ObjectBoxes,
    load_block_boxes,
    save_block_boxes,
    to_roi,
    union,
)
from asem.measure.object_columns import ID, Columns, Reduction, measure_objects
from asem.measure.object_masks import MAX_BOX_SAMPLES, Sampling, choose_sampling, read_mask
from asem.measure.skeletons import Skeleton, measure_skeleton
from asem.volume.roi import Roi, negate, per_axis
from asem.volume.volume import Volume

MARGIN_VOXELS = 64
"""Voxels that a job reads behind its block, along each axis."""
SAMPLE_BYTES = 32
"""Memory of each sample of an object, bytes."""
SKELETON_REDUCTIONS: dict[str, Reduction] = {
    "skeleton_length_nm": "sum",
    "branch_points": "sum",
    "skeleton_voxel_size_nm": "max",
}
"""Columns of `measure_skeletons`, each of one row."""


def measure_skeletons(
    output: BlockOutput, labels: Volume, sums: Columns, block_sums: BlockResults
) -> Columns:
    """Measure length and branch points of the skeleton of each object.

    The result does not depend on the blocks. Memory does not depend on the size of the volume or of
    an object: an object of a large box is sampled (`asem.measure.object_masks`).

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `labels`.
    labels
        Instances.
    sums
        Columns of all objects, among them `ID` and the first and last voxel along each axis
        (`asem.measure.moments.sum_moments`).
    block_sums
        These columns of each block.

    Returns
    -------
    dict
        `ID`, in the order of `sums`; ``skeleton_length_nm``, float64; ``branch_points``, int64;
        ``skeleton_voxel_size_nm``, float64: the shortest distance of samples.
    """
    objects, blocks = ObjectBoxes.from_columns(sums), output.write_blocks()
    boxes = output.block_results("object boxes")
    save_block_boxes(boxes, objects, blocks, columns=block_sums, margin=MARGIN_VOXELS)
    largest_block = max(block.size for block in blocks)
    return measure_objects(
        output,
        partial(_measure_block, labels=labels, boxes=boxes),
        SKELETON_REDUCTIONS,
        stage="skeletons",
        voxel_bytes=-(-_count_job_bytes(labels, objects, blocks[0]) // largest_block),
    )


def _count_job_bytes(labels: Volume, objects: ObjectBoxes, block: Roi) -> int:
    """Return the memory of a job, bytes: what it reads, and its largest object."""
    read = per_axis(lambda edge, size: min(edge + MARGIN_VOXELS, size), block.shape, labels.shape)
    largest = int(objects.shapes.prod(axis=1, dtype=np.float64).max(initial=0))
    return prod(read) * labels.dtype.itemsize + SAMPLE_BYTES * min(largest, MAX_BOX_SAMPLES)


def _measure_block(block: Roi, *, labels: Volume, boxes: BlockResults) -> Columns:
    """Measure the objects that start in a block."""
    found = load_block_boxes(boxes, block)
    measured = [*_measure_near(found, labels), *_measure_far(found, labels)]
    return {
        ID: np.concatenate([found.near.ids, found.far.ids]),
        "skeleton_length_nm": np.array([one.length_nm for one, _ in measured], np.float64),
        "branch_points": np.array([one.branch_points for one, _ in measured], np.int64),
        "skeleton_voxel_size_nm": np.array(
            [min(sampling.voxel_size) for _, sampling in measured], np.float64
        ),
    }


def _measure_near(found: BlockBoxes, labels: Volume) -> list[tuple[Skeleton, Sampling]]:
    """Measure the objects in the block and its margin, which are read at once."""
    if len(found.near.ids) == 0:
        return []
    region = union(found.near.boxes)
    voxels = labels.with_array(labels.read(region))
    to_region = negate(region.offset)
    origin = per_axis(lambda a, b: a + b, labels.original_offset, region.offset)
    measured = []
    for object_id, box in zip(found.near.ids.tolist(), found.near.boxes, strict=True):
        roi = to_roi(box)
        sampling = choose_sampling(roi.shape, labels.voxel_size)
        mask = read_mask(voxels.read, object_id, [roi.shift(to_region)], sampling, origin=origin)
        measured.append((measure_skeleton(mask, sampling.voxel_size), sampling))
    return measured


def _measure_far(found: BlockBoxes, labels: Volume) -> list[tuple[Skeleton, Sampling]]:
    """Measure the objects that are read part by part."""
    measured = []
    for object_id, box in zip(found.far.ids, found.far.boxes, strict=True):
        sampling = choose_sampling(to_roi(box).shape, labels.voxel_size)
        mask = read_mask(
            labels.read,
            int(object_id),
            found.parts_of(object_id),
            sampling,
            origin=labels.original_offset,
        )
        measured.append((measure_skeleton(mask, sampling.voxel_size), sampling))
    return measured
