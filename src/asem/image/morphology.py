"""Binary dilation, erosion, opening and closing, and dilation of labels, for any voxel size.

The structuring elements are diamonds and ellipsoids. Their distance is a sum of one cost per axis,
computed axis by axis: each pass takes, along its axis, the minimum over the voxels within the
radius of their distance plus the cost of the step::

    diamond   abs(dz) / nz + abs(dy) / ny + abs(dx) / nx <= 1             the iterated cross
    ball      (dz / nz)^2 + (dy / ny)^2 + (dx / nx)^2 <= 1                an ellipsoid

in integers, multiplied by the least common multiple of the radii n. The border of an array neither
erodes nor dilates, as in scikit-image. Along an axis of radius 0 the element is one voxel thick.
"""

import logging
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import NmZYX
from asem.volume.roi import IntZYX, per_axis

LOG = logging.getLogger(__name__)
RELATIVE_TOLERANCE = 1e-6
"""Relative error of voxel sizes, as for `asem.volume.volume.same_voxel_size`."""
MAX_RADIUS = 1000
"""Voxels: distances, up to the square of the least common multiple of the radii, fit into 64-bit
integers. The run time is proportional to the radius along each axis."""
MAX_STEPS = 250
"""Dilations of `dilation_steps`, whose indices are uint8."""
Mask = npt.NDArray[np.bool_]
ElementShape = Literal["diamond", "ball"]


def radii_in_voxels(width_nm: float, voxel_size: NmZYX) -> IntZYX:
    """Return a width in voxels along each axis: rounded to the nearest, half up.

    Used for dilations and for the radii of openings and closings. A width of less than half a voxel
    is 0: the element is one voxel thick along that axis (`warn_zero_radius`).

    Raises
    ------
    ValueError
        The width is more than `MAX_RADIUS` voxels.

    Examples
    --------
    >>> radii_in_voxels(15, (50, 10, 4.6))
    (0, 2, 3)
    """
    voxels = [width_nm / size * (1 + RELATIVE_TOLERANCE) + 0.5 for size in voxel_size]
    if not max(voxels) < MAX_RADIUS + 1:
        raise ValueError(
            f"a width of {width_nm:g} nm is {max(voxels) - 0.5:.6g} voxels; at most {MAX_RADIUS} "
            "are allowed: check that it is in nm, and the voxel size"
        )
    return per_axis(math.floor, voxels)


def zone_radii_in_voxels(width_nm: float, voxel_size: NmZYX) -> IntZYX:
    """Return the width of an exclusion zone in voxels along each axis.

    As `radii_in_voxels`, but at least 1 along the finest axis (along all axes that are as fine), so
    that a zone of a width above 0 is never empty.

    Examples
    --------
    >>> zone_radii_in_voxels(5, (50, 16, 16))
    (0, 1, 1)
    """
    if width_nm == 0:
        return (0, 0, 0)
    finest = min(voxel_size) * (1 + RELATIVE_TOLERANCE)
    return per_axis(
        lambda radius, size: max(radius, int(size <= finest)),
        radii_in_voxels(width_nm, voxel_size),
        voxel_size,
    )


def warn_zero_radius(what: str, width_nm: float, voxel_size: NmZYX, radii: IntZYX) -> None:
    """Log a warning where a width is 0 voxels along an axis; call it once per command.

    Parameters
    ----------
    what
        Start of the message: what has the width, with the structure.
    width_nm, voxel_size
        In nm.
    radii
        The width in voxels.
    """
    zero_axes = [
        f"{axis} (voxels of {size:.6g} nm)"
        for axis, size, radius in zip("zyx", voxel_size, radii, strict=True)
        if radius == 0
    ]
    if width_nm > 0 and zero_axes:
        LOG.warning(
            "%s of %g nm is less than half a voxel along %s and has no effect there",
            what,
            width_nm,
            ", ".join(zero_axes),
        )


