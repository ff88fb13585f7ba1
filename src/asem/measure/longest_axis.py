"""Longest axis of an object, and whether it is that of an ellipsoid, from moments.

Moments are sums over all voxels: they give the diameter of a ball with a radius of 5 voxels within
2 to 3 %, where a single ray to the surface is wrong by up to half of a voxel.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.measure.skeleton_lines import Points

MIN_FILLED = 0.97
"""An ellipsoid fills at least so much of the ellipsoid of equal covariance ..."""
ELLIPSOID_KURTOSIS = 15 / 7
KURTOSIS_TOLERANCE = 0.05
"""... and has this kurtosis. A shape at the limit is longer or shorter than it by 4 %."""


@dataclass(frozen=True)
class LongestAxis:
    """The axis of largest variance.

    Parameters
    ----------
    centre
        Centre of mass, nm relative to the centre of the first voxel, (3,).
    direction
        Of length 1, (3,).
    half_length_nm
        Half of the length of an ellipsoid of this variance.
    filled
        Volume of the object / volume of the ellipsoid of equal covariance: 1 for an ellipsoid, 0.93
        for a cylinder, 0.89 for a box; less for objects that are bent or branch.
    kurtosis
        Along the axis: 15/7 for an ellipsoid, 9/5 for a cylinder.
    """

    centre: Points
    direction: Points
    half_length_nm: float
    filled: float
    kurtosis: float

    @property
    def is_of_ellipsoid(self) -> bool:
        """Whether the object is an ellipsoid, as far as its moments show."""
        is_round = abs(self.kurtosis - ELLIPSOID_KURTOSIS) <= KURTOSIS_TOLERANCE
        return is_round and self.filled >= MIN_FILLED

    @property
    def ends(self) -> Points:
        """Both ends, nm, (2, 3)."""
        step = self.half_length_nm * self.direction
        return np.stack([self.centre - step, self.centre + step])


def find_longest_axis(mask: npt.NDArray[np.bool_], voxel_size: NmZYX) -> LongestAxis:
    """Find the longest axis of an object.

    Parameters
    ----------
    mask
        The object, shape (z, y, x), at least one voxel.
    voxel_size
        nm.

    Examples
    --------
    >>> axis = find_longest_axis(np.ones((4, 4, 20), bool), (5.0, 5.0, 5.0))
    >>> abs(axis.direction).round(3).tolist(), axis.is_of_ellipsoid
    ([0.0, 0.0, 1.0], False)
    """
    size = np.array(voxel_size, np.float64)
    count, sums, products = _sum_products(mask)
    mean = sums / count
    covariance = (products / count - np.outer(mean, mean)) * np.outer(size, size)
    covariance += np.diag(size**2) / 12  # of the positions within a voxel
    variances, axes = np.linalg.eigh(covariance)
    direction, variance = axes[:, -1], variances[-1]
    within = float((direction * size) ** 2 @ np.full(3, 1 / 12))
    fourth = _sum_fourth_powers(mask, mean, direction * size) / count
    fourth += 6 * within * (variance - within) + 3 * within**2
    volume = 4 / 3 * np.pi * np.sqrt(5**3 * variances.prod())
    return LongestAxis(
        centre=mean * size,
        direction=direction,
        half_length_nm=float(np.sqrt(5 * (variance - within))),
        filled=float(count * size.prod() / volume),
        kurtosis=float(fourth / variance**2),
    )


@njit(cache=True, nogil=True)
def _sum_products(mask):  # type: ignore[no-untyped-def]
    """Return the number of voxels, the sums of their indices, and of the products of these."""
    count, sums, products = 0, np.zeros(3), np.zeros((3, 3))
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            n, first, second = 0, 0, 0
            for x in range(mask.shape[2]):
                if mask[z, y, x]:
                    n += 1
                    first += x
                    second += x * x
            count += n
            sums += np.array([n * z, n * y, first])
            products += np.array(
                [
                    [n * z * z, n * z * y, first * z],
                    [n * z * y, n * y * y, first * y],
                    [first * z, first * y, second],
                ]
            )
    return count, sums, products


@njit(cache=True, nogil=True)
def _sum_fourth_powers(mask, mean, axis):  # type: ignore[no-untyped-def]
    """Return the sum of the fourth powers of the distances from the centre along the axis."""
    total = 0.0
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            start = (z - mean[0]) * axis[0] + (y - mean[1]) * axis[1] - mean[2] * axis[2]
            for x in range(mask.shape[2]):
                if mask[z, y, x]:
                    total += (start + x * axis[2]) ** 4
    return total
