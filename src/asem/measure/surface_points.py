"""Points on the smooth surface of objects, one for each voxel at their border (numba).

The point of a voxel is the mean of the crossings of the surface (`asem.measure.surfaces`) with the
edges from its centre to those of its neighbours along the axes that are not of its object::

    . . . .
    . o # #      o crossings of #; the point is their mean, less than one voxel from the centre
      # # #

Points are found one by one: few of them are needed.
"""

import numpy as np
from numba import njit

from asem.measure.surface_cells import HALO, LEVEL, MARGIN, TAPS

ROW_VALUES = np.array(
    [sum(tap * (row >> k & 1) for k, tap in enumerate(TAPS)) for row in range(32)], np.int64
)
"""Filter along a row of 5 voxels, for each bit pattern."""


@njit(cache=True)
def find_border(labels):  # type: ignore[no-untyped-def]
    """Return the voxels of objects with a neighbour along an axis that is not of the object.

    Parameters
    ----------
    labels
        Ids, 0 background, with `HALO` voxels around the block.

    Returns
    -------
    border
        bool, shape of the block.
    """
    planes = labels.shape[0] - 2 * HALO
    rows, columns = labels.shape[1] - 2 * HALO, labels.shape[2] - 2 * HALO
    border = np.empty((planes, rows, columns), np.bool_)
    for z in range(planes):
        for y in range(rows):
            row = labels[z + HALO, y + HALO]
            above, below = labels[z + HALO - 1, y + HALO], labels[z + HALO + 1, y + HALO]
            before, behind = labels[z + HALO, y + HALO - 1], labels[z + HALO, y + HALO + 1]
            for x in range(columns):
                label = row[x + HALO]
                is_along_x = (row[x + HALO - 1] != label) | (row[x + HALO + 1] != label)
                is_along_y = (before[x + HALO] != label) | (behind[x + HALO] != label)
                is_along_z = (above[x + HALO] != label) | (below[x + HALO] != label)
                border[z, y, x] = (label != 0) & (is_along_x | is_along_y | is_along_z)
    return border


@njit(cache=True)
def find_point(labels, at, voxel_size, offset):  # type: ignore[no-untyped-def]
    """Find the point of a voxel at the border of its object.

    Parameters
    ----------
    labels
        Ids, 0 background.
    at
        Indices of the voxel, 3 or more from the ends of `labels`.
    voxel_size
        nm, float64 (3,).
    offset
        Set to the vector from the centre of the voxel to its point, nm, float64 (3,).
    """
    z, y, x = at
    label, count = labels[z, y, x], 0
    own = _height(_filter_voxel(labels, z, y, x, label) - LEVEL)
    offset[:] = 0
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
