"""Kernels that add shapes to the layers of a block: signed distances to membranes (numba).

A block has a position of each voxel: axis origins and voxel size in nm, and a shift of each plane
along y and x (drift of the microscope). Every kernel runs over planes in parallel and visits the
voxels of a shape's bounding box; within a plane, shapes are added in their order, so that results
do not depend on threads. A shape takes the voxels to whose membrane it is nearest.
"""

import numpy as np
from numba import njit, prange

from asem.phantom.pit_profile import pit_distance, smooth_minimum

FAR = np.float32(1e4)
"""Distance, nm, where no shape is near."""
REACH_NM = 45.0
"""Shapes are added up to this distance from their membrane."""
FILLET_NM = 22.0
"""Width of the smooth passage from the nuclear envelope to the ER."""
PIT_MARGIN_NM = 9.0
"""Beyond the membrane that a pit is in, where what is outside is no part of the pit."""


@njit(cache=True, nogil=True, inline="always")
def axis_range(low, high, origin, size, count):  # type: ignore[no-untyped-def]
    """Return first and last index, exclusive, of the voxels of an axis between two positions."""
    return max(int(np.ceil((low - origin) / size)), 0), min(
        int(np.floor((high - origin) / size)) + 1, count
    )


@njit(cache=True, nogil=True, inline="always")
def disc_range(y, x, reach, oy, ox, size, shape):  # type: ignore[no-untyped-def]
    """Return the ranges along y and x of the voxels of a plane around a position."""
    y0, y1 = axis_range(y - reach, y + reach, oy, size[1], shape[1])
    x0, x1 = axis_range(x - reach, x + reach, ox, size[2], shape[2])
    return y0, y1, x0, x1


