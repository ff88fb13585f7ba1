"""Where a nuclear pore is, from a pose with errors of 30 nm and 25 degrees.

1. The envelope: the image is sampled along parallel lines that cross it around the pore. Of many
   poses (two tilts, curvature, height), the one is found at which the lines together are most
   like two dark membranes with brighter places on both sides and between them::

        w   | | |           | | |      lines; the middle of the pore has none
        ----#-#-#--       --#-#-#----
        ----#-#-#--       --#-#-#----
            | | |           | | |

2. The pore: in the image flattened along this envelope, of many centres and radii those are found
   at which the model of the rim (`rim_model`) reduces the squares of the residuals
   most, compared with an envelope without a pore.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.measure.frame import FloatArray, Frame
from asem.measure.pores.rim_fit import STAIN_NM2, RimFit
from asem.measure.pores.rim_model import (
    RADIUS_STEP_NM,
    S_REACH_NM,
    STEP_NM,
    X_RANGE_NM,
    blurred_parts,
)
from asem.measure.pores.view import Patch

LINE_STEP_NM, LINE_REACH_NM, ANNULUS_NM = 3.0, 105.0, (72.0, 112.0)
"""Of the lines across the envelope: distance of points, half of the length, distances from the
middle."""
TILT_STEP, LARGEST_TILT = 0.11, 0.55
HEIGHTS_NM, CURVATURES = np.arange(-36.0, 37.0, 4.0), (-1 / 450, 0.0, 1 / 450)
HALF_LUMENS_NM = (10.0, 14.0, 18.0)
"""Of the envelopes that are compared: slopes, heights, curvatures in 1/nm, half of the lumen."""
SHIFT_STEP_NM, LARGEST_SHIFT_NM, RADII_NM = 6.0, 42.0, np.arange(24.0, 77.0, 4.0)
"""Of the rims that are compared: distances of the centres, largest one from the start, radii."""
COLUMN_STEP_NM, BIN_NM, BINS, LAYERS_NM = 6.0, 4.0, 26, np.arange(-24.0, 25.0, 4.0)
"""Of the flattened image: distance of columns, width and number of rings, heights."""


def _disc(step: float, inner: float, outer: float) -> FloatArray:
    """Return the points of a hexagonal grid within an annulus, (n, 2)."""
    n = int(outer / step) + 2
    i, j = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1), indexing="ij")
    points = step * np.stack([i + j / 2, j * np.sqrt(0.75)], axis=-1).reshape(-1, 2)
    rho = np.hypot(points[:, 0], points[:, 1])
    return points[(rho >= inner) & (rho <= outer)]


@lru_cache(maxsize=1)
def _pair_filters() -> FloatArray:
    """Return matched filters of two membranes, (3, n): mean 0 and sum of squares 1."""
    w = np.arange(-45.0, 46.0, LINE_STEP_NM)
    filters = []
    for h in HALF_LUMENS_NM:
        dark = np.exp(-(((np.abs(w) - h) / 6) ** 2) / 2)
        weights = np.exp(-((w / (h + 14)) ** 4))
        pair = weights * (dark - (weights * dark).sum() / weights.sum())
        filters.append(-pair / np.linalg.norm(pair))
    return np.stack(filters)


@dataclass(frozen=True)
class Sheet:
    """A pose of an envelope: the frame, with its origin next to the start, and a curvature."""

    frame: Frame
    curvature: float


@njit(cache=True, nogil=True)
def score_sheets(responses, lines, tilts, curvatures, heights, step):  # type: ignore[no-untyped-def]
    """Return the mean response at each pose, (filters, tilts, curvatures, heights).

    Parameters
    ----------
    responses
        (filters, lines, points along w), float32, nan where there is no image.
    lines, tilts
        (n, 2), (u, v) and slopes.
    """
    middle = responses.shape[2] // 2
    scores = np.empty((len(responses), len(tilts), len(curvatures), len(heights)), np.float32)
    for t in range(len(tilts)):
        for c in range(len(curvatures)):
            for k in range(len(heights)):
                for f in range(len(responses)):
                    total, count = 0.0, 0
                    for i in range(len(lines)):
                        u, v = lines[i, 0], lines[i, 1]
                        w = tilts[t, 0] * u + tilts[t, 1] * v + heights[k]
                        w += curvatures[c] * (u * u + v * v) / 2
                        place = int(np.floor(w / step + 0.5)) + middle
                        if 0 <= place < responses.shape[2]:
                            value = responses[f, i, place]
                            if value == value:
                                total += value
                                count += 1
                    scores[f, t, c, k] = total / count if 3 * count > len(lines) else -np.inf
    return scores


def find_sheet(image: Patch, start: Frame) -> Sheet | None:
    """Return the envelope near a pose with errors; None where it is not in the image.

    Of three filters, for a lumen of 20 to 36 nm, that with the highest response counts.
    """
    lines, tilts = _disc(12.0, *ANNULUS_NM), _disc(TILT_STEP, 0, LARGEST_TILT)
    line = np.arange(-LINE_REACH_NM, LINE_REACH_NM + 1, LINE_STEP_NM)
    points = np.empty((len(lines), len(line), 3))
    points[..., :2], points[..., 2] = lines[:, None], line
    values = image.sample(start.to_world(points))
    responses = np.stack([_correlate(values, one) for one in _pair_filters()])
    scores = score_sheets(
        responses, lines, tilts, np.array(CURVATURES), HEIGHTS_NM, LINE_STEP_NM
    ).max(axis=0)
    t, c, k = np.unravel_index(np.argmax(scores), scores.shape)
    if not np.isfinite(scores[t, c, k]):
        return None
    u, v, w = start.axes
    origin = start.origin_nm + HEIGHTS_NM[k] * w
    return Sheet(Frame.from_normal(origin, w - tilts[t, 0] * u - tilts[t, 1] * v), CURVATURES[c])


def _correlate(values: npt.NDArray[np.float32], weights: FloatArray) -> npt.NDArray[np.float32]:
    """Return the correlation along the last axis; nan where the filter leaves the image."""
    reach = len(weights) // 2
    windows = np.lib.stride_tricks.sliding_window_view(values, len(weights), axis=-1)
    result = np.full(values.shape, np.nan, np.float32)
    result[..., reach : values.shape[-1] - reach] = windows @ weights.astype(np.float32)
    return result


@dataclass(frozen=True)
class Rim:
    """Where the fit of a rim starts, and how dark its membrane is."""

    contrast: float
    fit: RimFit


@njit(cache=True, nogil=True)
def bin_radially(values, columns, centres, width, bins):  # type: ignore[no-untyped-def]
    """Return sums and counts over the distance from each centre, (centres, bins, layers).

    Parameters
    ----------
    values, columns
        Grey values (columns, layers), nan outside the image, at (u, v), (columns, 2), nm.
    """
    shape = (len(centres), bins, values.shape[1])
    sums, counts = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for c in range(len(centres)):
        for i in range(len(columns)):
            du, dv = columns[i, 0] - centres[c, 0], columns[i, 1] - centres[c, 1]
            place = int(np.sqrt(du * du + dv * dv) / width)
            if place >= bins:
                continue
            for k in range(values.shape[1]):
                value = values[i, k]
                if value == value:
                    sums[c, place, k] += value
                    counts[c, place, k] += 1
    return sums, counts


@lru_cache(maxsize=8)
def _rim_bases(h: float, sigma: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return orthonormal bases of rims (radii, n, 6) and of a flat envelope, (n, 4).

    n = bins x layers, weighted by the square root of the number of voxels at each distance. The
    third array, (radii, 6), converts coefficients of a rim to the grey value of its membrane.
    """
    rho = BIN_NM * (np.arange(BINS) + 0.5)
    weight = _bin_weights()[:, None] * np.ones(len(LAYERS_NM))
    j = np.rint((LAYERS_NM + S_REACH_NM) / STEP_NM).astype(int)
    rims, membranes = [], []
    for radius in RADII_NM:
        parts = blurred_parts(round(radius / RADIUS_STEP_NM) * RADIUS_STEP_NM, h, sigma, STAIN_NM2)
        i = np.clip(
            np.rint((rho - radius - X_RANGE_NM[0]) / STEP_NM).astype(int), 0, parts.shape[1] - 1
        )
        fields = [*parts[:, i][:, :, j].astype(float), np.ones_like(weight)]
        fields.append(fields[2] * np.exp(-2 * (rho / radius) ** 2)[:, None])
        basis, triangle = np.linalg.qr(_columns(fields, weight))
        rims.append(basis)
        membranes.append(np.linalg.inv(triangle)[0])
    flat = blurred_parts(3 * RADIUS_STEP_NM, h, sigma, STAIN_NM2)[:, -1][:, j].astype(float)
    fields = [np.ones_like(weight), *(one * np.ones_like(weight) for one in flat[[0, 1, 3]])]
    return np.stack(rims), np.linalg.qr(_columns(fields, weight))[0], np.stack(membranes)


