"""The ellipsoid that fits the wall of a closed vesicle.

Rays from the centre meet the wall where they are darkest. An ellipsoid is fitted to these points,
and the rays start again from its centre, near its surface.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from asem.measure.frame import FloatArray
from asem.measure.pits.bulb import Bulb, sphere_directions
from asem.measure.pits.half_plane import Image, sample_at

RAYS = 400
OFFSETS_NM = np.arange(-14.0, 14.1, 1.0)
CONE = 0.95
"""Cosine of the angle within which profiles of rays are averaged."""
STEPS = 5
SCALE_NM, CURVATURES = 50.0, (0.1, 10.0)
"""Unit of length of the fit, and limits of the eigenvalues of A in it."""
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
        profiles = sample_wall(image, found, OFFSETS_NM)
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
        fitted = fit_ellipsoid(points, weight)
        found = replace(fitted, centre_nm=found.centre_nm + fitted.centre_nm)
    return found


def sample_wall(image: Image, ellipsoid: Ellipsoid, offsets: FloatArray) -> FloatArray:
    """Sample darkness across the wall of an ellipsoid, along `RAYS` rays, (rays, offsets)."""
    directions = sphere_directions(RAYS)
    distances = ellipsoid.radii(directions)[:, None] + offsets
    points = ellipsoid.centre_nm + distances[..., None] * directions[:, None]
    return sample_at(image, points).astype(np.float64)


def fit_ellipsoid(points: FloatArray, weight: FloatArray) -> Ellipsoid:
    """Fit an ellipsoid, or an ellipse, robustly: x' A x + b' x = 1.

    Parameters
    ----------
    points
        Around an origin that is within it, (n, 3) or (n, 2), nm.
    weight
        (n,).

    Returns
    -------
    ellipsoid
        Its centre is relative to the origin.
    """
    dimensions = points.shape[1]
    scaled = points / SCALE_NM
    first, second = np.triu_indices(dimensions)
    squares = scaled[:, first] * scaled[:, second] * np.where(first == second, 1, 2)
    basis = np.concatenate([squares, scaled], axis=1)
    scale = np.ones(len(points))
    for _ in range(4):
        w = weight * scale
        found = np.linalg.lstsq(basis * w[:, None], w, rcond=None)[0]
        matrix = np.zeros((dimensions, dimensions))
        matrix[first, second] = matrix[second, first] = found[: len(first)]
        values, vectors = np.linalg.eigh(matrix)
        values = np.clip(values, *CURVATURES)
        matrix = vectors @ np.diag(values) @ vectors.T
        centre = -np.linalg.solve(matrix, found[len(first) :]) / 2
        axes = 2 * SCALE_NM * np.sqrt((1 + centre @ matrix @ centre) / values)
        ellipsoid = Ellipsoid(SCALE_NM * centre, axes, vectors.T, 0.0)
        away = points - ellipsoid.centre_nm
        length = np.maximum(np.linalg.norm(away, axis=1), 1e-9)
        residual = length - ellipsoid.radii(away / length[:, None])
        misfit = float(np.median(np.abs(residual)))
        scale = 1 / np.sqrt(1 + (residual / max(3 * misfit, 1.0)) ** 2)
    # Eigenvalues ascend, so that the longest axis is the first.
    return Ellipsoid(ellipsoid.centre_nm, axes, vectors.T, misfit)
