"""Pairs of objects whose gap is within a search distance, in one box (numba).

Gaps are those of `asem.measure.contact_gaps`. Points on the surface are found where the gap does
not decide, each once in a block.
"""

import numpy as np
from numba import njit

from asem.measure.contact_gaps import FAR, find_gaps
from asem.measure.surface_cells import HALO
from asem.measure.surface_points import find_point


@njit(cache=True)
def find_boxes(others, count):  # type: ignore[no-untyped-def]
    """Return first and last index along each axis of the objects 1 ... count, (count + 1, 2, 3).

    Parameters
    ----------
    others
        Numbers of objects, 0: none, uint32, with `HALO` voxels around the box.
    count
        The largest number. The first index of one that is absent is above its last.
    """
    boxes = np.empty((count + 1, 2, 3), np.int64)
    boxes[:, 0], boxes[:, 1] = np.iinfo(np.int64).max, -1
    numbers = others[HALO:-HALO, HALO:-HALO, HALO:-HALO]
    for z in range(numbers.shape[0]):
        for y in range(numbers.shape[1]):
            before = 0
            for x in range(numbers.shape[2]):
                number = numbers[z, y, x]
                if number == 0:
                    before = 0
                    continue
                box = boxes[number]
                if number != before:
                    box[0, 0], box[1, 0] = min(box[0, 0], z), z
                    box[0, 1], box[1, 1] = min(box[0, 1], y), max(box[1, 1], y)
                    box[0, 2] = min(box[0, 2], x)
                    before = number
                box[1, 2] = max(box[1, 2], x)
    return boxes


@njit(cache=True)
def find_pairs(own, other, index, boxes, voxels, geometry):  # type: ignore[no-untyped-def]
    """Return the pairs of objects within reach in a box.

    Parameters
    ----------
    own
        The objects of a tile: their numbers, 0: none, uint32, with `HALO` voxels around the tile;
        offsets of points (k, 3), and which of them are known (k,), which this extends.
    other
        The same of the other objects in the surroundings of the tile.
    index
        Row in the offsets of `other` of each voxel of the surroundings, -1: no point; int32.
    boxes
        Bounding boxes of the other objects in the surroundings (`find_boxes`).
    voxels
        Voxels of the objects, sorted along z: indices into the surroundings (n, 3); object, number
        of the same object in `other` or 0, area, and row in the offsets of `own` (n, 4), all int64;
        index of the first voxel of the tile in the surroundings, (3,).
    geometry
        Voxel size (3,), reach in voxels (3,), and squares: the largest gap, the gap up to which the
        points of both are near in any case, the largest distance of points, and that of the centres
        of their voxels.

    Returns
    -------
    pairs
        Object, number of the other object, area; int64 (m, 3).
    squared_gaps
        Minimum over the pair, (m,).
    """
    places, facts, _ = voxels
    voxel_size, reach, limit = geometry[0], geometry[1], geometry[2]
    numbers = other[0][HALO:-HALO, HALO:-HALO, HALO:-HALO]
    border, starts = _sort_border(numbers, index, len(boxes))
    pairs, squared_gaps, count = np.empty((64, 3), np.int64), np.empty(64), 0
    rows = facts[:, 0].max() + 1 if len(facts) else 0
    minima, sums = np.full(rows, FAR), np.zeros(rows, np.int64)
    gaps, near = np.empty(len(places)), np.empty(len(places), np.int64)
    for number in range(1, len(boxes)):
        if boxes[number, 1, 0] < 0:
            continue
        found = _find_near(places, facts, number, boxes[number], reach, near)
        if found == 0:
            continue
        find_gaps(numbers, number, boxes[number], places, near[:found], (voxel_size, reach), gaps)
        reached = near[:found][gaps[near[:found]] <= limit]
        target = number, border[starts[number] : starts[number + 1]]
        _sum_areas(own, other, reached, gaps, voxels, target, geometry, sums)
        for i in reached:
            minima[facts[i, 0]] = min(minima[facts[i, 0]], gaps[i])
        for i in reached:
            owner = facts[i, 0]
            if minima[owner] < FAR:
                if count == len(pairs):
                    pairs, squared_gaps = _double(pairs, squared_gaps)
                pairs[count, 0], pairs[count, 1], pairs[count, 2] = owner, number, sums[owner]
                squared_gaps[count] = minima[owner]
                minima[owner], sums[owner] = FAR, 0
                count += 1
    return pairs[:count], squared_gaps[:count]