def binary_dilation(mask: Mask, radii: IntZYX, shape: ElementShape = "diamond") -> Mask:
    """Dilate `mask` by a diamond or an ellipsoid of `radii` voxels.

    Examples
    --------
    >>> binary_dilation(np.array([[[0, 0, 0, 1, 0, 0]]], bool), (1, 1, 2)).astype(int).tolist()
    [[[0, 1, 1, 1, 1, 1]]]
    """
    if max(radii) == 0 or not mask.any():
        return mask.copy()
    limit, costs = _step_costs(radii, shape)
    distance = _initial_distance(~mask, limit, costs[0].dtype)
    for axis, cost in enumerate(costs):
        distance = _propagate_distance(distance, cost, axis)
    return distance <= limit


def dilation_steps(
    mask: Mask, radii: Sequence[IntZYX], shape: ElementShape = "diamond"
) -> npt.NDArray[np.uint8]:
    """Return for each voxel the index of the first of several dilations that contains it.

    ::

        mask             . . . . # # . . .
        radii 1, 2       2 2 1 0 0 0 0 1 2        2: in none of both

    Parameters
    ----------
    mask
        Shape (z, y, x).
    radii
        Of elements, each of which contains the one before, in voxels; at most `MAX_STEPS`. Where
        each is equal along all axes, the distances are computed once, else once for each.
    shape
        ``"diamond"`` or ``"ball"``.

    Returns
    -------
    ndarray
        Index in `radii`; their number where no dilation contains the voxel.

    Examples
    --------
    >>> mask = np.array([[[0, 0, 0, 0, 1, 1, 0]]], bool)
    >>> dilation_steps(mask, [(0, 0, 1), (1, 1, 2)]).tolist()
    [[[2, 2, 1, 0, 0, 0, 0]]]
    """
    if len(radii) > MAX_STEPS:
        raise ValueError(f"{len(radii)} dilations; at most {MAX_STEPS} are allowed")
    steps = np.full(mask.shape, len(radii), np.uint8)
    if not mask.any() or not radii:
        return steps
    if len(radii) > 1 and all(len(set(radius)) == 1 for radius in radii):
        limit, costs = _step_costs(radii[-1], shape)
        distance = _initial_distance(~mask, limit, costs[0].dtype)
        for axis, cost in enumerate(costs):
            distance = _propagate_distance(distance, cost, axis)
        limits = [radius[0] ** (1 if shape == "diamond" else 2) for radius in radii]
        first = np.searchsorted(limits, np.arange(limit + 2)).astype(np.uint8)
        return np.asarray(first[np.minimum(distance, limit + 1)])
    for index in range(len(radii) - 1, -1, -1):
        if index == len(radii) - 1 or radii[index] != radii[index + 1]:
            dilated = binary_dilation(mask, radii[index], shape)
        steps[dilated] = index
    return steps


def binary_erosion(mask: Mask, radii: IntZYX, shape: ElementShape = "ball") -> Mask:
    """Erode `mask`: keep the voxels around which the element is within `mask`."""
    return ~binary_dilation(~mask, radii, shape)


def binary_opening(mask: Mask, radii: IntZYX, shape: ElementShape = "ball") -> Mask:
    """Erode, then dilate: remove parts thinner than the element."""
    return binary_dilation(binary_erosion(mask, radii, shape), radii, shape)


def binary_closing(mask: Mask, radii: IntZYX, shape: ElementShape = "ball") -> Mask:
    """Dilate, then erode: close gaps narrower than the element."""
    return binary_erosion(binary_dilation(mask, radii, shape), radii, shape)


