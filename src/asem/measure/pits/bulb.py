"""The bulb of a pit, or a vesicle: the sphere around which the image is darkest."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from asem.measure.frame import FloatArray
from asem.measure.pits.half_plane import Image, sample

RADII_NM = np.arange(18.0, 78.0, 3.0)
WALL_NM = 12.0
"""From the membrane inward to where the lumen is compared with it."""
DIRECTIONS = 100
SHIFTS_NM = (np.arange(-24.0, 25.0, 8.0), np.arange(-6.0, 7.0, 3.0))
"""Of the centre along each axis: coarse, then fine."""


@dataclass(frozen=True)
class Bulb:
    """Centre, (3,), and radius of a sphere, nm; `contrast`, darkness of its wall over its lumen."""

    centre_nm: FloatArray
    radius_nm: float
    contrast: float


def sphere_directions(count: int) -> FloatArray:
    """Return unit vectors spread evenly over the sphere (Fibonacci lattice), (count, 3)."""
    index = np.arange(count) + 0.5
    height = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - height**2)
    return np.stack([height, ring * np.cos(angle), ring * np.sin(angle)], axis=1)


def find_bulb(image: Image, centre_nm: FloatArray) -> Bulb:
    """Find the sphere near a place whose wall is darkest against its lumen.

    Only directions with a dark wall count: the opening of a pit has none.

    Parameters
    ----------
    image
        Darkness, in any unit.
    centre_nm
        Where the search starts: the centre of a mask.
    """
    best = Bulb(centre_nm, 0.0, -np.inf)
    for shifts in SHIFTS_NM:
        grid = np.stack(np.meshgrid(shifts, shifts, shifts, indexing="ij"), axis=-1).reshape(-1, 3)
        centres = best.centre_nm + grid[np.linalg.norm(grid, axis=1) <= shifts[-1] * 1.2]
        scores = _score_spheres(
            image.values,
            image.to_voxels(centres),
            sphere_directions(DIRECTIONS) / image.voxel_size,
            RADII_NM,
        )
        row, column = np.unravel_index(np.argmax(scores), scores.shape)
        best = Bulb(centres[row], float(RADII_NM[column]), float(scores[row, column]))
    return best


@njit(cache=True, nogil=True)
def _score_spheres(values, centres, directions, radii):  # type: ignore[no-untyped-def]
    """Return the mean over directions of max(0, wall - lumen), times sqrt(radius)."""
    scores = np.zeros((len(centres), len(radii)))
    step = radii[1] - radii[0]
    back = int(WALL_NM / step)
    profile = np.empty(len(radii) + back, np.float32)
    for n in range(len(centres)):
        z, y, x = centres[n]
        for d in range(len(directions)):
            for k in range(len(profile)):
                r = radii[0] + (k - back) * step
                profile[k] = sample(
                    values,
                    z + r * directions[d, 0],
                    y + r * directions[d, 1],
                    x + r * directions[d, 2],
                )
            for k in range(len(radii)):
                rise = profile[k + back] - profile[k]
                if rise > 0:
                    scores[n, k] += rise
        for k in range(len(radii)):
            scores[n, k] *= np.sqrt(radii[k]) / len(directions)
    return scores
