"""Dilation, erosion, opening and closing by diamonds and ellipsoids, of any voxel size.

Distances are sums of one cost for each axis, so that they are found axis by axis: each pass takes,
along its axis, the least of what lies within reach and the cost to get there::

    diamond   abs(dz) / nz + abs(dy) / ny + abs(dx) / nx <= 1             the iterated cross
    ball      (dz / nz)^2 + (dy / ny)^2 + (dx / nx)^2 <= 1                an ellipsoid

in whole numbers, multiplied by the least common multiple of the radii n. Nothing lies outside of an
array: its border neither erodes nor dilates, as in scikit-image. Along an axis whose radius is 0
there is no reach: the element is one voxel thick.
"""

import logging
import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import Nm3
from asem.volume.roi import Triple

LOG = logging.getLogger(__name__)
ROUNDING = 1e-6
"""Relative error of voxel sizes, as for `asem.volume.volume.same_voxel_size`."""
MOST_RADIUS = 1000
"""Voxels: distances are still whole numbers of 64 bits, whatever the three radii are (the square of
their least common multiple). Each voxel is compared with as many along each axis."""
Mask = npt.NDArray[np.bool_]
ElementShape = Literal["diamond", "ball"]


def radii_of(width_nm: float, voxel_size: Nm3) -> Triple:
    """Return a width in voxels along each axis: rounded to the nearest, half up.

    The rule of dilations and of the radii of openings and closings. Less than half a voxel is 0:
    there is no reach along that axis (`warn_of_lost_width`).

    Raises
    ------
    ValueError
        The width is more than `MOST_RADIUS` voxels.

    Examples
    --------
    >>> radii_of(15, (50, 10, 4.6))
    (0, 2, 3)
    """
    voxels = [width_nm / size * (1 + ROUNDING) + 0.5 for size in voxel_size]
    if not max(voxels) < MOST_RADIUS + 1:
        raise ValueError(
            f"a width of {width_nm:g} nm is {max(voxels) - 0.5:.6g} voxels; at most {MOST_RADIUS} "
            "are allowed: check that it is in nm, and the voxel size"
        )
    z, y, x = map(math.floor, voxels)
    return z, y, x


def zone_radii(width_nm: float, voxel_size: Nm3) -> Triple:
    """Return the width of an exclusion zone in voxels along each axis.

    As `radii_of`, but at least 1 along the finest axis (along all axes that are as fine), so that a
    zone that is requested is never empty.

    Examples
    --------
    >>> zone_radii(5, (50, 16, 16))
    (0, 1, 1)
    """
    if width_nm == 0:
        return (0, 0, 0)
    finest = min(voxel_size) * (1 + ROUNDING)
    each = zip(radii_of(width_nm, voxel_size), voxel_size, strict=True)
    z, y, x = (max(radius, int(size <= finest)) for radius, size in each)
    return z, y, x


def warn_of_lost_width(what: str, width_nm: float, voxel_size: Nm3, radii: Triple) -> None:
    """Log a warning where a width is 0 voxels along an axis; call it once for each command.

    Parameters
    ----------
    what
        Begins the message: what the width is of, with the structure.
    width_nm, voxel_size
        In nm.
    radii
        The width in voxels.
    """
    lost = [
        f"{axis} (voxels of {size:.6g} nm)"
        for axis, size, radius in zip("zyx", voxel_size, radii, strict=True)
        if radius == 0
    ]
    if width_nm > 0 and lost:
        LOG.warning(
            "%s of %g nm is less than half a voxel along %s and is left out there",
            what,
            width_nm,
            ", ".join(lost),
        )


def near(source: Mask, radii: Triple, shape: ElementShape = "diamond") -> Mask:
    """Dilate `source` by a diamond or an ellipsoid of `radii` voxels.

    Examples
    --------
    >>> near(np.array([[[0, 0, 0, 1, 0, 0]]], bool), (1, 1, 2)).astype(int).tolist()
    [[[0, 1, 1, 1, 1, 1]]]
    """
    if max(radii) == 0 or not source.any():
        return source.copy()
    limit, costs = _costs(radii, shape)
    distance = _beyond(~source, limit, costs[0].dtype)
    for axis, cost in enumerate(costs):
        distance = _least(distance, cost, axis)
    return distance <= limit


def eroded(mask: Mask, radii: Triple, shape: ElementShape = "ball") -> Mask:
    """Return the voxels from which nothing outside of `mask` is within reach."""
    return ~near(~mask, radii, shape)


def opened(mask: Mask, radii: Triple, shape: ElementShape = "ball") -> Mask:
    """Erode, then dilate: what is thinner than the element goes."""
    return near(eroded(mask, radii, shape), radii, shape)


