"""Labels: unknown voxels, foreground, the zone around borders that is not scored."""

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from scipy import ndimage

from asem.config import Nm3
from asem.volume.roi import Triple

ZoneShape = Literal["diamond", "ball"]


def unknown_id(dtype: np.dtype[Any]) -> int:
    """Return the id that means "nobody knows": the largest of an unsigned dtype."""
    return int(np.iinfo(dtype).max)


def is_foreground(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return where labels name an object: neither background (0) nor unknown."""
    return np.asarray((labels != 0) & (labels != unknown_id(labels.dtype)))


def zone_radii(width_nm: float, voxel_size: Nm3) -> Triple:
    """Return the width of a zone in voxels along each axis, at least 1 where it is wider than 0.

    Examples
    --------
    >>> zone_radii(20, (50, 4.6, 4.6))
    (1, 4, 4)
    """
    if width_nm == 0:
        return (0, 0, 0)
    z, y, x = (max(1, round(width_nm / size)) for size in voxel_size)
    return z, y, x


def exclusion_zone(
    labels: npt.NDArray[Any], outside: Triple, inside: Triple, shape: ZoneShape = "diamond"
) -> npt.NDArray[np.bool_]:
    """Return the voxels near a border of the labels, which are not scored.

    The foreground's dilation by `outside` without its erosion by `inside` (paper, Data
    preprocessing, step 7), which is: voxels near the foreground and near the background. The
    border of the volume is no border of an object, and an unknown voxel makes no zone.

    ::

        labels       . . . . . # # # # # # .
        inside 1     . . . . . z # # # # z .
        outside 2    . . . z z z # # # # z z

    Parameters
    ----------
    labels
        Shape (z, y, x), unsigned; the dtype's maximum is unknown.
    outside, inside
        Widths in voxels along each axis (`zone_radii`).
    shape
        ``"diamond"``: abs(dz) / nz + abs(dy) / ny + abs(dx) / nx <= 1, the iterated cross where
        isotropic. ``"ball"``: the Euclidean counterpart, which is wider.
    """
    foreground = is_foreground(labels)
    return near(foreground, outside, shape) & near(labels == 0, inside, shape)


def near(
    source: npt.NDArray[np.bool_], radii: Triple, shape: ZoneShape = "diamond"
) -> npt.NDArray[np.bool_]:
    """Dilate `source` by a diamond or an ellipsoid of `radii` voxels.

    Examples
    --------
    >>> near(np.array([[[0, 0, 0, 1, 0, 0]]], bool), (1, 1, 2)).astype(int).tolist()
    [[[0, 1, 1, 1, 1, 1]]]
    """
    if max(radii) == 0 or not source.any():
        return source.copy()
    if shape == "ball":
        z, y, x = (1 / r for r in radii)
        distance = ndimage.distance_transform_edt(~source, sampling=(z, y, x))
        return np.asarray(distance <= 1 + 1e-9)
    limit = math.lcm(*radii)
    steps = np.where(source, 0, limit + 1).astype(np.int32)
    for axis, radius in enumerate(radii):
        _spread(np.moveaxis(steps, axis, 0), limit // radius)
    return steps <= limit


@njit(cache=True, parallel=True)
def _spread(steps, step):  # type: ignore[no-untyped-def]
    """Let distances run along the first axis both ways, `step` a voxel."""
    for j in prange(steps.shape[1]):
        for i in range(1, steps.shape[0]):
            for k in range(steps.shape[2]):
                steps[i, j, k] = min(steps[i, j, k], steps[i - 1, j, k] + step)
        for i in range(steps.shape[0] - 2, -1, -1):
            for k in range(steps.shape[2]):
                steps[i, j, k] = min(steps[i, j, k], steps[i + 1, j, k] + step)
