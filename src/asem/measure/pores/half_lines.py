r"""Radius of a pore along 36 half-lines in the middle plane, and the scatter of the radii.

::

                | line 9
           \    |    /
         .##\#######/##.        # the rim; half-lines from the centre, 10 degrees apart; a line is
         #   \  |  /   #        two opposite half-lines, its diameter the sum of their radii
     ----#------+------#--- line 0
         #   /  |  \   #
         '##/#######\##'
           /    |    \

At each half-line, the model of the rim that was fitted to the whole pore (`rim_fit`)
is shifted along the radius to the voxels near the half-line (weights: Gaussians of the angle and of
the height above the middle plane), where the grey values of membrane, plug and surroundings may
differ from those of the whole rim.
"""

import numpy as np
from scipy import special

from asem.measure.frame import FloatArray
from asem.measure.pores.rim_fit import RimFit, symmetric
from asem.measure.pores.rim_kernels import ANGLE_SD, HEIGHT_SD_NM, LINE_REACH_NM, line_equations

LINES = 18
SHIFT_SD_NM, GREY_SD = 4.0, 0.3
"""Priors: of the shift of a half-line, and of its grey values, in units of the contrast."""
LARGEST_STEP_NM = 4.0
STEPS = 3
LOWEST_HARMONIC, HIGHEST_HARMONIC = 3, 7
"""Of the radii, whose scatter is due to errors alone."""


def measure_half_lines(
    fit: RimFit, points_nm: FloatArray, values: FloatArray, contrast: float
) -> tuple[FloatArray, FloatArray]:
    """Return the radii along the half-lines, (36,), nm, and the weights of their voxels, nm^3.

    Half-line i has the angle 10 i degrees from u to v. Parameters as for `rim_fit.fit_rim`.
    """
    local, tables, shape = fit.to_local(points_nm), fit.tables, fit.shape
    precision = (fit.noise / np.array([SHIFT_SD_NM, *[GREY_SD * contrast] * 3])) ** 2
    shifts = np.zeros(2 * LINES)
    for _ in range(STEPS):
        matrices, vectors, weights = line_equations(local, values, shape, tables, shifts)
        matrices = symmetric(matrices) + np.diag(precision)
        vectors[:, 0] -= precision[0] * shifts
        steps = np.linalg.solve(matrices, vectors[..., None])[:, 0, 0]
        shifts = shifts + np.clip(steps, -LARGEST_STEP_NM, LARGEST_STEP_NM)
    angles = np.arange(2 * LINES) * np.pi / LINES
    ellipse = fit.ellipse[0] * np.cos(2 * angles) + fit.ellipse[1] * np.sin(2 * angles)
    return fit.radius + ellipse + shifts, weights


def full_weight(radius: float) -> float:
    """Return the integral of the weights of a half-line over space, nm^3, for a rim of a radius."""
    low, high = max(radius + LINE_REACH_NM[0], 0.0), radius + LINE_REACH_NM[1]
    across = ANGLE_SD * special.erf(2.5 / np.sqrt(2)) * HEIGHT_SD_NM * special.erf(np.sqrt(2))
    return float((high**2 - low**2) / 2 * 2 * np.pi * across)


def scatter_variance(radii: FloatArray) -> float:
    """Return the variance of the mean of the radii of all half-lines, from harmonics 3 to 7, nm^2.

    Parameters
    ----------
    radii
        (36,), nm; nan where rejected.
    """
    valid = np.isfinite(radii)
    angles = np.arange(len(radii))[valid] * 2 * np.pi / len(radii)
    orders = np.arange(1, HIGHEST_HARMONIC + 1)
    waves = orders * angles[:, None]
    design = np.concatenate([np.ones((len(angles), 1)), np.cos(waves), np.sin(waves)], axis=1)
    amplitudes = np.linalg.lstsq(design, radii[valid], rcond=None)[0][1:].reshape(2, -1)
    smoothing = np.exp(-((orders * ANGLE_SD) ** 2))
    power = (amplitudes**2).sum(axis=0) / 4 / smoothing
    return float(power[LOWEST_HARMONIC - 1 :].mean())
