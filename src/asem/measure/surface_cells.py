"""The polygons of a smooth surface in each cell of 2 x 2 x 2 voxel centres (numba).

`asem.measure.surfaces` states the method. A cell has corners 0-7, bits (z, y, x); its edges are
numbered by their lower corner and axis::

        6------7
       /|     /|        edge   corners        face: 4 corners in a cycle, outward; edge i connects
      4------5 |        0-3    0-4 1-5 ...    corners i and i + 1 of the cycle
      | 2----|-3        4-7    0-2 1-3 ...
      |/     |/         8-11   0-1 2-3 ...
      0------1

A polygon crosses the edges that have one end in the object. Within a face, it connects an edge that
leaves the object to one that enters it; of a face with two diagonal corners in the object, the
bilinear interpolation of its corners determines which (Nielson and Hamann, The asymptotic decider,
IEEE Visualization 1991).
"""

import numpy as np
from numba import njit, prange

HALO = 3
"""Voxels around a block that determine the surface at its voxels: 1 for cells, 2 for the filter."""
TAPS = (1, 4, 6, 4, 1)
"""Binomial filter along each axis, 1/16: standard deviation 1 voxel."""
LEVEL = 16**3 // 2
"""Half of the value of the filter where all voxels are of the object."""
MARGIN = 3 * LEVEL // 32
"""Minimum distance of a value from `LEVEL`."""
SLAB = 16
"""Planes of a thread."""


def _filter_rows() -> np.ndarray:
    """Return the filter along a row of 6 voxels, at the two in the middle, for each bit pattern."""
    return np.array(
        [
            [sum(tap * (row >> (k + start) & 1) for k, tap in enumerate(TAPS)) for start in (0, 1)]
            for row in range(64)
        ],
        np.int32,
    )


