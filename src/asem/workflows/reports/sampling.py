"""Read boxes of a pyramid at any position and step: what a picture needs, never a whole volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.volume.band_reading import decodes_whole_planes
from asem.volume.roi import IntZYX, Roi, per_axis
from asem.volume.volume import Volume

MAX_READ_VOXELS = 2**26
"""Voxels that are read for one box."""
MAX_COARSE_VOXELS = 2**22
"""Voxels of a level that is read as a whole."""
STEP_TOLERANCE = 1.01
"""A level may be coarser than the step by this factor."""


@dataclass(frozen=True)
class SampledBox:
    """Positions at which a volume is read.

    Parameters
    ----------
    start_nm
        World position of the centre of the first voxel.
    step_nm
        Distance of the positions along each axis.
    shape
        Their number along each axis.
    """

    start_nm: NmZYX
    step_nm: NmZYX
    shape: IntZYX

    @classmethod
    def of_roi(cls, volume: Volume, roi: Roi) -> "SampledBox":
        """Return the positions of the voxels of a box."""
        return cls(volume.position_nm(roi.offset), volume.voxel_size, roi.shape)

    def positions_nm(self, axis: int) -> npt.NDArray[np.float64]:
        """Return the positions along an axis."""
        steps = np.arange(self.shape[axis], dtype=np.float64)
        return self.start_nm[axis] + self.step_nm[axis] * steps

    def edges_um(self, axis: int) -> tuple[float, float]:
        """Return the positions of both faces along an axis, µm."""
        low = self.start_nm[axis] - self.step_nm[axis] / 2
        return low / 1000, (low + self.step_nm[axis] * self.shape[axis]) / 1000


def sample(levels: Sequence[Volume], box: SampledBox) -> npt.NDArray[Any] | None:
    """Read the nearest voxel at each position, from the level that is just fine enough.

    Parameters
    ----------
    levels
        A pyramid, the finest level first.
    box
        The positions.

    Returns
    -------
    ndarray or None
        ``box.shape``, the dtype of the level, 0 outside of the volume; None where too many voxels
        would be read, as of a source without a pyramid.
    """
    volume = choose_level(levels, box.step_nm)
    indices = [
        np.rint((box.positions_nm(axis) - volume.offset_nm[axis]) / volume.voxel_size[axis])
        for axis in range(3)
    ]
    inside = [(i >= 0) & (i < n) for i, n in zip(indices, volume.shape, strict=True)]
    if not all(one.any() for one in inside):
        return np.zeros(box.shape, volume.dtype)
    kept = [i[one].astype(np.int64) for i, one in zip(indices, inside, strict=True)]
    roi = Roi.from_bounds([i[0] for i in kept], [i[-1] + 1 for i in kept])
    roi = Roi(per_axis(int, roi.offset), per_axis(int, roi.shape))
    if _read_size(volume, roi) > MAX_READ_VOXELS:
        return None
    read = volume.read(roi)
    if read.shape != per_axis(len, kept):  # not every voxel is shown
        local = [i - start for i, start in zip(kept, roi.offset, strict=True)]
        read = read[np.ix_(*local)]
    if read.shape == box.shape:
        return read
    values = np.zeros(box.shape, volume.dtype)
    start = per_axis(lambda one: int(one.argmax()), inside)
    values[Roi(start, per_axis(len, kept)).slices] = read
    return values


def choose_level(levels: Sequence[Volume], step_nm: NmZYX) -> Volume:
    """Return the coarsest level that is as fine as a step along all axes; else the finest."""
    fine = [
        level
        for level in levels
        if all(
            size <= step * STEP_TOLERANCE
            for size, step in zip(level.voxel_size, step_nm, strict=True)
        )
    ]
    return fine[-1] if fine else levels[0]


def read_coarse(levels: Sequence[Volume]) -> tuple[Volume, npt.NDArray[Any]] | None:
    """Read the finest level that is small; None where all are large."""
    small = [level for level in levels if level.roi.size <= MAX_COARSE_VOXELS]
    return (small[0], small[0].read(small[0].roi)) if small else None


def _read_size(volume: Volume, roi: Roi) -> int:
    """Return the voxels that are decoded to read a box."""
    if decodes_whole_planes(volume.array):
        return roi.shape[0] * volume.shape[1] * volume.shape[2]
    return roi.size
