"""Extract a spatially transformed patch from a region in one pass, on the CPU.

Coordinates are computed row by row and never stored, in small loops that the compiler vectorizes;
the run time is that of the memory reads, four pairs of neighbours per voxel. No function has
`fastmath`: how it rounds depends on what the compiler inlines where, so that the process that
compiles the kernels would extract other patches than one that loads them from numba's cache.
"""

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.training.augmentation import SpatialTransform
from asem.training.random_fields import NODE_SPACING, NodeField, interpolate_row_nodes
from asem.volume.roi import per_axis

SUM_UNITS = 4096
"""Units of a grey value in sums."""
UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
KernelInputs = tuple[
    UInt8Array,
    npt.NDArray[np.int64],
    Float32Array,
    Float32Array,
    NodeField,
    tuple[Float32Array, ...],
]


def warp_grey(
    voxels: UInt8Array, centre: npt.NDArray[np.float64], transform: SpatialTransform
) -> tuple[Float32Array, float]:
    """Extract a patch of grey values: trilinear interpolation, reflection beyond the array.

    Parameters
    ----------
    voxels
        uint8, 0 to 255 from black to white.
    centre
        Of the patch, in voxels; the first voxel's centre is 0.
    transform
        Spatial transform of the patch.

    Returns
    -------
    grey
        Shape ``transform.shape``, in [0, 1].
    mean
        Mean of `grey`.
    """
    out = np.empty(transform.shape, np.float32)
    sums = np.empty(transform.shape[0], np.float64)
    _warp_grey_kernel(*_kernel_inputs(voxels, centre, transform), out, sums)
    return out, float(sums.sum() / out.size)


