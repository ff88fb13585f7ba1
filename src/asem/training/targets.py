"""Training targets: labels as one-byte codes, read lazily."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d

from asem.image.labels import is_foreground, unlabelled_id
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import IntZYX, Roi, negate
from asem.volume.volume import ArrayLike, Volume

FOREGROUND, OUTSIDE, UNLABELLED = 1, 254, 255
"""Codes of a target voxel; 0 is background. OUTSIDE (the region) and UNLABELLED are ignored."""
READ_BLOCK: IntZYX = (128, 256, 256)
"""Voxels of a block that is read at a time."""

UINT8 = np.dtype(np.uint8)
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TargetCodes:
    """Labels as codes, so that several objects in one coarse voxel count together as foreground.

    Parameters
    ----------
    labels
        Unsigned ids; the dtype's maximum is unlabelled.
    """

    labels: ArrayLike
    dtype: np.dtype[Any] = UINT8

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return self.labels.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Codes:
        """Read a box."""
        labels = np.asarray(self.labels[index])
        codes = is_foreground(labels).astype(np.uint8)
        codes[labels == unlabelled_id(labels.dtype)] = UNLABELLED
        return codes


@dataclass(frozen=True)
class WidenedCodes:
    """Codes in which thin foreground is wider, and background around it is unlabelled.

    ::

        ignored   widen   annotated   widen   ignored
        |  255  |          1                |  255  |    0 beyond

    Parameters
    ----------
    codes
        uint8.
    widen
        Voxels along (z, y, x): background in a box of this half width around foreground becomes
        foreground.
    ignored
        Half width of the box in which other background becomes unlabelled.
    """

    codes: ArrayLike
    widen: IntZYX
    ignored: IntZYX
    dtype: np.dtype[Any] = UINT8

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return self.codes.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Codes:
        """Read a box."""
        box = Roi.from_bounds([s.start for s in index], [s.stop for s in index])
        read_roi = box.grow(self.ignored).intersect(Roi.of_shape(self.shape))
        codes = np.array(self.codes[read_roi.slices])
        foreground = codes == FOREGROUND
        if foreground.any():
            is_background = codes == 0
            codes[is_background & _is_near(foreground, self.ignored)] = UNLABELLED
            codes[is_background & _is_near(foreground, self.widen)] = FOREGROUND
        return np.ascontiguousarray(codes[box.shift(negate(read_roi.offset)).slices])


def _is_near(foreground: npt.NDArray[np.bool_], radius: IntZYX) -> npt.NDArray[np.bool_]:
    """Return which voxels are in a box of this half width around foreground."""
    near = foreground.view(np.uint8)
    for axis, voxels in enumerate(radius):
        near = maximum_filter1d(near, 2 * voxels + 1, axis, mode="constant")
    return near.view(np.bool_)


@dataclass(frozen=True)
class TargetArray:
    """The codes of a part of a volume, read from disk.

    Parameters
    ----------
    raw
        The volume at the model's voxel size.
    codes
        Its labels (`TargetCodes`) at this voxel size.
    mask
        At this voxel size; voxels of 0 count as unlabelled. None: no mask.
    roi
        The part, in voxels of `raw`.
    """

    raw: Volume
    codes: Volume
    mask: Volume | None
    roi: Roi
    dtype: np.dtype[Any] = UINT8

    @property
    def shape(self) -> IntZYX:
        """Voxels along each axis."""
        return self.roi.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Codes:
        """Read a box."""
        box = Roi.from_bounds([s.start for s in index], [s.stop for s in index])
        in_raw = box.shift(self.roi.offset)
        codes: Codes = self.raw.read_aligned(self.codes, in_raw, fill=UNLABELLED)
        if self.mask is not None:
            codes[self.raw.read_aligned(self.mask, in_raw) == 0] = UNLABELLED
        return codes


def find_labelled_box(target: ArrayLike, out: Codes | None = None) -> tuple[tuple[int, int], Roi]:
    """Count labelled voxels and find their bounding box, reading the target once.

    Parameters
    ----------
    target
        uint8 codes.
    out
        Filled with the codes that are read.

    Returns
    -------
    counts
        Number of voxels that are background or foreground, and of those that are foreground.
    box
        The bounding box of the labelled voxels; empty if there are none.
    """
    labelled = foreground = 0
    low, high = np.array(target.shape), np.zeros(3, int)
    for block in split_into_blocks(Roi.of_shape(target.shape), READ_BLOCK):
        codes = np.asarray(target[block.slices])
        if out is not None:
            out[block.slices] = codes
        is_labelled = codes < OUTSIDE
        if (count := int(np.count_nonzero(is_labelled))) == 0:
            continue
        labelled += count
        foreground += int(np.count_nonzero(codes == FOREGROUND))
        for axis in range(3):
            indices = np.flatnonzero(is_labelled.any(tuple(a for a in range(3) if a != axis)))
            low[axis] = min(low[axis], block.offset[axis] + indices[0])
            high[axis] = max(high[axis], block.offset[axis] + indices[-1] + 1)
    return (labelled, foreground), Roi.from_bounds(np.minimum(low, high).tolist(), high.tolist())
