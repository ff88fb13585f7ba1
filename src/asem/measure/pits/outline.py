"""The outline of a pit in its half plane: the darkest line from the membrane to the deepest point.

It is the minimal path (Cohen and Kimmel, Global minimum for active contour models, 1997) from the
surrounding membrane, at the largest radius, around the bulb to the axis below its centre.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.graph import MCP_Geometric

from asem.measure.frame import FloatArray
from asem.measure.pits.half_plane import Grid

SNAP_POINTS = 1.0
"""Smoothing of profiles along an outline, points."""
TOP_START = 0.5
"""Smallest radius at which a path starts at the largest height, in units of the largest radius."""
SMALLEST_COST = 0.03
"""Cost of a step along the darkest line; off membranes it is up to 1."""


@dataclass(frozen=True)
class Line:
    """A line in a half plane from the surrounding membrane to the axis.

    Parameters
    ----------
    rho_nm, t_nm
        Points, (n,).
    cost
        Sum of the costs along it, in nm.
    """

    rho_nm: FloatArray
    t_nm: FloatArray
    cost: float


def trace_outline(plane: FloatArray, grid: Grid, lowest_start: float, highest_end: float) -> Line:
    """Return the minimal path around a bulb whose centre is at height 0.

    It starts at the largest radius above the middle of the bulb, or far from the axis at the
    largest height (small endosomes), and ends on the axis below the middle of the bulb.

    Parameters
    ----------
    plane
        Darkness, (heights, radii), about 0 off membranes and 1 on them; nan where it is unknown.
    grid
        Its heights and radii.
    lowest_start, highest_end
        Heights above which the path starts, and below which it ends.
    """
    search = MCP_Geometric(SMALLEST_COST + (1 - np.nan_to_num(np.clip(plane, 0, 1))) ** 2)
    rows, columns = plane.shape
    at_side = np.flatnonzero(grid.t_nm >= lowest_start)
    at_top = np.flatnonzero(grid.rho_nm >= TOP_START * grid.rho_nm[-1])
    starts = [(int(row), columns - 1) for row in at_side]
    starts += [(rows - 1, int(column)) for column in at_top]
    total, _ = search.find_costs(starts)
    ends = np.flatnonzero(grid.t_nm <= highest_end)
    end = int(ends[np.argmin(total[ends, 0])])
    points = np.array(search.traceback((end, 0)))
    cost = float(total[end, 0]) * grid.step_nm
    return Line(grid.rho_nm[points[:, 1]], grid.t_nm[points[:, 0]], cost)


def resample(path: Line, spacing_nm: float, smoothing_nm: float) -> Line:
    """Return points in equal distances along a path, smoothed by a Gaussian along it."""
    rho, t = path.rho_nm, path.t_nm
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(rho), np.diff(t)))])
    count = max(8, round(length[-1] / spacing_nm) + 1)
    places = np.linspace(0, length[-1], count)
    sigma = smoothing_nm * (count - 1) / max(length[-1], 1e-9)
    # Mirrored at the axis, where the outline is symmetric.
    rho, t = np.interp(places, length, rho), np.interp(places, length, t)
    rho = np.concatenate([rho, -rho[-2::-1]])
    t = np.concatenate([t, t[-2::-1]])
    smooth = ndimage.gaussian_filter1d(np.stack([rho, t]), sigma, mode="nearest")[:, :count]
    return Line(smooth[0], smooth[1], path.cost)


def normals(path: Line) -> FloatArray:
    """Return unit normals (rho, t) of a path, (n, 2), to the left of its direction."""
    tangent = np.stack([np.gradient(path.rho_nm), np.gradient(path.t_nm)], axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
    return np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)


def snap(path: Line, n: FloatArray, profiles: FloatArray, offsets: FloatArray) -> Line:
    """Move each point of a path to the darkest place of the profile across it.

    Parameters
    ----------
    path, n
        Points and their unit normals.
    profiles
        Darkness at `offsets` along the normals, (points, offsets), nan where it is unknown.
    offsets
        In equal steps, nm.
    """
    smooth = ndimage.gaussian_filter1d(np.nan_to_num(profiles), SNAP_POINTS, axis=0, mode="nearest")
    k = np.clip(np.argmax(smooth, axis=1), 1, len(offsets) - 2)
    rows = np.arange(len(k))
    before, at, after = smooth[rows, k - 1], smooth[rows, k], smooth[rows, k + 1]
    bend = before - 2 * at + after
    share = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1), 0)
    move = offsets[k] + np.clip(share, -1, 1) * (offsets[1] - offsets[0])
    return Line(np.abs(path.rho_nm + move * n[:, 0]), path.t_nm + move * n[:, 1], path.cost)
