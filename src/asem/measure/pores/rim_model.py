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
BOX_NM = 8.0
"""Profile of a membrane across it: a box of this width, with edges that are soft by a Gaussian."""
PLUG_REACH_NM = 25.0
MEMBRANE, LUMEN, PLUG, SIDES = range(4)
"""Index of each part in a table."""
_MARGIN_NM = 30.0


def _parts(rho: FloatArray, s: FloatArray, radius: float, h: float, stain: float) -> FloatArray:
    """Return the four parts without blur, (4, ...)."""
    outer, edge = radius + h - rho, np.sqrt(stain)
    distance = np.hypot(np.maximum(outer, 0), s) - h
    outward = special.ndtr((distance - BOX_NM / 2) / edge)
    inside = special.ndtr((-distance - BOX_NM / 2) / edge)
    plug = outward * np.clip(outer / STEP_NM + 0.5, 0, 1)
    plug *= np.clip((PLUG_REACH_NM - np.abs(s)) / 10 + 0.5, 0, 1)
    return np.stack([1 - inside - outward, inside, plug, outward * np.tanh(s / 20)])


def _blur_matrix(sigma: float, inner: FloatArray, outer: FloatArray) -> FloatArray:
    """Return the weights of a Gaussian at points `inner` of values at points `outer`."""
    weights = np.exp(-(((inner[:, None] - outer) / sigma) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _axis(low: float, high: float) -> FloatArray:
    return np.asarray(low + STEP_NM * np.arange(round((high - low) / STEP_NM) + 1), np.float64)


@lru_cache(maxsize=600)
def blurred_parts(radius: int, h: float, sigma: float, stain: float) -> npt.NDArray[np.float32]:
    """Return the four parts after blur on a grid of x and s, float32, (4, nx, ns).

    A 3D Gaussian is one along the radius, one along the axis and one along the tangent; that along
    the tangent has three points (Gauss and Hermite).

    Parameters
    ----------
    radius, h, sigma
        R, h and the standard deviation of the blur, nm. The table hardly depends on the radius.
    stain
        Variance of the Gaussian of the edges of membranes, nm^2.
    """
    x, s = _axis(*X_RANGE_NM), _axis(-S_REACH_NM, S_REACH_NM)
    wide_x = _axis(X_RANGE_NM[0] - _MARGIN_NM, X_RANGE_NM[1] + _MARGIN_NM)
    wide_s = _axis(-S_REACH_NM - _MARGIN_NM, S_REACH_NM + _MARGIN_NM)
    rho, height = np.abs(wide_x + radius)[:, None], wide_s[None]
    middle = _parts(rho, height, radius, h, stain)
    beside = _parts(np.sqrt(rho**2 + 3 * sigma**2), height, radius, h, stain)
    parts = (2 * middle + beside) / 3
    blurred = _blur_matrix(sigma, x, wide_x) @ parts @ _blur_matrix(sigma, s, wide_s).T
    return np.asarray(blurred, np.float32)


H_STEP_NM, SIGMA_STEP_NM, STAIN_STEP_NM2, RADIUS_STEP_NM = 1.0, 0.5, 4.0, 16
"""Between tables that are computed; values between them are extrapolated from the nearest."""
SMALLEST_STAIN_NM2 = 0.5


def tables(radius: float, h: float, sigma: float, stain: float) -> npt.NDArray[np.float32]:
    """Return the parts and their derivatives by h, sigma and stain, (4, 4, nx, ns)."""
    r = round(radius / RADIUS_STEP_NM) * RADIUS_STEP_NM
    steps = (H_STEP_NM, SIGMA_STEP_NM, STAIN_STEP_NM2)
    near = [round(value / step) for value, step in zip((h, sigma, stain), steps, strict=True)]
    near[2] = max(near[2], 1)

    def node(*away: int) -> tuple[npt.NDArray[np.float32], list[float]]:
        place = [(n + i) * step for n, i, step in zip(near, away, steps, strict=True)]
        place[2] = max(place[2], SMALLEST_STAIN_NM2)
        return blurred_parts(r, *place), place

    middle, place = node(0, 0, 0)
    result = [middle.copy()]
    for k, value in enumerate((h, sigma, stain)):
        away = [int(k == axis) for axis in range(3)]
        (high, to), (low, start) = node(*away), node(*(-i for i in away))
        slope = (high - low) / np.float32(to[k] - start[k])
        result[0] += np.float32(value - place[k]) * slope
        result.append(slope)
    return np.stack(result)
