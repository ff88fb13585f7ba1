"""Positions of the voxels of a block, and smooth fields on a coarse grid around it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.phantom.shape_kernels import interpolate_grid
from asem.phantom.smooth_surface import SmoothSurface
from asem.volume.roi import Roi

COARSE_NM = 20.0
"""Spacing of the coarse grid: linear interpolation of a distance errs by about 0.1 nm."""
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """Positions of the voxels of a block.

    Parameters
    ----------
    origin_nm
        Position of the centre of its first voxel, without drift.
    voxel_size
        nm.
    shifts
        Drift of its planes along y and x, float64, shape (planes, 2), nm.
    shape
        Voxels along (z, y, x).
    """

    origin_nm: NmZYX
    voxel_size: NmZYX
    shifts: npt.NDArray[np.float64]
    shape: tuple[int, int, int]

    @classmethod
    def of_block(cls, block: Roi, voxel_size: NmZYX, drift: npt.NDArray[np.float64]) -> "Frame":
        """Return the frame of a block; `drift` is that of all planes, from plane 0 on."""
        planes = np.clip(np.arange(block.offset[0], block.end[0]), 0, len(drift) - 1)
        z, y, x = (index * size for index, size in zip(block.offset, voxel_size, strict=True))
        return cls((z, y, x), voxel_size, drift[planes], block.shape)

    @property
    def geometry(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Origin, voxel size and shifts, as the kernels take them."""
        return np.array(self.origin_nm), np.array(self.voxel_size), self.shifts

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the lowest and highest position of its voxels, nm."""
        low = np.array(self.origin_nm)
        high = low + (np.array(self.shape) - 1) * self.voxel_size
        low[1:] += self.shifts.min(axis=0)
        high[1:] += self.shifts.max(axis=0)
        return low, high


@dataclass(frozen=True)
class CoarseGrid:
    """A smooth field around a block on a coarse grid of positions that all blocks share.

    Parameters
    ----------
    values
        float32.
    first_nm
        Position of its first point.
    """

    values: Float32
    first_nm: npt.NDArray[np.float64]

    def interpolate(self, frame: Frame) -> Float32:
        """Return the field at the voxels of a frame."""
        values = np.empty(frame.shape, np.float32)
        interpolate_grid(values, self.values, self.first_nm, COARSE_NM, *frame.geometry)
        return values


def coarse_extent(frame: Frame) -> tuple[npt.NDArray[np.float64], tuple[int, ...]]:
    """Return first position and shape of the coarse grid that covers a frame."""
    low, high = frame.bounds()
    first = np.floor(low / COARSE_NM)
    shape = tuple(int(n) for n in np.floor(high / COARSE_NM) - first + 2)
    return first * COARSE_NM, shape


def sample_surface_distance(surface: SmoothSurface, frame: Frame) -> CoarseGrid:
    """Return the signed distances to a surface around a frame."""
    first, shape = coarse_extent(frame)
    return CoarseGrid(surface.distance_grid(first, COARSE_NM, shape), first)