def dilate_labels(
    labels: npt.NDArray[Any], radii: IntZYX, unlabelled: int, shape: ElementShape = "diamond"
) -> npt.NDArray[Any]:
    """Dilate each object into the background: the nearest object, of ties the smallest id.

    Parameters
    ----------
    labels
        Shape (z, y, x); 0 is background.
    radii
        Voxels along each axis.
    unlabelled
        Voxels of this value are neither dilated nor overwritten.
    shape
        ``"diamond"`` or ``"ball"``.

    Examples
    --------
    >>> labels = np.array([[[2, 0, 0, 0, 0, 1, 0, 9]]], np.uint8)
    >>> dilate_labels(labels, (2, 2, 2), unlabelled=9).tolist()
    [[[2, 2, 2, 1, 1, 1, 1, 9]]]
    """
    foreground = (labels != 0) & (labels != unlabelled)
    if max(radii) == 0 or not foreground.any():
        return labels.copy()
    smallest = labels[foreground].min()
    if labels[foreground].max() == smallest:
        return np.where((labels == 0) & binary_dilation(foreground, radii, shape), smallest, labels)
    limit, costs = _step_costs(radii, shape)
    distance = _initial_distance(~foreground, limit, costs[0].dtype)
    nearest = np.ascontiguousarray(np.where(foreground, labels, 0))
    for axis, cost in enumerate(costs):
        distance, nearest = _propagate_nearest_id(distance, nearest, cost, axis)
    return np.where((labels == 0) & (distance <= limit), nearest, labels)


def _step_costs(radii: IntZYX, shape: ElementShape) -> tuple[int, list[npt.NDArray[Any]]]:
    """Return the largest distance within the element, and the cost of each step along each axis."""
    common = math.lcm(*(max(1, radius) for radius in radii))
    power = 1 if shape == "diamond" else 2
    limit = common**power
    # A distance beyond the limit plus the cost of one step must not overflow.
    dtype = next(t for t in (np.int16, np.int32, np.int64) if 2 * limit + 1 < np.iinfo(t).max)
    steps = [(np.arange(r + 1) * (common // max(1, r))) ** power for r in radii]
    return limit, [cost.astype(dtype) for cost in steps]


def _initial_distance(far: Mask, limit: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a distance beyond the limit where `far`, else 0."""
    return np.multiply(far, limit + 1, dtype=dtype, order="C")


@njit(cache=True, parallel=True)
def _propagate_distance(distance, cost, axis):  # type: ignore[no-untyped-def]
    """Propagate distances along an axis, up to ``len(cost) - 1`` voxels; row by row, for speed."""
    depth, height, width = distance.shape
    out = np.empty_like(distance)
    radius = len(cost) - 1
    for n in prange(depth):
        i = np.int64(n)
        for j in range(height):
            row = out[i, j]
            row[:] = distance[i, j]
            if axis == 2:
                source = distance[i, j]
                for step in range(1, min(radius, width - 1) + 1):
                    _relax_row(row[step:], source[: width - step], cost[step])
                    _relax_row(row[: width - step], source[step:], cost[step])
                continue
            index, length = (i, depth) if axis == 0 else (j, height)
            for other in range(max(0, index - radius), min(length, index + radius + 1)):
                neighbour = distance[other, j] if axis == 0 else distance[i, other]
                _relax_row(row, neighbour, cost[abs(other - index)])
    return out


@njit(cache=True)
def _relax_row(row, other, cost):  # type: ignore[no-untyped-def]
    """Set `row` to the minimum of `row` and `other` plus the cost."""
    for k in range(len(row)):
        row[k] = min(row[k], other[k] + cost)


@njit(cache=True, parallel=True)
def _propagate_nearest_id(distance, ids, cost, axis):  # type: ignore[no-untyped-def]
    """Like `_propagate_distance`, with the id of the nearest object, of ties the smallest."""
    depth, height, width = distance.shape
    out, out_ids = np.empty_like(distance), np.empty_like(ids)
    radius = len(cost) - 1
    along = (axis == 0, axis == 1, axis == 2)
    for n in prange(depth):
        i = np.int64(n)
        for j in range(height):
            for k in range(width):
                best, best_id = distance[i, j, k], ids[i, j, k]
                index = i if along[0] else j if along[1] else k
                for other in range(
                    max(0, index - radius), min(distance.shape[axis], index + radius + 1)
                ):
                    z = other if along[0] else i
                    y = other if along[1] else j
                    x = other if along[2] else k
                    total = distance[z, y, x] + cost[abs(other - index)]
                    if total < best or (total == best and ids[z, y, x] < best_id):
                        best, best_id = total, ids[z, y, x]
                out[i, j, k], out_ids[i, j, k] = best, best_id
    return out, out_ids
