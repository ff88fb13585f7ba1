"""Connected components across blocks: label each block, merge labels at shared faces.

::

    block A   . 1 1 | 1 1 .   block B        1 of A and 1 of B: one object of 4 voxels
              . . . | 2 . .                  2 of B: another of 1 voxel

Each block is labelled independently and stores a small record (sizes, first voxels, faces); one
process merges the records into objects; then each block is labelled again and its components are
replaced by values of their objects (an id, or 0 to remove them). Memory: a few numbers per
component, and the faces that are not yet merged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import cc3d
import numpy as np
import numpy.typing as npt
from numba import njit

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.image.component_records import component_specs, is_component_record, record_components
from asem.image.lookup_table import apply_lookup_table
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi

LABELLING_VOXEL_BYTES = 24
"""Memory in bytes of each voxel of a block that is labelled."""
BlockReader = Callable[[Roi], npt.NDArray[Any]]
"""Returns the labels of one block: 0 background, other values objects."""
ComponentFeatures = Callable[[Roi, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]
"""Takes a block and its components, returns arrays with a value for each component."""


def label_components(
    labels: npt.NDArray[Any], connectivity: Literal[6, 26] = 6
) -> npt.NDArray[Any]:
    """Return the connected parts of equal labels, numbered from 1; 0 stays 0.

    Voxels are connected by faces (6 neighbours), or also by edges and corners (26).

    Examples
    --------
    >>> label_components(np.array([[[7, 7, 0, 7, 9]]], np.uint8)).tolist()
    [[[1, 1, 0, 2, 3]]]
    """
    # cc3d numbers components in memory order; C order makes the numbers reproducible.
    ordered = np.ascontiguousarray(labels)
    if ordered.dtype == np.uint64:  # cc3d raises OverflowError for values from 2^63 on
        ordered = ordered.view(np.int64)
    return np.asarray(cc3d.connected_components(ordered, connectivity=connectivity))


@dataclass(frozen=True)
class MergedObjects:
    """Objects of a volume, each of one or more components of blocks.

    Parameters
    ----------
    component_slices
        For each block, the slice of its components in arrays of all components.
    object_of_component
        Object of each component, int64.
    sizes
        Voxels of each object, int64.
    first_voxels
        Each object's first voxel, as an index into the raveled volume, int64.
    """

    component_slices: dict[Roi, slice]
    object_of_component: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    first_voxels: npt.NDArray[np.int64]

    def assign_ids(self, min_size: int = 1) -> npt.NDArray[np.int64]:
        """Return consecutive ids from 1, in the order of the first voxels; 0 for small objects.

        The order is that of labelling the whole volume at once: independent of the block grid.

        Parameters
        ----------
        min_size
            Objects of fewer voxels get 0.
        """
        large = np.flatnonzero(self.sizes >= min_size)
        ids = np.zeros(len(self.sizes), np.int64)
        ids[large[np.argsort(self.first_voxels[large])]] = np.arange(1, len(large) + 1)
        return ids

    def load_feature(self, block_results: BlockResults, name: str, dtype: str) -> npt.NDArray[Any]:
        """Return an array stored for each block, with a value for each component."""
        parts = [
            block_results.load(block, **{name: ArraySpec(dtype, (part.stop - part.start,))})[name]
            for block, part in self.component_slices.items()
        ]
        return np.concatenate(parts)

    def min_per_object(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the minimum of the values of the components of each object."""
        minima = np.full(len(self.sizes), np.iinfo(values.dtype).max, values.dtype)
        np.minimum.at(minima, self.object_of_component, values)
        return minima

    def save_relabelling(self, block_results: BlockResults, values: npt.NDArray[Any]) -> None:
        """Store for each block the values of its components, after a 0 for the background."""
        values = values.astype(np.min_scalar_type(values.max(initial=0)))
        for block, part in self.component_slices.items():
            new = values[self.object_of_component[part]]
            block_results.save(block, becomes=np.concatenate([np.zeros(1, new.dtype), new]))


def relabel_block(
    labels: npt.NDArray[Any], block: Roi, block_results: BlockResults
) -> npt.NDArray[Any]:
    """Replace the components of a block by the values that `save_relabelling` stored."""
    new_values = block_results.load(block, becomes=ArraySpec("u", (None,)))["becomes"]
    components = label_components(labels)
    if components.max(initial=0) >= len(new_values):
        raise block_results.make_damage_error(block)
    return apply_lookup_table(new_values, components)


