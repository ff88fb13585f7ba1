r"""The image of the rim of a nuclear pore: what membranes, lumen and plug contribute to it.

With R the radius, h half of the lumen, rho the distance from the axis and s the height above the
middle surface, the signed distance to the membrane (negative in the lumen) is ::

    d = sqrt(max(0, R + h - rho)^2 + s^2) - h

       s
       |            ________________   membrane, d = 0
       |           /
       |          (  lumen, d < 0      x = rho - R is 0 at the membrane in the middle plane
       |           \________________
       |
       +----------+------------- rho
     axis         R

Four parts, each blurred by a 3D Gaussian: the membrane (a box with soft edges), the lumen, the plug
(the pore within 25 nm of the middle plane) and the difference between both sides of the envelope.
The image is a constant plus a multiple of each. The blur acts on the curved rim, not on a flat
profile: it moves the darkest point outward, and the model contains that shift.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]
STEP_NM = 1.5
"""Of the tables."""
X_RANGE_NM = (-72.0, 66.0)
S_REACH_NM = 48.0
THICKNESS_NM, EDGE_NM = 10.0, 2.4
"""Profile of a membrane: a box with soft edges, variance 14 nm^2."""
PLUG_REACH_NM = 25.0
MEMBRANE, LUMEN, PLUG, SIDES = range(4)
"""Index of each part in a table."""
_MARGIN_NM = 30.0


def _parts(rho: FloatArray, s: FloatArray, radius: float, h: float) -> FloatArray:
    """Return the four parts without blur, (4, ...)."""
    outer = radius + h - rho
    distance = np.hypot(np.maximum(outer, 0), s) - h
    outward = special.ndtr((distance - THICKNESS_NM / 2) / EDGE_NM)
    inside = special.ndtr((-distance - THICKNESS_NM / 2) / EDGE_NM)
    plug = (
        outward
        * np.clip(outer / STEP_NM + 0.5, 0, 1)
        * np.clip((PLUG_REACH_NM - np.abs(s)) / 10 + 0.5, 0, 1)
    )
    sides = outward * np.tanh(s / 20)
    membrane = 1 - inside - outward
    return np.stack([membrane, inside, plug, sides])


def _blur_matrix(sigma: float, inner: FloatArray, outer: FloatArray) -> FloatArray:
    """Return the weights of a Gaussian at points `inner` of values at points `outer`."""
    weights = np.exp(-(((inner[:, None] - outer) / sigma) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _axis(low: float, high: float) -> FloatArray:
    return low + STEP_NM * np.arange(round((high - low) / STEP_NM) + 1)


@lru_cache(maxsize=400)
def blurred_parts(radius: int, h: float, sigma: float) -> npt.NDArray[np.float32]:
    """Return the four parts after blur on a grid of x and s, float32, (4, nx, ns).

    A 3D Gaussian is one along the radius, one along the axis and one along the tangent; that along
    the tangent has three points (Gauss and Hermite).

    Parameters
    ----------
    radius, h, sigma
        R, h and the standard deviation of the blur, nm. The table hardly depends on the radius.
    """
    x, s = _axis(*X_RANGE_NM), _axis(-S_REACH_NM, S_REACH_NM)
    wide_x = _axis(X_RANGE_NM[0] - _MARGIN_NM, X_RANGE_NM[1] + _MARGIN_NM)
    wide_s = _axis(-S_REACH_NM - _MARGIN_NM, S_REACH_NM + _MARGIN_NM)
    rho, height = np.abs(wide_x + radius)[:, None], wide_s[None]
    middle = _parts(rho, height, radius, h)
    beside = _parts(np.sqrt(rho**2 + 3 * sigma**2), height, radius, h)
    parts = (2 * middle + beside) / 3
    blurred = _blur_matrix(sigma, x, wide_x) @ parts @ _blur_matrix(sigma, s, wide_s).T
    return blurred.astype(np.float32)


H_STEP_NM, SIGMA_STEP_NM, RADIUS_STEP_NM = 1.0, 0.5, 16
"""Between tables that are computed; values between them are extrapolated from the nearest."""


def tables(radius: float, h: float, sigma: float) -> npt.NDArray[np.float32]:
    """Return the parts, and their derivatives with respect to h and sigma, (3, 4, nx, ns)."""
    r = round(radius / RADIUS_STEP_NM) * RADIUS_STEP_NM
    near_h, near_sigma = round(h / H_STEP_NM), round(sigma / SIGMA_STEP_NM)

    def node(i: int, j: int) -> npt.NDArray[np.float32]:
        return blurred_parts(r, (near_h + i) * H_STEP_NM, (near_sigma + j) * SIGMA_STEP_NM)

    by_h = (node(1, 0) - node(-1, 0)) / np.float32(2 * H_STEP_NM)
    by_sigma = (node(0, 1) - node(0, -1)) / np.float32(2 * SIGMA_STEP_NM)
    parts = node(0, 0) + np.float32(h - near_h * H_STEP_NM) * by_h
    parts += np.float32(sigma - near_sigma * SIGMA_STEP_NM) * by_sigma
    return np.stack([parts, by_h, by_sigma])