def _columns(fields: list[FloatArray], weight: FloatArray) -> FloatArray:
    return np.stack([(weight * one).reshape(-1) for one in fields], axis=1)


def _bin_weights() -> FloatArray:
    return np.sqrt((np.arange(BINS) + 0.5) / BINS)


def find_rim(image: Patch, sheet: Sheet, h: float, sigma: float) -> Rim:
    """Return the rim in a sheet that reduces the squares of the residuals most."""
    columns = _disc(COLUMN_STEP_NM, 0, LARGEST_SHIFT_NM + BIN_NM * BINS)
    points = np.empty((len(columns), len(LAYERS_NM), 3))
    points[..., :2] = columns[:, None]
    points[..., 2] = LAYERS_NM + sheet.curvature * (columns**2).sum(axis=1)[:, None] / 2
    values = image.sample(sheet.frame.to_world(points))
    centres = _disc(SHIFT_STEP_NM, 0, LARGEST_SHIFT_NM)
    sums, counts = bin_radially(values, columns, centres, BIN_NM, BINS)
    level = np.nanmean(values) if np.isfinite(values).any() else 0.0
    means = np.where(counts > 0, sums / np.maximum(counts, 1) - level, 0)
    data = (means * _bin_weights()[:, None]).reshape(len(centres), -1)
    rims, flat, membranes = _rim_bases(h, sigma)
    coefficients = np.einsum("rnk,cn->crk", rims, data)
    membrane = np.einsum("crk,rk->cr", coefficients, membranes)
    gain = (coefficients**2).sum(axis=2) - ((data @ flat) ** 2).sum(axis=1)[:, None]
    gain[membrane >= 0] = 0
    c, r = np.unravel_index(np.argmax(gain), gain.shape)
    u, v = centres[c]
    axes = sheet.frame.axes
    origin = sheet.frame.to_world(np.array([u, v, sheet.curvature * (u * u + v * v) / 2]))
    normal = axes[2] - sheet.curvature * (u * axes[0] + v * axes[1])
    fit = RimFit(
        Frame.from_normal(origin, normal),
        curvature=sheet.curvature * np.array([1.0, 0, 1]),
        radius=float(RADII_NM[r]),
    )
    return Rim(-float(membrane[c, r]), fit)
