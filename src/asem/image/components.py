"""Connected components across blocks: label each block, merge labels at shared faces.

::

    block A   . 1 1 | 1 1 .   block B        1 of A and 1 of B: one object of 4 voxels
              . . . | 2 . .                  2 of B: another of 1 voxel

Each block is labelled independently and stores a small record (sizes, first voxels, faces); one
process merges the records into objects; then each block is labelled again and its components are
replaced by values of their objects (an id, or 0 to remove them). Memory: a few numbers per
component, and the faces that are not yet merged.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import cc3d
import numpy as np
import numpy.typing as npt
from numba import njit

from asem.blocks.block_results import BlockResults
from asem.blocks.output_image import OutputImage
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
    output: OutputImage,
    read_block: BlockReader,
    *,
    stage: str,
    features: ComponentFeatures | None = None,
) -> MergedObjects:
    """Find the connected objects of a volume: label its shards, merge components that touch.

    Parameters
    ----------
    output
        Runs the blocks and stores their records.
    read_block
        Returns the labels of a block. Must be picklable: other processes call it.
    stage
        Name in the journal, the progress and the records.
    features
        Computes further arrays to store with the record of a block.
    """
    blocks, shape = output.write_blocks(), output.volume.shape
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
    sizes, first = measure_components(
        components, int(components.max(initial=0)), block.offset, shape
    )
    faces = {
        f"face{axis}{end}": np.ascontiguousarray(np.moveaxis(components, axis, 0)[end])
        for axis in range(3)
        for end in (0, -1)
    }
    first_index = np.unravel_index(_to_block_indices(first, block, shape), block.shape)
    further = features(block, components) if features else {}
    record = {"sizes": sizes, "first": first, "label": labels[first_index]}
    return record | faces | further


def _to_block_indices(
    first: npt.NDArray[np.int64], block: Roi, shape: IntZYX
) -> npt.NDArray[np.intp]:
    """Convert indices into the raveled volume to indices into the raveled block."""
    in_volume = np.array(np.unravel_index(first, shape)).reshape(3, -1)
    in_block = in_volume - np.array(block.offset)[:, None]
    return np.asarray(np.ravel_multi_index((in_block[0], in_block[1], in_block[2]), block.shape))


@njit(cache=True)
def measure_components(components, count, offset, shape):  # type: ignore[no-untyped-def]
    """Count the voxels of each component of a block and find its first one in the volume.

    Parameters
    ----------
    components
        Components 1 to `count`, unsigned, (z, y, x); 0 is background.
    count
        Their number.
    offset, shape
        Of the block, and of the volume.

    Returns
    -------
    sizes, first
        Number of voxels, and index of the first voxel in the raveled volume; int64, (count,).
    """
    sizes = np.zeros(count, np.int64)
    first = np.zeros(count, np.int64)
    for i in range(components.shape[0]):
        for j in range(components.shape[1]):
            row = (np.int64(offset[0] + i) * shape[1] + offset[1] + j) * shape[2] + offset[2]
            for k in range(components.shape[2]):
                component = components[i, j, k]
                if component:
                    if sizes[component - 1] == 0:
                        first[component - 1] = row + k
                    sizes[component - 1] += 1
    return sizes, first


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
    slices, sizes, first_voxels, pairs, start = {}, [], [], [], 0
    pending_faces: dict[tuple[int, IntZYX], tuple[int, Any, Any]] = {}
    for block in blocks:
        record = _load_record(block_results, block)
        for axis in range(3):
            before = pending_faces.pop((axis, block.offset), None)
            if before is not None:
                after = (start, record[f"face{axis}0"], record["label"])
                pairs.append(_find_touching_pairs(before, after))
            if block.end[axis] == shape[axis]:
                continue
            z, y, x = (block.end[a] if a == axis else block.offset[a] for a in range(3))
            pending_faces[axis, (z, y, x)] = (start, record[f"face{axis}-1"], record["label"])
        slices[block] = slice(start, start + len(record["sizes"]))
        sizes.append(record["sizes"])
        first_voxels.append(record["first"])
        start += len(record["sizes"])
    empty = np.zeros(0, np.int64)
    parent = np.arange(start)
    _union_find(parent, np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1))
    roots, object_of = np.unique(parent, return_inverse=True)
    totals, firsts = np.zeros(len(roots), np.int64), np.full(len(roots), np.iinfo(np.int64).max)
    np.add.at(totals, object_of, np.concatenate([empty, *sizes]))
    np.minimum.at(firsts, object_of, np.concatenate([empty, *first_voxels]))
    return MergedObjects(slices, object_of, totals, firsts)


def _load_record(records: BlockResults, block: Roi) -> dict[str, npt.NDArray[Any]]:
    """Load the record of a block; raise OSError where its arrays are inconsistent."""
    specs = {name: ArraySpec("int64", (None,)) for name in ("sizes", "first")}
    specs["label"] = ArraySpec("iu", (None,))
    for axis in range(3):
        face = block.shape[:axis] + block.shape[axis + 1 :]
        specs |= {f"face{axis}{end}": ArraySpec("iu", face) for end in (0, -1)}
    record = records.load(block, **specs)
    count = len(record["sizes"])
    faces = [values for name, values in record.items() if name.startswith("face")]
    is_consistent = count == len(record["first"]) == len(record["label"])
    if not is_consistent or any(face.min() < 0 or face.max() > count for face in faces):
        raise records.make_damage_error(block)
    return record


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
