"""Least-squares fit of the pose and the rim of a nuclear pore to the voxels around it.

The model of a voxel at (u, v, w) in the frame of the pore (`asem.measure.pore_view`)::

    rho = |(u, v)|, theta = angle of (u, v)
    q = (c_uu u^2 + 2 c_uv u v + c_vv v^2) / 2                   the curved middle surface
    s = (w - q) / sqrt(1 + |grad q|^2)
    x = rho - R - e_1 cos 2 theta - e_2 sin 2 theta
    I = a_0 + sum_k a_k T_k(x, s; h, sigma) + a_5 G(rho, s)

T are the parts of `asem.measure.pore_model`, G is a Gaussian plug in the middle of the pore. Voxels
are compared as they are, without interpolation: their noise is independent. Gauss and Newton's
method, with priors that hold what the image does not determine (h and sigma where the lumen is
blurred away).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.measure import pore_model
from asem.measure.pore_view import FloatArray, Frame

X, Y, W, TILT_U, TILT_V, C_UU, C_UV, C_VV, RADIUS, E_1, E_2, H, SIGMA, GREY = range(14)
"""Index of each parameter; `GREY` is the first of the grey values a_0 to a_5."""
BUMPS = 3
PARAMETERS = GREY + 5 + BUMPS
RHO_REACH_NM = 60.0
"""From the rim to the last voxel that counts."""


@dataclass(frozen=True)
class RimFit:
    """Pose and shape of a rim: frame, c_uu, c_uv, c_vv (1/nm), R, e_1, e_2, h, sigma (nm), grey."""

    frame: Frame
    curvature: FloatArray = field(default_factory=lambda: np.zeros(3))
    radius: float = 45.0
    ellipse: FloatArray = field(default_factory=lambda: np.zeros(2))
    h: float = 15.0
    sigma: float = 5.0
    grey: FloatArray = field(default_factory=lambda: np.zeros(5 + BUMPS))
    noise: float = np.nan
    """Root mean square of the weighted residuals, grey values."""
    weight: float = 0.0
    """Sum of the weights of the voxels."""
    covariance: FloatArray = field(default_factory=lambda: np.zeros((PARAMETERS, PARAMETERS)))

    @property
    def shape(self) -> FloatArray:
        """The parameters that the kernel needs: c, R, e, h, and grey values, (13,)."""
        return np.concatenate(
            [self.curvature, [self.radius], self.ellipse, [self.h], self.grey]
        ).astype(float)

    @property
    def parts(self) -> npt.NDArray[np.float32]:
        """The tables of `pore_model` at h and sigma."""
        return pore_model.tables(self.radius, self.h, self.sigma)


@njit(cache=True, nogil=True, inline="always")
def window(rho, s, radius, h):  # type: ignore[no-untyped-def]
    """Return the weight of a voxel: 1 at the rim and the envelope around it, 0 far from both."""
    high = (h + 18 - abs(s)) / 12
    wide = (radius + 60 - rho) / 20
    if high <= 0 or wide <= 0:
        return 0.0
    inner = min(max((rho - radius + 40) / 15, 0.0), 1.0)
    return min(high, 1.0) * min(wide, 1.0) * inner


@njit(cache=True, nogil=True, inline="always")
def lookup(table, i, j, a, b):  # type: ignore[no-untyped-def]
    """Return a value of a table between grid points, and its slopes per step along both axes."""
    p, q, r, t = table[i, j], table[i, j + 1], table[i + 1, j], table[i + 1, j + 1]
    low, high = p + b * (q - p), r + b * (t - r)
    return low + a * (high - low), high - low, (1 - a) * (q - p) + a * (t - r)


@njit(cache=True, nogil=True, inline="always")
def height(u, v, w, curvature):  # type: ignore[no-untyped-def]
    """Return the height s above the curved middle surface, and ds/dw."""
    du = curvature[0] * u + curvature[1] * v
    dv = curvature[1] * u + curvature[2] * v
    slope = 1 / np.sqrt(1 + du * du + dv * dv)
    return (w - (du * u + dv * v) / 2) * slope, slope


@njit(cache=True, nogil=True)
def normal_equations(points, values, shape, parts, grid):  # type: ignore[no-untyped-def]
    """Return J'WJ, J'Wr, the sums of the weights and of the weighted squares of the residuals r.

    Parameters
    ----------
    points, values
        (u, v, w) of voxels, float64, (n, 3), nm, and their grey values, (n,).
    shape, parts
        Of a `RimFit`.
    grid
        Start and step of x and s in the tables, nm, (x_0, s_0, step).
    """
    n = PARAMETERS
    matrix, vector, row = np.zeros((n, n)), np.zeros(n), np.zeros(n)
    weights = squares = 0.0
    radius, h, grey = shape[3], shape[6], shape[7:]
    x_0, s_0, step = grid
    for index in range(len(values)):
        u, v, w = points[index, 0], points[index, 1], points[index, 2]
        rho = np.sqrt(u * u + v * v) + 1e-6
        s, slope = height(u, v, w, shape)
        weight = window(rho, s, radius, h)
        if weight == 0:
            continue
        cos, sin = u / rho, v / rho
        cos_2, sin_2 = cos * cos - sin * sin, 2 * cos * sin
        x = rho - radius - shape[4] * cos_2 - shape[5] * sin_2
        a, b = (x - x_0) / step, (s - s_0) / step
        a = min(max(a, 0.0), parts.shape[2] - 1.001)
        b = min(max(b, 0.0), parts.shape[3] - 1.001)
        i, j = int(a), int(b)
        a, b = a - i, b - j
        g_x = g_s = by_h = by_sigma = 0.0
        model = grey[0]
        row[GREY] = 1
        for k in range(4):
            value, d_x, d_s = lookup(parts[0, k], i, j, a, b)
            row[GREY + 1 + k] = value
            model += grey[k + 1] * value
            g_x += grey[k + 1] * d_x / step
            g_s += grey[k + 1] * d_s / step
            by_h += grey[k + 1] * lookup(parts[1, k], i, j, a, b)[0]
            by_sigma += grey[k + 1] * lookup(parts[2, k], i, j, a, b)[0]
        for k in range(BUMPS):
            away = (x + 12 * (k + 1)) / 8
            row[GREY + 5 + k] = row[GREY + 3] * np.exp(-away * away / 2)
            model += grey[5 + k] * row[GREY + 5 + k]
        g_s *= slope
        row[X], row[Y], row[W] = -g_x * cos, -g_x * sin, -g_s
        row[TILT_U] = g_x * cos * s - g_s * u
        row[TILT_V] = g_x * sin * s - g_s * v
        row[C_UU], row[C_UV], row[C_VV] = -g_s * u * u / 2, -g_s * u * v, -g_s * v * v / 2
        row[RADIUS], row[E_1], row[E_2] = -g_x, -g_x * cos_2, -g_x * sin_2
        row[H], row[SIGMA] = by_h, by_sigma
        residual = values[index] - model
        weights += weight
        squares += weight * residual * residual
        for p in range(n):
            scaled = weight * row[p]
            vector[p] += scaled * residual
            for q in range(p, n):
                matrix[p, q] += scaled * row[q]
    for p in range(n):
        for q in range(p):
            matrix[p, q] = matrix[q, p]
    return matrix, vector, weights, squares


CURVATURE_SD = 1 / 400
ELLIPSE_SD_NM = 4.0
H_NM, H_SD_NM = 15.0, 4.0
SIGMA_NM, SIGMA_SD_NM = 5.0, 1.5
_LARGEST_STEP = np.array([8, 8, 6, 0.1, 0.1, 1e-3, 1e-3, 1e-3, 6, 2, 2, 2, 1] + (5 + BUMPS) * [np.inf])


def _priors(fit: RimFit, contrast: float) -> tuple[FloatArray, FloatArray]:
    """Return the distance of each parameter from its prior and the inverse variance of that."""
    away, precision = np.zeros(PARAMETERS), np.zeros(PARAMETERS)
    away[C_UU : C_VV + 1], precision[C_UU : C_VV + 1] = fit.curvature, CURVATURE_SD**-2
    away[E_1 : E_2 + 1], precision[E_1 : E_2 + 1] = fit.ellipse, ELLIPSE_SD_NM**-2
    away[H], precision[H] = fit.h - H_NM, H_SD_NM**-2
    away[SIGMA], precision[SIGMA] = fit.sigma - SIGMA_NM, SIGMA_SD_NM**-2
    spreads = contrast * np.array([np.inf, 1.0, 0.4, 0.6, 0.4] + BUMPS * [0.6])
    away[GREY + 1 :], precision[GREY + 1 :] = fit.grey[1:], spreads[1:] ** -2.0
    away[GREY + 1] += contrast
    return away, precision


def improve(fit: RimFit, points_nm: FloatArray, values: FloatArray, contrast: float) -> RimFit:
    """Return a fit after one step of Gauss and Newton.

    Parameters
    ----------
    fit
        Where the step starts.
    points_nm, values
        World positions (n, 3) of voxels and their grey values, (n,).
    contrast
        By how much membranes are darker than their surroundings, about, grey values: the scale of
        priors.
    """
    local = (points_nm - fit.frame.origin_nm) @ fit.frame.axes.T
    matrix, vector, weight, squares = normal_equations(local, values, fit.shape, fit.parts, pore_model.GRID)
    noise = max(squares / max(weight, 1.0), (0.02 * contrast) ** 2)
    away, precision = _priors(fit, contrast)
    matrix += np.diag(precision * noise + 1e-9)
    inverse = np.linalg.inv(matrix)
    step = inverse @ (vector - precision * noise * away)
    step *= min(1.0, float(np.min(_LARGEST_STEP / np.maximum(np.abs(step), 1e-12))))
    return replace(
        _moved(fit, step), noise=float(np.sqrt(noise)), weight=weight, covariance=noise * inverse
    )


def _moved(fit: RimFit, step: FloatArray) -> RimFit:
    """Return a fit moved by a step, with a frame that contains the new pose."""
    u, v, w = fit.frame.axes
    normal = w - step[TILT_U] * u - step[TILT_V] * v
    normal /= np.linalg.norm(normal)
    u = u - (u @ normal) * normal
    u /= np.linalg.norm(u)
    frame = Frame(
        fit.frame.to_world(step[[X, Y, W]]), np.stack([u, np.cross(normal, u), normal])
    )
    return replace(
        fit,
        frame=frame,
        curvature=np.clip(fit.curvature + step[C_UU : C_VV + 1], -1 / 150, 1 / 150),
        radius=float(np.clip(fit.radius + step[RADIUS], 20, 80)),
        ellipse=np.clip(fit.ellipse + step[E_1 : E_2 + 1], -10, 10),
        h=float(np.clip(fit.h + step[H], 7, 24)),
        sigma=float(np.clip(fit.sigma + step[SIGMA], 2.5, 9)),
        grey=fit.grey + step[GREY:],
    )