def _number_edges() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends of the 12 edges, and corners and edges of the 6 faces, in cycles."""
    ends = [(c, c | bit) for bit in (4, 2, 1) for c in range(8) if not c & bit]
    faces = []
    for axis in range(3):
        bit, u, v = (4 >> (axis + k) % 3 for k in range(3))
        cycle = [0, u, u | v, v]
        faces += [[bit | corner for corner in cycle], cycle[::-1]]
    edges = [
        [ends.index((min(pair), max(pair))) for pair in zip(face, face[1:] + face[:1], strict=True)]
        for face in faces
    ]
    return np.array(ends), np.array(faces), np.array(edges)


def _link_edges() -> np.ndarray:
    """Return the edge to which each edge of a face is linked, or -1, (16, 2, 4).

    For each pattern of corners in the object (bit i: corner i of the cycle), with diagonal corners
    separated or joined.
    """
    links = np.full((16, 2, 4), -1)
    for pattern in range(1, 15):
        inside = [pattern >> i & 1 for i in range(4)]
        entries = [i for i in range(4) if not inside[i] and inside[(i + 1) % 4]]
        for leaving in (i for i in range(4) if inside[i] and not inside[(i + 1) % 4]):
            links[pattern, 0, leaving] = max(entries, key=lambda i: (i - leaving) % 4)
            links[pattern, 1, leaving] = min(entries, key=lambda i: (i - leaving) % 4)
    return links


ROWS = _filter_rows()
ENDS, FACES, FACE_EDGES = _number_edges()
LINKS = _link_edges()


@njit(cache=True, parallel=True)
def find_voxel_areas(labels, voxel_size, unit_nm2):  # type: ignore[no-untyped-def]
    """Return the area of the surface of each voxel's object that belongs to the voxel.

    Parameters
    ----------
    labels
        Ids, 0 background, with `HALO` voxels around the block.
    voxel_size
        nm, float64 (3,).
    unit_nm2
        Unit of the areas.

    Returns
    -------
    areas
        uint32, shape of the block.
    """
    planes = labels.shape[0] - 2 * HALO
    rows, columns = labels.shape[1] - 2 * HALO, labels.shape[2] - 2 * HALO
    areas = np.zeros((planes, rows, columns), np.uint32)
    for slab in prange((planes + SLAB - 1) // SLAB):
        first, last = slab * SLAB, min((slab + 1) * SLAB, planes)
        _add_slab(labels[first : last + 2 * HALO], voxel_size, unit_nm2, areas[first:last])
    return areas


@njit(cache=True)
def _add_slab(labels, voxel_size, unit_nm2, areas):  # type: ignore[no-untyped-def]
    """Add the areas of all cells that have a corner in a slab."""
    rows, columns = np.empty((6, 6, 2), np.int32), np.empty((6, 2, 2), np.int32)
    heights, shares = np.empty(8, np.int64), np.empty(8)
    work = (np.empty(12, np.int64), np.empty((12, 3)), np.empty(12, np.int64))
    for z in range(HALO - 1, labels.shape[0] - HALO):
        for y in range(HALO - 1, labels.shape[1] - HALO):
            for x in range(HALO - 1, labels.shape[2] - HALO):
                if _is_uniform(labels, z, y, x):
                    continue
                for corner in range(8):
                    label = _corner_label(labels, z, y, x, corner)
                    if label == 0 or not _is_first_corner(labels, z, y, x, corner):
                        continue
                    _filter_cell(labels, z, y, x, label, rows, columns, heights)
                    case = _find_heights(labels, z, y, x, label, heights)
                    _share_polygons(case, heights, voxel_size, shares, work)
                    _add_shares(areas, (z, y, x), case, shares, unit_nm2)


@njit(cache=True)
def _add_shares(areas, cell, case, shares, unit_nm2):  # type: ignore[no-untyped-def]
    """Add the shares of the corners of a cell that are in the object and in the block."""
    for corner in range(8):
        z, y = cell[0] - HALO + (corner >> 2), cell[1] - HALO + (corner >> 1 & 1)
        x = cell[2] - HALO + (corner & 1)
        in_block = z < areas.shape[0] and y < areas.shape[1] and x < areas.shape[2]
        if case >> corner & 1 and in_block and min(z, y, x) >= 0:
            areas[z, y, x] += np.uint32(shares[corner] / unit_nm2 + 0.5)


@njit(cache=True)
def _corner_label(labels, z, y, x, corner):  # type: ignore[no-untyped-def]
    return labels[z + (corner >> 2), y + (corner >> 1 & 1), x + (corner & 1)]


@njit(cache=True)
def _is_uniform(labels, z, y, x):  # type: ignore[no-untyped-def]
    """Return whether all corners of a cell have one label."""
    label = labels[z, y, x]
    return (
        label == labels[z, y, x + 1]
        and label == labels[z, y + 1, x]
        and label == labels[z, y + 1, x + 1]
        and label == labels[z + 1, y, x]
        and label == labels[z + 1, y, x + 1]
        and label == labels[z + 1, y + 1, x]
        and label == labels[z + 1, y + 1, x + 1]
    )


@njit(cache=True)
def _is_first_corner(labels, z, y, x, corner):  # type: ignore[no-untyped-def]
    """Return whether a corner is the first one of its label."""
    label, first = _corner_label(labels, z, y, x, corner), 0
    while _corner_label(labels, z, y, x, first) != label:
        first += 1
    return first == corner


@njit(cache=True)
def _row_pattern(row, x, label):  # type: ignore[no-untyped-def]
    """Return which of 6 voxels have a label, as bits."""
    pattern = 0
    for k in range(6):
        if row[x + k] == label:
            pattern |= 1 << k
    return pattern


@njit(cache=True)
def _filter_cell(labels, z, y, x, label, rows, columns, values):  # type: ignore[no-untyped-def]
    """Apply the binomial filter to the indicator of a label at the corners of a cell."""
    for i in range(6):
        for j in range(6):
            pattern = _row_pattern(labels[z - 2 + i, y - 2 + j], x - 2, label)
            rows[i, j, 0], rows[i, j, 1] = ROWS[pattern, 0], ROWS[pattern, 1]
    for i in range(6):
        for j in range(2):
            for k in range(2):
                ends = rows[i, j, k] + rows[i, j + 4, k]
                inner = rows[i, j + 1, k] + rows[i, j + 3, k]
                columns[i, j, k] = ends + 4 * inner + 6 * rows[i, j + 2, k]
    for i in range(8):
        z, y, x = i >> 2, i >> 1 & 1, i & 1
        ends = columns[z, y, x] + columns[z + 4, y, x]
        inner = columns[z + 1, y, x] + columns[z + 3, y, x]
        values[i] = ends + 4 * inner + 6 * columns[z + 2, y, x]


@njit(cache=True)
def _find_heights(labels, z, y, x, label, values):  # type: ignore[no-untyped-def]
    """Convert filtered values to heights above (below, outside) the level; return the case.

    Bit c of the case: corner c is in the object. A value on the wrong side is reflected.
    """
    case = 0
    for corner in range(8):
        height = LEVEL - values[corner]
        if _corner_label(labels, z, y, x, corner) == label:
            case |= 1 << corner
            height = -height
        values[corner] = height if height >= MARGIN else 3 * MARGIN - 2 * height
    return case


@njit(cache=True)
def _share_polygons(case, heights, voxel_size, shares, work):  # type: ignore[no-untyped-def]
    """Find the areas of the surface in a cell that belong to its corners, (8,), nm^2."""
    following, points, owners = work
    pending = _link_faces(case, heights, following)
    shares[:] = 0
    for start in range(12):
        if not pending >> start & 1:
            continue
        count, edge = 0, start
        while True:
            a, b = ENDS[edge, 0], ENDS[edge, 1]
            points[count, 0] = (a >> 2) * voxel_size[0]
            points[count, 1] = (a >> 1 & 1) * voxel_size[1]
            points[count, 2] = (a & 1) * voxel_size[2]
            axis = edge >> 2
            points[count, axis] += heights[a] / (heights[a] + heights[b]) * voxel_size[axis]
            owners[count] = a if case >> a & 1 else b
            pending &= ~(1 << edge)
            count += 1
            edge = following[edge]
            if edge == start:
                break
        _share_polygon(points, owners, count, shares)


@njit(cache=True)
def _link_faces(case, heights, following):  # type: ignore[no-untyped-def]
    """Link each crossed edge to the next one of its polygon; return the crossed edges as bits."""
    crossed = 0
    for face in range(6):
        a, b = FACES[face, 0], FACES[face, 1]
        c, d = FACES[face, 2], FACES[face, 3]
        pattern = (
            (case >> a & 1) | (case >> b & 1) << 1 | (case >> c & 1) << 2 | (case >> d & 1) << 3
        )
        difference = heights[a] * heights[c] - heights[b] * heights[d]
        joined = int(difference > 0 if pattern == 5 else difference < 0)
        for i in range(4):
            target = LINKS[pattern, joined, i]
            if target >= 0:
                edge = FACE_EDGES[face, i]
                following[edge] = FACE_EDGES[face, target]
                crossed |= 1 << edge
    return crossed


@njit(cache=True)
def _share_polygon(points, owners, count, shares):  # type: ignore[no-untyped-def]
    """Add half of each triangle of the fan around the centroid to the owners of its corners."""
    z = y = x = 0.0
    for i in range(count):
        z, y, x = z + points[i, 0], y + points[i, 1], x + points[i, 2]
    z, y, x = z / count, y / count, x / count
    last = count - 1
    for i in range(count):
        az, ay, ax = points[last, 0] - z, points[last, 1] - y, points[last, 2] - x
        bz, by, bx = points[i, 0] - z, points[i, 1] - y, points[i, 2] - x
        nz, ny, nx = ay * bx - ax * by, ax * bz - az * bx, az * by - ay * bz
        half = 0.25 * np.sqrt(nz * nz + ny * ny + nx * nx)
        shares[owners[last]] += half
        shares[owners[i]] += half
        last = i
