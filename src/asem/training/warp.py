"""Cut a warped patch out of a region in one pass, on the processor.

Coordinates are made row by row and never stored. A row goes through small loops that the compiler
turns into vector instructions; what a patch costs is its reads, four pairs of neighbours a voxel.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.training.augment import Warp
from asem.training.fields import STEP, Field, nodes_of_row

Codes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Prepared = tuple[Codes, npt.NDArray[np.int64], Floats, Floats, Field, tuple[Floats, ...]]


def warp_grey(voxels: Codes, centre: npt.NDArray[np.float64], warp: Warp) -> tuple[Floats, float]:
    """Cut a patch of grey values: trilinear, beyond the array by reflection.

    Parameters
    ----------
    voxels
        uint8, 0 to 255 is black to white.
    centre
        Of the patch, in voxels; the first voxel's centre is 0.
    warp
        Where the patch's voxels come from.

    Returns
    -------
    grey
        Shape ``warp.shape``, in [0, 1].
    mean
        Of `grey`.
    """
    out = np.empty(warp.shape, np.float32)
    sums = np.empty(warp.shape[0], np.float64)
    _grey(*_prepared(voxels, centre, warp), out, sums)
    return out, float(sums.sum() / out.size)


def warp_codes(
    codes: Codes,
    centre: npt.NDArray[np.float64],
    warp: Warp,
    *,
    edge: tuple[int, int, int],
    outside: int,
) -> Codes:
    """Cut the middle of a patch of labels: the nearest voxel, `outside` beyond the array.

    Parameters
    ----------
    codes
        uint8.
    centre
        Of the patch, in voxels of `codes`.
    warp
        Where the patch's voxels come from.
    edge
        Shape of the middle that is cut.
    outside
        Code of what lies beyond.
    """
    out = np.empty(edge, np.uint8)
    margin = np.array([(size - part) // 2 for size, part in zip(warp.shape, edge, strict=True)])
    # The nearest voxel is the one below a position half a voxel further.
    _codes(*_prepared(codes, centre + 0.5, warp), margin, np.uint8(outside), out)
    return out


def _prepared(voxels: Codes, centre: npt.NDArray[np.float64], warp: Warp) -> Prepared:
    """Return what the kernels take: positions are counted from a whole voxel near the centre.

    The array, that voxel, the matrix, where voxel 0 of the patch comes from, the field, and the
    shifts with the voxels last.
    """
    assert voxels[0].size < 2**31, "places in a plane are made from numbers of 32 bits"
    whole = np.floor(centre).astype(np.int64)
    first = centre - whole - warp.matrix @ ((np.array(warp.shape) - 1) / 2)
    shifts = tuple(np.ascontiguousarray(shift.T) for shift in warp.shifts)
    matrix = warp.matrix.astype(np.float32)
    source = np.ascontiguousarray(voxels)
    return source, whole, matrix, first.astype(np.float32), warp.field, shifts


@njit(cache=True, nogil=True)
def _row(matrix, first, field, shifts, z, y, cells, nodes, row):  # type: ignore[no-untyped-def]
    """Fill row (3, x) with the source positions of row (z, y) of a patch, in `cells` of its x."""
    for axis in range(3):
        nodes_of_row(field, axis, z, y, nodes)
        base = first[axis] + matrix[axis, 0] * np.float32(z) + matrix[axis, 1] * np.float32(y)
        base += shifts[0][axis, z] + shifts[1][axis, y]
        step = matrix[axis, 2]
        for k in range(cells[0], cells[1]):
            start = k * STEP
            value = base + nodes[k] + step * np.float32(start)
            slope = (nodes[k + 1] - nodes[k]) / np.float32(STEP) + step
            for i in range(STEP):
                row[axis, start + i] = value + slope * np.float32(i)
        for x in range(cells[0] * STEP, min(cells[1] * STEP, shifts[2].shape[1])):
            row[axis, x] += shifts[2][axis, x]


@njit(cache=True, nogil=True, fastmath=True)
def _split(row, begin, whole, shape, voxel):  # type: ignore[no-untyped-def]
    """Split the positions from `begin` on into whole voxels and what is left of them.

    Returns whether all eight neighbours of each lie inside of the array.
    """
    inside = True
    for axis in range(3):
        low = high = np.int32(np.floor(row[axis, begin]))
        for x in range(voxel.shape[1]):
            floor = np.floor(row[axis, begin + x])
            row[axis, begin + x] -= floor
            one = np.int32(floor)
            voxel[axis, x] = one
            low, high = min(low, one), max(high, one)
        inside &= low + whole[axis] >= 0 and high + whole[axis] + 1 < shape[axis]
    return inside


@njit(cache=True, nogil=True)
def _places(voxel, whole, shape, places):  # type: ignore[no-untyped-def]
    """Turn a row's voxels, all inside of the array, into places in it as one line."""
    width, plane = np.int32(shape[2]), np.int32(shape[1] * shape[2])
    origin = whole[0] * np.int64(plane) + whole[1] * np.int64(width) + whole[2]
    for x in range(len(places)):
        # Factors of 32 bits, products of 64: the processor multiplies several at a time.
        down = np.int64(voxel[0, x]) * np.int64(plane) + np.int64(voxel[1, x]) * np.int64(width)
        places[x] = origin + down + np.int64(voxel[2, x])


@njit(cache=True, nogil=True)
def _reflect(index, size):  # type: ignore[no-untyped-def]
    if 0 <= index < size:
        return index
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index = index % period
    return min(index, period - index)


