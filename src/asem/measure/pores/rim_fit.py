"""Least-squares fit of the pose and the rim of a nuclear pore to the voxels around it.

The model of a voxel at (u, v, w) in the frame of the pore (`asem.measure.pores.view`)::

    rho = |(u, v)|, theta = angle of (u, v)
    q = (c_uu u^2 + 2 c_uv u v + c_vv v^2) / 2                   the curved middle surface
    s = (w - q) / sqrt(1 + |grad q|^2)
    x = rho - R - e_1 cos 2 theta - e_2 sin 2 theta
    I = a_0 + sum_k a_k T_k(x, s; h, sigma, stain) + T_plug sum_j b_j B_j(x)

T are the four parts of `asem.measure.pores.rim_model`; B are three Gaussians along the radius: the
density in a pore may vary between the rim and the axis. Voxels are compared as they are, without
interpolation: their noise is independent. Gauss and Newton's method, with priors that hold what the
image does not determine (h and sigma where blur removes the lumen from the image).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from asem.measure.frame import FloatArray, Frame
from asem.measure.pores.rim_kernels import (
    BUMP_COUNT,
    C_UU,
    C_VV,
    E_1,
    E_2,
    GREY,
    GREYS,
    MEMBRANE,
    PARAMETERS,
    RADIUS,
    SIGMA,
    STAIN,
    TILT_U,
    TILT_V,
    H,
    W,
    X,
    flat_equations,
    rim_equations,
)
from asem.measure.pores.rim_model import tables

CAUCHY_LIMIT, CAUCHY_RATIO = 3.0, 1.18
"""Residual whose weight is halved, in units of noise; ratio of the variance of noise to the
weighted mean square."""
CURVATURE_SD = 1 / 400
ELLIPSE_SD_NM = 4.0
H_NM, H_SD_NM = 15.0, 4.0
SIGMA_NM, SIGMA_SD_NM = 5.0, 1.5
STAIN_NM2, STAIN_SD_NM2 = 9.0, 5.5
GREY_SDS = np.array([np.inf, 1.0, 0.4, 0.6, 0.4, *[0.6] * BUMP_COUNT])
"""Priors of grey values, in units of the contrast: mean 0, but -1 of the membrane."""
LARGEST_STEP = np.array([8, 8, 6, 0.1, 0.1, 1e-3, 1e-3, 1e-3, 6, 2, 2, 2, 1, 6, *[np.inf] * GREYS])
CUBE_NM = 45.0
"""Edge of cubes within which errors of voxels may be correlated."""
COARSE_STEPS, COARSE_STRIDE, FINE_STEPS = 6, 3, 4
"""Steps with every third voxel, then with all."""


@dataclass(frozen=True)
class RimFit:
    """Pose and shape of a rim, nm; curvature c_uu, c_uv, c_vv (1/nm); grey values (`GREYS`,)."""

    frame: Frame
    curvature: FloatArray = field(default_factory=lambda: np.zeros(3))
    radius: float = 45.0
    ellipse: FloatArray = field(default_factory=lambda: np.zeros(2))
    h: float = H_NM
    sigma: float = SIGMA_NM
    stain: float = STAIN_NM2
    grey: FloatArray = field(default_factory=lambda: np.zeros(GREYS))
    noise: float = np.inf
    """Standard deviation of the residuals, grey values."""
    covariance: FloatArray = field(default_factory=lambda: np.zeros((PARAMETERS, PARAMETERS)))

    @property
    def shape(self) -> FloatArray:
        """The shape of `rim_kernels`."""
        sizes = np.array([self.radius, *self.ellipse, self.h])
        return np.concatenate([self.curvature, sizes, self.grey])

    @property
    def tables(self) -> npt.NDArray[np.float32]:
        """The tables of `rim_model` of this rim."""
        return tables(self.radius, self.h, self.sigma, self.stain)

    def to_local(self, points_nm: FloatArray) -> FloatArray:
        """Return (u, v, w) of world positions (n, 3), nm."""
        return np.asarray((points_nm - self.frame.origin_nm) @ self.frame.axes.T)


def fit_rim(fit: RimFit, points_nm: FloatArray, values: FloatArray, contrast: float) -> RimFit:
    """Return the fit of a rim to voxels.

    Parameters
    ----------
    fit
        Where the fit starts: within about 6 nm and 5 degrees.
    points_nm, values
        World positions (n, 3) of voxels and their grey values, (n,).
    contrast
        By how much membranes are darker than their surroundings, about, grey values: the scale of
        priors.
    """
    for _ in range(COARSE_STEPS):
        fit = _step(fit, points_nm[::COARSE_STRIDE], values[::COARSE_STRIDE], contrast)
    for _ in range(FINE_STEPS):
        fit = _step(fit, points_nm, values, contrast)
    return fit


def _step(fit: RimFit, points_nm: FloatArray, values: FloatArray, contrast: float) -> RimFit:
    """Return a fit after one step of Gauss and Newton, with the covariance before it."""
    matrix, vector, weight, squares = rim_equations(
        fit.to_local(points_nm), values, fit.shape, fit.tables, CAUCHY_LIMIT * fit.noise
    )
    ratio = CAUCHY_RATIO if np.isfinite(fit.noise) else 1.0
    variance = max(ratio * squares / max(weight, 1.0), (0.02 * contrast) ** 2)
    away, precision = _priors(fit, contrast)
    matrix = symmetric(matrix)
    inverse = np.linalg.inv(matrix + np.diag(precision * variance + 1e-9))
    step = inverse @ (vector - precision * variance * away)
    step *= min(1.0, float(np.min(LARGEST_STEP / np.maximum(np.abs(step), 1e-12))))
    moved = _move(fit, step)
    covariance = variance * inverse @ matrix @ inverse
    return replace(moved, noise=float(np.sqrt(variance)), covariance=covariance)


def symmetric(lower: FloatArray) -> FloatArray:
    """Return a matrix, or several, from their lower triangles."""
    return np.tril(lower) + np.swapaxes(np.tril(lower, -1), -1, -2)


def _priors(fit: RimFit, contrast: float) -> tuple[FloatArray, FloatArray]:
    """Return the distance of each parameter from its prior and the inverse variance of that."""
    away, precision = np.zeros(PARAMETERS), np.zeros(PARAMETERS)
    away[C_UU : C_VV + 1], precision[C_UU : C_VV + 1] = fit.curvature, CURVATURE_SD**-2
    away[E_1 : E_2 + 1], precision[E_1 : E_2 + 1] = fit.ellipse, ELLIPSE_SD_NM**-2
    away[H], precision[H] = fit.h - H_NM, H_SD_NM**-2
    away[SIGMA], precision[SIGMA] = fit.sigma - SIGMA_NM, SIGMA_SD_NM**-2
    low_noise = max(0.15 * contrast / max(fit.noise, 1e-9), 1.0)
    away[STAIN], precision[STAIN] = fit.stain - STAIN_NM2, (low_noise / STAIN_SD_NM2) ** 2
    away[GREY:], precision[GREY:] = fit.grey, (contrast * GREY_SDS) ** -2
    away[GREY + MEMBRANE] += contrast
    return away, precision


def _move(fit: RimFit, step: FloatArray) -> RimFit:
    """Return a fit moved by a step, with a frame that contains the new pose."""
    u, v, w = fit.frame.axes
    normal = w - step[TILT_U] * u - step[TILT_V] * v
    normal /= np.linalg.norm(normal)
    u = u - (u @ normal) * normal
    u /= np.linalg.norm(u)
    axes = np.stack([u, np.cross(normal, u), normal])
    return replace(
        fit,
        frame=Frame(fit.frame.to_world(step[X : W + 1]), axes),
        curvature=np.clip(fit.curvature + step[C_UU : C_VV + 1], -1 / 150, 1 / 150),
        radius=float(np.clip(fit.radius + step[RADIUS], 20, 80)),
        ellipse=np.clip(fit.ellipse + step[E_1 : E_2 + 1], -10, 10),
        h=float(np.clip(fit.h + step[H], 7, 24)),
        sigma=float(np.clip(fit.sigma + step[SIGMA], 2, 9)),
        stain=float(np.clip(fit.stain + step[STAIN], 0.5, 34)),
        grey=fit.grey + step[GREY:],
    )


def radius_variance(
    fit: RimFit, points_nm: FloatArray, values: FloatArray, contrast: float
) -> float:
    """Return the variance of the radius where errors of neighbouring voxels are correlated, nm^2.

    Slices differ in brightness and are shifted; ribosomes and chromatin change many voxels. With
    g the sum of J'Wr over the voxels of a group and e the unit vector of the radius::

        V = sum over groups (e (J'WJ + priors)^-1 g)^2

    is robust to correlations within groups (Liang and Zeger, Longitudinal data analysis using
    generalized linear models, Biometrika 1986). Groups are planes, and cubes: the result is the sum
    of both, a little too large, since both contain the noise of voxels.
    """
    index = np.floor((points_nm - points_nm.min(axis=0)) / CUBE_NM).astype(np.uint16)
    cubes = index @ np.array([1024, 32, 1], np.uint16)
    planes = np.concatenate([[0], np.cumsum(np.diff(points_nm[:, 0]) != 0)]).astype(np.uint16)
    local = fit.to_local(points_nm)
    return sum(_group_variance(fit, local, values, groups, contrast) for groups in (planes, cubes))


def _group_variance(
    fit: RimFit,
    local: FloatArray,
    values: FloatArray,
    groups: npt.NDArray[np.uint16],
    contrast: float,
) -> float:
    """Return V of one kind of groups; `groups` numbers that of each voxel."""
    limit, matrix = CAUCHY_LIMIT * fit.noise, np.zeros((PARAMETERS, PARAMETERS))
    shape, tables_ = fit.shape, fit.tables
    order = np.argsort(groups, kind="stable")
    counts = np.bincount(groups)
    gradients = []
    for rows in np.split(order, np.cumsum(counts[counts > 0])[:-1]):
        part = rim_equations(local[rows], values[rows], shape, tables_, limit)
        matrix += part[0]
        gradients.append(part[1])
    precision = _priors(fit, contrast)[1] * fit.noise**2
    influence = np.linalg.inv(symmetric(matrix) + np.diag(precision + 1e-9))[RADIUS]
    return float(((np.array(gradients) @ influence) ** 2).sum())


def rim_evidence(fit: RimFit, points_nm: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Return by how much a rim explains the image better than an envelope without a pore.

    Returns
    -------
    gain
        Decrease of the mean square of the residuals within 20 nm of the rim, in units of the
        square of the contrast of the membrane: hardly depends on noise.
    significance
        Decrease of the sum of the squares, in units of the variance of noise.
    """
    matrix, vector, total, squares, count = flat_equations(
        fit.to_local(points_nm), values, fit.shape, fit.tables
    )
    if count == 0:
        return 0.0, 0.0
    matrix = symmetric(matrix) + 1e-6 * count * np.eye(4)
    decrease = float(total - vector @ np.linalg.solve(matrix, vector) - squares)
    return decrease / count / float(fit.grey[MEMBRANE]) ** 2, decrease / fit.noise**2
