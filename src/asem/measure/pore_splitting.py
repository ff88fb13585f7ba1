r"""Separate the mask of several pores that touch: discs, rings, or both.

The mask is seen along its shortest axis, the normal of the envelope there::

    a ring and a disc        silhouette, holes     distance to its border; a pixel belongs to the
    that touch               filled                part of the peak that it ascends to
    . # # # . . # # .        . # # # . . # # .        . 1 1 1 . . 2 2 .
    # . . . # # # # #        # # # # # # # # #        1 1 1 1 1 2 2 2 2
    # . . . # # # # #        # # # # # # # # #        1 1 1 1 1 2 2 2 2
    . # # # . . # # .        . # # # . . # # .        . 1 1 1 . . 2 2 .

Two peaks stay one part where the neck between them is wider than `MAX_NECK` of the smaller part:
two discs of equal radius are separated where their centres are at least 1.3 radii from each other.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.config import NmZYX

MAX_NECK = 0.75
"""Width of a neck / width of the smaller part, above which both are one."""
CLOSING_NM = 10.0
"""Gaps of up to twice this width in a silhouette are closed."""
SMOOTHING_NM = 5.0
"""Standard deviation of the Gaussian that smooths the distances."""
FloatArray = npt.NDArray[np.float64]


def split_mask(mask: npt.NDArray[np.bool_], voxel_size: NmZYX) -> npt.NDArray[np.uint32]:
    """Return the part of each voxel of a mask, 1, 2, ... in the order of their first voxels.

    Parameters
    ----------
    mask
        A connected mask, (z, y, x).
    voxel_size
        nm.

    Examples
    --------
    >>> y, x = np.mgrid[-15:16, -15:45]
    >>> discs = (y**2 + x**2 <= 144) | (y**2 + (x - 26)**2 <= 196)
    >>> parts = split_mask(np.stack([discs] * 6), (5, 5, 5))
    >>> parts[0, 15, [15, 41]].tolist(), int(parts.max())
    ([2, 1], 2)
    """
    voxels = np.argwhere(mask)
    pixels, step_nm = _project(voxels * np.asarray(voxel_size, np.float64), max(voxel_size))
    margin = int(np.ceil(CLOSING_NM / step_nm)) + 1
    pixels += margin
    silhouette = np.zeros(pixels.max(axis=0) + margin + 1, bool)
    silhouette[tuple(pixels.T)] = True
    parts = _find_parts(_fill(silhouette, step_nm), step_nm)[tuple(pixels.T)]
    numbers = np.zeros(mask.shape, np.uint32)
    _, first = np.unique(parts, return_index=True)
    rank = np.zeros(parts.max() + 1, np.uint32)
    rank[parts[np.sort(first)]] = np.arange(1, len(first) + 1)
    numbers[mask] = rank[parts]
    return numbers


def _project(points: FloatArray, step_nm: float) -> tuple[npt.NDArray[np.intp], float]:
    """Return the pixels of points in the plane of their two longest axes, from 0."""
    centred = points - points.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    plane = centred @ axes[:, 1:]
    return np.floor((plane - plane.min(axis=0)) / step_nm).astype(np.intp), step_nm


def _fill(silhouette: npt.NDArray[np.bool_], step_nm: float) -> npt.NDArray[np.bool_]:
    """Close gaps and fill holes."""
    reach = CLOSING_NM / step_nm
    near = ndimage.distance_transform_edt(~silhouette) <= reach
    closed = ndimage.distance_transform_edt(near) > reach
    return np.asarray(ndimage.binary_fill_holes(closed | silhouette))


def _find_parts(silhouette: npt.NDArray[np.bool_], step_nm: float) -> npt.NDArray[np.intp]:
    """Return the part of each pixel of a silhouette, from 1; 0 outside."""
    distance = ndimage.distance_transform_edt(silhouette)
    heights = ndimage.gaussian_filter(distance, SMOOTHING_NM / step_nm) * silhouette
    order = np.lexsort((np.arange(heights.size), -heights.ravel()))
    order = order[: np.count_nonzero(silhouette)]
    return _flood(heights, order)


def _flood(heights: FloatArray, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Flood peaks from the highest pixel down; join peaks whose saddle is high.

    The saddle of two peaks is where their floods meet: it is compared with the lower peak.
    """
    width = heights.shape[1]
    flat, part = heights.ravel(), np.zeros(heights.size, np.intp)
    parent, peaks = [0], [0.0]
    offsets = (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)
    for pixel in order.tolist():
        height = flat[pixel]
        near: list[Any] = sorted(
            {_root(parent, part[pixel + o]) for o in offsets if part[pixel + o]},
            key=lambda root: (-peaks[root], root),
        )
        if not near:
            parent.append(len(parent))
            peaks.append(height)
            part[pixel] = len(parent) - 1
            continue
        part[pixel] = near[0]
        for other in near[1:]:
            if height > MAX_NECK * peaks[other]:
                parent[other] = near[0]
    roots = np.array([_root(parent, n) for n in range(len(parent))])
    return roots[part].reshape(heights.shape)


def _root(parent: list[int], number: int) -> int:
    while parent[number] != number:
        number = parent[number]
    return number
