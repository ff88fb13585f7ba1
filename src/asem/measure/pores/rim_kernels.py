"""Sums over the voxels near a nuclear pore: equations of the fit of a rim (numba).

`rim_fit` states the model. A rim is given to a kernel as its shape, (7 + n,): c_uu,
c_uv, c_vv, R, e_1, e_2, h and the n grey values of `basis`, and as tables (`rim_model.tables`).
"""

import numpy as np
from numba import njit

from asem.measure.pores.rim_model import S_REACH_NM, STEP_NM, X_RANGE_NM

X, Y, W, TILT_U, TILT_V, C_UU, C_UV, C_VV, RADIUS, E_1, E_2, H, SIGMA, STAIN, GREY = range(15)
"""Index of each parameter of a fit; `GREY` is that of the first grey value."""
SURROUNDINGS, MEMBRANE, LUMEN, PLUG, SIDES, BUMPS = range(6)
"""Index of each grey value; `BUMPS` is that of the first bump."""
BUMP_COUNT, BUMP_SPACING_NM, BUMP_SD_NM = 4, 9.0, 6.0
"""Of the density in the pore, along the radius, from the rim to the axis."""
GREYS = BUMPS + BUMP_COUNT
PARAMETERS = GREY + GREYS
RHO_REACH_NM = 60.0
"""From the rim to the last voxel of a fit."""
LINE_REACH_NM = (-25.0, 45.0)
"""From the rim to the first and the last voxel of a half-line."""
ANGLE_SD, HEIGHT_SD_NM = np.deg2rad(8.0), 10.0
"""Of the weights of the voxels near a half-line: Gaussians of the angle and of the height."""
LINE_PARAMETERS = 4
"""Of a half-line: shift, and the grey values of surroundings, membrane and plug."""


@njit(cache=True, nogil=True)
def window(rho, s, radius, h):  # type: ignore[no-untyped-def]
    """Return the weight of a voxel: 1 at the rim and the envelope around it, 0 far from both."""
    high, wide = (h + 11 - abs(s)) / 8, (radius + RHO_REACH_NM - rho) / 20
    inner = (rho - radius + 40) / 15
    return max(min(high, 1.0), 0.0) * max(min(wide, 1.0), 0.0) * max(min(inner, 1.0), 0.0)


@njit(cache=True, nogil=True)
def locate(point, shape):  # type: ignore[no-untyped-def]
    """Return rho, cos and sin of theta, x, s and ds/dw of a point (u, v, w)."""
    u, v, w = point[0], point[1], point[2]
    rho = np.sqrt(u * u + v * v) + 1e-6
    cos, sin = u / rho, v / rho
    x = rho - shape[3] - shape[4] * (cos * cos - sin * sin) - 2 * shape[5] * cos * sin
    du, dv = shape[0] * u + shape[1] * v, shape[1] * u + shape[2] * v
    slope = 1 / np.sqrt(1 + du * du + dv * dv)
    return rho, cos, sin, x, (w - (du * u + dv * v) / 2) * slope, slope


@njit(cache=True, nogil=True)
def cell(x, s, table):  # type: ignore[no-untyped-def]
    """Return the cell of a table that contains (x, s), and the place in it, 0 to 1."""
    a = min(max((x - X_RANGE_NM[0]) / STEP_NM, 0.0), table.shape[0] - 1.001)
    b = min(max((s + S_REACH_NM) / STEP_NM, 0.0), table.shape[1] - 1.001)
    i, j = int(a), int(b)
    return i, j, a - i, b - j


@njit(cache=True, nogil=True)
def lookup(table, place):  # type: ignore[no-untyped-def]
    """Return a value of a table by bilinear interpolation, and its slopes along both axes, 1/nm."""
    i, j, a, b = place
    p, q, r, t = table[i, j], table[i, j + 1], table[i + 1, j], table[i + 1, j + 1]
    low, high = p + b * (q - p), r + b * (t - r)
    return (
        low + a * (high - low),
        (high - low) / STEP_NM,
        ((1 - a) * (q - p) + a * (t - r)) / STEP_NM,
    )


@njit(cache=True, nogil=True)
def evaluate(x, place, shape, tables, basis):  # type: ignore[no-untyped-def]
    """Fill what multiplies the grey values, (GREYS,); return the model and its slopes."""
    basis[SURROUNDINGS] = 1
    model, d_x, d_s = shape[7], 0.0, 0.0
    for k in range(4):
        value, by_x, by_s = lookup(tables[0, k], place)
        grey = shape[8 + k]
        basis[MEMBRANE + k] = value
        model += grey * value
        d_x += grey * by_x
        d_s += grey * by_s
    value, by_x, by_s = lookup(tables[0, PLUG - MEMBRANE], place)
    for k in range(BUMP_COUNT):
        away = (x + BUMP_SPACING_NM * (k + 1)) / BUMP_SD_NM
        bump = np.exp(-away * away / 2)
        grey = shape[7 + BUMPS + k]
        basis[BUMPS + k] = value * bump
        model += grey * value * bump
        d_x += grey * bump * (by_x - value * away / BUMP_SD_NM)
        d_s += grey * bump * by_s
    return model, d_x, d_s


@njit(cache=True, nogil=True)
def evaluate_points(points, shape, tables):  # type: ignore[no-untyped-def]
    """Return the model at points (u, v, w), (n, 3), nm: grey values, (n,)."""
    values, basis = np.empty(len(points)), np.empty(GREYS)
    for index in range(len(points)):
        _, _, _, x, s, _ = locate(points[index], shape)
        values[index] = evaluate(x, cell(x, s, tables[0, 0]), shape, tables, basis)[0]
    return values


