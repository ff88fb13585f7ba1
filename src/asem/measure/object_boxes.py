"""Bounding boxes of objects, sorted into the blocks where the objects start.

::

    block A | block B | block C
    a a . b | b b b . | . c c .        a, b: in the boxes of block A, since they start there
                                       b: also its parts in A and B, which are read one by one
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.measure.object_columns import ID, Columns
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi

BOX_COLUMNS = tuple(f"{end}_{axis}" for end in ("min", "max") for axis in "zyx")
"""First and last voxel of an object along each axis, as `asem.measure.moments` returns them."""
Boxes = npt.NDArray[np.int64]
"""Start and stop of boxes along (z, y, x), voxels, (n, 6)."""


@dataclass(frozen=True)
class ObjectBoxes:
    """Bounding boxes of objects.

    Parameters
    ----------
    ids
        Their ids, uint64, (n,).
    boxes
        Start and stop of each one, (n, 6).
    """

    ids: npt.NDArray[np.uint64]
    boxes: Boxes

    @classmethod
    def from_columns(cls, columns: Columns) -> "ObjectBoxes":
        """Return the boxes of objects from `ID` and `BOX_COLUMNS`."""
        first, last = BOX_COLUMNS[:3], BOX_COLUMNS[3:]
        starts, stops = [columns[name] for name in first], [columns[name] + 1 for name in last]
        return cls(columns[ID].astype(np.uint64), np.stack(starts + stops, axis=1))

    @property
    def shapes(self) -> npt.NDArray[np.int64]:
        """Voxels of each box along (z, y, x), (n, 3)."""
        return self.boxes[:, 3:] - self.boxes[:, :3]

    def select(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "ObjectBoxes":
        """Return some of the boxes."""
        return ObjectBoxes(self.ids[rows], self.boxes[rows])


@dataclass(frozen=True)
class BlockBoxes:
    """Boxes of the objects that start in a block.

    Parameters
    ----------
    near
        Objects that end in the block or within a margin behind it.
    far
        Other objects.
    parts
        Parts of the far objects, one for each block that contains voxels of them: each one has the
        id of its object.
    """

    near: ObjectBoxes
    far: ObjectBoxes
    parts: ObjectBoxes

    def parts_of(self, object_id: np.uint64) -> list[Roi]:
        """Return the boxes of the parts of a far object."""
        return [to_roi(box) for box in self.parts.boxes[self.parts.ids == object_id]]


def to_roi(box: npt.NDArray[np.int64]) -> Roi:
    """Return the box of start and stop, (6,)."""
    return Roi.from_bounds(box[:3].tolist(), box[3:].tolist())


def save_block_boxes(
    results: BlockResults,
    objects: ObjectBoxes,
    blocks: Sequence[Roi],
    *,
    columns: BlockResults,
    margin: int,
) -> None:
    """Store for each block the boxes of the objects that start in it (`load_block_boxes`).

    Memory: the boxes, and those of the parts of objects that extend beyond a block and its margin.

    Parameters
    ----------
    results
        Where they are stored.
    objects
        Boxes of all objects.
    blocks
        Blocks on a lattice from (0, 0, 0), in (z, y, x) order.
    columns
        Stored columns of each block, among them `ID` and `BOX_COLUMNS` of the objects in it.
    margin
        Voxels behind a block, along each axis.
    """
    block_of, ends = _find_start_blocks(objects, blocks)
    is_near = np.asarray((objects.boxes[:, 3:] <= ends + margin).all(axis=1))
    parts = _find_parts(objects.select(~is_near), blocks, columns)
    part_owner = np.searchsorted(objects.ids, parts.ids)  # ids are ascending
    order, part_order = (
        np.argsort(block_of, kind="stable"),
        np.argsort(block_of[part_owner], kind="stable"),
    )
    bounds = np.searchsorted(block_of[order], np.arange(len(blocks) + 1))
    part_bounds = np.searchsorted(block_of[part_owner][part_order], np.arange(len(blocks) + 1))
    for n, block in enumerate(blocks):
        rows = order[bounds[n] : bounds[n + 1]]
        own_parts = parts.select(part_order[part_bounds[n] : part_bounds[n + 1]])
        results.save(
            block,
            ids=objects.ids[rows],
            boxes=objects.boxes[rows],
            is_near=is_near[rows],
            part_ids=own_parts.ids,
            part_boxes=own_parts.boxes,
        )


def load_block_boxes(results: BlockResults, block: Roi) -> BlockBoxes:
    """Load what `save_block_boxes` stored for a block."""
    ids, boxes = ArraySpec("uint64", (None,)), ArraySpec("int64", (None, 6))
    specs = {"ids": ids, "boxes": boxes, "part_ids": ids, "part_boxes": boxes}
    loaded = results.load(block, **specs, is_near=ArraySpec("b", (None,)))
    objects = ObjectBoxes(loaded["ids"], loaded["boxes"])
    parts = ObjectBoxes(loaded["part_ids"], loaded["part_boxes"])
    is_near = loaded["is_near"]
    if not len(objects.ids) == len(objects.boxes) == len(is_near) or len(parts.ids) != len(
        parts.boxes
    ):
        raise results.make_damage_error(block)
    return BlockBoxes(objects.select(is_near), objects.select(~is_near), parts)


def _find_start_blocks(
    objects: ObjectBoxes, blocks: Sequence[Roi]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the block in which each object starts, (n,), and the end of that block, (n, 3)."""
    size = np.array(blocks[0].shape)
    offsets = np.array([block.offset for block in blocks])
    grid = offsets.max(axis=0) // size + 1
    places = objects.boxes[:, :3] // size
    numbers = np.ravel_multi_index(tuple(places.T), tuple(grid))
    return numbers, np.array([block.end for block in blocks])[numbers]


def _find_parts(far: ObjectBoxes, blocks: Sequence[Roi], columns: BlockResults) -> ObjectBoxes:
    """Return the boxes of objects within each block, in the order of the blocks."""
    found = [ObjectBoxes(np.zeros(0, np.uint64), np.zeros((0, 6), np.int64))]
    for part in _load_parts(blocks, columns) if len(far.ids) else ():
        found.append(part.select(np.isin(part.ids, far.ids)))
    return ObjectBoxes(
        np.concatenate([part.ids for part in found]), np.concatenate([part.boxes for part in found])
    )


def _load_parts(blocks: Sequence[Roi], columns: BlockResults) -> Iterator[ObjectBoxes]:
    specs = {name: ArraySpec("int64", (None,)) for name in BOX_COLUMNS}
    for block in blocks:
        loaded = columns.load(block, **{ID: ArraySpec("uint64", (None,))}, **specs)
        if len({len(values) for values in loaded.values()}) > 1:
            raise columns.make_damage_error(block)
        yield ObjectBoxes.from_columns(loaded)


def union(boxes: Boxes) -> Roi:
    """Return the box around boxes, at least one."""
    return Roi.from_bounds(boxes[:, :3].min(axis=0).tolist(), boxes[:, 3:].max(axis=0).tolist())
