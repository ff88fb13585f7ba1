"""Gaps between voxels of objects and other objects, in one box (numba).

The gap of two voxels is the distance between their boxes; d is the difference of their indices and
s the voxel size::

    gap^2 = sum over the axes of (max(0, |d| - 1) s)^2          . . a . . . b    |d| = 4, gap 3 s

It is the distance of voxel a to the dilation of b by 3 x 3 x 3 voxels. The minimum over the voxels
of an object is computed axis by axis (Saito and Toriwaki, Pattern Recognition 1994), for the voxels
within reach of its bounding box: planes of the object are reduced along x, then along y, and each
voxel takes the minimum over the planes. An object costs no more than its surroundings.
"""

import numpy as np
from numba import njit

FAR = np.inf


@njit(cache=True)
def find_gaps(others, number, box, places, near, geometry, gaps):  # type: ignore[no-untyped-def]
    """Find the squared gap of each voxel in `near` to an object.

    Parameters
    ----------
    others
        Numbers of objects, uint32.
    number, box
        The object, and its first and last index along each axis, (2, 3).
    places
        Indices of voxels, which may be outside of `others`, sorted along z, (n, 3).
    near
        Rows of the voxels, at least one.
    geometry
        Voxel size, nm, and reach in voxels, (3,) each.
    gaps
        Set to the squared gaps, nm^2, (n,); infinite where there is none within reach.
    """
    voxel_size, reach = geometry
    low, high = _find_bounds(places, near)
    row_first = max(box[0, 1], low[1] - reach[1])  # of the rows within reach
    row_last = min(box[1, 1], high[1] + reach[1])
    row = np.empty(high[2] - low[2] + 1)
    plane = np.empty((high[1] - low[1] + 1, len(row)))
    gaps[near] = FAR
    first, last = 0, 0  # of the voxels within reach of the plane
    for z in range(box[0, 0], box[1, 0] + 1):
        while last < len(near) and places[near[last], 0] <= z + reach[0]:
            last += 1
        while first < last and places[near[first], 0] < z - reach[0]:
            first += 1
        if first == last:
            continue
        ends = (box[0, 2], box[1, 2])
        plane[:] = FAR
        is_reached = False
        for y in range(row_first, row_last + 1):
            if _reduce_row(others[z, y], number, ends, low[2], geometry, row):
                _add_row(row, y - low[1], geometry, plane)
                is_reached = True
        if not is_reached:
            continue
        for i in near[first:last]:
            gap = max(0, abs(places[i, 0] - z) - 1) * voxel_size[0]
            y, x = places[i, 1] - low[1], places[i, 2] - low[2]
            gaps[i] = min(gaps[i], plane[y, x] + gap * gap)


@njit(cache=True)
def _find_bounds(places, near):  # type: ignore[no-untyped-def]
    """Return the first and the last index along each axis of the voxels in `near`, (3,) each."""
    low, high = places[near[0]].copy(), places[near[0]].copy()
    for i in near:
        for axis in range(3):
            low[axis] = min(low[axis], places[i, axis])
            high[axis] = max(high[axis], places[i, axis])
    return low, high


@njit(cache=True)
def _reduce_row(line, number, ends, x_low, geometry, gaps):  # type: ignore[no-untyped-def]
    """Find the squared gap along x to an object, from x_low on; return whether there is any."""
    size, reach = geometry[0][2], geometry[1][2]
    gaps[:] = FAR
    is_reached = _sweep_row(line, number, ends, 1, x_low, size, reach, gaps)
    is_reached |= _sweep_row(line, number, ends, -1, x_low, size, reach, gaps)
    return is_reached


@njit(cache=True)
def _sweep_row(line, number, ends, step, x_low, size, reach, gaps):  # type: ignore[no-untyped-def]
    """Lower the squared gaps of a row to the voxels of an object before, in steps of 1 or -1."""
    x_end, nearest, is_reached = x_low + len(gaps), -1, False
    start, stop = (ends[0], x_end) if step > 0 else (ends[1], x_low - 1)
    for x in range(start, stop, step):
        if ends[0] <= x <= ends[1] and line[x] == number:
            nearest = x
        if nearest >= 0 and x_low <= x < x_end and abs(x - nearest) <= reach:
            gap = max(0, abs(x - nearest) - 1) * size
            gaps[x - x_low] = min(gaps[x - x_low], gap * gap)
            is_reached = True
    return is_reached


@njit(cache=True)
def _add_row(row, y, geometry, plane):  # type: ignore[no-untyped-def]
    """Lower the squared gaps of a plane to those along y from a row, which is at index y."""
    size, reach = geometry[0][1], geometry[1][1]
    for target in range(max(0, y - reach), min(plane.shape[0], y + reach + 1)):
        steps = max(0, abs(target - y) - 1) * size
        squared, line = steps * steps, plane[target]
        for x in range(len(row)):
            gap = row[x] + squared
            line[x] = gap if gap < line[x] else line[x]