@njit(cache=True, parallel=True, nogil=True)
def _grey(voxels, whole, matrix, first, field, shifts, out, sums):  # type: ignore[no-untyped-def]
    flat, width, cells = voxels.ravel(), out.shape[2], field.shape[3]
    for n in prange(out.shape[0]):
        z = np.int64(n)
        row = np.empty((3, cells * STEP), np.float32)
        nodes = np.empty(cells + 1, np.float32)
        voxel = np.empty((3, width), np.int32)
        places = np.empty(width, np.int64)
        pairs = np.empty((4, width), np.uint16)
        total = 0.0
        for y in range(out.shape[1]):
            _row(matrix, first, field, shifts, z, y, (0, cells), nodes, row)
            if _split(row, 0, whole, voxels.shape, voxel):
                _places(voxel, whole, voxels.shape, places)
                _gather(flat, voxels.shape, places, pairs)
            else:
                _gather_beyond(voxels, whole, voxel, pairs)
            total += _blend(pairs, row, out[z, y])
        sums[z] = total


@njit(cache=True, nogil=True)
def _gather(flat, shape, places, pairs):  # type: ignore[no-untyped-def]
    """Read the four pairs of neighbours along x of each voxel of a row, the first in the low byte.

    Unsigned places spare the test for negative ones.
    """
    right, below = np.uintp(shape[2]), np.uintp(shape[1] * shape[2])
    for x in range(len(places)):
        p = np.uintp(places[x])
        pairs[0, x] = _pair(flat, p)
        pairs[1, x] = _pair(flat, p + right)
        pairs[2, x] = _pair(flat, p + below)
        pairs[3, x] = _pair(flat, p + below + right)


@njit(cache=True, nogil=True)
def _gather_beyond(voxels, whole, voxel, pairs):  # type: ignore[no-untyped-def]
    """Do the same for a row that leaves the array: what lies there is reflected."""
    depth, height, width = voxels.shape
    for x in range(voxel.shape[1]):
        i, j, k = voxel[0, x] + whole[0], voxel[1, x] + whole[1], voxel[2, x] + whole[2]
        i, i1 = _reflect(i, depth), _reflect(i + 1, depth)
        j, j1 = _reflect(j, height), _reflect(j + 1, height)
        k, k1 = _reflect(k, width), _reflect(k + 1, width)
        pairs[0, x] = _word(voxels[i, j, k], voxels[i, j, k1])
        pairs[1, x] = _word(voxels[i, j1, k], voxels[i, j1, k1])
        pairs[2, x] = _word(voxels[i1, j, k], voxels[i1, j, k1])
        pairs[3, x] = _word(voxels[i1, j1, k], voxels[i1, j1, k1])


@njit(cache=True, nogil=True, inline="always")
def _pair(flat, place):  # type: ignore[no-untyped-def]
    """Read two bytes; the compiler makes it one load."""
    return _word(flat[place], flat[place + np.uintp(1)])


@njit(cache=True, nogil=True, inline="always")
def _word(low, high):  # type: ignore[no-untyped-def]
    return np.uint16(low) | np.uint16(np.uint16(high) << np.uint16(8))


@njit(cache=True, nogil=True, fastmath=True)
def _blend(pairs, rest, out):  # type: ignore[no-untyped-def]
    """Interpolate a row between its pairs; returns the sum."""
    low, eight = np.int32(255), np.int32(8)
    total = np.float32(0)
    for x in range(len(out)):
        a, b = np.int32(pairs[0, x]), np.int32(pairs[1, x])
        c, d = np.int32(pairs[2, x]), np.int32(pairs[3, x])
        near = _square(a & low, a >> eight, b & low, b >> eight, rest[1, x], rest[2, x])
        far = _square(c & low, c >> eight, d & low, d >> eight, rest[1, x], rest[2, x])
        out[x] = _between(near, far, rest[0, x]) * np.float32(1 / 255)
        total += out[x]
    return total


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _square(v00, v01, v10, v11, ty, tx):  # type: ignore[no-untyped-def]
    return _between(_between(v00, v01, tx), _between(v10, v11, tx), ty)


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _between(a, b, t):  # type: ignore[no-untyped-def]
    return np.float32(a) + (np.float32(b) - np.float32(a)) * t


@njit(cache=True, parallel=True, nogil=True)
def _codes(codes, whole, matrix, first, field, shifts, margin, outside, out):  # type: ignore[no-untyped-def]
    flat, width = codes.ravel(), out.shape[2]
    cells = (margin[2] // STEP, -(-(margin[2] + width) // STEP))
    for n in prange(out.shape[0]):
        z = np.int64(n)
        row = np.empty((3, cells[1] * STEP), np.float32)
        nodes = np.empty(field.shape[3] + 1, np.float32)
        voxel = np.empty((3, width), np.int32)
        places = np.empty(width, np.int64)
        for y in range(out.shape[1]):
            _row(matrix, first, field, shifts, z + margin[0], y + margin[1], cells, nodes, row)
            if _split(row, margin[2], whole, codes.shape, voxel):
                _places(voxel, whole, codes.shape, places)
                for x in range(width):
                    out[z, y, x] = flat[np.uintp(places[x])]
            else:
                _codes_beyond(codes, whole, voxel, outside, out[z, y])


@njit(cache=True, nogil=True)
def _codes_beyond(codes, whole, voxel, outside, out):  # type: ignore[no-untyped-def]
    """Read a row that leaves the array."""
    for x in range(len(out)):
        i, j, k = voxel[0, x] + whole[0], voxel[1, x] + whole[1], voxel[2, x] + whole[2]
        inside = 0 <= i < codes.shape[0] and 0 <= j < codes.shape[1] and 0 <= k < codes.shape[2]
        out[x] = codes[i, j, k] if inside else outside
