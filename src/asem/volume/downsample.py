"""Downsample by integer factors: mean of images, mode of labels."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import NmZYX
from asem.volume.roi import IntZYX, per_axis
from asem.volume.volume import VolumeKind


def downsample(
    voxels: npt.NDArray[Any], factors: IntZYX, kind: VolumeKind, *, start: IntZYX = (0, 0, 0)
) -> npt.NDArray[Any]:
    """Reduce bins of voxels to one voxel each.

    Images: the mean of the bin's existing voxels, rounded half up for integers. Labels: the most
    frequent id; ties: the smallest nonzero id.

    ::

        voxels      a b c d e          factor 2, start 0 -> ab cd e
                    a b c d e          factor 2, start 1 -> a bc de

    Parameters
    ----------
    voxels
        Shape (z, y, x); any real dtype for images, an unsigned one for labels.
    factors
        Voxels of a bin along each axis.
    start
        Index of the first voxel in its bin; bins at either end may be partial.

    Returns
    -------
    ndarray
        Shape ceil((start + shape) / factors), the dtype of `voxels`.

    Examples
    --------
    >>> downsample(np.array([[[1, 2, 5]]], np.uint8), (1, 1, 2), "image").tolist()
    [[[2, 5]]]
    >>> downsample(np.array([[[0, 7, 0]]], np.uint8), (1, 1, 2), "labels").tolist()
    [[[7, 0]]]
    """
    first = per_axis(lambda s, f: s % f, start, factors)
    shape = per_axis(lambda s, size, f: -(-(s + size) // f), first, voxels.shape, factors)
    out = np.empty(shape, voxels.dtype)
    bins = np.array(factors), np.array(first)
    if (
        kind == "image"
        and out.dtype in (np.uint8, np.uint16)
        and max(factors) <= 2
        and not any(first)
    ):
        _halve(np.ascontiguousarray(voxels), bins[0], out)
    elif kind == "labels":
        _modes(np.ascontiguousarray(voxels), *bins, out)
    else:
        _means(np.ascontiguousarray(voxels), *bins, np.issubdtype(out.dtype, np.integer), out)
    return out


@njit(cache=True, parallel=True)
def _halve(voxels, factors, out):  # type: ignore[no-untyped-def]
    """Average bins of 1 or 2 voxels per axis, row by row; memory-bound."""
    depth, height, width = voxels.shape
    for n in prange(out.shape[0]):
        i = np.int64(n)
        sums = np.empty(out.shape[2], np.uint32)
        for j in range(out.shape[1]):
            sums[:] = 0
            rows = 0
            for z in range(i * factors[0], min(depth, (i + 1) * factors[0])):
                for y in range(j * factors[1], min(height, (j + 1) * factors[1])):
                    _add(sums, voxels[z, y], factors[2])
                    rows += 1
            whole = width // factors[2]
            number = np.uint32(rows * factors[2])
            for k in range(whole):
                out[i, j, k] = (2 * sums[k] + number) // (2 * number)
            if whole < len(sums):
                out[i, j, whole] = (2 * sums[whole] + np.uint32(rows)) // np.uint32(2 * rows)


@njit(cache=True)
def _add(sums, row, factor):  # type: ignore[no-untyped-def]
    if factor == 1:
        for k in range(len(row)):
            sums[k] += row[k]
        return
    for k in range(len(row) // 2):
        sums[k] += np.uint32(row[2 * k]) + np.uint32(row[2 * k + 1])
    if len(row) % 2:
        sums[len(row) // 2] += row[len(row) - 1]


@njit(cache=True, parallel=True)
def _means(voxels, factors, start, integer, out):  # type: ignore[no-untyped-def]
    for i in prange(out.shape[0]):
        z0, z1 = max(0, i * factors[0] - start[0]), (i + 1) * factors[0] - start[0]
        for j in range(out.shape[1]):
            y0, y1 = max(0, j * factors[1] - start[1]), (j + 1) * factors[1] - start[1]
            for k in range(out.shape[2]):
                x0, x1 = max(0, k * factors[2] - start[2]), (k + 1) * factors[2] - start[2]
                total = 0.0
                number = 0
                for z in range(z0, min(z1, voxels.shape[0])):
                    for y in range(y0, min(y1, voxels.shape[1])):
                        for x in range(x0, min(x1, voxels.shape[2])):
                            total += voxels[z, y, x]
                            number += 1
                mean = total / number
                out[i, j, k] = np.floor(mean + 0.5) if integer else mean


@njit(cache=True, parallel=True)
def _modes(voxels, factors, start, out):  # type: ignore[no-untyped-def]
    for i in prange(out.shape[0]):
        z0, z1 = max(0, i * factors[0] - start[0]), (i + 1) * factors[0] - start[0]
        ids = np.empty(factors[0] * factors[1] * factors[2], voxels.dtype)
        for j in range(out.shape[1]):
            y0, y1 = max(0, j * factors[1] - start[1]), (j + 1) * factors[1] - start[1]
            for k in range(out.shape[2]):
                x0, x1 = max(0, k * factors[2] - start[2]), (k + 1) * factors[2] - start[2]
                number = 0
                for z in range(z0, min(z1, voxels.shape[0])):
                    for y in range(y0, min(y1, voxels.shape[1])):
                        for x in range(x0, min(x1, voxels.shape[2])):
                            ids[number] = voxels[z, y, x]
                            number += 1
                out[i, j, k] = _mode(ids[:number])


@njit(cache=True)
def _mode(ids):  # type: ignore[no-untyped-def]
    """Return the most frequent id; ties: the smallest nonzero id."""
    best = ids[0]
    best_count = 0
    for a in ids:
        count = 0
        for b in ids:
            if a == b:
                count += 1
        if 2 * count > len(ids):
            return a
        tie = count == best_count and a != best and a != 0 and (best == 0 or a < best)
        if count > best_count or tie:
            best, best_count = a, count
    return best


def whole_factors(fine: NmZYX, coarse: NmZYX) -> IntZYX | None:
    """Return the number of `fine` voxels per `coarse` voxel; None where it is not an integer.

    Examples
    --------
    >>> whole_factors((5, 5, 5), (10, 10, 5))
    (2, 2, 1)
    """
    factors = per_axis(lambda f, c: round(c / f), fine, coarse)
    ratios = zip(fine, coarse, factors, strict=True)
    if any(n < 1 or abs(c / f - n) > 1e-6 * n for f, c, n in ratios):
        return None
    return factors