def find_connected_objects(
    output: BlockOutput,
    read_block: BlockReader,
    *,
    stage: str,
    features: ComponentFeatures | None = None,
) -> MergedObjects:
    """Find the connected objects of a volume: label its shards, merge components that touch.

    Parameters
    ----------
    output
        Runs the blocks and stores their records; its extent is that of the volume.
    read_block
        Returns the labels of a block. Must be picklable: other processes call it.
    stage
        Name in the journal, the progress and the records.
    features
        Computes further arrays to store with the record of a block.
    """
    blocks, shape = output.write_blocks(), output.roi.shape
    records = output.store_block_results(
        partial(_measure_block, read_block=read_block, features=features, shape=shape),
        blocks,
        stage=stage,
        block_bytes=LABELLING_VOXEL_BYTES * max(block.size for block in blocks),
    )
    return merge_components(records, blocks, shape)


def _measure_block(
    block: Roi, *, read_block: BlockReader, features: ComponentFeatures | None, shape: IntZYX
) -> dict[str, npt.NDArray[Any]]:
    """Label a block and return the record of its components."""
    labels = read_block(block)
    components = label_components(labels)
    record = record_components(labels, components, block, shape)
    return record | features(block, components) if features else record


class ComponentMerger:
    """Merges the components of blocks that touch through a face and have one label.

    Parameters
    ----------
    end
        End of the box that the blocks cover, voxels.
    """

    def __init__(self, end: IntZYX) -> None:
        empty = np.zeros(0, np.int64)
        self.end, self.count = end, 0
        self._slices: dict[Roi, slice] = {}
        self._sizes, self._first_voxels = [empty], [empty]
        self._pairs = [np.zeros((2, 0), np.int64)]
        self._pending_faces: dict[tuple[int, IntZYX], tuple[int, Any, Any]] = {}

    def add(self, block: Roi, record: Mapping[str, npt.NDArray[Any]]) -> slice:
        """Add a block, in (z, y, x) order; return the slice of its components among all."""
        start, label = self.count, record["label"]
        for axis in range(3):
            before = self._pending_faces.pop((axis, block.offset), None)
            if before is not None:
                after = (start, record[f"face{axis}0"], label)
                self._pairs.append(_find_touching_pairs(before, after))
            if block.end[axis] == self.end[axis]:
                continue
            z, y, x = (block.end[a] if a == axis else block.offset[a] for a in range(3))
            self._pending_faces[axis, (z, y, x)] = (start, record[f"face{axis}-1"], label)
        self.count += len(record["sizes"])
        self._slices[block] = slice(start, self.count)
        self._sizes.append(record["sizes"])
        self._first_voxels.append(record["first"])
        return self._slices[block]

    def merge(self) -> MergedObjects:
        """Return the objects of all blocks that were added."""
        parent = np.arange(self.count)
        _union_find(parent, np.concatenate(self._pairs, axis=1))
        roots, object_of = np.unique(parent, return_inverse=True)
        totals, firsts = np.zeros(len(roots), np.int64), np.full(len(roots), np.iinfo(np.int64).max)
        np.add.at(totals, object_of, np.concatenate(self._sizes))
        np.minimum.at(firsts, object_of, np.concatenate(self._first_voxels))
        return MergedObjects(self._slices, object_of, totals, firsts)


def merge_components(
    block_results: BlockResults, blocks: Sequence[Roi], shape: IntZYX
) -> MergedObjects:
    """Merge the components of all blocks that touch through a face and have one label.

    Parameters
    ----------
    block_results
        The records of the blocks.
    blocks
        In (z, y, x) order.
    shape
        Of the volume.
    """
    merger = ComponentMerger(shape)
    for block in blocks:
        record = block_results.load(block, **component_specs(block))
        if not is_component_record(record):
            raise block_results.make_damage_error(block)
        merger.add(block, record)
    return merger.merge()


def _find_touching_pairs(
    before: tuple[int, npt.NDArray[Any], npt.NDArray[Any]],
    after: tuple[int, npt.NDArray[Any], npt.NDArray[Any]],
) -> npt.NDArray[np.int64]:
    """Return the pairs of components of one label that touch through a common face of blocks."""
    (start_a, a, label_a), (start_b, b, label_b) = before, after
    both = (a != 0) & (b != 0)
    pairs = np.unique(np.stack([a[both], b[both]]).astype(np.int64), axis=1) - 1
    pairs = pairs[:, label_a[pairs[0]] == label_b[pairs[1]]]
    return np.asarray(pairs + np.array([[start_a], [start_b]]))


@njit(cache=True)
def _union_find(parent, pairs):  # type: ignore[no-untyped-def]
    """Replace each component by the smallest that it is connected to (union-find, path halving)."""
    for n in range(pairs.shape[1]):
        a, b = pairs[0, n], pairs[1, n]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        parent[max(a, b)] = min(a, b)
    for a in range(len(parent)):
        parent[a] = parent[parent[a]]