@njit(cache=True, nogil=True)
def rim_equations(points, values, shape, tables, limit):  # type: ignore[no-untyped-def]
    """Return J'WJ, J'Wr, the sums of the weights and of the weighted squares of the residuals r.

    Parameters
    ----------
    points, values
        (u, v, w) of voxels, float64, (n, 3), nm, and their grey values, (n,).
    shape, tables
        Of a rim.
    limit
        Residual whose weight is halved (Cauchy), grey values.
    """
    matrix, vector = np.zeros((PARAMETERS, PARAMETERS)), np.zeros(PARAMETERS)
    row = np.zeros(PARAMETERS)
    weights = squares = 0.0
    for index in range(len(values)):
        u, v = points[index, 0], points[index, 1]
        rho, cos, sin, x, s, slope = locate(points[index], shape)
        weight = window(rho, s, shape[3], shape[6])
        if weight == 0:
            continue
        place = cell(x, s, tables[0, 0])
        model, d_x, d_s = evaluate(x, place, shape, tables, row[GREY:])
        d_s *= slope
        row[X], row[Y], row[W] = -d_x * cos, -d_x * sin, -d_s
        row[TILT_U], row[TILT_V] = d_x * cos * s - d_s * u, d_x * sin * s - d_s * v
        row[C_UU], row[C_UV], row[C_VV] = -d_s * u * u / 2, -d_s * u * v, -d_s * v * v / 2
        row[RADIUS] = -d_x
        row[E_1], row[E_2] = -d_x * (cos * cos - sin * sin), -2 * d_x * cos * sin
        row[H : STAIN + 1] = 0.0
        for k in range(4):
            for parameter in range(3):
                slope = lookup(tables[1 + parameter, k], place)[0]
                row[H + parameter] += shape[8 + k] * slope
        residual = values[index] - model
        weight /= 1 + (residual / limit) ** 2
        weights += weight
        squares += weight * residual * residual
        add_row(matrix, vector, row, weight, residual)
    return matrix, vector, weights, squares


@njit(cache=True, nogil=True)
def add_row(matrix, vector, row, weight, residual):  # type: ignore[no-untyped-def]
    """Add a voxel to normal equations: the lower triangle of the matrix, and the vector."""
    for p in range(len(row)):
        scaled = weight * row[p]
        vector[p] += scaled * residual
        for q in range(p + 1):
            matrix[p, q] += scaled * row[q]


@njit(cache=True, nogil=True)
def line_equations(points, values, shape, tables, shifts):  # type: ignore[no-untyped-def]
    """Return J'WJ (lower triangles), J'Wr and the sum of the weights of each half-line.

    Parameters
    ----------
    points, values, shape, tables
        As for `rim_equations`.
    shifts
        Of the rim along each half-line, outward, (n,), nm.
    """
    count = len(shifts)
    matrices = np.zeros((count, LINE_PARAMETERS, LINE_PARAMETERS))
    vectors, weights = np.zeros((count, LINE_PARAMETERS)), np.zeros(count)
    row, basis = np.empty(LINE_PARAMETERS), np.empty(GREYS)
    spacing = 2 * np.pi / count
    reach = int(2.5 * ANGLE_SD / spacing) + 1
    for index in range(len(values)):
        rho, cos, sin, level, s, _ = locate(points[index], shape)
        from_rim = rho - shape[3]
        near = LINE_REACH_NM[0] < from_rim < LINE_REACH_NM[1]
        if not near or abs(s) > 2 * HEIGHT_SD_NM:
            continue
        angle = np.arctan2(sin, cos)
        nearest = int(np.floor(angle / spacing + 0.5))
        for line in range(nearest - reach, nearest + reach + 1):
            away = (angle - line * spacing) / ANGLE_SD
            if abs(away) > 2.5:
                continue
            k = line % count
            weight = np.exp(-((s / HEIGHT_SD_NM) ** 2 + away * away) / 2)
            x = level - shifts[k]
            place = cell(x, s, tables[0, 0])
            model, d_x, _ = evaluate(x, place, shape, tables, basis)
            row[0], row[1], row[2], row[3] = -d_x, 1.0, basis[MEMBRANE], basis[PLUG]
            weights[k] += weight
            add_row(matrices[k], vectors[k], row, weight, values[index] - model)
    return matrices, vectors, weights


@njit(cache=True, nogil=True)
def flat_equations(points, values, shape, tables):  # type: ignore[no-untyped-def]
    """Return the equations of an envelope without a pore near a rim, and the rim's residuals.

    Parameters
    ----------
    points, values, shape, tables
        As for `rim_equations`.

    Returns
    -------
    matrix, vector
        Of the grey values of surroundings, membrane, lumen and sides, less those of the rim: the
        lower triangle of J'J, and J'r.
    total, squares, count
        Sums of the squares of r and of the residuals of the rim; number of voxels.
    """
    matrix, vector = np.zeros((4, 4)), np.zeros(4)
    row, basis = np.ones(4), np.empty(GREYS)
    total = squares = 0.0
    count = 0
    for index in range(len(values)):
        rho, _, _, x, s, _ = locate(points[index], shape)
        if abs(s) > shape[6] + 6 or rho > shape[3] + 20:
            continue
        model = evaluate(x, cell(x, s, tables[0, 0]), shape, tables, basis)[0]
        far = cell(X_RANGE_NM[1], s, tables[0, 0])
        row[1], row[2] = lookup(tables[0, 0], far)[0], lookup(tables[0, 1], far)[0]
        row[3] = lookup(tables[0, 3], far)[0]
        grey = values[index] - shape[7]
        total += grey * grey
        squares += (values[index] - model) ** 2
        count += 1
        add_row(matrix, vector, row, 1.0, grey)
    return matrix, vector, total, squares, count
