"""Connected components counted across blocks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from asem.volume.roi import Roi, Triple

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sizes:
    """How large the object is that each component of each block belongs to.

    Parameters
    ----------
    whole
        Per block: voxels of the whole object, indexed by the block's own component id.
    """

    whole: tuple[npt.NDArray[np.int64], ...]

    def large(self, block: int, mask: Mask, smallest: int) -> Mask:
        """Return the voxels of `mask` that belong to objects of at least `smallest` voxels.

        Parameters
        ----------
        block
            Number of the block that `mask` is.
        mask
            The same voxels as were measured.
        smallest
            In voxels.
        """
        keep = self.whole[block] >= smallest
        keep[0] = False
        return np.asarray(keep[_components(mask)])


def object_sizes(read: Callable[[Roi], Mask], blocks: Sequence[Roi]) -> Sizes:
    """Measure connected objects (6 neighbours) that may cross blocks.

    Each block is labelled alone; then components that touch through a face of two blocks are
    joined. Memory holds the faces that wait for a neighbour and one number a component.

    ::

        block A   . 1 1 | 1 1 .   block B        1 of A and 1 of B: one object of
                  . . . | 2 . .                  4 voxels; 2 of B: 1 of 1 voxel

    Parameters
    ----------
    read
        Returns the mask of a block.
    blocks
        They cover the volume exactly once, on a lattice, in (z, y, x) order.
    """
    counts: list[npt.NDArray[np.int64]] = []
    pairs: list[npt.NDArray[np.int64]] = []
    waiting: dict[tuple[int, Triple], npt.NDArray[np.int64]] = {}
    first = 0
    for block in blocks:
        components = _components(read(block)).astype(np.int64)
        counts.append(np.bincount(components.ravel()))
        components[components > 0] += first
        for axis in range(3):
            before = waiting.pop((axis, block.offset), None)
            if before is not None:
                pairs.append(_touching(before, _face(components, axis, 0)))
            behind = list(block.offset)
            behind[axis] = block.end[axis]
            waiting[axis, (behind[0], behind[1], behind[2])] = _face(components, axis, -1)
        first += len(counts[-1])
    objects = _joined(pairs, first)
    sizes = np.concatenate(counts) if counts else np.zeros(0, np.int64)
    totals = np.bincount(objects, weights=sizes).astype(np.int64)[objects]
    borders = np.cumsum([len(count) for count in counts])[:-1]
    return Sizes(tuple(np.split(totals, borders)))


def _components(mask: Mask) -> npt.NDArray[Any]:
    return np.asarray(cc3d.connected_components(mask, connectivity=6))


def _face(components: npt.NDArray[np.int64], axis: int, index: int) -> npt.NDArray[np.int64]:
    return np.array(np.moveaxis(components, axis, 0)[index])


def _touching(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the pairs of components that meet where two faces touch."""
    both = (a != 0) & (b != 0)
    return np.unique(np.stack([a[both], b[both]]), axis=1)


def _joined(pairs: Iterable[npt.NDArray[np.int64]], number: int) -> npt.NDArray[Any]:
    """Return for each component the object it belongs to."""
    a, b = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    graph = coo_array((np.ones(len(a), np.bool_), (a, b)), shape=(number, number))
    return np.asarray(connected_components(graph, directed=False)[1])
