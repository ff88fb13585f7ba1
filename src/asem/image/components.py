"""Connected components that may cross blocks: labelled block by block, joined at the faces.

::

    block A   . 1 1 | 1 1 .   block B        1 of A and 1 of B: one object of 4 voxels
              . . . | 2 . .                  2 of B: another of 1 voxel

Each block is labelled alone and leaves a small record (sizes, first voxels, faces); one process
joins the records; then each block is labelled again and its components get what the whole objects
deserve: an id, or to be dropped. Memory holds a few numbers a component and the faces that wait
for their neighbour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import cc3d
import numpy as np
import numpy.typing as npt
from numba import njit

from asem.blocks.output import Output
from asem.blocks.partials import Partials
from asem.image.lookup import look_up
from asem.system.npz import Form
from asem.volume.roi import Roi, Triple

VOXEL_BYTES = 24
"""Memory of a voxel whose component is looked for."""
Read = Callable[[Roi], npt.NDArray[Any]]
"""Returns the labels of one block: 0 background, other values objects."""
More = Callable[[Roi, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]
"""Given a block and its components, returns arrays with a value for each component."""


def components_of(labels: npt.NDArray[Any], neighbours: Literal[6, 26] = 6) -> npt.NDArray[Any]:
    """Return the connected parts of equal labels, numbered from 1; 0 stays 0.

    Voxels are connected by faces (6 neighbours), or also by edges and corners (26).

    Examples
    --------
    >>> components_of(np.array([[[7, 7, 0, 7, 9]]], np.uint8)).tolist()
    [[[1, 1, 0, 2, 3]]]
    """
    # The numbers depend on the order in memory, and must be the same each time.
    ordered = np.ascontiguousarray(labels)
    return np.asarray(cc3d.connected_components(ordered, connectivity=neighbours))


@dataclass(frozen=True)
class Objects:
    """What the components of all blocks are parts of.

    Parameters
    ----------
    places
        Per block: where its components stand in the arrays of all components.
    of
        Object of each component, int64.
    sizes
        Voxels of each object, int64.
    first
        Each object's first voxel, as an index into the raveled volume, int64.
    """

    places: dict[Roi, slice]
    of: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    first: npt.NDArray[np.int64]

    def numbered(self, smallest: int = 1) -> npt.NDArray[np.int64]:
        """Return ids from 1 without a gap, in the order of the first voxels; 0 for small objects.

        The order is that of labelling the whole volume at once, so that ids do not depend on the
        blocks.

        Parameters
        ----------
        smallest
            Objects of fewer voxels get 0.
        """
        large = np.flatnonzero(self.sizes >= smallest)
        ids = np.zeros(len(self.sizes), np.int64)
        ids[large[np.argsort(self.first[large])]] = np.arange(1, len(large) + 1)
        return ids

    def gather(self, found: Partials, name: str, dtype: str) -> npt.NDArray[Any]:
        """Return an array that was kept for each block, with a value for each component."""
        parts = [
            found.load(block, **{name: Form(dtype, (place.stop - place.start,))})[name]
            for block, place in self.places.items()
        ]
        return np.concatenate(parts)

    def least(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the least of the values of each object's components."""
        least = np.full(len(self.sizes), np.iinfo(values.dtype).max, values.dtype)
        np.minimum.at(least, self.of, values)
        return least

    def save(self, found: Partials, values: npt.NDArray[Any]) -> None:
        """Keep for each block what its components become, behind what 0 becomes: 0."""
        values = values.astype(np.min_scalar_type(values.max(initial=0)))
        for block, place in self.places.items():
            mine = values[self.of[place]]
            found.save(block, becomes=np.concatenate([np.zeros(1, mine.dtype), mine]))


def recode(labels: npt.NDArray[Any], block: Roi, found: Partials) -> npt.NDArray[Any]:
    """Return what `Objects.save` kept for each component of a block."""
    becomes = found.load(block, becomes=Form("u", (None,)))["becomes"]
    components = components_of(labels)
    if components.max(initial=0) >= len(becomes):
        raise found.damage(block)
    return look_up(becomes, components)


def find_objects(output: Output, read: Read, *, stage: str, more: More | None = None) -> Objects:
    """Label all shards of an output and join what touches.

    Parameters
    ----------
    output
        It runs the blocks and keeps their records.
    read
        The labels of a block. Called in other processes: it can be pickled.
    stage
        Name for the journal, the progress and the records.
    more
        What else to keep of the components of a block.
    """
    found, blocks = output.partials(stage), output.shards()
    work = partial(_record, read=read, more=more, found=found, shape=output.volume.shape)
    output.run(
        work, blocks, stage=stage, block_bytes=VOXEL_BYTES * max(block.size for block in blocks)
    )
    return join(found, blocks, output.volume.shape)


def _record(block: Roi, *, read: Read, more: More | None, found: Partials, shape: Triple) -> None:
    """Keep what is to be known of the components of a block."""
    labels = read(block)
    components = components_of(labels)
    sizes, first = _measure(components, int(components.max(initial=0)), block.offset, shape)
    faces = {
        f"face{axis}{end}": np.ascontiguousarray(np.moveaxis(components, axis, 0)[end])
        for axis in range(3)
        for end in (0, -1)
    }
    inside = np.unravel_index(_within(first, block, shape), block.shape)
    others = more(block, components) if more else {}
    found.save(block, sizes=sizes, first=first, label=labels[inside], **faces, **others)


