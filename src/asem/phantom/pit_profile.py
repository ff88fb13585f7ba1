"""Profile of a pit: the signed distance to its membrane in the half plane of radius and depth.

With the radius rho from the axis and the depth u below the plane of the membrane (both nm), the
outside of the cell is the smooth union of the half space u < 0, an ellipsoid at the depth
height - half height, and a cylinder from there to the plane. Its border is the membrane. Where the
membrane is a sphere, that of an endosome, the distance to it takes the place of u < 0.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from asem.phantom.cell_geometry import Pit

FILLET_NM = 16.0
"""Width of the smooth passage from the plane into the neck."""
NECK_START_NM = 8.0
"""Depth from which on the neck is measured."""


@njit(cache=True, nogil=True, inline="always")
def smooth_minimum(a, b, width):  # type: ignore[no-untyped-def]
    """Return the minimum of two distances, rounded where they differ by less than `width`."""
    blend = max(width - abs(a - b), 0.0) / width
    return min(a, b) - blend * blend * width * 0.25


@njit(cache=True, nogil=True, inline="always")
def pit_distance(rho, u, plane, height, half_width, half_height, neck):  # type: ignore[no-untyped-def]
    """Return the signed distance to the membrane of a pit, nm; negative outside of the cell.

    `plane` is the distance to the membrane without the pit, which is u on the axis.
    """
    depth = u - (height - half_height)
    p, q = rho / half_width, depth / half_height
    k = np.sqrt(p * p + q * q)
    p, q = p / half_width, q / half_height
    slope = np.sqrt(p * p + q * q)
    bulb = k * (k - 1) / slope if slope > 0 else -min(half_width, half_height)
    if neck > 0:
        stalk = max(rho - neck, depth)
        bulb = smooth_minimum(bulb, stalk, 0.5 * FILLET_NM)
    return smooth_minimum(plane, bulb, FILLET_NM)


@dataclass(frozen=True)
class PitMeasures:
    """Lengths of a pit, to the middle of its membrane, nm.

    Parameters
    ----------
    height_nm
        From the plane of the membrane to the deepest point.
    width_nm
        At half of the height.
    neck_nm
        Narrowest width between 8 nm below the plane and the widest place.
    is_open
        Whether nothing narrows: the neck is the width 8 nm below the plane.
    """

    height_nm: float
    width_nm: float
    neck_nm: float
    is_open: bool


def measure_profile(pit: Pit, endosome_radius_nm: float = np.inf) -> PitMeasures:
    """Measure the profile of a pit; depths are distances from the membrane without the pit.

    Parameters
    ----------
    pit
        A pit.
    endosome_radius_nm
        Of the sphere that it is a pit of; inf: a plane.
    """
    step = 0.1
    depths = np.arange(0, pit.height_nm + 3 * FILLET_NM, step)
    radii = np.arange(0, pit.half_width_nm + pit.neck_radius_nm + 4 * FILLET_NM, step)
    shape = (pit.height_nm, pit.half_width_nm, pit.half_height_nm, pit.neck_radius_nm)
    outside = _sample_outside(depths, radii, endosome_radius_nm, *shape)
    widths = 2 * step * outside.sum(axis=1)
    first = round(NECK_START_NM / step)
    last = int(np.count_nonzero(outside[:, 0]))
    widest = first + int(np.argmax(widths[first:last])) if last > first else first
    neck = float(widths[first : widest + 1].min())
    return PitMeasures(step * last, float(widths[last // 2]), neck, widest == first)


@njit(cache=True, nogil=True)
def _sample_outside(depths, radii, sphere, height, half_width, half_height, neck):  # type: ignore[no-untyped-def]
    """Return whether positions of the half plane are outside of the cell, (depths, radii)."""
    outside = np.empty((len(depths), len(radii)), np.bool_)
    for i, plane in enumerate(depths):
        for j, rho in enumerate(radii):
            u = plane
            if np.isfinite(sphere):
                u = np.sqrt(max((sphere + plane) ** 2 - rho * rho, 0.0)) - sphere
            distance = pit_distance(rho, u, plane, height, half_width, half_height, neck)
            outside[i, j] = distance < 0
    return outside
