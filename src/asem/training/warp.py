"""Cut a warped patch out of a region in one pass, on the processor.

Coordinates are made row by row and never stored: what a patch costs is its eight reads a voxel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.training.augment import Warp
from asem.training.fields import STEP, nodes_of_row

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """Where the centre of a patch lies in an array.

    Parameters
    ----------
    whole
        Its voxel.
    rest
        What is left of its position, voxels in [0, 1).
    """

    whole: npt.NDArray[np.int64]
    rest: npt.NDArray[np.float32]

    @classmethod
    def of(cls, centre: npt.NDArray[np.float64]) -> "Place":
        """Split a position into its voxel and the rest."""
        whole = np.floor(centre).astype(np.int64)
        return cls(whole, (centre - whole).astype(np.float32))


def warp_grey(
    voxels: Codes, centre: npt.NDArray[np.float64], warp: Warp
) -> tuple[npt.NDArray[np.float32], float]:
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
    place = Place.of(centre)
    matrix, first = _affine(warp, place.rest)
    source = np.ascontiguousarray(voxels)
    _grey(source, place.whole, matrix, first, warp.field, warp.shifts, out, sums)
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
    place = Place.of(centre)
    margin = np.array([(size - part) // 2 for size, part in zip(warp.shape, edge, strict=True)])
    matrix, first = _affine(warp, place.rest)
    source = np.ascontiguousarray(codes)
    code = np.uint8(outside)
    _codes(source, place.whole, matrix, first, warp.field, warp.shifts, margin, code, out)
    return out


def _affine(
    warp: Warp, rest: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the matrix, and where voxel 0 comes from as seen from the place's whole voxel."""
    middle = (np.array(warp.shape) - 1) / 2
    return warp.matrix.astype(np.float32), (rest - warp.matrix @ middle).astype(np.float32)


@njit(cache=True, nogil=True)
def _row(matrix, first, field, shifts, z, y, cells, nodes, row):  # type: ignore[no-untyped-def]
    """Fill row (3, x) with the source positions of row (z, y) of a patch, in `cells` of its x."""
    for axis in range(3):
        nodes_of_row(field, axis, z, y, nodes)
        base = first[axis] + matrix[axis, 0] * np.float32(z) + matrix[axis, 1] * np.float32(y)
        base += shifts[0][z, axis] + shifts[1][y, axis]
        step = matrix[axis, 2]
        for k in range(cells[0], cells[1]):
            start = k * STEP
            value = base + nodes[k] + step * np.float32(start)
            slope = (nodes[k + 1] - nodes[k]) / np.float32(STEP) + step
            for i in range(min(STEP, row.shape[1] - start)):
                row[axis, start + i] = value + slope * np.float32(i)
        for x in range(cells[0] * STEP, min(cells[1] * STEP, row.shape[1])):
            row[axis, x] += shifts[2][x, axis]


@njit(cache=True, nogil=True)
def _reflect(index, size):  # type: ignore[no-untyped-def]
    if 0 <= index < size:
        return index
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index = index % period
    return min(index, period - index)


@njit(cache=True, nogil=True, fastmath=True)
def _inside(row, whole, shape):  # type: ignore[no-untyped-def]
    """Whether a row's eight neighbours all lie inside of the array."""
    for axis in range(3):
        low = high = row[axis, 0]
        for x in range(row.shape[1]):
            low, high = min(low, row[axis, x]), max(high, row[axis, x])
        if np.floor(low) + whole[axis] < 0 or np.floor(high) + whole[axis] + 1 >= shape[axis]:
            return False
    return True


@njit(cache=True, parallel=True, nogil=True)
def _grey(voxels, whole, matrix, first, field, shifts, out, sums):  # type: ignore[no-untyped-def]
    flat = voxels.ravel()
    for n in prange(out.shape[0]):
        z = np.int64(n)
        row = np.empty((3, out.shape[2]), np.float32)
        nodes = np.empty(field.shape[3] + 1, np.float32)
        places = np.empty(out.shape[2], np.int64)
        total = 0.0
        for y in range(out.shape[1]):
            _row(matrix, first, field, shifts, z, y, (0, field.shape[3]), nodes, row)
            if _inside(row, whole, voxels.shape):
                total += _grey_inside(flat, voxels.shape, whole, row, places, out[z, y])
            else:
                total += _grey_beyond(voxels, whole, row, out[z, y])
        sums[z] = total