def _within(first: npt.NDArray[np.int64], block: Roi, shape: Triple) -> npt.NDArray[np.intp]:
    """Turn indices into the raveled volume to indices into the raveled block."""
    whole = np.array(np.unravel_index(first, shape)).reshape(3, -1)
    local = whole - np.array(block.offset)[:, None]
    return np.asarray(np.ravel_multi_index((local[0], local[1], local[2]), block.shape))


@njit(cache=True)
def _measure(components, number, offset, shape):  # type: ignore[no-untyped-def]
    """Count the voxels of each component and find its first one in the volume."""
    sizes = np.zeros(number, np.int64)
    first = np.zeros(number, np.int64)
    for i in range(components.shape[0]):
        for j in range(components.shape[1]):
            row = (np.int64(offset[0] + i) * shape[1] + offset[1] + j) * shape[2] + offset[2]
            for k in range(components.shape[2]):
                one = components[i, j, k]
                if one:
                    if sizes[one - 1] == 0:
                        first[one - 1] = row + k
                    sizes[one - 1] += 1
    return sizes, first


def join(found: Partials, blocks: Sequence[Roi], shape: Triple) -> Objects:
    """Join the components of all blocks that touch through a face and have one label.

    Parameters
    ----------
    found
        The records of the blocks.
    blocks
        In (z, y, x) order.
    shape
        Of the volume.
    """
    places, sizes, firsts, pairs, begin = {}, [], [], [], 0
    waiting: dict[tuple[int, Triple], tuple[int, Any, Any]] = {}
    for block in blocks:
        record = _load(found, block)
        for axis in range(3):
            before = waiting.pop((axis, block.offset), None)
            if before is not None:
                mine = (begin, record[f"face{axis}0"], record["label"])
                pairs.append(_touching(before, mine))
            if block.end[axis] == shape[axis]:
                continue
            behind = list(block.offset)
            behind[axis] = block.end[axis]
            after = (begin, record[f"face{axis}-1"], record["label"])
            waiting[axis, (behind[0], behind[1], behind[2])] = after
        places[block] = slice(begin, begin + len(record["sizes"]))
        sizes.append(record["sizes"])
        firsts.append(record["first"])
        begin += len(record["sizes"])
    empty = np.zeros(0, np.int64)
    of = np.arange(begin)
    _unite(of, np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1))
    roots, of = np.unique(of, return_inverse=True)
    totals, least = np.zeros(len(roots), np.int64), np.full(len(roots), np.iinfo(np.int64).max)
    np.add.at(totals, of, np.concatenate([empty, *sizes]))
    np.minimum.at(least, of, np.concatenate([empty, *firsts]))
    return Objects(places, of, totals, least)


def _load(found: Partials, block: Roi) -> dict[str, npt.NDArray[Any]]:
    """Return what `_record` kept of a block; OSError where it does not fit together."""
    forms = {name: Form("int64", (None,)) for name in ("sizes", "first")}
    forms["label"] = Form("iu", (None,))
    for axis in range(3):
        face = block.shape[:axis] + block.shape[axis + 1 :]
        forms |= {f"face{axis}{end}": Form("iu", face) for end in (0, -1)}
    record = found.load(block, **forms)
    number = len(record["sizes"])
    faces = [values for name, values in record.items() if name.startswith("face")]
    fits = number == len(record["first"]) == len(record["label"])
    if not fits or any(face.min() < 0 or face.max() > number for face in faces):
        raise found.damage(block)
    return record


def _touching(
    before: tuple[int, npt.NDArray[Any], npt.NDArray[Any]],
    after: tuple[int, npt.NDArray[Any], npt.NDArray[Any]],
) -> npt.NDArray[np.int64]:
    """Return the pairs of components of one label that meet where two faces touch."""
    (begin_a, a, label_a), (begin_b, b, label_b) = before, after
    both = (a != 0) & (b != 0)
    pairs = np.unique(np.stack([a[both], b[both]]).astype(np.int64), axis=1) - 1
    pairs = pairs[:, label_a[pairs[0]] == label_b[pairs[1]]]
    return np.asarray(pairs + np.array([[begin_a], [begin_b]]))


@njit(cache=True)
def _unite(parent, pairs):  # type: ignore[no-untyped-def]
    """Replace each component by the smallest one it is joined with (union-find, path halving)."""
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


def id_dtype(voxels: int) -> np.dtype[Any]:
    """Return the dtype that holds the ids of all objects there can be, and unknown.

    Half the voxels at most are objects of their own (a checkerboard).

    Examples
    --------
    >>> id_dtype(2000**3).name, id_dtype(2100**3).name
    ('uint32', 'uint64')
    """
    return np.dtype(np.uint32 if (voxels + 1) // 2 < np.iinfo(np.uint32).max else np.uint64)
