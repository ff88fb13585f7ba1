"""Where pits and vesicles are: at the plasma membrane, within 400 nm of it, or deeper in the cell.

Endocytic are pits of the plasma membrane, and vesicles within 400 nm of it; the others are
secretory (paper, Analysis of clathrin-coated pits and coated vesicles).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.measure.pits.membrane_points import MembranePoints

FloatArray = npt.NDArray[np.float64]
NEAR_MEMBRANE_NM = 400.0
"""Largest distance of an endocytic vesicle from the plasma membrane."""
SAME_MEMBRANE_NM = 40.0
"""Median distance of the membrane around a pit from the plasma membrane, if they are the same."""


@dataclass(frozen=True)
class Locations:
    """Distances from the plasma membrane and angles to it, (n,).

    Parameters
    ----------
    is_endocytic
        bool.
    is_known
        bool; False where the labels of the membrane end before it could be found.
    distance_nm
        From the outline; 0 for pits of the plasma membrane; nan where it is not known.
    angle_deg
        Of the long axis to the surrounding membrane of a pit, or to the plasma membrane nearest to
        a vesicle; nan for objects that were not measured.
    """

    is_endocytic: npt.NDArray[np.bool_]
    is_known: npt.NDArray[np.bool_]
    distance_nm: FloatArray
    angle_deg: FloatArray


def locate(
    membrane: MembranePoints,
    *,
    is_pit: npt.NDArray[np.bool_],
    ring_nm: FloatArray,
    surface_nm: FloatArray,
    direction: FloatArray,
    long_axis: FloatArray,
) -> Locations:
    """Locate measured objects.

    Parameters
    ----------
    membrane
        The plasma membrane.
    is_pit
        (n,).
    ring_nm, surface_nm
        World positions on the membrane around each pit, and on each outline, (n, m, 3); nan: none.
    direction, long_axis
        Unit vectors out of the cytosol, and along the long axis, (n, 3).
    """
    around = np.median(membrane.distances(ring_nm), axis=1)
    at_membrane = is_pit & (around < SAME_MEMBRANE_NM)
    distance = np.where(at_membrane, 0.0, membrane.distances(surface_nm).min(axis=1))
    is_endocytic = at_membrane | (~is_pit & (distance <= NEAR_MEMBRANE_NM))
    needed = np.where(is_pit, SAME_MEMBRANE_NM, np.minimum(distance, NEAR_MEMBRANE_NM))
    of_ring, of_surface = (
        membrane.distances_to_end(places).min(axis=1) for places in (ring_nm, surface_nm)
    )
    is_known = at_membrane | (np.where(is_pit, of_ring, of_surface) >= needed)
    normal = direction.copy()
    for row in np.flatnonzero(~is_pit & np.isfinite(long_axis).all(axis=1)).tolist():
        normal[row] = membrane.normal(surface_nm[row].mean(axis=0))
    along = np.abs(np.sum(normal * long_axis, axis=1))
    angle = np.degrees(np.arcsin(np.clip(along, 0, 1)))
    angle[~is_pit & ~is_known] = np.nan
    distance = np.where(np.isfinite(distance) & is_known, distance, np.nan)
    return Locations(is_endocytic, is_known, distance, angle)
