"""Re-slicing of the image around a nuclear pore: frames, interpolation, the view from the normal.

A frame has its origin in the centre of the pore, in the middle surface of the envelope; its third
axis is the normal::

            w (normal, towards the observer)
            |
     =======+=======   outer or inner membrane
            +------ u, v     middle surface
     ===============
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.config import NmZYX
from asem.measure.frame import FloatArray, Frame

VIEW_STEP_NM = 2.0
"""Distance of the points of a view and of a radial profile."""
VIEW_REACH_NM = 120.0
"""From the centre of a view to its sides."""


@dataclass(frozen=True)
class Patch:
    """Grey values, float32, with the place of the first voxel's centre and the voxel size, nm."""

    values: npt.NDArray[np.float32]
    origin_nm: FloatArray
    voxel_size: NmZYX

    def sample(self, points_nm: FloatArray) -> npt.NDArray[np.float32]:
        """Return trilinear interpolation at world positions (..., 3), nan outside, float32."""
        places = (points_nm - self.origin_nm) / np.array(self.voxel_size)
        values = interpolate(self.values, np.ascontiguousarray(places.reshape(-1, 3)))
        return np.asarray(values).reshape(points_nm.shape[:-1])


@njit(cache=True, nogil=True)
def interpolate(values, places):  # type: ignore[no-untyped-def]
    """Interpolate values (z, y, x) at places (n, 3), in voxels, trilinear; nan outside."""
    result = np.full(len(places), np.nan, np.float32)
    last_z, last_y, last_x = values.shape[0] - 1, values.shape[1] - 1, values.shape[2] - 1
    for i in range(len(places)):
        z, y, x = places[i, 0], places[i, 1], places[i, 2]
        if not (0 <= z <= last_z and 0 <= y <= last_y and 0 <= x <= last_x):
            continue
        k, j, m = min(int(z), last_z - 1), min(int(y), last_y - 1), min(int(x), last_x - 1)
        a, b, c = z - k, y - j, x - m
        total = 0.0
        for corner in range(8):
            dz, dy, dx = corner >> 2, corner >> 1 & 1, corner & 1
            share = (a if dz else 1 - a) * (b if dy else 1 - b) * (c if dx else 1 - c)
            total += share * values[k + dz, j + dy, m + dx]
        result[i] = total
    return result


def view_en_face(patch: Patch, frame: Frame) -> npt.NDArray[np.float32]:
    """Return the middle plane, (n, n), rows along v, columns along u, step `VIEW_STEP_NM`."""
    n = round(VIEW_REACH_NM / VIEW_STEP_NM)
    line = VIEW_STEP_NM * np.arange(-n, n + 1.0)
    v, u = np.meshgrid(line, line, indexing="ij")
    return patch.sample(frame.to_world(np.stack([u, v, 0 * u], axis=-1)))


def radial_profile(view: npt.NDArray[np.float32]) -> FloatArray:
    """Return the mean of a view at each distance from its centre, nan where none is known.

    Parameters
    ----------
    view
        (n, n), n odd; nan outside of the image.

    Returns
    -------
    profile
        ((n + 1) / 2,), step `VIEW_STEP_NM`, from 0.

    Examples
    --------
    >>> radial_profile(np.array([[8, 1, 8], [1, 5, 1], [8, 1, 8]], np.float32)).tolist()
    [5.0, 4.5]
    """
    n = len(view) // 2
    distance = np.hypot(*np.indices(view.shape) - n)
    nearest = np.minimum(np.rint(distance).astype(int), n + 1)
    valid = np.isfinite(view)
    count = np.bincount(nearest[valid], minlength=n + 2)[: n + 1]
    total = np.bincount(nearest[valid], view[valid], minlength=n + 2)[: n + 1]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@njit(cache=True, nogil=True)
def select_voxels(values, start, size, centre, normal, wide, high):  # type: ignore[no-untyped-def]
    """Return positions (n, 3), nm, and grey values of the voxels in a cylinder, without nan.

    Parameters
    ----------
    values, start, size
        Of a patch: grey values, position of the first voxel, voxel size.
    centre, normal, wide, high
        Of the cylinder: its middle, axis, radius and half of its height.
    """
    count = 0
    points, chosen = np.empty((values.size, 3)), np.empty(values.size)
    for i in range(values.shape[0]):
        z = start[0] + i * size[0] - centre[0]
        for j in range(values.shape[1]):
            y = start[1] + j * size[1] - centre[1]
            for k in range(values.shape[2]):
                x = start[2] + k * size[2] - centre[2]
                w = z * normal[0] + y * normal[1] + x * normal[2]
                value = values[i, j, k]
                if abs(w) > high or value != value:
                    continue
                if z * z + y * y + x * x - w * w > wide * wide:
                    continue
                points[count, 0] = z + centre[0]
                points[count, 1] = y + centre[1]
                points[count, 2] = x + centre[2]
                chosen[count] = value
                count += 1
    return points[:count].copy(), chosen[:count].copy()
