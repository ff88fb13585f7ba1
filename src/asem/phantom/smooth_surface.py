"""A closed smooth surface in nm: the membrane of a cell, or the middle of a nuclear envelope.

::

    f(p) = m (|(p - c) / a| - 1) + sum_k w_k sin(v_k p + phi_k)      an ellipsoid with waves
    f    = smooth maximum of f and -|p - fold|                        folds are cut out of it

with the semi-axes a, their mean m, and folds that are tubes. The surface is f = 0; f < 0 is inside.
The signed distance of a position is that to the foot point on the surface, which Newton steps along
the gradient find.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import NmZYX

FloatArray = npt.NDArray[np.float64]
FOLD_BLEND_NM = 120.0
"""Width over which a fold passes into the rest of the surface."""
NEAR_NM = 160.0
"""Distances up to this are those to the foot point; larger ones are estimates, |f| / |grad f|."""
_NO_FOLDS = np.zeros((0, 7))


@dataclass(frozen=True)
class SmoothSurface:
    """An ellipsoid with waves and folds.

    Parameters
    ----------
    centre_nm, semi_axes_nm
        Of the ellipsoid, along (z, y, x).
    waves
        Shape (n, 5): amplitude (nm), wave vector (radians / nm, along z, y and x), phase.
    folds
        Shape (m, 7): start and end of the axis (z, y, x each) and radius of each fold, nm.
    """

    centre_nm: NmZYX
    semi_axes_nm: NmZYX
    waves: FloatArray
    folds: FloatArray = field(default_factory=lambda: _NO_FOLDS)

    @property
    def ellipsoid(self) -> FloatArray:
        """Centre and semi-axes, shape (6,)."""
        return np.array([*self.centre_nm, *self.semi_axes_nm])

    def distances(self, points: FloatArray) -> FloatArray:
        """Return the signed distance of each of the points (n, 3) in nm; negative inside."""
        return self._measure(points)[:, 0]

    def normals(self, points: FloatArray) -> FloatArray:
        """Return the outward unit normals at the surface points nearest to the points (n, 3)."""
        return self._measure(points)[:, 4:7]

    def project(self, points: FloatArray) -> FloatArray:
        """Return the nearest surface points of points within `NEAR_NM` of the surface, (n, 3)."""
        return self._measure(points)[:, 1:4]

    def depth(self, position: FloatArray) -> float:
        """Return the distance of a position (3,) inside of the surface from it, however far."""
        foot = self.project(position)
        for _ in range(40):
            foot = self.project(foot)
            offset, normal = position - foot[0], self.normals(foot)[0]
            foot = foot + 0.7 * (offset - (offset @ normal) * normal)
        return float(np.linalg.norm(position - self.project(foot)[0]))

    def distance_grid(
        self, first: FloatArray, spacing_nm: float, shape: tuple[int, ...]
    ) -> npt.NDArray[np.float32]:
        """Return the signed distances on a grid.

        Parameters
        ----------
        first
            Position of its first point, nm.
        spacing_nm
            Of its points, along each axis.
        shape
            Number of points along (z, y, x).

        Returns
        -------
        ndarray
            float32, of `shape`.
        """
        grid = np.empty(shape, np.float32)
        _fill_grid(
            grid, np.asarray(first, float), spacing_nm, self.ellipsoid, self.waves, self.folds
        )
        return grid

    def _measure(self, points: FloatArray) -> FloatArray:
        points = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        measured = np.empty((len(points), 7))
        _measure_points(points, measured, self.ellipsoid, self.waves, self.folds)
        return measured


@njit(cache=True, nogil=True)
def _evaluate(z, y, x, ellipsoid, waves, folds):  # type: ignore[no-untyped-def]
    """Return f at a position."""
    mean = (ellipsoid[3] + ellipsoid[4] + ellipsoid[5]) / 3
    value = mean * (
        np.sqrt(
            ((z - ellipsoid[0]) / ellipsoid[3]) ** 2
            + ((y - ellipsoid[1]) / ellipsoid[4]) ** 2
            + ((x - ellipsoid[2]) / ellipsoid[5]) ** 2
        )
        - 1
    )
    for n in range(len(waves)):
        phase = waves[n, 1] * z + waves[n, 2] * y + waves[n, 3] * x + waves[n, 4]
        value += waves[n, 0] * np.sin(phase)
    for n in range(len(folds)):
        cut = -_distance_to_segment(z, y, x, folds[n])
        blend = max(FOLD_BLEND_NM - abs(value - cut), 0.0)
        value = max(value, cut) + blend * blend / (4 * FOLD_BLEND_NM)
    return value


@njit(cache=True, nogil=True, inline="always")
def _distance_to_segment(z, y, x, tube):  # type: ignore[no-untyped-def]
    """Return the distance to a straight tube with round ends: start, end, radius."""
    dz, dy, dx = tube[3] - tube[0], tube[4] - tube[1], tube[5] - tube[2]
    pz, py, px = z - tube[0], y - tube[1], x - tube[2]
    along = (pz * dz + py * dy + px * dx) / (dz * dz + dy * dy + dx * dx)
    along = min(max(along, 0.0), 1.0)
    pz, py, px = pz - along * dz, py - along * dy, px - along * dx
    return np.sqrt(pz * pz + py * py + px * px) - tube[6]


@njit(cache=True, nogil=True)
def _slope(z, y, x, value, ellipsoid, waves, folds):  # type: ignore[no-untyped-def]
    """Return the gradient of f by differences over 1 nm."""
    return (
        _evaluate(z + 1, y, x, ellipsoid, waves, folds) - value,
        _evaluate(z, y + 1, x, ellipsoid, waves, folds) - value,
        _evaluate(z, y, x + 1, ellipsoid, waves, folds) - value,
    )


@njit(cache=True, nogil=True)
def _measure_point(z, y, x, ellipsoid, waves, folds):  # type: ignore[no-untyped-def]
    """Return signed distance, foot point and outward normal of a position.

    Each step moves to the surface along the gradient, then along the surface towards the position.
    """
    value = _evaluate(z, y, x, ellipsoid, waves, folds)
    gz, gy, gx = _slope(z, y, x, value, ellipsoid, waves, folds)
    squared = gz * gz + gy * gy + gx * gx + 1e-12
    estimate = value / np.sqrt(squared)
    fz, fy, fx = z - value * gz / squared, y - value * gy / squared, x - value * gx / squared
    if abs(estimate) < NEAR_NM:
        for _ in range(8):
            value = _evaluate(fz, fy, fx, ellipsoid, waves, folds)
            gz, gy, gx = _slope(fz, fy, fx, value, ellipsoid, waves, folds)
            squared = gz * gz + gy * gy + gx * gx + 1e-12
            dz, dy, dx = z - fz, y - fy, x - fx
            # The part of d along the surface, and the step to the surface.
            along = ((dz * gz + dy * gy + dx * gx) + value) / squared
            dz, dy, dx = dz - along * gz, dy - along * gy, dx - along * gx
            fz, fy, fx = fz + dz, fy + dy, fx + dx
            if dz * dz + dy * dy + dx * dx < 1e-4:
                break
        if abs(value) < 1:  # else there is no foot point, as on the axis of a fold
            dz, dy, dx = z - fz, y - fy, x - fx
            estimate = np.sqrt(dz * dz + dy * dy + dx * dx)
            if dz * gz + dy * gy + dx * gx < 0:
                estimate = -estimate
    norm = np.sqrt(squared)
    return estimate, fz, fy, fx, gz / norm, gy / norm, gx / norm


@njit(cache=True, nogil=True)
def _measure_points(points, measured, ellipsoid, waves, folds):  # type: ignore[no-untyped-def]
    for n in range(len(points)):
        z, y, x = points[n]
        row = _measure_point(z, y, x, ellipsoid, waves, folds)
        for k in range(7):
            measured[n, k] = row[k]


@njit(cache=True, nogil=True, parallel=True)
def _fill_grid(grid, first, spacing, ellipsoid, waves, folds):  # type: ignore[no-untyped-def]
    for i in prange(grid.shape[0]):
        z = first[0] + i * spacing
        for j in range(grid.shape[1]):
            y = first[1] + j * spacing
            for k in range(grid.shape[2]):
                x = first[2] + k * spacing
                grid[i, j, k] = _measure_point(z, y, x, ellipsoid, waves, folds)[0]