@njit(cache=True, nogil=True, fastmath=True)
def _grey_inside(flat, shape, whole, row, places, out):  # type: ignore[no-untyped-def]
    """Interpolate a row; unsigned places spare the test for negative ones."""
    width, plane = shape[2], shape[1] * shape[2]
    origin = whole[0] * plane + whole[1] * width + whole[2]
    for x in range(len(out)):
        a, b, c = np.floor(row[0, x]), np.floor(row[1, x]), np.floor(row[2, x])
        places[x] = origin + np.int64(a) * plane + np.int64(b) * width + np.int64(c)
        row[0, x] -= a
        row[1, x] -= b
        row[2, x] -= c
    total = np.float32(0)
    one, right = np.uintp(1), np.uintp(width)
    for x in range(len(out)):
        p = np.uintp(places[x])
        q, r = p + right, p + np.uintp(plane)
        s = r + right
        tz, ty, tx = row[0, x], row[1, x], row[2, x]
        v00 = _between(flat[p], flat[p + one], tx)
        v01 = _between(flat[q], flat[q + one], tx)
        v10 = _between(flat[r], flat[r + one], tx)
        v11 = _between(flat[s], flat[s + one], tx)
        near, far = v00 + (v01 - v00) * ty, v10 + (v11 - v10) * ty
        out[x] = (near + (far - near) * tz) * np.float32(1 / 255)
        total += out[x]
    return total


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _between(a, b, t):  # type: ignore[no-untyped-def]
    return np.float32(a) + (np.float32(b) - np.float32(a)) * t


@njit(cache=True, nogil=True)
def _grey_beyond(voxels, whole, row, out):  # type: ignore[no-untyped-def]
    """Interpolate a row that leaves the array: what lies there is reflected."""
    depth, height, width = voxels.shape
    total = np.float32(0)
    for x in range(len(out)):
        a, b, c = np.floor(row[0, x]), np.floor(row[1, x]), np.floor(row[2, x])
        tz, ty, tx = row[0, x] - a, row[1, x] - b, row[2, x] - c
        i, j, k = np.int64(a) + whole[0], np.int64(b) + whole[1], np.int64(c) + whole[2]
        i, i1 = _reflect(i, depth), _reflect(i + 1, depth)
        j, j1 = _reflect(j, height), _reflect(j + 1, height)
        k, k1 = _reflect(k, width), _reflect(k + 1, width)
        v00 = _between(voxels[i, j, k], voxels[i, j, k1], tx)
        v01 = _between(voxels[i, j1, k], voxels[i, j1, k1], tx)
        v10 = _between(voxels[i1, j, k], voxels[i1, j, k1], tx)
        v11 = _between(voxels[i1, j1, k], voxels[i1, j1, k1], tx)
        near, far = v00 + (v01 - v00) * ty, v10 + (v11 - v10) * ty
        out[x] = (near + (far - near) * tz) * np.float32(1 / 255)
        total += out[x]
    return total


@njit(cache=True, parallel=True, nogil=True)
def _codes(codes, whole, matrix, first, field, shifts, margin, outside, out):  # type: ignore[no-untyped-def]
    half = np.float32(0.5)
    width = len(shifts[2])
    cells = (margin[2] // STEP, -(-(margin[2] + out.shape[2]) // STEP))
    for n in prange(out.shape[0]):
        z = np.int64(n)
        row = np.empty((3, width), np.float32)
        nodes = np.empty(field.shape[3] + 1, np.float32)
        for y in range(out.shape[1]):
            _row(matrix, first, field, shifts, z + margin[0], y + margin[1], cells, nodes, row)
            for x in range(out.shape[2]):
                place = x + margin[2]
                i = np.int64(np.floor(row[0, place] + half)) + whole[0]
                j = np.int64(np.floor(row[1, place] + half)) + whole[1]
                k = np.int64(np.floor(row[2, place] + half)) + whole[2]
                inside = 0 <= i < codes.shape[0] and 0 <= j < codes.shape[1]
                if inside and 0 <= k < codes.shape[2]:
                    out[z, y, x] = codes[i, j, k]
                else:
                    out[z, y, x] = outside
