"""Free space of the cytosol while organelles are placed: the distance to the nearest membrane."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.phantom.cell_geometry import ENVELOPE_HALF_NM, Points
from asem.phantom.shape_kernels import axis_range
from asem.phantom.smooth_surface import SmoothSurface

REACH_NM = 500.0
"""Distances up to this are updated around a new organelle."""


@dataclass(frozen=True)
class FreeSpace:
    """Distance of positions in the cytosol to the nearest membrane.

    Parameters
    ----------
    clearance
        float32, nm, on a grid that starts at (0, 0, 0); negative within organelles and outside.
    spacing_nm
        Of the grid.
    """

    clearance: npt.NDArray[np.float32]
    spacing_nm: float

    @classmethod
    def of_cytosol(
        cls, extent_nm: NmZYX, cell: SmoothSurface, nucleus: SmoothSurface, spacing_nm: float
    ) -> "FreeSpace":
        """Return the space between nuclear envelope and plasma membrane."""
        shape = tuple(int(np.ceil(extent / spacing_nm)) + 1 for extent in extent_nm)
        origin = np.zeros(3)
        outside = -cell.distance_grid(origin, spacing_nm, shape)
        envelope = nucleus.distance_grid(origin, spacing_nm, shape) - ENVELOPE_HALF_NM
        return cls(np.minimum(outside, envelope), spacing_nm)

    @property
    def volume_um3(self) -> float:
        """Volume of the free space, cubic micrometres."""
        return float(np.count_nonzero(self.clearance > 0)) * self.spacing_nm**3 / 1e9

    def at(self, points: Points) -> Points:
        """Return a lower bound of the clearance of points (n, 3), nm; negative off the grid."""
        index = np.rint(np.atleast_2d(points) / self.spacing_nm).astype(int)
        inside = np.all((index >= 0) & (index < self.clearance.shape), axis=1)
        index[~inside] = 0
        found = self.clearance[tuple(index.T)] - 0.87 * self.spacing_nm
        return np.where(inside, found, -1.0)

    def sample(
        self, radius_nm: float, rng: np.random.Generator, attempts: int = 400
    ) -> Points | None:
        """Return a random position with at least this clearance; None where none was found."""
        size = (np.array(self.clearance.shape) - 1) * self.spacing_nm
        points = rng.uniform(0, size, (attempts, 3))
        found = np.flatnonzero(self.at(points) >= radius_nm)
        return points[found[0]] if len(found) else None

    def occupy(self, points: Points, radius_nm: float) -> None:
        """Fill balls around points (n, 3), which are denser than the radius."""
        points = np.ascontiguousarray(np.atleast_2d(points), float)
        _fill_balls(self.clearance, points, radius_nm, self.spacing_nm)


@njit(cache=True, nogil=True)
def _fill_balls(clearance, points, radius, spacing):  # type: ignore[no-untyped-def]
    """Lower the clearance around points to the distance to balls around them."""
    nz, ny, nx = clearance.shape
    reach = radius + REACH_NM
    for n in range(len(points)):
        z, y, x = points[n]
        i0, i1 = axis_range(z - reach, z + reach, 0.0, spacing, nz)
        j0, j1 = axis_range(y - reach, y + reach, 0.0, spacing, ny)
        k0, k1 = axis_range(x - reach, x + reach, 0.0, spacing, nx)
        for i in range(i0, i1):
            for j in range(j0, j1):
                plane = (i * spacing - z) ** 2 + (j * spacing - y) ** 2
                for k in range(k0, k1):
                    distance = np.float32(np.sqrt(plane + (k * spacing - x) ** 2) - radius)
                    clearance[i, j, k] = min(clearance[i, j, k], distance)


def unit(vector: Points) -> Points:
    """Return a vector divided by its length."""
    return np.asarray(vector / np.linalg.norm(vector), float)


def random_direction(rng: np.random.Generator) -> Points:
    """Return a random unit vector."""
    return unit(rng.normal(size=3))


def perpendicular_axes(normals: Points) -> tuple[Points, Points]:
    """Return two unit vectors perpendicular to each other and to each unit vector, (..., 3)."""
    helper = np.eye(3)[np.argmin(np.abs(normals), axis=-1)]
    first = np.cross(normals, helper)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    return first, np.cross(normals, first)
