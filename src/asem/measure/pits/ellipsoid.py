"""The ellipsoid that fits the wall of a closed vesicle.

Rays from the centre meet the wall where they are darkest. An ellipsoid is fitted to these points,
and the rays start again from its centre, near its surface.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import ndimage

from asem.measure.pits.bulb import Bulb, sphere_directions
from asem.measure.pits.half_plane import FloatArray, Image, sample

RAYS = 400
OFFSETS_NM = np.arange(-14.0, 14.1, 1.0)
CONE = 0.95
"""Cosine of the angle within which profiles of rays are averaged."""
STEPS = 5
GROUPS = 8
"""Parts of the wall that are left out in turn for standard errors."""


@dataclass(frozen=True)
class Ellipsoid:
    """Centre, (3,); lengths of the axes, longest first, (3,), nm, and unit vectors, (3, 3), rows.

    `misfit_nm` is the median distance of the wall from it.
    """

    centre_nm: FloatArray
    axes_nm: FloatArray
    vectors: FloatArray
    misfit_nm: float

    def radii(self, directions: FloatArray) -> FloatArray:
        """Return the distance from the centre to the surface along unit vectors (n, 3)."""
        scaled = (directions @ self.vectors.T) / (self.axes_nm / 2)
        return np.asarray(1 / np.linalg.norm(scaled, axis=1))

    @property
    def diameter_nm(self) -> float:
        """Diameter of the sphere of equal volume."""
        return float(np.prod(self.axes_nm) ** (1 / 3))


def fit_vesicle(
    image: Image, bulb: Bulb, left_out: npt.NDArray[np.bool_] | None = None
) -> Ellipsoid:
    """Fit the wall of a vesicle.

    Parameters
    ----------
    image
        Darkness.
    bulb
        Where it is, about.
    left_out
        Rays that do not count, (`RAYS`,).
    """
    directions = sphere_directions(RAYS)
    near = np.maximum(directions @ directions.T - CONE, 0)
    found = Ellipsoid(bulb.centre_nm, np.full(3, 2 * bulb.radius_nm), np.eye(3), np.inf)
    for _ in range(STEPS):
        radii = found.radii(directions)
        start = image.to_voxels(found.centre_nm)
        profiles = _sample_rays(
            image.values, start, directions / image.voxel_size, radii, OFFSETS_NM
        )
        known = np.isfinite(profiles).all(axis=1)
        smooth = (
            near[:, known] @ profiles[known] / np.maximum(near[:, known].sum(axis=1), 1e-9)[:, None]
        )
        smooth = ndimage.gaussian_filter1d(smooth, 1.0, axis=1)
        darkest = np.argmax(smooth, axis=1)
        inside = (darkest > 0) & (darkest < len(OFFSETS_NM) - 1) & known
        weight = np.where(inside, 1.0, 0.05)
        if left_out is not None:
            weight = np.where(left_out, 0, weight)
        points = directions * (radii + OFFSETS_NM[darkest])[:, None]
        found = _fit_ellipsoid(points, weight, found.centre_nm)
    return found


def _fit_ellipsoid(points: FloatArray, weight: FloatArray, origin: FloatArray) -> Ellipsoid:
    """Fit x' A x + b' x = 1 to points around an origin, robustly."""
    x, y, z = points.T / 50
    basis = np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z, x, y, z], axis=1)
    scale = np.ones(len(points))
    for _ in range(4):
        w = weight * scale
        a, b, c, d, e, f, *linear = np.linalg.lstsq(basis * w[:, None], w, rcond=None)[0]
        matrix = np.array([[a, d, e], [d, b, f], [e, f, c]])
        values, vectors = np.linalg.eigh(matrix)
        values = np.clip(values, 0.1, 10)
        matrix = vectors @ np.diag(values) @ vectors.T
        centre = -np.linalg.solve(matrix, linear) / 2
        level = 1 + centre @ matrix @ centre
        axes = 2 * 50 * np.sqrt(level / values)
        found = Ellipsoid(origin + 50 * centre, axes, vectors.T, 0.0)
        away = points - 50 * centre
        length = np.linalg.norm(away, axis=1)
        residual = length - found.radii(away / length[:, None])
        misfit = float(np.median(np.abs(residual)))
        scale = 1 / np.sqrt(1 + (residual / max(3 * misfit, 1.0)) ** 2)
    order = np.argsort(-found.axes_nm)
    return Ellipsoid(found.centre_nm, found.axes_nm[order], found.vectors[order], misfit)


@njit(cache=True, nogil=True)
def _sample_rays(values, start, directions, radii, offsets):  # type: ignore[no-untyped-def]
    result = np.empty((len(directions), len(offsets)), np.float32)
    for d in range(len(directions)):
        for k in range(len(offsets)):
            r = radii[d] + offsets[k]
            result[d, k] = sample(
                values,
                start[0] + r * directions[d, 0],
                start[1] + r * directions[d, 1],
                start[2] + r * directions[d, 2],
            )
    return result