def warp_codes(
    codes: UInt8Array,
    centre: npt.NDArray[np.float64],
    transform: SpatialTransform,
    *,
    output_shape: tuple[int, int, int],
    outside: int,
) -> UInt8Array:
    """Extract the central part of a patch of labels: nearest voxel, `outside` beyond the array.

    Parameters
    ----------
    codes
        uint8.
    centre
        Of the patch, in voxels of `codes`.
    transform
        Spatial transform of the patch.
    output_shape
        Shape of the central part.
    outside
        Code of voxels beyond the array.
    """
    out = np.empty(output_shape, np.uint8)
    margin = np.array(
        per_axis(lambda size, part: (size - part) // 2, transform.shape, output_shape)
    )
    # The nearest voxel of x is floor(x + 0.5).
    _warp_codes_kernel(
        *_kernel_inputs(codes, centre + 0.5, transform), margin, np.uint8(outside), out
    )
    return out


def _kernel_inputs(
    voxels: UInt8Array, centre: npt.NDArray[np.float64], transform: SpatialTransform
) -> KernelInputs:
    """Return the arguments of the kernels: positions relative to a voxel near the centre.

    The array, that voxel, the matrix, the source position of voxel 0 of the patch, the displacement
    field, and the shifts with the voxels last.
    """
    assert voxels[0].size < 2**31, "indices within a plane are products of 32-bit integers"
    whole = np.floor(centre).astype(np.int64)
    first = centre - whole - transform.matrix @ ((np.array(transform.shape) - 1) / 2)
    shifts = tuple(np.ascontiguousarray(shift.T) for shift in transform.slice_shifts)
    matrix = transform.matrix.astype(np.float32)
    source = np.ascontiguousarray(voxels)
    return source, whole, matrix, first.astype(np.float32), transform.displacement, shifts


@njit(cache=True, nogil=True)
def _fill_source_positions(matrix, first, field, shifts, z, y, cells, nodes, row):  # type: ignore[no-untyped-def]
    """Fill row (3, x) with the source positions of row (z, y) of a patch, for the x of `cells`."""
    for axis in range(3):
        interpolate_row_nodes(field, axis, z, y, nodes)
        base = first[axis] + matrix[axis, 0] * np.float32(z) + matrix[axis, 1] * np.float32(y)
        base += shifts[0][axis, z] + shifts[1][axis, y]
        step = matrix[axis, 2]
        for k in range(cells[0], cells[1]):
            start = k * NODE_SPACING
            value = base + nodes[k] + step * np.float32(start)
            slope = (nodes[k + 1] - nodes[k]) / np.float32(NODE_SPACING) + step
            for i in range(NODE_SPACING):
                row[axis, start + i] = value + slope * np.float32(i)
        for x in range(cells[0] * NODE_SPACING, min(cells[1] * NODE_SPACING, shifts[2].shape[1])):
            row[axis, x] += shifts[2][axis, x]


@njit(cache=True, nogil=True)
def _split_positions(row, start, whole, shape, voxel):  # type: ignore[no-untyped-def]
    """Split the positions from index `start` on into voxel indices and fractions.

    Return whether all eight neighbours of each position are inside the array.
    """
    inside = True
    for axis in range(3):
        low = high = np.int32(np.floor(row[axis, start]))
        for x in range(voxel.shape[1]):
            floor = np.floor(row[axis, start + x])
            row[axis, start + x] -= floor
            one = np.int32(floor)
            voxel[axis, x] = one
            low, high = min(low, one), max(high, one)
        inside &= low + whole[axis] >= 0 and high + whole[axis] + 1 < shape[axis]
    return inside


@njit(cache=True, nogil=True)
def _flat_indices(voxel, whole, shape, places):  # type: ignore[no-untyped-def]
    """Convert a row's voxel indices, all inside the array, to flat indices."""
    width, plane = np.int32(shape[2]), np.int32(shape[1] * shape[2])
    origin = whole[0] * np.int64(plane) + whole[1] * np.int64(width) + whole[2]
    for x in range(len(places)):
        # 32-bit factors with 64-bit products: the compiler vectorizes them.
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
def _warp_grey_kernel(voxels, whole, matrix, first, field, shifts, out, sums):  # type: ignore[no-untyped-def]
    flat, width, cells = voxels.ravel(), out.shape[2], field.shape[3]
    for n in prange(out.shape[0]):
        z = np.int64(n)
        row = np.empty((3, cells * NODE_SPACING), np.float32)
        nodes = np.empty(cells + 1, np.float32)
        voxel = np.empty((3, width), np.int32)
        places = np.empty(width, np.int64)
        pairs = np.empty((4, width), np.uint16)
        total = np.int64(0)
        for y in range(out.shape[1]):
            _fill_source_positions(matrix, first, field, shifts, z, y, (0, cells), nodes, row)
            if _split_positions(row, 0, whole, voxels.shape, voxel):
                _flat_indices(voxel, whole, voxels.shape, places)
                _gather(flat, voxels.shape, places, pairs)
            else:
                _gather_reflected(voxels, whole, voxel, pairs)
            total += _interpolate_row(pairs, row, out[z, y])
        sums[z] = total / (SUM_UNITS * 255)


@njit(cache=True, nogil=True)
def _gather(flat, shape, places, pairs):  # type: ignore[no-untyped-def]
    """Read the four pairs of neighbours along x of each voxel of a row, the first in the low byte.

    Unsigned indices avoid the check for negative ones.
    """
    right, below = np.uintp(shape[2]), np.uintp(shape[1] * shape[2])
    for x in range(len(places)):
        p = np.uintp(places[x])
        pairs[0, x] = _load_pair(flat, p)
        pairs[1, x] = _load_pair(flat, p + right)
        pairs[2, x] = _load_pair(flat, p + below)
        pairs[3, x] = _load_pair(flat, p + below + right)


@njit(cache=True, nogil=True)
def _gather_reflected(voxels, whole, voxel, pairs):  # type: ignore[no-untyped-def]
    """Read the pairs of a row that extends beyond the array, with reflection."""
    depth, height, width = voxels.shape
    for x in range(voxel.shape[1]):
        i, j, k = voxel[0, x] + whole[0], voxel[1, x] + whole[1], voxel[2, x] + whole[2]
        i, i1 = _reflect(i, depth), _reflect(i + 1, depth)
        j, j1 = _reflect(j, height), _reflect(j + 1, height)
        k, k1 = _reflect(k, width), _reflect(k + 1, width)
        pairs[0, x] = _pack_bytes(voxels[i, j, k], voxels[i, j, k1])
        pairs[1, x] = _pack_bytes(voxels[i, j1, k], voxels[i, j1, k1])
        pairs[2, x] = _pack_bytes(voxels[i1, j, k], voxels[i1, j, k1])
        pairs[3, x] = _pack_bytes(voxels[i1, j1, k], voxels[i1, j1, k1])


@njit(cache=True, nogil=True, inline="always")
def _load_pair(flat, place):  # type: ignore[no-untyped-def]
    """Read two bytes; compiled to a single load."""
    return _pack_bytes(flat[place], flat[place + np.uintp(1)])


@njit(cache=True, nogil=True, inline="always")
def _pack_bytes(low, high):  # type: ignore[no-untyped-def]
    return np.uint16(low) | np.uint16(np.uint16(high) << np.uint16(8))


@njit(cache=True, nogil=True)
def _interpolate_row(pairs, rest, out):  # type: ignore[no-untyped-def]
    """Interpolate a row from its pairs; return the sum of the grey values times `SUM_UNITS`.

    The sum is one of integers, which the compiler may vectorize in any order.
    """
    low, eight = np.int32(255), np.int32(8)
    total = np.int64(0)
    for x in range(len(out)):
        a, b = np.int32(pairs[0, x]), np.int32(pairs[1, x])
        c, d = np.int32(pairs[2, x]), np.int32(pairs[3, x])
        near = _bilinear(a & low, a >> eight, b & low, b >> eight, rest[1, x], rest[2, x])
        far = _bilinear(c & low, c >> eight, d & low, d >> eight, rest[1, x], rest[2, x])
        grey = _lerp(near, far, rest[0, x])
        out[x] = grey * np.float32(1 / 255)
        total += np.int32(grey * np.float32(SUM_UNITS))
    return total


@njit(cache=True, nogil=True, inline="always")
def _bilinear(v00, v01, v10, v11, ty, tx):  # type: ignore[no-untyped-def]
    return _lerp(_lerp(v00, v01, tx), _lerp(v10, v11, tx), ty)


@njit(cache=True, nogil=True, inline="always")
def _lerp(a, b, t):  # type: ignore[no-untyped-def]
    return np.float32(a) + (np.float32(b) - np.float32(a)) * t


@njit(cache=True, parallel=True, nogil=True)
def _warp_codes_kernel(codes, whole, matrix, first, field, shifts, margin, outside, out):  # type: ignore[no-untyped-def]
    flat, width = codes.ravel(), out.shape[2]
    cells = (margin[2] // NODE_SPACING, -(-(margin[2] + width) // NODE_SPACING))
    for n in prange(out.shape[0]):
        z = np.int64(n)
        row = np.empty((3, cells[1] * NODE_SPACING), np.float32)
        nodes = np.empty(field.shape[3] + 1, np.float32)
        voxel = np.empty((3, width), np.int32)
        places = np.empty(width, np.int64)
        for y in range(out.shape[1]):
            _fill_source_positions(
                matrix, first, field, shifts, z + margin[0], y + margin[1], cells, nodes, row
            )
            if _split_positions(row, margin[2], whole, codes.shape, voxel):
                _flat_indices(voxel, whole, codes.shape, places)
                for x in range(width):
                    out[z, y, x] = flat[np.uintp(places[x])]
            else:
                _codes_outside(codes, whole, voxel, outside, out[z, y])


@njit(cache=True, nogil=True)
def _codes_outside(codes, whole, voxel, outside, out):  # type: ignore[no-untyped-def]
    """Read a row that extends beyond the array."""
    for x in range(len(out)):
        i, j, k = voxel[0, x] + whole[0], voxel[1, x] + whole[1], voxel[2, x] + whole[2]
        inside = 0 <= i < codes.shape[0] and 0 <= j < codes.shape[1] and 0 <= k < codes.shape[2]
        out[x] = codes[i, j, k] if inside else outside
