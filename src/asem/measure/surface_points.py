"""Points on the smooth surface of objects, one for each voxel at their border (numba).

The point of a voxel is the mean of the crossings of the surface (`asem.measure.surfaces`) with the
edges from its centre to those of its neighbours along the axes that are not of its object::

    . . . .
    . o # #      o crossings of #; the point is their mean, less than one voxel from the centre
      # # #
"""

import numpy as np
from numba import njit

from asem.measure.surface_cells import HALO, LEVEL, MARGIN, TAPS

NO_POINT = -1
ROW_VALUES = np.array(
    [sum(tap * (row >> k & 1) for k, tap in enumerate(TAPS)) for row in range(32)], np.int64
)
"""Filter along a row of 5 voxels, for each bit pattern."""


@njit(cache=True)
def find_surface_points(labels, voxel_size):  # type: ignore[no-untyped-def]
    """Return the points of a block.

    Parameters
    ----------
    labels
        Ids, 0 background, with `HALO` voxels around the block.
    voxel_size
        nm, float64 (3,).

    Returns
    -------
    index
        Row in `offsets` of each voxel, or `NO_POINT`; int32, shape of the block.
    offsets
        From the centre of the voxel to its point, nm, float64 (n, 3).
    """
    shape = (
        labels.shape[0] - 2 * HALO, labels.shape[1] - 2 * HALO, labels.shape[2] - 2 * HALO,
    )  # fmt: skip
    index, count = np.full(shape, NO_POINT, np.int32), 0
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if _is_at_border(labels, z + HALO, y + HALO, x + HALO):
                    index[z, y, x] = count
                    count += 1
    offsets = np.zeros((count, 3))
    for z in range(shape[0]):
        for y in range(shape[1]):
            for x in range(shape[2]):
                if index[z, y, x] != NO_POINT:
                    at = (z + HALO, y + HALO, x + HALO)
                    _find_offset(labels, at, voxel_size, offsets[index[z, y, x]])
    return index, offsets


@njit(cache=True)
def _is_at_border(labels, z, y, x):  # type: ignore[no-untyped-def]
    """Return whether a voxel of an object has a neighbour along an axis that is not of it."""
    label = labels[z, y, x]
    return label != 0 and (
        labels[z - 1, y, x] != label
        or labels[z + 1, y, x] != label
        or labels[z, y - 1, x] != label
        or labels[z, y + 1, x] != label
        or labels[z, y, x - 1] != label
        or labels[z, y, x + 1] != label
    )


@njit(cache=True)
def _find_offset(labels, at, voxel_size, offset):  # type: ignore[no-untyped-def]
    """Write the mean of the crossings around a voxel."""
    z, y, x = at
    label, count = labels[z, y, x], 0
    own = _height(_filter_voxel(labels, z, y, x, label) - LEVEL)
    for axis in range(3):
        dz, dy, dx = int(axis == 0), int(axis == 1), int(axis == 2)
        for step in (-1, 1):
            i, j, k = z + step * dz, y + step * dy, x + step * dx
            if labels[i, j, k] != label:
                other = _height(LEVEL - _filter_voxel(labels, i, j, k, label))
                offset[axis] += step * voxel_size[axis] * own / (own + other)
                count += 1
    offset /= count


@njit(cache=True)
def _height(height):  # type: ignore[no-untyped-def]
    return height if height >= MARGIN else 3 * MARGIN - 2 * height


@njit(cache=True)
def _filter_voxel(labels, z, y, x, label):  # type: ignore[no-untyped-def]
    """Apply the binomial filter to the indicator of a label at a voxel."""
    value = 0
    for i in range(5):
        for j in range(5):
            row, pattern = labels[z - 2 + i, y - 2 + j], 0
            for k in range(5):
                if row[x - 2 + k] == label:
                    pattern |= 1 << k
            value += TAPS[i] * TAPS[j] * ROW_VALUES[pattern]
    return value
