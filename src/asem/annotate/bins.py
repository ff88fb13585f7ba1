"""Bins of voxels: voxels per bin, relative spacing, and linear upsampling from bins to voxels."""

from collections.abc import Iterable
from math import prod

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import NmZYX
from asem.volume.roi import IntZYX, per_axis


def bin_factors_of(shape: tuple[int, ...], voxel_size: NmZYX) -> IntZYX:
    """Return the voxels of a bin along each axis: 2, but 1 where voxels are long, or one plane.

    Examples
    --------
    >>> bin_factors_of((100, 200, 200), (8.0, 4.0, 4.0))
    (1, 2, 2)
    """
    return per_axis(
        lambda size, voxel: 2 if size > 1 and voxel < 2 * min(voxel_size) else 1, shape, voxel_size
    )


def relative_spacing(sizes: Iterable[float]) -> NmZYX:
    """Return the sizes (z, y, x) of a voxel or bin over their geometric mean.

    Examples
    --------
    >>> [round(size, 3) for size in relative_spacing((8.0, 4.0, 2.0))]
    [2.0, 1.0, 0.5]
    """
    triple = per_axis(float, sizes)
    return per_axis(lambda size: size / prod(triple) ** (1 / 3), triple)


def upsample_and_threshold(
    foreground_fraction: npt.NDArray[np.float32], factors: IntZYX, shape: IntZYX, threshold: float
) -> npt.NDArray[np.bool_]:
    """Interpolate fractions of foreground linearly from bins to voxels; True from `threshold` on.

    Examples
    --------
    >>> fraction = np.array([[[0, 0.6, 1]]], np.float32)
    >>> upsample_and_threshold(fraction, (1, 1, 2), (1, 1, 5), 0.5).astype(int).tolist()
    [[[0, 0, 0, 1, 1]]]
    """
    out = np.empty(shape, np.bool_)
    _upsample_and_threshold(foreground_fraction, np.array(factors), np.float32(threshold), out)
    return out


@njit(cache=True, parallel=True, nogil=True)
def _upsample_and_threshold(coarse, factors, threshold, out):  # type: ignore[no-untyped-def]
    depth, height, width = coarse.shape
    for n in prange(out.shape[0]):
        z0, z1, z = _interpolation_weights(np.int64(n), factors[0], depth)
        for j in range(out.shape[1]):
            y0, y1, y = _interpolation_weights(j, factors[1], height)
            for i in range(out.shape[2]):
                x0, x1, x = _interpolation_weights(i, factors[2], width)
                near = (1 - y) * ((1 - x) * coarse[z0, y0, x0] + x * coarse[z0, y0, x1]) + y * (
                    (1 - x) * coarse[z0, y1, x0] + x * coarse[z0, y1, x1]
                )
                far = (1 - y) * ((1 - x) * coarse[z1, y0, x0] + x * coarse[z1, y0, x1]) + y * (
                    (1 - x) * coarse[z1, y1, x0] + x * coarse[z1, y1, x1]
                )
                out[n, j, i] = (1 - z) * near + z * far >= threshold


@njit(cache=True, nogil=True, inline="always")
def _interpolation_weights(voxel, factor, size):  # type: ignore[no-untyped-def]
    """Return the bins whose centres enclose a voxel, and its relative distance from the first."""
    position = (voxel + 0.5) / factor - 0.5
    low = int(np.floor(position))
    return max(low, 0), min(low + 1, size - 1), np.float32(position - low)
