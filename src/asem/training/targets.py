"""What a network is to find: labels as codes of one byte, read where and when they are needed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import is_foreground, unknown_id
from asem.volume.grid import tile
from asem.volume.roi import Roi, Triple
from asem.volume.volume import Lazy, Volume

FOREGROUND, BEYOND, UNKNOWN = 1, 254, 255
"""Codes of a target voxel besides 0, background; neither BEYOND (the region) nor UNKNOWN counts."""
BLOCK: Triple = (128, 256, 256)
"""Voxels that are read at a time."""

BYTE = np.dtype(np.uint8)
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Coded:
    """Labels as codes, so that several objects in one coarse voxel are foreground together.

    Parameters
    ----------
    labels
        Unsigned ids; the dtype's maximum is unknown.
    """

    labels: Lazy
    dtype: np.dtype[Any] = BYTE

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return self.labels.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Codes:
        """Read a box."""
        labels = np.asarray(self.labels[index])
        codes = is_foreground(labels).astype(np.uint8)
        codes[labels == unknown_id(labels.dtype)] = UNKNOWN
        return codes


@dataclass(frozen=True)
class Target:
    """The codes of a part of a volume, read from disk.

    Parameters
    ----------
    raw
        The volume at the model's voxel size.
    codes
        Its labels (`Coded`) at this voxel size.
    mask
        At this voxel size; 0 is not sample, which counts as unknown. None: all is sample.
    roi
        The part, in voxels of `raw`.
    """

    raw: Volume
    codes: Volume
    mask: Volume | None
    roi: Roi
    dtype: np.dtype[Any] = BYTE

    @property
    def shape(self) -> Triple:
        """Voxels along each axis."""
        return self.roi.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Codes:
        """Read a box."""
        box = Roi.between([s.start for s in index], [s.stop for s in index])
        there = box.shift(self.roi.offset)
        codes: Codes = self.raw.read_placed(self.codes, there, fill=UNKNOWN)
        if self.mask is not None:
            codes[self.raw.read_placed(self.mask, there) == 0] = UNKNOWN
        return codes


def known_part(target: Lazy, into: Codes | None = None) -> tuple[tuple[int, int], Roi]:
    """Look through a target once.

    Parameters
    ----------
    target
        What to look through.
    into
        Filled with the codes on the way.

    Returns
    -------
    counts
        Number of voxels that are background or foreground, and of those that are foreground.
    part
        The smallest box that holds them all; empty where there is none.
    """
    count = foreground = 0
    low, high = np.array(target.shape), np.zeros(3, int)
    for block in tile(Roi.whole(target.shape), BLOCK):
        codes = np.asarray(target[block.slices])
        if into is not None:
            into[block.slices] = codes
        known = codes < BEYOND
        if (number := int(np.count_nonzero(known))) == 0:
            continue
        count += number
        foreground += int(np.count_nonzero(codes == FOREGROUND))
        for axis in range(3):
            there = np.flatnonzero(known.any(tuple(a for a in range(3) if a != axis)))
            low[axis] = min(low[axis], block.offset[axis] + there[0])
            high[axis] = max(high[axis], block.offset[axis] + there[-1] + 1)
    return (count, foreground), Roi.between(np.minimum(low, high).tolist(), high.tolist())
