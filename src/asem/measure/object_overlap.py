"""Objects of a prediction and of the truth, and the voxels that each pair has in common.

::

    truth        1 1 1 . 2 2 | 2 2 . .      pairs     truth 1   truth 2   background
    prediction   . 5 5 5 5 5 | 5 . 6 6      5         2         3         1
    not scored   . . . . . . | . . . x      6         0         0         1
                    block A    block B      background: 1       1         -

Objects are connected components (6 neighbours) or, where the labels hold several ids, those ids.
Each block stores the record of its components and the overlaps of its pairs of components; records
are merged into objects of the volume. The table of overlaps (contingency table) has only the pairs
that occur: memory of a few numbers per component.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.image.component_records import component_specs, is_component_record, record_components
from asem.image.components import ComponentMerger, MergedObjects, label_components
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi

OVERLAP_VOXEL_BYTES = 64
"""Memory in bytes of each voxel of a block in `record_overlap`."""
PREDICTED, TRUTH = "predicted_", "truth_"
"""Prefixes of the arrays of the two sides in the record of a block."""
Record = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class ObjectTable:
    """Objects of a prediction or of the truth, in the order of their ids.

    Parameters
    ----------
    ids
        Ids of the labels, or numbers from 1 in the order of the first voxels; uint64, (n,).
    are_instances
        Whether objects are the ids of labels; else connected components.
    voxels, scored_voxels
        Voxels of each object, and those of them that are scored; int64, (n,).
    first_voxels
        Its first voxel, as an index into the raveled volume; int64, (n,).
    low, high
        Its bounding box: first voxel, and first voxel behind it, along (z, y, x); int64, (n, 3).
    """

    ids: npt.NDArray[np.uint64]
    are_instances: bool
    voxels: npt.NDArray[np.int64]
    scored_voxels: npt.NDArray[np.int64]
    first_voxels: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ObjectOverlap:
    """Objects of both sides, and the scored voxels of each pair that occurs.

    Parameters
    ----------
    predicted, truth
        The objects.
    pairs
        Rows of the objects of each pair, predicted and truth; -1: background; int64, (2, m).
    voxels
        Scored voxels of each pair, int64, (m,).
    """

    predicted: ObjectTable
    truth: ObjectTable
    pairs: npt.NDArray[np.int64]
    voxels: npt.NDArray[np.int64]


def record_overlap(
    predicted: npt.NDArray[Any],
    truth: npt.NDArray[Any],
    scored: npt.NDArray[np.bool_],
    *,
    block: Roi,
    shape: IntZYX,
) -> dict[str, npt.NDArray[Any]]:
    """Return the record of a block: components of both sides, and their overlaps.

    Parameters
    ----------
    predicted, truth
        Objects, 0 background; unsigned, shape (z, y, x).
    scored
        Voxels that count.
    block
        In the voxels of a volume.
    shape
        Of the volume.
    """
    record: dict[str, npt.NDArray[Any]] = {}
    components = []
    for prefix, labels in ((PREDICTED, predicted), (TRUTH, truth)):
        parts = label_components(labels)
        found = record_components(labels, parts, block, shape)
        found |= _find_boxes(parts, len(found["sizes"]), block)
        record |= {f"{prefix}{name}": values for name, values in found.items()}
        components.append(parts)
    return record | _count_pairs(components[0], components[1], scored)


def _find_boxes(
    components: npt.NDArray[Any], count: int, block: Roi
) -> dict[str, npt.NDArray[np.int64]]:
    low = np.full((count, 3), np.iinfo(np.int64).max)
    high = np.zeros((count, 3), np.int64)
    _extend_boxes(components, np.array(block.offset), low, high)
    return {"low": low, "high": high}


@njit(cache=True)
def _extend_boxes(components, offset, low, high):  # type: ignore[no-untyped-def]
    """Extend the bounding box of each component."""
    for i in range(components.shape[0]):
        for j in range(components.shape[1]):
            for k in range(components.shape[2]):
                component = components[i, j, k]
                if component:
                    row = component - 1
                    for axis, index in enumerate((i, j, k)):
                        low[row, axis] = min(low[row, axis], offset[axis] + index)
                        high[row, axis] = max(high[row, axis], offset[axis] + index + 1)


def _count_pairs(
    predicted: npt.NDArray[Any], truth: npt.NDArray[Any], scored: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.int64]]:
    """Count the scored voxels of each pair of components; 0 is background."""
    width = int(truth.max(initial=0)) + 1
    keys = predicted.ravel().astype(np.int64)
    keys *= width
    keys += truth.ravel()
    keys *= scored.ravel()  # as the background of both, which does not count
    starts = np.flatnonzero(np.concatenate([np.ones(1, bool), keys[1:] != keys[:-1]]))
    lengths = np.diff(starts, append=keys.size)
    pairs, run_pairs = np.unique(keys[starts], return_inverse=True)
    voxels = np.zeros(len(pairs), np.int64)
    np.add.at(voxels, run_pairs, lengths)
    present = pairs > 0
    return {
        "pairs": np.stack([pairs[present] // width, pairs[present] % width]),
        "pair_voxels": voxels[present],
    }


def overlap_specs(block: Roi) -> dict[str, ArraySpec]:
    """Return the arrays of the record of a block (`record_overlap`)."""
    specs = component_specs(block) | {
        name: ArraySpec("int64", (None, 3)) for name in ("low", "high")
    }
    both = {
        f"{prefix}{name}": spec for prefix in (PREDICTED, TRUTH) for name, spec in specs.items()
    }
    pairs = {"pairs": ArraySpec("int64", (2, None)), "pair_voxels": ArraySpec("int64", (None,))}
    return both | pairs


def is_overlap_record(record: Record) -> bool:
    """Return whether the arrays of a record are consistent."""
    for row, prefix in enumerate((PREDICTED, TRUTH)):
        side = _side(record, prefix)
        count = len(side["sizes"])
        if not is_component_record(side) or not count == len(side["low"]) == len(side["high"]):
            return False
        numbers = record["pairs"][row]
        if numbers.min(initial=0) < 0 or numbers.max(initial=0) > count:
            return False
    return bool(len(record["pair_voxels"]) == record["pairs"].shape[1])


def _side(record: Record, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of one side of a record, without the prefix."""
    return {
        name.removeprefix(prefix): values
        for name, values in record.items()
        if name.startswith(prefix)
    }