@njit(cache=True)
def _sort_border(numbers, index, count):  # type: ignore[no-untyped-def]
    """Return the voxels with points, sorted by object and along z, and the start of each object.

    The columns are their indices along z, y, x and in the offsets.
    """
    starts = np.zeros(count + 1, np.int64)
    for z in range(numbers.shape[0]):
        for y in range(numbers.shape[1]):
            for x in range(numbers.shape[2]):
                if index[z, y, x] >= 0:
                    starts[numbers[z, y, x] + 1] += 1
    starts = np.cumsum(starts)
    border, following = np.empty((starts[-1], 4), np.int32), starts.copy()
    for z in range(numbers.shape[0]):
        for y in range(numbers.shape[1]):
            for x in range(numbers.shape[2]):
                if index[z, y, x] >= 0:
                    row = following[numbers[z, y, x]]
                    border[row, 0], border[row, 1], border[row, 2] = z, y, x
                    border[row, 3] = index[z, y, x]
                    following[numbers[z, y, x]] += 1
    return border, starts


@njit(cache=True)
def _sum_areas(own, other, reached, gaps, voxels, target, geometry, sums):  # type: ignore[no-untyped-def]
    """Add the areas of the voxels in `reached` whose points are near an object to their owners."""
    places, facts, first = voxels
    labels, offsets, is_known = own
    start = 0
    for i in reached:
        if facts[i, 2] == 0:
            continue
        z, y, x = places[i, 0], places[i, 1], places[i, 2]
        if gaps[i] > geometry[3] and not _is_at(other[0], (z, y, x), target[0]):
            row = facts[i, 3]
            if not is_known[row]:
                at = (z - first[0] + HALO, y - first[1] + HALO, x - first[2] + HALO)
                find_point(labels, at, geometry[0], offsets[row])
                is_known[row] = True
            found = _find_near_point((z, y, x), offsets[row], start, target[1], other, geometry)
            if found < 0:
                continue
            start = found
        sums[facts[i, 0]] += facts[i, 2]


@njit(cache=True)
def _is_at(others, at, number):  # type: ignore[no-untyped-def]
    """Return whether a voxel, which may be outside of the box, is of an object."""
    z, y, x = at[0] + HALO, at[1] + HALO, at[2] + HALO
    if min(at[0], at[1], at[2]) < 0:
        return False
    if z + HALO >= others.shape[0] or y + HALO >= others.shape[1] or x + HALO >= others.shape[2]:
        return False
    return others[z, y, x] == number


@njit(cache=True)
def _find_near_point(at, offset, start, border, other, geometry):  # type: ignore[no-untyped-def]
    """Return a border voxel within reach whose point is near that of a voxel, or -1.

    Those within reach along z are compared from `start` on, up and down: the border voxel that was
    near to the voxel before is often near to this one, too.
    """
    labels, offsets, is_known = other
    size, reach, limit, limit_of_centres = geometry[0], geometry[1], geometry[4], geometry[5]
    first = np.searchsorted(border[:, 0], at[0] - reach[0])
    last = np.searchsorted(border[:, 0], at[0] + reach[0] + 1)
    up = min(max(start, first), last)
    down = up - 1
    while up < last or down >= first:
        if down < first or (up < last and up - start <= start - down):
            this, up = up, up + 1
        else:
            this, down = down, down - 1
        dz, dy, dx = at[0] - border[this, 0], at[1] - border[this, 1], at[2] - border[this, 2]
        if abs(dy) > reach[1] or abs(dx) > reach[2]:
            continue
        nz, ny, nx = dz * size[0], dy * size[1], dx * size[2]
        if nz * nz + ny * ny + nx * nx > limit_of_centres:
            continue
        row = border[this, 3]
        if not is_known[row]:
            voxel = (border[this, 0] + HALO, border[this, 1] + HALO, border[this, 2] + HALO)
            find_point(labels, voxel, size, offsets[row])
            is_known[row] = True
        nz += offset[0] - offsets[row, 0]
        ny += offset[1] - offsets[row, 1]
        nx += offset[2] - offsets[row, 2]
        if nz * nz + ny * ny + nx * nx <= limit:
            return this
    return -1


@njit(cache=True)
def _double(pairs, squared_gaps):  # type: ignore[no-untyped-def]
    """Return arrays of twice the length with the same rows."""
    length = len(pairs)
    more_pairs, more_gaps = np.empty((2 * length, 3), np.int64), np.empty(2 * length)
    more_pairs[:length], more_gaps[:length] = pairs, squared_gaps
    return more_pairs, more_gaps


@njit(cache=True)
def _find_near(places, facts, number, box, reach, near):  # type: ignore[no-untyped-def]
    """Write the voxels of different objects within reach of a box into `near`; return how many."""
    found, low, high = 0, box[0] - reach, box[1] + reach
    for i in range(np.searchsorted(places[:, 0], low[0]), len(places)):
        if places[i, 0] > high[0]:
            break
        is_along_y = low[1] <= places[i, 1] <= high[1]
        if is_along_y and low[2] <= places[i, 2] <= high[2] and facts[i, 1] != number:
            near[found] = i
            found += 1
    return found
