"""Moments of basins: sums over voxels, which add up across blocks, and sections of ellipsoids."""

from math import pi

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.volume.roi import IntZYX

SECOND_MOMENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Axes of the second moments."""


def sum_moments(local: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.int64]:
    """Return the sums of z, y, x, zz, yy, xx, yx, zx, zy over the voxels of each local label.

    Parameters
    ----------
    local
        Local labels of a block, (z, y, x); coordinates are indices in the block.
    count
        Number of labels.

    Returns
    -------
    ndarray
        Shape (count, 9).

    Examples
    --------
    >>> sum_moments(np.array([[[1, 0, 1]]], np.uint32), 1).tolist()
    [[0, 0, 2, 0, 0, 4, 0, 0, 0]]
    """
    moments = np.zeros((count, 9), np.int64)
    _sum_moments(local, moments)
    return moments


@njit(cache=True)
def _sum_moments(local, moments):  # type: ignore[no-untyped-def]
    for z in range(local.shape[0]):
        for y in range(local.shape[1]):
            for x in range(local.shape[2]):
                if local[z, y, x]:
                    sums = moments[local[z, y, x] - 1]
                    for term, value in enumerate(
                        (z, y, x, z * z, y * y, x * x, y * x, z * x, z * y)
                    ):
                        sums[term] += value


def shift_moments(
    sizes: npt.NDArray[np.int64], moments: npt.NDArray[np.int64], offset: IntZYX
) -> npt.NDArray[np.int64]:
    """Return the moments of voxels whose coordinates increase by `offset`.

    Parameters
    ----------
    sizes, moments
        As for `Basins`.
    offset
        In voxels.

    Examples
    --------
    >>> two_voxels = np.array([[0, 0, 2, 0, 0, 4, 0, 0, 0]])
    >>> shift_moments(np.array([2]), two_voxels, (1, 0, 0)).tolist()
    [[2, 0, 2, 2, 0, 4, 0, 2, 0]]
    """
    shifted = moments.copy()
    for term, (a, b) in enumerate(SECOND_MOMENTS, 3):
        shifted[:, term] += (
            offset[a] * moments[:, b] + offset[b] * moments[:, a] + sizes * offset[a] * offset[b]
        )
    shifted[:, :3] += sizes[:, None] * np.array(offset)
    return shifted


def central_moments(
    sizes: npt.NDArray[np.int64], moments: npt.NDArray[np.int64], voxel_size: NmZYX
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the centre of each basin, and its second moments about it.

    Parameters
    ----------
    sizes, moments
        Number of voxels, (n,), and their moments (`sum_moments`), (n, 9).
    voxel_size
        nm.

    Returns
    -------
    centres
        nm, (n, 3).
    seconds
        Sum over the voxels of (r - c)_a (r - c)_b, where a cuboid voxel has an extent of its own,
        in the order of `SECOND_MOMENTS`; nm^2, (n, 6).

    Examples
    --------
    >>> centres, seconds = central_moments(np.array([1]), np.array([[2] * 3 + [4] * 6]), (6, 3, 3))
    >>> centres.tolist(), seconds.tolist()
    ([[12.0, 6.0, 6.0]], [[3.0, 0.75, 0.75, 0.0, 0.0, 0.0]])
    """
    means = moments[:, :3] / sizes[:, None]
    edges = np.array(voxel_size)
    seconds = np.empty((len(sizes), 6))
    for term, (a, b) in enumerate(SECOND_MOMENTS):
        own = sizes / 12 if a == b else 0
        seconds[:, term] = (moments[:, 3 + term] - moments[:, a] * means[:, b] + own) * (
            edges[a] * edges[b]
        )
    return means * edges, seconds


@njit(cache=True)
def section_area(size, seconds, normal):  # type: ignore[no-untyped-def]
    """Return the area of the section of a part through its centre, perpendicular to a direction.

    The part counts as the ellipsoid of the same second moments, r^T E^-1 r = 1 with E = 5 C / n;
    its section perpendicular to a unit vector u has the area pi (u^T adj(E) u)^(1/2).

    Parameters
    ----------
    size, seconds
        Number of voxels, and second moments (`central_moments`), (6,).
    normal
        Direction, (3,). If it is 0, the mean area of all directions is approximated by that of the
        ball of the same volume.

    Returns
    -------
    float
        nm^2.
    """
    e = seconds * (5 / size)
    zz, yy, xx, yx, zx, zy = e[0], e[1], e[2], e[3], e[4], e[5]
    # Cofactors of [[zz, zy, zx], [zy, yy, yx], [zx, yx, xx]].
    c00, c11, c22 = yy * xx - yx * yx, zz * xx - zx * zx, zz * yy - zy * zy
    c01, c02, c12 = zx * yx - zy * xx, zy * yx - zx * yy, zy * zx - zz * yx
    u, v, w = normal[0], normal[1], normal[2]
    squared = u * u + v * v + w * w
    if squared == 0:
        determinant = zz * c00 + zy * c01 + zx * c02
        return pi * max(determinant, 0.0) ** (1 / 3)
    form = u * u * c00 + v * v * c11 + w * w * c22 + 2 * (u * v * c01 + u * w * c02 + v * w * c12)
    return pi * np.sqrt(max(form, 0.0) / squared)
