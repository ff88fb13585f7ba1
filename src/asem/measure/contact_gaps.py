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
def find_boxes(others, count):  # type: ignore[no-untyped-def]
    """Return first and last index along each axis of the objects 1 ... count, (count + 1, 2, 3).

    Parameters
    ----------
    others
        Numbers of objects, 0: none; uint32.
    count
        The largest number. The first index of one that is absent is above its last.
    """
    boxes = np.empty((count + 1, 2, 3), np.int64)
    boxes[:, 0], boxes[:, 1] = np.iinfo(np.int64).max, -1
    for z in range(others.shape[0]):
        for y in range(others.shape[1]):
            before = 0
            for x in range(others.shape[2]):
                number = others[z, y, x]
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
def find_pairs(others, other_points, boxes, voxels, geometry):  # type: ignore[no-untyped-def]
    """Return the pairs of objects within reach in a box.

    Parameters
    ----------
    others
        Numbers of the other objects, 0: none; uint32.
    other_points
        Their points: index of each voxel, shape of `others`, and offsets
        (`asem.measure.surface_points`).
    boxes
        Their bounding boxes (`find_boxes`).
    voxels
        Voxels of the objects, sorted along z: indices into `others` (n, 3); object, number of the
        same object in `others` or 0, and area (n, 3), all int64; offsets of their points (n, 3).
    geometry
        Voxel size (3,), reach in voxels (3,), and squares: the largest gap, the gap up to which the
        points of both are near in any case, and the largest distance of points.

    Returns
    -------
    pairs
        Object, number of the other object, area; int64 (m, 3).
    squared_gaps
        Minimum over the pair, (m,).
    """
    places, facts, _ = voxels
    voxel_size, reach, limit, _, _ = geometry
    points, starts = _sort_points(others, other_points[0], len(boxes))
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
        _find_gaps(others, number, boxes[number], places, near[:found], (voxel_size, reach), gaps)
        targets = number, points[starts[number] : starts[number + 1]]
        reached = near[:found][gaps[near[:found]] <= limit]
        _sum_areas(others, reached, gaps, voxels, targets, other_points, geometry, sums)
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
def _sort_points(others, index, count):  # type: ignore[no-untyped-def]
    """Return the voxels with points, sorted by object and along z, and the start of each object."""
    starts = np.zeros(count + 1, np.int64)
    for z in range(others.shape[0]):
        for y in range(others.shape[1]):
            for x in range(others.shape[2]):
                if index[z, y, x] >= 0:
                    starts[others[z, y, x] + 1] += 1
    starts = np.cumsum(starts)
    points, following = np.empty((starts[-1], 3), np.int32), starts.copy()
    for z in range(others.shape[0]):
        for y in range(others.shape[1]):
            for x in range(others.shape[2]):
                if index[z, y, x] >= 0:
                    number = others[z, y, x]
                    row = following[number]
                    points[row, 0], points[row, 1], points[row, 2] = z, y, x
                    following[number] += 1
    return points, starts


@njit(cache=True)
def _sum_areas(others, reached, gaps, voxels, targets, other_points, geometry, sums):  # type: ignore[no-untyped-def]
    """Add the areas of the voxels in `reached` whose points are near an object to their owners."""
    places, facts, _ = voxels
    number, points = targets
    for i in reached:
        if facts[i, 2] == 0:
            continue
        is_inside = others[places[i, 0], places[i, 1], places[i, 2]] == number
        is_near = is_inside or gaps[i] <= geometry[3]
        if is_near or _is_near(i, voxels, points, other_points, geometry):
            sums[facts[i, 0]] += facts[i, 2]


@njit(cache=True)
def _is_near(i, voxels, targets, other_points, geometry):  # type: ignore[no-untyped-def]
    """Return whether the point of a voxel is near one of an object, of a voxel within reach."""
    size, reach, limit = geometry[0], geometry[1], geometry[4]
    z, y, x = voxels[0][i, 0], voxels[0][i, 1], voxels[0][i, 2]
    own, (index, offsets) = voxels[2][i], other_points
    for row in range(np.searchsorted(targets[:, 0], z - reach[0]), len(targets)):
        tz, ty, tx = targets[row, 0], targets[row, 1], targets[row, 2]
        if tz > z + reach[0]:
            break
        if abs(y - ty) <= reach[1] and abs(x - tx) <= reach[2]:
            other = offsets[index[tz, ty, tx]]
            dz = (z - tz) * size[0] + (own[0] - other[0])  # the same for every box
            dy = (y - ty) * size[1] + (own[1] - other[1])
            dx = (x - tx) * size[2] + (own[2] - other[2])
            if dz * dz + dy * dy + dx * dx <= limit:
                return True
    return False


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
    found = 0
    for i in range(len(places)):
        if facts[i, 1] == number:
            continue
        is_near = True
        for axis in range(3):
            low, high = box[0, axis] - reach[axis], box[1, axis] + reach[axis]
            is_near &= low <= places[i, axis] <= high
        if is_near:
            near[found] = i
            found += 1
    return found


@njit(cache=True)
def _find_gaps(others, number, box, places, near, geometry, gaps):  # type: ignore[no-untyped-def]
    """Find the squared gap of each voxel in `near` to an object."""
    voxel_size, reach = geometry
    low, high = places[near[0]].copy(), places[near[0]].copy()  # of all of them
    for i in near:
        gaps[i] = FAR
        low, high = np.minimum(low, places[i]), np.maximum(high, places[i])
    rows = np.empty((box[1, 1] - box[0, 1] + 1, high[2] - low[2] + 1))
    plane = np.empty((high[1] - low[1] + 1, rows.shape[1]))
    first, last = 0, 0  # of the voxels within reach of the plane
    for z in range(box[0, 0], box[1, 0] + 1):
        while last < len(near) and places[near[last], 0] <= z + reach[0]:
            last += 1
        while first < last and places[near[first], 0] < z - reach[0]:
            first += 1
        if first == last or not _reduce_rows(others[z], number, box, low[2], geometry, rows):
            continue
        _reduce_columns(rows, low[1] - box[0, 1], geometry, plane)
        for i in near[first:last]:
            gap = max(0, abs(places[i, 0] - z) - 1) * voxel_size[0]
            y, x = places[i, 1] - low[1], places[i, 2] - low[2]
            gaps[i] = min(gaps[i], plane[y, x] + gap * gap)


@njit(cache=True)
def _reduce_rows(others, number, box, x_low, geometry, rows):  # type: ignore[no-untyped-def]
    """Find the squared gap along x to an object, from x_low on; return whether there is any."""
    size, reach = geometry[0][2], geometry[1][2]
    is_reached = False
    for row in range(rows.shape[0]):
        rows[row] = FAR
        line, ends = others[box[0, 1] + row], (box[0, 2], box[1, 2])
        is_reached |= _sweep_row(line, number, ends, 1, x_low, size, reach, rows[row])
        is_reached |= _sweep_row(line, number, ends, -1, x_low, size, reach, rows[row])
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
def _reduce_columns(rows, shift, geometry, plane):  # type: ignore[no-untyped-def]
    """Find the minimum over y of the squared gaps along y and x."""
    size, reach = geometry[0][1], geometry[1][1]
    plane[:] = FAR
    for row in range(rows.shape[0]):
        if rows[row].min() == FAR:
            continue
        first = row - shift
        for y in range(max(0, first - reach), min(plane.shape[0], first + reach + 1)):
            gap = max(0, abs(y - first) - 1) * size
            for x in range(rows.shape[1]):
                plane[y, x] = min(plane[y, x], rows[row, x] + gap * gap)
