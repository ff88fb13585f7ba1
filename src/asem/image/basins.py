"""Basins of the peaks of a landscape in one block, by steepest ascent.

Each voxel points to the greatest of its six neighbours of the same label, if that is greater than
itself; else it is a peak. Greater is the larger value, or among equal values the larger index in
the raveled volume: a strict order, so that every path ends at one peak, and plateaus need no rule.
A pointer depends on a voxel and its neighbours only. Paths are followed to their ends in the block;
one that leaves the block gets a label of its own, which `asem.image.basin_records` resolves::

    landscape    1 3 2 2 5 | 6 4 ...        block and next block
    points to    > o < > > | o <            o: peak
    label        1 1 1 2 2 | 1 1            2 exits to voxel 6, which has label 1 there

This is the watershed transform by steepest ascent (Roerdink and Meijster, Fundamenta Informaticae
41, 2000, section 4.2; Bieniek and Moga, Pattern Recognition 33, 2000), on a landscape that is
turned upside down.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.image.basin_contacts import Contacts, collect_contacts
from asem.volume.roi import IntZYX, Roi

STEPS = ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
"""Directions of pointers, in the order of the raveled indices of the voxels they point to."""
PEAK, BACKGROUND = 3, 7
"""Directions of voxels that point to themselves, and of those that have none."""


@dataclass(frozen=True)
class BlockBasins:
    """Basins of a block, and paths that leave it: each has a local label, 1, 2, ...

    Parameters
    ----------
    labels
        Local label of each voxel, uint32, (z, y, x); 0 is background.
    roots
        Last voxel of each label's path in the block, index in the raveled block, int64, (n,).
    exits
        Direction in which the path leaves the block at this voxel; `PEAK` if it ends there, uint8.
    """

    labels: npt.NDArray[np.uint32]
    roots: npt.NDArray[np.int64]
    exits: npt.NDArray[np.uint8]


def find_basins(
    labels: npt.NDArray[Any], landscape: npt.NDArray[np.int32], core: tuple[slice, slice, slice]
) -> BlockBasins:
    """Find the basins of a block.

    Parameters
    ----------
    labels, landscape
        Of the block and a margin of 1 voxel where the volume does not end, shape (z, y, x). Voxels
        of different labels do not point to each other; 0 is background.
    core
        Index of the block in both.

    Examples
    --------
    >>> landscape = np.array([[[1, 3, 2, 2, 5, 6]]], np.int32)
    >>> core = (slice(0, 1), slice(0, 1), slice(0, 5))
    >>> basins = find_basins(np.ones((1, 1, 6), np.uint8), landscape, core)
    >>> basins.labels.tolist(), basins.roots.tolist(), basins.exits.tolist()
    ([[[1, 1, 1, 2, 2]]], [1, 4], [3, 4])
    """
    start = np.array([part.start for part in core])
    shape = tuple(part.stop - part.start for part in core)
    directions = np.full(shape, BACKGROUND, np.uint8)
    _find_steepest(np.ascontiguousarray(labels), landscape, start, directions)
    local, roots = _follow_paths(directions.reshape(-1), shape[0], shape[1], shape[2])
    return BlockBasins(local.reshape(shape), roots, directions.reshape(-1)[roots])


@njit(cache=True, parallel=True)
def _find_steepest(labels, landscape, start, directions):  # type: ignore[no-untyped-def]
    """Write for each voxel of a block the direction of its greatest neighbour."""
    depth, height, width = labels.shape
    for i in prange(directions.shape[0]):
        for j in range(directions.shape[1]):
            for k in range(directions.shape[2]):
                label = labels[i + start[0], j + start[1], k + start[2]]
                if label == 0:
                    continue
                best = np.int32(-1)
                for direction, (dz, dy, dx) in enumerate(STEPS):
                    z, y, x = i + start[0] + dz, j + start[1] + dy, k + start[2] + dx
                    if 0 <= z < depth and 0 <= y < height and 0 <= x < width:
                        value = landscape[z, y, x]
                        if labels[z, y, x] == label and value >= best:
                            best = value
                            directions[i, j, k] = direction


@njit(cache=True)
def _leaves(voxel, direction, depth, height, width):  # type: ignore[no-untyped-def]
    """Return whether the neighbour of a voxel in a direction is outside of the block."""
    if direction == 0 or direction == 6:
        z = voxel // (height * width)
        return z == 0 if direction == 0 else z == depth - 1
    if direction == 1 or direction == 5:
        y = voxel // width % height
        return y == 0 if direction == 1 else y == height - 1
    x = voxel % width
    return x == 0 if direction == 2 else x == width - 1


@njit(cache=True)
def _follow_paths(directions, depth, height, width):  # type: ignore[no-untyped-def]
    """Return the local label of each voxel, and the last voxel of each label's path."""
    steps = np.array([-height * width, -width, -1, 0, 1, width, height * width])
    labels = np.zeros(len(directions), np.uint32)
    count = 0
    for voxel in range(len(directions)):
        direction = directions[voxel]
        if direction != BACKGROUND and (
            direction == PEAK or _leaves(voxel, direction, depth, height, width)
        ):
            count += 1
            labels[voxel] = count
    roots = np.empty(count, np.int64)
    for voxel in range(len(directions)):
        if labels[voxel]:
            roots[labels[voxel] - 1] = voxel
    for first in range(len(directions)):
        if directions[first] == BACKGROUND:
            continue
        voxel = first
        while labels[voxel] == 0:
            voxel += steps[directions[voxel]]
        label, voxel = labels[voxel], first
        while labels[voxel] == 0:
            labels[voxel] = label
            voxel += steps[directions[voxel]]
    return labels, roots


