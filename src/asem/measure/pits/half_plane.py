r"""The image around an axis, averaged over the angle: the half plane of radius and height.

A pit is about a solid of revolution. Its axis points out of the cytosol, t is the height along
it, from the centre of the pit, and rho the distance from it::

        t
        |     .---------  surrounding membrane
        |    (            neck
        |     \
        +      )          bulb
        |     /
        |----'            deepest point
        +------------- rho

Values are darkness: the negative of grey values, since membranes are dark.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.measure.frame import FloatArray, Frame


@dataclass(frozen=True)
class Image:
    """Darkness around an object.

    Parameters
    ----------
    values
        float32, (z, y, x): about 0 off membranes and 1 on them; nan outside of the image.
    first_nm
        World position of the first voxel, (3,).
    voxel_size
        nm, (3,).
    """

    values: npt.NDArray[np.float32]
    first_nm: FloatArray
    voxel_size: FloatArray

    def to_voxels(self, points_nm: FloatArray) -> FloatArray:
        """Return places in voxels of world positions (..., 3)."""
        return np.asarray((points_nm - self.first_nm) / self.voxel_size)

    def to_half_planes(self, axis: Frame, angles: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the centre of an axis, its radial directions and its own, in voxels."""
        theta = 2 * np.pi * np.arange(angles) / angles
        u, v, w = axis.axes
        outward = np.cos(theta)[:, None] * u + np.sin(theta)[:, None] * v
        return self.to_voxels(axis.origin_nm), outward / self.voxel_size, w / self.voxel_size


@dataclass(frozen=True)
class Grid:
    """Heights and radii of a half plane: `t_nm` first, (n,), and `rho_nm`, (m,), same step."""

    t_nm: FloatArray
    rho_nm: FloatArray

    @classmethod
    def of_reach(cls, lowest: float, highest: float, radius: float, step: float) -> "Grid":
        """Return the grid from one height to another, and from the axis to a radius, nm."""
        rows = round((highest - lowest) / step)
        t = lowest + step * np.arange(rows + 1.0)
        return cls(t, np.asarray(step * np.arange(round(radius / step) + 1.0), np.float64))

    @property
    def step_nm(self) -> float:
        """Distance of neighbouring points."""
        return float(self.t_nm[1] - self.t_nm[0])


def unroll(image: Image, axis: Frame, grid: Grid, angles: int) -> npt.NDArray[np.float32]:
    """Sample an image around an axis.

    Parameters
    ----------
    image
        Around the axis.
    axis, grid
        Where to sample.
    angles
        Number of half planes, in equal steps from u to v.

    Returns
    -------
    samples
        (angles, heights, radii), trilinear, nan outside of the image, float32.
    """
    start, outward, along = image.to_half_planes(axis, angles)
    return np.asarray(
        _unroll(image.values, start, outward, along, grid.t_nm, grid.rho_nm), np.float32
    )


@njit(cache=True, nogil=True)
def _unroll(values, start, outward, along, heights, radii):  # type: ignore[no-untyped-def]
    """Sample at start + t along + rho outward, in voxels."""
    result = np.empty((len(outward), len(heights), len(radii)), np.float32)
    for a in range(len(outward)):
        for i in range(len(heights)):
            z = start[0] + heights[i] * along[0]
            y = start[1] + heights[i] * along[1]
            x = start[2] + heights[i] * along[2]
            for j in range(len(radii)):
                rho = radii[j]
                result[a, i, j] = sample(
                    values,
                    z + rho * outward[a, 0],
                    y + rho * outward[a, 1],
                    x + rho * outward[a, 2],
                )
    return result


@njit(cache=True, nogil=True, inline="always")
def sample(values, z, y, x):  # type: ignore[no-untyped-def]
    """Return trilinear interpolation at a place in voxels, nan outside."""
    last_z, last_y, last_x = values.shape[0] - 1, values.shape[1] - 1, values.shape[2] - 1
    if not (0 <= z <= last_z and 0 <= y <= last_y and 0 <= x <= last_x):
        return np.float32(np.nan)
    k, j, m = min(int(z), last_z - 1), min(int(y), last_y - 1), min(int(x), last_x - 1)
    a, b, c = np.float32(z - k), np.float32(y - j), np.float32(x - m)
    low = values[k, j, m] + c * (values[k, j, m + 1] - values[k, j, m])
    high = values[k, j + 1, m] + c * (values[k, j + 1, m + 1] - values[k, j + 1, m])
    front = low + b * (high - low)
    low = values[k + 1, j, m] + c * (values[k + 1, j, m + 1] - values[k + 1, j, m])
    high = values[k + 1, j + 1, m] + c * (values[k + 1, j + 1, m + 1] - values[k + 1, j + 1, m])
    back = low + b * (high - low)
    return front + a * (back - front)


def average_angles(samples: npt.NDArray[np.float32]) -> FloatArray:
    """Return the mean over the angles, (heights, radii), nan where fewer than half are known."""
    known = np.isfinite(samples)
    count = known.sum(axis=0)
    total = np.where(known, samples, 0).sum(axis=0, dtype=np.float64)
    return np.where(2 * count >= len(samples), total / np.maximum(count, 1), np.nan)


def sample_at(image: Image, points_nm: FloatArray) -> npt.NDArray[np.float32]:
    """Sample an image at world positions (..., 3), trilinear, nan outside, float32 (...)."""
    places = np.ascontiguousarray(image.to_voxels(points_nm).reshape(-1, 3))
    return np.asarray(_sample_places(image.values, places)).reshape(points_nm.shape[:-1])


@njit(cache=True, nogil=True)
def _sample_places(values, places):  # type: ignore[no-untyped-def]
    """Sample at places (n, 3), in voxels."""
    result = np.empty(len(places), np.float32)
    for i in range(len(places)):
        result[i] = sample(values, places[i, 0], places[i, 1], places[i, 2])
    return result
