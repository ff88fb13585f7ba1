"""Masks of pores in a label image: connected parts, and those of several pores separated.

1. Each block labels its connected parts (6 neighbours) and sums their moments; parts that touch
   across blocks are one (`asem.image.components`).
2. Parts that may be several pores are read as a whole, in the job of the block in which their
   bounding box starts, and separated (`asem.measure.pores.mask_splitting`).

Sums are integers and each part is read as a whole: no block grid changes a digit.
"""

from functools import partial

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.image.components import (
    label_components,
)
from asem.measure.mask_parts import FIRST, LABEL, save_rows_of_blocks, select_rows
from asem.measure.moments import MOMENT_REDUCTIONS, sum_moments
from asem.measure.object_boxes import BOX_COLUMNS
from asem.measure.object_columns import (
    BlockObjects,
    Columns,
)
from asem.measure.pores.mask_splitting import split_mask
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi, negate
from asem.volume.volume import Volume

MAX_SPLIT_VOXELS = 2**24
"""Masks with a larger bounding box are not separated."""
SPLIT_VOXEL_BYTES = 40
_NAMES = (FIRST, *MOMENT_REDUCTIONS)


def split_masks(
    output: BlockOutput,
    labels: Volume,
    masks: Columns,
    chosen: npt.NDArray[np.bool_],
    *,
    typical_nm2: float,
    stage: str,
) -> tuple[Columns, npt.NDArray[np.intp]]:
    """Separate masks into pores that touch.

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `labels`.
    labels
        The label image.
    masks
        Columns of `find_masks`, (n,).
    chosen
        Which masks may be several pores, (n,).
    typical_nm2
        Area of a typical pore, seen along the normal.
    stage
        Name in the journal, the progress and the records.

    Returns
    -------
    masks
        Columns of the masks, those that were separated by their parts.
    parent
        Row of the mask that each one is or was a part of.
    """
    boxes = np.stack([masks[name] + (name[:3] == "max") for name in BOX_COLUMNS], axis=1)
    shapes = boxes[:, 3:] - boxes[:, :3]
    rows = np.flatnonzero(chosen & (shapes.prod(axis=1, dtype=np.float64) <= MAX_SPLIT_VOXELS))
    jobs = output.block_results(f"{stage} boxes")
    blocks = save_rows_of_blocks(
        jobs, output, rows, boxes[rows, :3], boxes=boxes, first=masks[FIRST]
    )
    largest = int(shapes[rows].prod(axis=1).max(initial=0))
    results = output.store_block_results(
        partial(_split_block, labels=labels, jobs=jobs, typical_nm2=typical_nm2),
        blocks,
        stage=stage,
        block_bytes=SPLIT_VOXEL_BYTES * largest,
    )
    specs = {name: ArraySpec("int64", (None,)) for name in ("row", *_NAMES)}
    parts = [results.load(block, **specs) for block in blocks]
    found = {
        name: np.concatenate([np.zeros(0, np.int64), *(p[name] for p in parts)]) for name in specs
    }
    of_part = found.pop("row")
    found[LABEL] = masks[LABEL][of_part]
    whole = np.setdiff1d(np.arange(len(masks[FIRST])), of_part)
    merged = {name: np.concatenate([values[whole], found[name]]) for name, values in masks.items()}
    order = np.argsort(merged[FIRST])
    return select_rows(merged, order), np.concatenate([whole, of_part])[order]


def _split_block(block: Roi, *, labels: Volume, jobs: BlockResults, typical_nm2: float) -> Columns:
    """Separate the masks whose boxes start in a block."""
    specs = {"row": ArraySpec("int64", (None,)), "first": ArraySpec("int64", (None,))}
    found = jobs.load(block, boxes=ArraySpec("int64", (None, 6)), **specs)
    parts: list[Columns] = [{name: np.zeros(0, np.int64) for name in ("row", *_NAMES)}]
    for row, first, box in zip(found["row"], found["first"], found["boxes"], strict=True):
        roi = Roi.from_bounds(map(int, box[:3]), map(int, box[3:]))
        mask = read_component(labels, roi, int(first))
        numbers = split_mask(mask, labels.voxel_size, typical_nm2)
        objects = BlockObjects.from_labels(numbers)
        if len(objects.ids) > 1:
            columns = sum_moments(objects, roi)
            columns[FIRST] = _find_first_voxels(numbers, roi, labels.shape)
            columns["row"] = np.full(len(objects.ids), row)
            parts.append(columns)
    return {name: np.concatenate([p[name] for p in parts]) for name in ("row", *_NAMES)}


def read_component(labels: Volume, roi: Roi, first: int) -> npt.NDArray[np.bool_]:
    """Read one connected part.

    Parameters
    ----------
    labels
        The label image.
    roi
        Bounding box of the part.
    first
        One of its voxels, as an index into the raveled volume.

    Returns
    -------
    ndarray
        Its voxels in the box, bool.
    """
    components = label_components(labels.read(roi))
    z, y, x = np.unravel_index(first, labels.shape)
    inside = Roi((int(z), int(y), int(x)), (1, 1, 1)).shift(negate(roi.offset))
    return np.asarray(components == components[inside.offset])


def _find_first_voxels(
    numbers: npt.NDArray[np.unsignedinteger], roi: Roi, shape: IntZYX
) -> npt.NDArray[np.int64]:
    """Return the first voxel of each part 1, 2, ... as an index into the raveled volume."""
    _, first = np.unique(numbers[numbers > 0], return_index=True)
    voxels = np.argwhere(numbers > 0)[first] + roi.offset
    z, y, x = voxels.T
    return np.asarray(np.ravel_multi_index((z, y, x), shape), np.int64)
