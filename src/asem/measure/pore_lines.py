"""Radius of a pore along 36 half-lines in the middle plane, and its diameter along 18 lines.

::

               | line 9
          \\    |    /
        .--\\--###--/--.        # the rim; half-lines from the centre, 10 degrees apart; a line is
        |   ##  |  ##  |        two opposite half-lines, its diameter the sum of their radii
     ---+--#----+----#-+--- line 0
        |   ##  |  ##  |
        '--/--###--\\--'
          /    |    \\

At each half-line, the model of the rim that was fitted to the whole pore (`asem.measure.pore_fit`)
is shifted along the radius to the voxels near the half-line (weights: Gaussians of the angle and of
the height above the middle plane), where the grey values of membrane, plug and surroundings may
differ from those of the whole rim.
"""

import numpy as np
from numba import njit

from asem.measure.pore_fit import BUMPS, RimFit, height, lookup
from asem.measure.pore_model import GRID
from asem.measure.pore_view import FloatArray

LINES = 18
ANGLE_SD = np.deg2rad(8.0)
HEIGHT_SD_NM = 10.0
FITTED = 4
"""Of each half-line: shift, and the grey values of surroundings, membrane and plug."""


@njit(cache=True, nogil=True)
def line_equations(points, values, shape, parts, grid, shifts):  # type: ignore[no-untyped-def]
    """Return J'WJ, J'Wr and the sum of the weights of each half-line.

    Parameters
    ----------
    points, values, shape, parts, grid
        As for `pore_fit.normal_equations`.
    shifts
        Of the model along each half-line, outward, (36,), nm.
    """
    count = len(shifts)
    matrices, vectors = np.zeros((count, FITTED, FITTED)), np.zeros((count, FITTED))
    weights, row = np.zeros(count), np.zeros(FITTED)
    radius, grey = shape[3], shape[7:]
    x_0, s_0, step = grid
    spacing = 2 * np.pi / count
    reach = int(2.5 * ANGLE_SD / spacing) + 1
    for index in range(len(values)):
        u, v, w = points[index, 0], points[index, 1], points[index, 2]
        rho = np.sqrt(u * u + v * v) + 1e-6
        s = height(u, v, w, shape)[0]
        if abs(s) > 2 * HEIGHT_SD_NM or rho < radius - 25 or rho > radius + 45:
            continue
        cos, sin = u / rho, v / rho
        level = rho - radius - shape[4] * (cos * cos - sin * sin) - 2 * shape[5] * cos * sin
        angle = np.arctan2(v, u)
        nearest = int(np.floor(angle / spacing + 0.5))
        flat = np.exp(-((s / HEIGHT_SD_NM) ** 2) / 2)
        for line in range(nearest - reach, nearest + reach + 1):
            away = (angle - line * spacing) / ANGLE_SD
            if abs(away) > 2.5:
                continue
            place = line % count
            weight = flat * np.exp(-away * away / 2)
            x = level - shifts[place]
            a, b = (x - x_0) / step, (s - s_0) / step
            a = min(max(a, 0.0), parts.shape[2] - 1.001)
            i, j = int(a), int(b)
            a, b = a - i, b - j
            model, slope = grey[0], 0.0
            for k in range(4):
                value, d_x, _ = lookup(parts[0, k], i, j, a, b)
                model += grey[k + 1] * value
                slope += grey[k + 1] * d_x / step
                if k == 0:
                    row[2] = value
                elif k == 2:
                    row[3] = value
            for k in range(BUMPS):
                bump = (x + 12 * (k + 1)) / 8
                model += grey[5 + k] * row[3] * np.exp(-bump * bump / 2)
            row[0], row[1] = -slope, 1.0
            residual = values[index] - model
            weights[place] += weight
            for p in range(FITTED):
                vectors[place, p] += weight * row[p] * residual
                for q in range(FITTED):
                    matrices[place, p, q] += weight * row[p] * row[q]
    return matrices, vectors, weights


def measure_half_lines(
    fit: RimFit, points_nm: FloatArray, values: FloatArray, contrast: float
) -> tuple[FloatArray, FloatArray]:
    """Return the radii along the half-lines, (36,), nm, and the weights of their voxels.

    Half-line i has the angle 10 i degrees from u to v.
    """
    local = (points_nm - fit.frame.origin_nm) @ fit.frame.axes.T
    parts, shape = fit.parts, fit.shape
    shifts = np.zeros(2 * LINES)
    precision = (fit.noise / np.array([4.0, *np.full(3, 0.3 * contrast)])) ** 2
    weights = shifts
    for _ in range(3):
        matrices, vectors, weights = line_equations(local, values, shape, parts, GRID, shifts)
        matrices += np.diag(precision)
        vectors[:, 0] -= precision[0] * shifts
        steps = np.linalg.solve(matrices, vectors[..., None])[:, 0, 0]
        shifts = shifts + np.clip(steps, -4, 4)
    angles = np.arange(2 * LINES) * np.pi / LINES
    ellipse = fit.ellipse[0] * np.cos(2 * angles) + fit.ellipse[1] * np.sin(2 * angles)
    return fit.radius + ellipse + shifts, weights
