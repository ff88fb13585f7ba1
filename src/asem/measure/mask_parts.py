"""Masks of objects in a label image: connected parts, their moments, ids and blocks.

Each block labels its connected parts (6 neighbours) and sums their moments; parts that touch across
blocks are one (`asem.image.components`). Sums are integers: no block grid changes a digit.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.blocks.results_folder import NoResultsError
from asem.image.cleanup import read_unlabelled_as_background
from asem.image.components import find_connected_objects
from asem.measure.moments import MOMENT_REDUCTIONS, sum_moments
from asem.measure.object_columns import ID, BlockObjects, Columns, Reduction, merge_columns
from asem.volume.roi import Roi
from asem.volume.volume import Volume

LABEL, FIRST = "label", "first"
"""Columns of masks: their label, uint64, and their first voxel, an index into the raveled volume,
int64."""
LARGEST_ID = 2**64 - 2
"""The largest value of the data type means unlabelled."""
MAX_MASKS = 200_000
_REDUCTIONS: Mapping[str, Reduction] = {FIRST: "min", **MOMENT_REDUCTIONS}


def find_masks(output: BlockOutput, labels: Volume, *, objects_name: str, stage: str) -> Columns:
    """Find the connected parts of all labels.

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `labels`.
    labels
        0 and the unlabelled id are background.
    objects_name
        What the masks are of, for errors.
    stage
        Name in the journal, the progress and the records.

    Returns
    -------
    dict
        `LABEL`, `FIRST`, and the columns of `asem.measure.moments.sum_moments`, one row per part,
        in the order of their first voxels.

    Raises
    ------
    NoResultsError
        There are none, or more than `MAX_MASKS`.
    """
    read = partial(read_unlabelled_as_background, read_block=labels.read)
    objects = find_connected_objects(output, read, stage=stage, features=_sum_components)
    count = len(objects.sizes)
    if count == 0:
        raise NoResultsError(
            f"{labels.name} has no {objects_name}: all voxels are background (0) or unlabelled "
            f"({np.iinfo(labels.dtype).max})"
        )
    if count > MAX_MASKS:
        raise NoResultsError(
            f"{labels.name} has {count:,} separate parts; at most {MAX_MASKS:,} can be "
            f"{objects_name}: is it a segmentation of {objects_name}?"
        )
    records = output.block_results(stage)
    columns = {name: objects.load_feature(records, name, "int64") for name in MOMENT_REDUCTIONS}
    sums = merge_columns([{ID: objects.object_of_component, **columns}], MOMENT_REDUCTIONS)
    of_component = objects.load_feature(records, "label", "iu").astype(np.uint64)
    masks = {
        LABEL: objects.min_per_object(of_component),
        FIRST: objects.first_voxels,
        **{name: sums[name] for name in MOMENT_REDUCTIONS},
    }
    return select_rows(masks, np.argsort(objects.first_voxels))


def _sum_components(block: Roi, components: npt.NDArray[Any]) -> Columns:
    """Return the moments of the components 1, 2, ... of a block."""
    rows = components.astype(np.intp).ravel() - 1
    count = int(rows.max(initial=-1)) + 1
    rows[rows < 0] = count
    return sum_moments(BlockObjects(np.arange(1, count + 1, dtype=np.uint64), rows), block)


def select_rows(columns: Columns, rows: npt.NDArray[Any]) -> Columns:
    """Return some rows of columns."""
    return {name: values[rows] for name, values in columns.items()}


def merge_masks(masks: Columns, row: npt.NDArray[np.intp]) -> Columns:
    """Merge the masks with equal rows 0, 1, ...; the label is the smallest one."""
    reductions = {name: _REDUCTIONS[name] for name in masks if name != LABEL}
    merged = merge_columns([{ID: row, **masks}], reductions)
    label = np.full(len(merged.pop(ID)), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(label, row, masks[LABEL])
    return {LABEL: label, **merged}


def save_rows_of_blocks(
    jobs: BlockResults,
    output: BlockOutput,
    rows: npt.NDArray[np.intp],
    voxels: npt.NDArray[np.int64],
    **arrays: npt.NDArray[Any],
) -> list[Roi]:
    """Store for each block the rows of arrays whose voxels are in it; return these blocks.

    Parameters
    ----------
    jobs
        Where to store them: ``row`` and `arrays`.
    output
        Of the blocks.
    rows
        Rows of `arrays`, (m,).
    voxels
        Voxel of each of these rows, within the volume, (m, 3).
    **arrays
        Values of all rows.
    """
    blocks = []
    for block in output.write_blocks():
        inside = ((voxels >= block.offset) & (voxels < block.end)).all(axis=1)
        if inside.any():
            chosen = rows[inside]
            jobs.save(
                block, row=chosen.astype(np.int64), **{n: a[chosen] for n, a in arrays.items()}
            )
            blocks.append(block)
    return blocks


def assign_ids(masks: Columns) -> npt.NDArray[np.uint64]:
    """Return an id for each object: its label where there are several labels, else 1, 2, ...

    Of objects with one label, the largest keeps it; the others get ids above the largest label, or
    the smallest ones that are free where 64 bits hold none above it.

    Parameters
    ----------
    masks
        `LABEL` and ``voxels``, (n,), in the order of their first voxels.
    """
    labels = masks[LABEL]
    values = np.unique(labels)
    if len(values) == 1:
        return np.arange(1, len(labels) + 1, dtype=np.uint64)
    largest_first = np.argsort(-masks["voxels"], kind="stable")
    _, keeps = np.unique(labels[largest_first], return_index=True)
    ids = labels.copy()
    others = np.ones(len(labels), bool)
    others[largest_first[keeps]] = False
    count = int(np.count_nonzero(others))
    new = np.arange(1, count + len(values) + 1, dtype=np.uint64)
    is_free_above = int(values[-1]) + count <= LARGEST_ID
    ids[others] = values[-1] + new[:count] if is_free_above else np.setdiff1d(new, values)[:count]
    return ids


def find_borders(
    masks: Columns, roi: Roi, name: str, *, objects_name: str
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which masks touch the border of the part within raw, and which are within it.

    Those that extend beyond it touch it, too. (n,) each.

    Parameters
    ----------
    masks
        Columns of `find_masks`, (n,).
    roi
        The part of the label image that raw covers, in its voxels.
    name, objects_name
        Of the label image, and what the masks are of, for errors.

    Raises
    ------
    NoResultsError
        None is within it.
    """
    first, last = (
        np.stack([masks[f"{end}_{axis}"] for axis in "zyx"], axis=1) for end in ("min", "max")
    )
    start, end = np.array(roi.offset), np.array(roi.end)
    touches = np.any((first <= start) | (last >= end - 1), axis=1)
    inside = np.all((last >= start) & (first < end), axis=1)
    if not inside.any():
        raise NoResultsError(
            f"none of the {len(inside)} {objects_name} of {name} is within the raw image; check "
            "the offsets of both with `asem info`"
        )
    return touches, inside