def closed(mask: Mask, radii: Triple, shape: ElementShape = "ball") -> Mask:
    """Dilate, then erode: gaps narrower than the element close."""
    return eroded(near(mask, radii, shape), radii, shape)


def grown(
    labels: npt.NDArray[Any], radii: Triple, unknown: int, shape: ElementShape = "diamond"
) -> npt.NDArray[Any]:
    """Dilate each object into the background; the nearest gets a voxel, then the smallest id.

    Parameters
    ----------
    labels
        Shape (z, y, x); 0 is background.
    radii
        Voxels along each axis.
    unknown
        Voxels of this value neither grow nor give way.
    shape
        ``"diamond"`` or ``"ball"``.

    Examples
    --------
    >>> grown(np.array([[[2, 0, 0, 0, 0, 1, 0, 9]]], np.uint8), (2, 2, 2), unknown=9).tolist()
    [[[2, 2, 2, 1, 1, 1, 1, 9]]]
    """
    known = (labels != 0) & (labels != unknown)
    if max(radii) == 0 or not known.any():
        return labels.copy()
    smallest = labels[known].min()
    if labels[known].max() == smallest:
        return np.where((labels == 0) & near(known, radii, shape), smallest, labels)
    limit, costs = _costs(radii, shape)
    distance = _beyond(~known, limit, costs[0].dtype)
    nearest = np.ascontiguousarray(np.where(known, labels, 0))
    for axis, cost in enumerate(costs):
        distance, nearest = _nearest(distance, nearest, cost, axis)
    return np.where((labels == 0) & (distance <= limit), nearest, labels)


def _costs(radii: Triple, shape: ElementShape) -> tuple[int, list[npt.NDArray[Any]]]:
    """Return the largest distance within reach, and for each axis the cost of each step."""
    common = math.lcm(*(max(1, radius) for radius in radii))
    power = 1 if shape == "diamond" else 2
    limit = common**power
    # What is beyond reach and one more step must not overflow.
    dtype = next(t for t in (np.int16, np.int32, np.int64) if 2 * limit + 1 < np.iinfo(t).max)
    steps = [(np.arange(r + 1) * (common // max(1, r))) ** power for r in radii]
    return limit, [cost.astype(dtype) for cost in steps]


def _beyond(far: Mask, limit: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return a distance beyond reach where `far`, else 0."""
    return np.multiply(far, limit + 1, dtype=dtype, order="C")


@njit(cache=True, parallel=True)
def _least(distance, cost, axis):  # type: ignore[no-untyped-def]
    """Let distances run along an axis, as far as `cost` reaches; rows stay rows, for speed."""
    depth, height, width = distance.shape
    out = np.empty_like(distance)
    reach = len(cost) - 1
    for n in prange(depth):
        i = np.int64(n)
        for j in range(height):
            row = out[i, j]
            row[:] = distance[i, j]
            if axis == 2:
                here = distance[i, j]
                for step in range(1, min(reach, width - 1) + 1):
                    _lower(row[step:], here[: width - step], cost[step])
                    _lower(row[: width - step], here[step:], cost[step])
                continue
            place, length = (i, depth) if axis == 0 else (j, height)
            for other in range(max(0, place - reach), min(length, place + reach + 1)):
                beside = distance[other, j] if axis == 0 else distance[i, other]
                _lower(row, beside, cost[abs(other - place)])
    return out


@njit(cache=True)
def _lower(row, other, price):  # type: ignore[no-untyped-def]
    """Lower `row` to what `other` and the price allow."""
    for k in range(len(row)):
        row[k] = min(row[k], other[k] + price)


@njit(cache=True, parallel=True)
def _nearest(distance, ids, cost, axis):  # type: ignore[no-untyped-def]
    """Like `_least`; each distance carries the smallest id that it is the distance to."""
    depth, height, width = distance.shape
    out, out_ids = np.empty_like(distance), np.empty_like(ids)
    reach = len(cost) - 1
    along = (axis == 0, axis == 1, axis == 2)
    for n in prange(depth):
        i = np.int64(n)
        for j in range(height):
            for k in range(width):
                best, owner = distance[i, j, k], ids[i, j, k]
                place = i if along[0] else j if along[1] else k
                for other in range(
                    max(0, place - reach), min(distance.shape[axis], place + reach + 1)
                ):
                    z = other if along[0] else i
                    y = other if along[1] else j
                    x = other if along[2] else k
                    price = distance[z, y, x] + cost[abs(other - place)]
                    if price < best or (price == best and ids[z, y, x] < owner):
                        best, owner = price, ids[z, y, x]
                out[i, j, k], out_ids[i, j, k] = best, owner
    return out, out_ids