def to_volume_indices(
    voxels: npt.NDArray[np.int64], block: Roi, shape: IntZYX
) -> npt.NDArray[np.int64]:
    """Convert indices into the raveled block to indices into the raveled volume.

    Examples
    --------
    >>> to_volume_indices(np.array([0, 3]), Roi((0, 1, 1), (1, 2, 2)), (4, 5, 6)).tolist()
    [7, 14]
    """
    z, y, x = (
        axis + offset
        for axis, offset in zip(np.unravel_index(voxels, block.shape), block.offset, strict=True)
    )
    return np.asarray((z * shape[1] + y) * shape[2] + x, np.int64)


def find_contacts(
    local: npt.NDArray[np.uint32],
    labels: npt.NDArray[Any],
    landscape: npt.NDArray[np.int32],
) -> Contacts:
    """Find the contacts of the local labels within a block, whose indices start at 0.

    Parameters
    ----------
    local
        Local labels, (z, y, x).
    labels, landscape
        Of the block; voxels of different labels make no contact.
    """
    return collect_contacts(*_collect_faces(local, labels, landscape))


@njit(cache=True)
def _collect_faces(local, labels, landscape):  # type: ignore[no-untyped-def]
    """Return the labels, the axis and the lower value of each face between two local labels."""
    count = 0
    for step in range(2):
        if step == 1:
            first, second = np.empty(count, np.int64), np.empty(count, np.int64)
            axes, heights = np.empty(count, np.uint8), np.empty(count, np.int32)
            count = 0
        for axis, (dz, dy, dx) in enumerate(((1, 0, 0), (0, 1, 0), (0, 0, 1))):
            for i in range(local.shape[0] - dz):
                for j in range(local.shape[1] - dy):
                    for k in range(local.shape[2] - dx):
                        a, b = local[i, j, k], local[i + dz, j + dy, k + dx]
                        if a == b or labels[i, j, k] != labels[i + dz, j + dy, k + dx]:
                            continue
                        if step == 1:
                            first[count], second[count], axes[count] = a - 1, b - 1, axis
                            heights[count] = min(
                                landscape[i, j, k], landscape[i + dz, j + dy, k + dx]
                            )
                        count += 1
    return first, second, axes, heights