def merge_overlaps(records: Iterable[tuple[Roi, Record]], end: IntZYX) -> ObjectOverlap:
    """Merge the records of all blocks into objects and their overlaps.

    Parameters
    ----------
    records
        Blocks in (z, y, x) order, and what `record_overlap` returned for each.
    end
        End of the box that the blocks cover, voxels.
    """
    mergers = ComponentMerger(end), ComponentMerger(end)
    features: tuple[list[Any], list[Any]] = ([], [])
    pairs, voxels = [np.zeros((2, 0), np.int64)], [np.zeros(0, np.int64)]
    for block, record in records:
        numbers = record["pairs"] - 1
        for row, prefix in enumerate((PREDICTED, TRUTH)):
            side = _side(record, prefix)
            start = mergers[row].add(block, side).start
            numbers[row] += np.where(numbers[row] >= 0, start, 0)
            features[row].append((side["label"].astype(np.uint64), side["low"], side["high"]))
        pairs.append(numbers)
        voxels.append(record["pair_voxels"])
    components, counts = np.concatenate(pairs, axis=1), np.concatenate(voxels)
    rows, tables = [], []
    for row in (0, 1):
        row_of_component, table = _make_table(mergers[row].merge(), features[row])
        rows.append(np.append(row_of_component, -1)[components[row]])  # -1: the last element
        tables.append(table)
    merged, merged_voxels = _sum_pairs(np.stack(rows), counts)
    for row, table in enumerate(tables):
        inside = merged[row] >= 0
        np.add.at(table.scored_voxels, merged[row][inside], merged_voxels[inside])
    return ObjectOverlap(tables[0], tables[1], merged, merged_voxels)


def _make_table(
    merged: MergedObjects, features: list[Any]
) -> tuple[npt.NDArray[np.int64], ObjectTable]:
    """Return the row of each component, and the objects; their scored voxels are 0."""
    labels = np.concatenate([np.zeros(0, np.uint64), *(part[0] for part in features)])
    no_box = np.zeros((0, 3), np.int64)
    low, high = (np.concatenate([no_box, *(part[side] for part in features)]) for side in (1, 2))
    ids, row_of_label = np.unique(labels, return_inverse=True)
    are_instances = len(ids) > 1
    if are_instances:
        rows = row_of_label.astype(np.int64)
    else:
        numbers = merged.assign_ids()
        rows = numbers[merged.object_of_component] - 1
        ids = np.arange(1, len(numbers) + 1, dtype=np.uint64)
    voxels, first = np.zeros(len(ids), np.int64), np.full(len(ids), np.iinfo(np.int64).max)
    row_of_object = np.zeros(len(merged.sizes), np.int64)
    row_of_object[merged.object_of_component] = rows
    np.add.at(voxels, row_of_object, merged.sizes)
    np.minimum.at(first, row_of_object, merged.first_voxels)
    boxes = np.full((len(ids), 3), np.iinfo(np.int64).max), np.zeros((len(ids), 3), np.int64)
    np.minimum.at(boxes[0], rows, low)
    np.maximum.at(boxes[1], rows, high)
    scored = np.zeros(len(ids), np.int64)
    return rows, ObjectTable(ids, are_instances, voxels, scored, first, *boxes)


def _sum_pairs(
    pairs: npt.NDArray[np.int64], voxels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Add the voxels of equal pairs; return the pairs in ascending order, and their voxels."""
    order = np.lexsort((pairs[1], pairs[0]))
    pairs, voxels = pairs[:, order], voxels[order]
    is_new = np.ones(pairs.shape[1], np.bool_)
    is_new[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    starts = np.flatnonzero(is_new)
    if len(starts) == 0:
        return pairs, voxels
    return pairs[:, starts], np.add.reduceat(voxels, starts)