@njit(cache=True, nogil=True, parallel=True)
def interpolate_grid(target, grid, first, spacing, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Interpolate a coarse grid, which starts at `first`, linearly at each voxel."""
    nz, ny, nx = target.shape
    for i in prange(nz):
        row = np.empty(grid.shape[2], np.float32)
        z = (origin[0] + i * size[0] - first[0]) / spacing
        a = int(z)
        f = np.float32(z - a)
        for j in range(ny):
            y = (origin[1] + j * size[1] + shifts[i, 0] - first[1]) / spacing
            b = int(y)
            g = np.float32(y - b)
            for k in range(grid.shape[2]):
                low = grid[a, b, k] + g * (grid[a, b + 1, k] - grid[a, b, k])
                high = grid[a + 1, b, k] + g * (grid[a + 1, b + 1, k] - grid[a + 1, b, k])
                row[k] = low + f * (high - low)
            start = (origin[2] + shifts[i, 1] - first[2]) / spacing
            step = size[2] / spacing
            for k in range(nx):
                x = start + k * step
                c = int(x)
                target[i, j, k] = row[c] + np.float32(x - c) * (row[c + 1] - row[c])


@njit(cache=True, nogil=True, parallel=True)
def add_tubes(distance, kind, number, along, segments, compartment, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Add straight segments of tubes.

    `segments`: start (z, y, x), end, radius, number of the object, length before the segment.
    """
    nz, ny, nx = distance.shape
    for i in prange(nz):
        z = origin[0] + i * size[0]
        for n in range(len(segments)):
            az, ay, ax, bz, by, bx, radius = segments[n, :7]
            reach = radius + REACH_NM
            if z < min(az, bz) - reach or z > max(az, bz) + reach:
                continue
            oy, ox = origin[1] + shifts[i, 0], origin[2] + shifts[i, 1]
            y0, y1 = axis_range(min(ay, by) - reach, max(ay, by) + reach, oy, size[1], ny)
            x0, x1 = axis_range(min(ax, bx) - reach, max(ax, bx) + reach, ox, size[2], nx)
            dz, dy, dx = bz - az, by - ay, bx - ax
            squared = dz * dz + dy * dy + dx * dx
            length = np.sqrt(squared)
            for j in range(y0, y1):
                y = oy + j * size[1] - ay
                base = (z - az) * dz + y * dy
                plane = (z - az) * (z - az) + y * y
                for k in range(x0, x1):
                    x = ox + k * size[2] - ax
                    share = min(max((base + x * dx) / squared, 0.0), 1.0)
                    rest = plane + x * x - share * (2 * (base + x * dx) - share * squared)
                    if rest > reach * reach:
                        continue
                    d = np.float32(np.sqrt(max(rest, 0.0)) - radius)
                    if d < distance[i, j, k]:
                        distance[i, j, k] = d
                        kind[i, j, k] = compartment
                        number[i, j, k] = np.uint32(segments[n, 7])
                        along[i, j, k] = np.float32(segments[n, 8] + share * length)


@njit(cache=True, nogil=True, parallel=True)
def add_spheres(distance, kind, number, spheres, compartment, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Add spheres. `spheres`: centre (z, y, x), radius, number of the object."""
    for i in prange(len(distance)):
        z = origin[0] + i * size[0]
        for n in range(len(spheres)):
            cz, cy, cx, radius = spheres[n, :4]
            reach = radius + REACH_NM
            if abs(z - cz) > reach:
                continue
            oy, ox = origin[1] + shifts[i, 0], origin[2] + shifts[i, 1]
            y0, y1, x0, x1 = disc_range(cy, cx, reach, oy, ox, size, distance.shape)
            for j in range(y0, y1):
                y = oy + j * size[1] - cy
                plane = (z - cz) * (z - cz) + y * y
                for k in range(x0, x1):
                    x = ox + k * size[2] - cx
                    d = np.float32(np.sqrt(plane + x * x) - radius)
                    if d < distance[i, j, k]:
                        distance[i, j, k] = d
                        kind[i, j, k] = compartment
                        number[i, j, k] = np.uint32(spheres[n, 4])


@njit(cache=True, nogil=True, parallel=True)
def add_sheets(distance, kind, number, sheets, holes, compartment, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Add curved sheets with holes.

    `sheets`: centre (z, y, x), normal, radius of curvature, radius, half thickness, number of the
    object, first and last hole (exclusive) in `holes`: position (z, y, x) and radius.
    With s, the distance from the middle surface, and rho, that from the axis of sheet or hole::

        d = sqrt(max(0, rho - radius, hole radius + half - rho)^2 + s^2) - half
    """
    for i in prange(len(distance)):
        z = origin[0] + i * size[0]
        for n in range(len(sheets)):
            cz, cy, cx, mz, my, mx, bend, radius, half = sheets[n, :9]
            reach = radius + half + REACH_NM
            if abs(z - cz) > reach:
                continue
            oy, ox = origin[1] + shifts[i, 0], origin[2] + shifts[i, 1]
            y0, y1, x0, x1 = disc_range(cy, cx, reach, oy, ox, size, distance.shape)
            first, last = int(sheets[n, 10]), int(sheets[n, 11])
            for j in range(y0, y1):
                y = oy + j * size[1]
                for k in range(x0, x1):
                    x = ox + k * size[2]
                    rz, ry, rx = z - cz, y - cy, x - cx
                    height = rz * mz + ry * my + rx * mx
                    across = rz * rz + ry * ry + rx * rx - height * height
                    s = np.sqrt((height + bend) ** 2 + max(across, 0.0)) - bend
                    if abs(s) > half + REACH_NM:
                        continue
                    rho = np.sqrt(max(across, 0.0))
                    rim = max(rho - radius, 0.0)
                    for h in range(first, last):
                        qz, qy, qx = z - holes[h, 0], y - holes[h, 1], x - holes[h, 2]
                        up = qz * mz + qy * my + qx * mx
                        off = np.sqrt(max(qz * qz + qy * qy + qx * qx - up * up, 0.0))
                        rim = max(rim, holes[h, 3] + half - off)
                    d = np.float32(np.sqrt(rim * rim + s * s) - half)
                    if d < distance[i, j, k]:
                        distance[i, j, k] = d
                        kind[i, j, k] = compartment
                        number[i, j, k] = np.uint32(sheets[n, 9])


@njit(cache=True, nogil=True, parallel=True)
def add_pores(gap, number, pores, reach, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Add the distance to the wall of the nearest pore, measured from its axis: rho - radius.

    `pores`: centre (z, y, x), normal, radius, number of the object. `reach` is the distance from
    the wall and from the envelope up to which voxels are visited.
    """
    for i in prange(len(gap)):
        z = origin[0] + i * size[0]
        for n in range(len(pores)):
            cz, cy, cx, mz, my, mx, radius = pores[n, :7]
            limit = radius + reach
            if abs(z - cz) > limit:
                continue
            oy, ox = origin[1] + shifts[i, 0], origin[2] + shifts[i, 1]
            y0, y1, x0, x1 = disc_range(cy, cx, limit, oy, ox, size, gap.shape)
            for j in range(y0, y1):
                y = oy + j * size[1] - cy
                for k in range(x0, x1):
                    x = ox + k * size[2] - cx
                    height = (z - cz) * mz + y * my + x * mx
                    squared = (z - cz) ** 2 + y * y + x * x - height * height
                    d = np.float32(np.sqrt(max(squared, 0.0)) - radius)
                    if d < gap[i, j, k] and abs(height) < limit:
                        gap[i, j, k] = d
                        number[i, j, k] = np.uint32(pores[n, 7])


@njit(cache=True, nogil=True, parallel=True)
def add_envelope(distance, kind, nucleus, gap, er, half, compartment):  # type: ignore[no-untyped-def]
    """Add nuclear envelope and ER, joined smoothly.

    The envelope with a pore is d = sqrt(max(0, half - gap)^2 + s^2) - half: a rim that is half a
    torus, innermost at gap = 0 in the middle of the envelope.
    """
    nz, ny, nx = distance.shape
    for i in prange(nz):
        for j in range(ny):
            for k in range(nx):
                s = nucleus[i, j, k]
                d = er[i, j, k]
                if abs(s) < 100:
                    rim = max(half - gap[i, j, k], np.float32(0))
                    envelope = np.sqrt(rim * rim + s * s) - half
                    if abs(envelope - d) < FILLET_NM:
                        d = np.float32(smooth_minimum(envelope, d, FILLET_NM))
                    else:
                        d = min(envelope, d)
                if d < distance[i, j, k]:
                    distance[i, j, k] = d
                    kind[i, j, k] = compartment


@njit(cache=True, nogil=True, inline="always")
def _depth_in_cell(cell, z, y, x, endosome):  # type: ignore[no-untyped-def]
    """Return the distance from the membrane that a pit is in, without the pit, into the cytosol."""
    if endosome[3] == 0:
        return -np.float64(cell)
    z, y, x = z - endosome[0], y - endosome[1], x - endosome[2]
    return np.sqrt(z * z + y * y + x * x) - endosome[3]


@njit(cache=True, nogil=True, parallel=True)
def add_pits(distance, kind, number, cell, pits, origin, size, shifts):  # type: ignore[no-untyped-def]
    """Add pits of the plasma membrane, and of endosomes.

    `pits`: position (z, y, x), normal, height, half width, half height, neck radius, compartment,
    number of the object, and of the endosome: centre (z, y, x) and radius, 0 for a pit of the
    plasma membrane. `cell` is the signed distance to the plasma membrane.
    """
    for i in prange(len(distance)):
        z = origin[0] + i * size[0]
        for n in range(len(pits)):
            pz, py, px, mz, my, mx, height, half_width, half_height, neck = pits[n, :10]
            reach = max(height, half_width) + 2 * REACH_NM
            if abs(z - pz) > reach:
                continue
            oy, ox = origin[1] + shifts[i, 0], origin[2] + shifts[i, 1]
            y0, y1, x0, x1 = disc_range(py, px, reach, oy, ox, size, distance.shape)
            for j in range(y0, y1):
                y = oy + j * size[1]
                for k in range(x0, x1):
                    x = ox + k * size[2]
                    plane = _depth_in_cell(cell[i, j, k], z, y, x, pits[n, 12:16])
                    if plane < -REACH_NM or plane > height + REACH_NM:
                        continue
                    rz, ry, rx = z - pz, y - py, x - px
                    up = rz * mz + ry * my + rx * mx
                    if pits[n, 15] > 0 and up < -pits[n, 15]:
                        continue  # the far side of the endosome, where rho is small as well
                    rho = np.sqrt(max(rz * rz + ry * ry + rx * rx - up * up, 0.0))
                    d = pit_distance(rho, up, plane, height, half_width, half_height, neck)
                    if d < plane - 0.5 and d <= distance[i, j, k]:
                        distance[i, j, k] = np.float32(d)
                        if plane > -PIT_MARGIN_NM:
                            kind[i, j, k] = np.uint8(pits[n, 10])
                            number[i, j, k] = np.uint32(pits[n, 11])
