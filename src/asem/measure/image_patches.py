"""Patches of the image around objects."""

from collections.abc import Sequence
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from asem.volume.roi import Roi, negate, per_axis
from asem.volume.volume import Volume


def patch_roi(raw: Volume, centre_nm: Sequence[float], reach_nm: float) -> Roi:
    """Return the voxels within a distance of a position along each axis; may extend beyond raw."""
    place = per_axis(lambda c, o, size: (c - o) / size, centre_nm, raw.offset_nm, raw.voxel_size)
    reach = per_axis(lambda size: reach_nm / size, raw.voxel_size)
    start = per_axis(lambda p, r: floor(p - r), place, reach)
    return Roi.from_bounds(start, per_axis(lambda p, r: ceil(p + r) + 1, place, reach))


def read_patch(raw: Volume, roi: Roi) -> npt.NDArray[np.float32]:
    """Read a box of grey values, nan outside of the image, float32."""
    patch = np.full(roi.shape, np.nan, np.float32)
    inside = raw.roi.intersect(roi)
    if inside.size:
        patch[inside.shift(negate(roi.offset)).slices] = raw.read(inside)
    return patch
