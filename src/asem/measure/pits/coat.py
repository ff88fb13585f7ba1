"""Whether a membrane has a coat: the darkness of the cytosol beside it.

Clathrin and its adaptors darken the first 25 nm of the cytosol along the membrane (paper: enhanced
membrane signal). The signal is the darkness there less that of the cytosol beyond, in units of the
darkness of membranes, and the darkness of the membrane itself above that of the membrane around the
pit, where blur joins membrane and coat. Caveolae have none, and are smaller.
"""

import numpy as np

from asem.measure.frame import FloatArray

COAT_RANGE_NM, CYTOSOL_RANGE_NM = (8.0, 20.0), (30.0, 44.0)
"""Distances from the darkest line, into the cytosol."""
OFFSETS_NM = np.arange(COAT_RANGE_NM[0], CYTOSOL_RANGE_NM[1] + 0.1, 2.0)
LINE_NM, SAME_DARKNESS = np.arange(-4.0, 4.1, 1.0), 0.05
"""Offsets of the profile across a membrane; relative difference of equal membranes."""
SMALLEST_SIGNAL, LARGEST_BARE = 0.27, 0.17
"""A membrane with more is coated, one with less is not; between them the size decides."""
CAVEOLA_HEIGHT_NM, CAVEOLA_WIDTH_NM = 80.0, 100.0
"""Largest size of a caveola (paper: about 61 nm deep, 81 nm wide)."""


def coat_signal(profiles: FloatArray) -> float:
    """Return the signal of profiles at `OFFSETS_NM` from the darkest line, (points, offsets)."""
    coat = (COAT_RANGE_NM[0] <= OFFSETS_NM) & (COAT_RANGE_NM[1] >= OFFSETS_NM)
    cytosol = CYTOSOL_RANGE_NM[0] <= OFFSETS_NM
    return float(np.nanmean(profiles[:, coat]) - np.nanmedian(profiles[:, cytosol]))


def line_signal(pit: FloatArray, around: FloatArray) -> float:
    """Return by how much the membrane of a pit is darker than that around it, 0 if it is not.

    Parameters
    ----------
    pit, around
        Darkness of the points of both lines, (n,) and (m,).

    Examples
    --------
    >>> line_signal(np.full(5, 1.25), np.full(3, 1.0))
    0.2
    """
    plain = float(np.nanmedian(around))
    if not plain > 0:
        return 0.0
    return max(float(np.nanmedian(pit)) / plain - 1 - SAME_DARKNESS, 0.0)


def is_coated(signal: float, height_nm: float, width_nm: float, neck_nm: float) -> bool:
    """Return whether a membrane is coated; nan heights and necks are those of vesicles."""
    if signal > SMALLEST_SIGNAL or signal < LARGEST_BARE:
        return signal > SMALLEST_SIGNAL
    if not np.isfinite(height_nm):
        return signal >= (SMALLEST_SIGNAL + LARGEST_BARE) / 2
    is_flask = height_nm < CAVEOLA_HEIGHT_NM and width_nm < CAVEOLA_WIDTH_NM
    return not (is_flask and neck_nm < 0.7 * width_nm)
