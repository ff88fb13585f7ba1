"""The pose of a pit, fitted to the image from an axis that is nearly right.

With the outline (rho, t), its unit normal n, and the mean profile P(x) of darkness across it,
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

from asem.measure.frame import FloatArray, Frame
from asem.measure.pits.half_plane import Grid, Image, average_angles, sample, unroll
from asem.measure.pits.outline import Line, normals, resample, trace_outline

SEARCH_ANGLES, SEARCH_STEP_NM = 12, 6.0
"""Half planes and grid of the search for an axis."""
START_MARGIN, HIGHEST_END = 0.5, -0.3
"""Limits of the ends of an outline, in units of the radius of the bulb."""
ANGLES, STEP_NM = 24, 2.5
TOP_NM, RADIUS_NM = 150.0, 120.0
"""Height above the centre of a bulb, and distance from the axis, up to which it is searched."""
BELOW_NM = 24.0
"""Depth below the bulb."""
STEPS = 6
SMALLEST_STEP_NM, SMALLEST_TILT = 0.2, 0.003
"""Smaller steps end a fit."""
LARGEST_STEP_NM, LARGEST_TILT = 8.0, 0.12
OFFSETS_NM = np.arange(-15.0, 15.1, 2.5)


@dataclass(frozen=True)
class PitPose:
    """An axis through the middle of the bulb, the mean half plane, and the outline in it."""

    axis: Frame
    grid: Grid
    plane: FloatArray
    path: Line


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

    def costs(self, axes: list[Frame]) -> FloatArray:
        """Return the costs of the outlines around axes on a coarse grid, (n,)."""
        grid = self.grid(SEARCH_STEP_NM)
        return np.array([self.trace(axis, grid, SEARCH_ANGLES)[1].cost for axis in axes])

    def trace(self, axis: Frame, grid: Grid, angles: int) -> tuple[FloatArray, Line]:
        """Return the mean half plane around an axis, and the outline in it."""
        plane = average_angles(unroll(self.image, axis, grid, angles))
        lowest = (2 * self.coverage - 1 - START_MARGIN) * self.radius_nm
        return plane, trace_outline(plane, grid, lowest, HIGHEST_END * self.radius_nm)


def refine(search: PitSearch, axis: Frame) -> PitPose:
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


def _step(image: Image, axis: Frame, path: Line) -> FloatArray:
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


def _move(axis: Frame, step: FloatArray) -> Frame:
    u, v, w = axis.axes
    direction = w + step[2] * u + step[3] * v
    return Frame.from_normal(axis.origin_nm + step[0] * u + step[1] * v, direction)


def sample_profiles(
    image: Image, axis: Frame, path: Line, n: FloatArray, offsets: FloatArray, angles: int
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
