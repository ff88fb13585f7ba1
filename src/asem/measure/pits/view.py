"""The plane of the image with the largest outline, and lengths in it, as the paper measures them.

Nine consecutive planes across each of the three axes of the image, around the centre of the object.
In the plane with the largest outline: dark pixels near the outline (Otsu's threshold), their
skeleton, the ellipse that fits it best; height, width and neck of the skeleton.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

from asem.measure.frame import FloatArray, Frame
from asem.measure.pits.ellipsoid import fit_ellipsoid
from asem.measure.pits.half_plane import Image, sample_at
from asem.measure.pits.lengths import NECK_START_NM, Membrane

PLANES = 9
PIXEL_NM, REACH_NM = 2.5, 115.0
BAND_NM = 20.0
"""From the outline to the pixels that may be of the membrane."""
BIN_NM = 3.0
LONGEST_NM = 250.0
"""An ellipse with a longer axis is not determined by the skeleton."""
SMALLEST_SLOPE = 0.6
"""Sine of the angle between the axis of a pit and the normal of a plane that shows its height."""
Inside = Callable[[FloatArray], npt.NDArray[np.bool_]]
"""Function that returns which world positions, (..., 3), are within an outline."""


@dataclass(frozen=True)
class View:
    """A plane of the image and lengths in it, nm, nan where they cannot be measured.

    Parameters
    ----------
    axis, index
        0, 1 or 2 for z, y or x, across the plane; index of the plane in the patch.
    height_nm, width_nm, neck_nm, major_nm, minor_nm
        Of the skeleton.
    """

    axis: int
    index: int
    height_nm: float = np.nan
    width_nm: float = np.nan
    neck_nm: float = np.nan
    major_nm: float = np.nan
    minor_nm: float = np.nan


def measure_view(
    image: Image, centre_nm: FloatArray, inside: Inside, axis: Frame, membrane: Membrane | None
) -> View:
    """Measure an object in the plane with its largest outline.

    Parameters
    ----------
    image
        Darkness.
    centre_nm
        Of the object.
    inside
        Which positions are within its outline.
    axis, membrane
        Of a pit; the membrane is None for a vesicle.
    """
    view, points, mask = _choose_plane(image, centre_nm, inside)
    skeleton = _trace_skeleton(image, points, mask)
    across = np.delete(np.arange(3), view.axis)
    offsets = points[skeleton] - centre_nm
    if membrane is None:
        return _with_ellipse(view, offsets[:, across])
    local = offsets_in(axis, points[skeleton])
    rho = np.hypot(local[:, 0], local[:, 1])
    depth = membrane.depth(rho, local[:, 2])
    of_bulb = depth > NECK_START_NM
    view = _with_ellipse(view, offsets[of_bulb][:, across])
    slope = np.delete(axis.normal, view.axis)
    if np.linalg.norm(slope) < SMALLEST_SLOPE or of_bulb.sum() < 8:
        return view
    side = offsets[:, across] @ np.array([-slope[1], slope[0]]) / np.linalg.norm(slope)
    return _with_lengths(view, side[of_bulb], depth[of_bulb])


def offsets_in(axis: Frame, points_nm: FloatArray) -> FloatArray:
    """Return positions (n, 3) along u, v and w from the centre of an axis, nm."""
    return np.asarray((points_nm - axis.origin_nm) @ axis.axes.T)


def _choose_plane(
    image: Image, centre_nm: FloatArray, inside: Inside
) -> tuple[View, FloatArray, npt.NDArray[np.bool_]]:
    """Return the plane with the largest outline, its pixels, and which are within the outline."""
    line = np.arange(-REACH_NM, REACH_NM + 0.1, PIXEL_NM)
    middle = np.rint(image.to_voxels(centre_nm)).astype(int)
    best = None
    for axis in range(3):
        across = np.delete(np.arange(3), axis)
        points = np.empty((len(line), len(line), 3))
        points[..., across[0]] = centre_nm[across[0]] + line[:, None]
        points[..., across[1]] = centre_nm[across[1]] + line
        for index in middle[axis] + np.arange(PLANES) - PLANES // 2:
            points[..., axis] = image.first_nm[axis] + index * image.voxel_size[axis]
            mask = inside(points)
            if best is None or mask.sum() > best[2].sum():
                best = View(axis, int(index)), points.copy(), mask
    assert best is not None
    return best


def _trace_skeleton(
    image: Image, points: FloatArray, inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the skeleton of the dark pixels near an outline."""
    to_border = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside)
    dark = sample_at(image, points)
    near = (to_border * PIXEL_NM < BAND_NM) & np.isfinite(dark)
    if not inside.any() or not near.any() or np.ptp(dark[near]) == 0:
        return np.zeros(inside.shape, np.bool_)
    level = threshold_otsu(dark[near])  # type: ignore[no-untyped-call]
    return np.asarray(skeletonize(near & (np.nan_to_num(dark) > level)))  # type: ignore[no-untyped-call]


def _with_ellipse(view: View, points: FloatArray) -> View:
    """Return a view with the axes of the ellipse that fits points, (n, 2), best."""
    if len(points) < 12:
        return view
    axes = fit_ellipsoid(points, np.ones(len(points))).axes_nm
    if axes[0] > LONGEST_NM:
        return view
    return View(view.axis, view.index, major_nm=float(axes[0]), minor_nm=float(axes[1]))


def _with_lengths(view: View, side: FloatArray, depth: FloatArray) -> View:
    """Return a view with height, width and neck of a skeleton.

    Parameters
    ----------
    view
        With its ellipse.
    side, depth
        Of the points of the skeleton: to the right of the axis, and below the membrane, (n,), nm.
    """
    middle = np.abs(side) < 4 * BIN_NM
    height = float(depth[middle].max()) if middle.any() else float(depth.max())
    levels = np.arange(NECK_START_NM, height, BIN_NM)
    widths = np.array([_width_at(level, side, depth) for level in levels])
    width = _width_at(height / 2, side, depth)
    neck = np.nan
    if np.isfinite(widths).any():
        neck = float(np.nanmin(widths[: int(np.nanargmax(widths)) + 1]))
    return View(view.axis, view.index, height, width, neck, view.major_nm, view.minor_nm)


def _width_at(level: float, side: FloatArray, depth: FloatArray) -> float:
    """Return the distance of both sides of a skeleton at a depth, nan where one is missing."""
    at = np.abs(depth - level) < BIN_NM
    right, left = side[at & (side > 0)], side[at & (side < 0)]
    return float(np.median(right) - np.median(left)) if len(right) and len(left) else np.nan
