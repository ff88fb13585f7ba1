"""The axis of a pit: all directions are tried, then the pose is fitted to the image.

Fit: with the outline (rho, t), its unit normal n, and the mean profile P(x) of darkness across it,
a pose that is off by a shift (a, b) along (u, v) and a tilt (p, q) towards them displaces the
outline at the angle theta by ::

    delta = n_rho (a cos theta + b sin theta) + (n_rho t - n_t rho) (p cos theta + q sin theta)

and the profile there is P(x - delta), about P(x) - delta P'(x): least squares (Lucas and Kanade, An
iterative image registration technique, 1981).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.measure.pits.bulb import Bulb, sphere_directions
from asem.measure.pits.half_plane import (
    Axis,
    FloatArray,
    Grid,
    Image,
    average_angles,
    sample,
    sample_at,
    unroll,
)
from asem.measure.pits.outline import Line, normals, resample, trace_outline

SEARCH_DIRECTIONS, SEARCH_ANGLES, SEARCH_STEP_NM = 150, 12, 6.0
APART_NM = 8.0
"""From the centre of the bulb to that of the mask, from which on this is another start."""
WALL_RANGE, CONE, DARK = np.arange(0.75, 1.3, 0.08), 0.93, 0.6
"""Wall of a bulb: radii in units of its own, cosine of the cone over which it is smoothed, and
darkness from which on it counts."""
START_MARGIN, HIGHEST_END = 0.5, -0.3
"""Limits of the ends of an outline, in units of the radius of the bulb."""
CANDIDATES, APART = 3, 0.8
"""Directions that are refined; cosine of the angle between any two."""
ANGLES, STEP_NM = 24, 2.5
TOP_NM, RADIUS_NM = 150.0, 120.0
"""Height above the centre of a bulb, and distance from the axis, up to which it is searched."""
BELOW_NM = 24.0
"""Depth below the bulb."""
CLEAR_COST_NM, HIDDEN_COST_NM = 7.0, 12.0
"""Costs of an outline that is dark all along: no other axis is tried; no hidden neck is."""
BEYOND_NM, FINE_DIRECTIONS, FINE_CONE = np.arange(20.0, 71.0, 5.0), 3000, 0.966
"""Search for hidden necks: distances from the wall that are compared, number of directions on a
sphere, and cosine of the cone of those that are tried."""
STEPS = 6
SMALLEST_STEP_NM, SMALLEST_TILT = 0.2, 0.003
"""Smaller steps end a fit."""
LARGEST_STEP_NM, LARGEST_TILT = 8.0, 0.12
OFFSETS_NM = np.arange(-15.0, 15.1, 2.5)


@dataclass(frozen=True)
class PitPose:
    """An axis through the middle of the bulb, the mean half plane, and the outline in it."""

    axis: Axis
    grid: Grid
    plane: FloatArray
    path: Line


def find_pose(image: Image, bulb: Bulb, centre_nm: FloatArray) -> PitPose:
    """Return the pose whose outline is the darkest.

    Parameters
    ----------
    image
        Darkness in units of that of membranes.
    bulb
        Of the pit.
    centre_nm
        Of its mask: another start, since a sphere may not be in the middle of a flat bulb.
    """
    wall = map_wall(image, bulb)
    search = PitSearch(image, bulb.radius_nm, float((wall > DARK).mean()))
    axes = [Axis.along(bulb.centre_nm, w) for w in sphere_directions(SEARCH_DIRECTIONS)]
    best = refine_best(search, choose_apart(axes, wall))
    starts = [bulb.centre_nm]
    if np.linalg.norm(centre_nm - bulb.centre_nm) > APART_NM:
        starts.append(centre_nm)
    for start in starts:
        if best.path.cost < CLEAR_COST_NM:
            return best
        moved = [Axis(start, axis.vectors) for axis in axes]
        found = refine_best(search, choose_apart(moved, search.costs(moved)))
        best = min(best, found, key=lambda pose: pose.path.cost)
    if best.path.cost < HIDDEN_COST_NM:
        return best
    found = refine_best(search, _search_hidden_necks(search, bulb, axes))
    return min(best, found, key=lambda pose: pose.path.cost)


def _search_hidden_necks(search: "PitSearch", bulb: Bulb, axes: list[Axis]) -> list[Axis]:
    """Return axes towards what is brightest beyond the wall, the best of many directions each.

    A narrow neck leaves the wall dark everywhere. Behind it is the outside of the cell, or the
    lumen of an endosome, which are brighter than cytosol.
    """
    beyond = _smooth(_mean_rays(search.image, bulb, BEYOND_NM))
    fine = sphere_directions(FINE_DIRECTIONS)
    chosen = []
    for axis in choose_apart(axes, beyond):
        near = [Axis.along(bulb.centre_nm, w) for w in fine[fine @ axis.direction > FINE_CONE]]
        chosen.append(near[int(np.argmin(search.costs(near)))])
    return chosen


def refine_best(search: "PitSearch", axes: list[Axis]) -> PitPose:
    """Fit poses from several axes; return the first with a clear outline, or the darkest."""
    best: PitPose | None = None
    for axis in axes:
        pose = refine(search, axis)
        if best is None or pose.path.cost < best.path.cost:
            best = pose
        if best.path.cost < CLEAR_COST_NM:
            break
    assert best is not None
    return best


@dataclass(frozen=True)
class PitSearch:
    """An image around a bulb, and what is expected of the outline.

    Parameters
    ----------
    image
        Darkness in units of that of membranes.
    radius_nm
        Of the bulb.
    coverage
        Part of its wall that is dark, 0 to 1. The membrane around a spherical bulb is at the height
        (2 coverage - 1) radius above its centre (Archimedes).
    """

    image: Image
    radius_nm: float
    coverage: float

    def grid(self, step_nm: float) -> Grid:
        """Return the half plane that contains bulb and surrounding membrane."""
        return Grid.of_reach(-self.radius_nm - BELOW_NM, TOP_NM, RADIUS_NM, step_nm)

    def costs(self, axes: list[Axis]) -> FloatArray:
        """Return the costs of the outlines around axes on a coarse grid, (n,)."""
        grid = self.grid(SEARCH_STEP_NM)
        return np.array([self.trace(axis, grid, SEARCH_ANGLES)[1].cost for axis in axes])

    def trace(self, axis: Axis, grid: Grid, angles: int) -> tuple[FloatArray, Line]:
        """Return the mean half plane around an axis, and the outline in it."""
        plane = average_angles(unroll(self.image, axis, grid, angles))
        lowest = (2 * self.coverage - 1 - START_MARGIN) * self.radius_nm
        return plane, trace_outline(plane, grid, lowest, HIGHEST_END * self.radius_nm)


def choose_apart(axes: list[Axis], costs: FloatArray) -> list[Axis]:
    """Return the `CANDIDATES` axes of the smallest costs, any two far apart."""
    chosen: list[Axis] = []
    for row in np.argsort(costs).tolist():
        if all(axes[row].direction @ other.direction < APART for other in chosen):
            chosen.append(axes[row])
        if len(chosen) == CANDIDATES:
            break
    return chosen


def map_wall(image: Image, bulb: Bulb) -> FloatArray:
    """Return the darkness of the wall of a bulb in each direction, smoothed, (n,)."""
    return _smooth(_sample_ray_grid(image, bulb, WALL_RANGE * bulb.radius_nm).max(axis=1))


def _mean_rays(image: Image, bulb: Bulb, beyond_nm: FloatArray) -> FloatArray:
    """Return the mean darkness in each direction at distances from the wall of a bulb, (n,)."""
    return np.asarray(_sample_ray_grid(image, bulb, bulb.radius_nm + beyond_nm).mean(axis=1))


def _sample_ray_grid(image: Image, bulb: Bulb, radii: FloatArray) -> FloatArray:
    """Return the darkness in each direction at distances from the centre, (n, m)."""
    directions = sphere_directions(SEARCH_DIRECTIONS)
    points = bulb.centre_nm + directions[:, None] * radii[:, None]
    return sample_at(image, points).astype(np.float64)


def _smooth(values: FloatArray) -> FloatArray:
    """Return means over cones of values of each direction, (n,); 1, as of a wall, where unknown."""
    directions = sphere_directions(SEARCH_DIRECTIONS)
    known = np.isfinite(values)
    weight = np.maximum(directions @ directions.T - CONE, 0) * known
    total = weight.sum(axis=1)
    mean = weight @ np.where(known, values, 0) / np.maximum(total, 1e-9)
    return np.where(total > 0, mean, 1.0)


def refine(search: PitSearch, axis: Axis) -> PitPose:
    """Fit a pose to the image."""
    grid = search.grid(STEP_NM)
    best: PitPose | None = None
    for step in range(STEPS + 1):
        plane, path = search.trace(axis, grid, ANGLES)
        if best is None or path.cost < best.path.cost:
            best = PitPose(axis, grid, plane, path)
        if step < STEPS:
            move = _step(search.image, axis, path)
            axis = _move(axis, move)
            if np.abs(move[:2]).max() < SMALLEST_STEP_NM and np.abs(move[2:]).max() < SMALLEST_TILT:
                break
    assert best is not None
    return best


def _step(image: Image, axis: Axis, path: Line) -> FloatArray:
    """Return (a, b, p, q) of the least squares."""
    smooth = resample(path, 4.0, 6.0)
    n = normals(smooth)
    profiles = sample_profiles(image, axis, smooth, n, OFFSETS_NM, ANGLES)
    mean = mean_profile(profiles)
    slope = np.nan_to_num(np.gradient(mean, OFFSETS_NM, axis=1))
    residual = profiles - mean
    theta = 2 * np.pi * np.arange(ANGLES) / ANGLES
    cos, sin = np.cos(theta), np.sin(theta)
    shift = n[:, 0]
    tilt = n[:, 0] * smooth.t_nm - n[:, 1] * smooth.rho_nm
    basis = np.stack(
        [np.outer(cos, shift), np.outer(sin, shift), np.outer(cos, tilt), np.outer(sin, tilt)],
        axis=-1,
    )  # angles, points, 4
    known = np.isfinite(residual)
    residual = np.where(known, residual, 0)
    scale = 1.5 * np.sqrt((residual**2).sum() / max(known.sum(), 1))
    weight = known / (1 + (residual / max(scale, 1e-9)) ** 2)
    weight *= np.maximum(smooth.rho_nm, 5)[None, :, None]
    squared = (weight * slope**2).sum(axis=2)
    cross = (weight * slope * residual).sum(axis=2)
    matrix = np.einsum("ak,akp,akq->pq", squared, basis, basis)
    vector = -np.einsum("ak,akp->p", cross, basis)
    matrix += np.diag(1e-3 * np.diag(matrix) + 1e-9)
    step = np.linalg.solve(matrix, vector)
    limit = np.array([LARGEST_STEP_NM, LARGEST_STEP_NM, LARGEST_TILT, LARGEST_TILT])
    return np.asarray(step * min(1.0, float(np.min(limit / np.maximum(np.abs(step), 1e-12)))))


def _move(axis: Axis, step: FloatArray) -> Axis:
    u, v, w = axis.vectors
    direction = w + step[2] * u + step[3] * v
    return Axis.along(axis.centre_nm + step[0] * u + step[1] * v, direction)


def sample_profiles(
    image: Image, axis: Axis, path: Line, n: FloatArray, offsets: FloatArray, angles: int
) -> npt.NDArray[np.float32]:
    """Sample darkness across an outline, (angles, points, offsets)."""
    rho = path.rho_nm[:, None] + n[:, :1] * offsets
    t = path.t_nm[:, None] + n[:, 1:] * offsets
    start, outward, along = image.to_half_planes(axis, angles)
    return np.asarray(_sample_points(image.values, start, outward, along, rho, t))


def mean_profile(profiles: npt.NDArray[np.float32]) -> FloatArray:
    """Return the mean over the angles of profiles (angles, points, offsets), nan if unknown."""
    known = np.isfinite(profiles)
    total = np.where(known, profiles, 0).sum(axis=0, dtype=np.float64)
    count = known.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@njit(cache=True, nogil=True)
def _sample_points(values, start, outward, along, rho, t):  # type: ignore[no-untyped-def]
    result = np.empty((len(outward), *rho.shape), np.float32)
    for a in range(len(outward)):
        for i in range(rho.shape[0]):
            for j in range(rho.shape[1]):
                r, h = rho[i, j], t[i, j]
                result[a, i, j] = sample(
                    values,
                    start[0] + h * along[0] + r * outward[a, 0],
                    start[1] + h * along[1] + r * outward[a, 1],
                    start[2] + h * along[2] + r * outward[a, 2],
                )
    return result
