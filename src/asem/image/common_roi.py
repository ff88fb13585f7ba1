"""Find the part that two images have in common; report shapes that do not match.

::

    raw      |---------------|         |--------|              |-----------------|
    labels   |---------------|         |------------|               |------|
             one grid: silent          same start, other       part of raw with an
                                       shape: a warning        offset: silent
"""

import logging
from itertools import combinations

from asem.volume.roi import IntZYX, Roi, format_shape, per_axis
from asem.volume.volume import WHOLE_VOXEL_TOLERANCE, Volume, format_nm

LOG = logging.getLogger(__name__)
AXES = "zyx"


def find_common_roi(first: Volume, second: Volume) -> Roi:
    """Return the part of `first` that `second` covers; warn of shapes that do not match.

    Parameters
    ----------
    first
        The image, for instance raw.
    second
        Its labels or mask, with the same voxel size.

    Returns
    -------
    Roi
        In the voxels of `first`.

    Raises
    ------
    ValueError
        There is no common voxel, the voxel sizes differ, or the shift between both is not an
        integer number of voxels.
    """
    common = first.roi_of(second).intersect(first.roi)
    if common.size == 0:
        raise ValueError(
            f"{first.name} and {second.name} have no voxel in common: {_describe(first)}, and "
            f"{_describe(second)}; check their offsets (--offset-nm at import)"
        )
    if mismatch := find_mismatch(first, second):
        LOG.warning("%s", mismatch)
    return common


def find_mismatch(first: Volume, second: Volume) -> str:
    """Return why the shapes of two images look wrong, in one line; empty if they do not.

    Two images match if they are of one shape and position, or crops of one original grid. Else one
    of them must be a part of the other with an offset of its own: where both start at the same
    position, the offset of a part, or a plane, is missing, or axes are exchanged.

    Parameters
    ----------
    first, second
        As in `find_common_roi`.
    """
    roi = first.roi_of(second)
    same_start = roi.offset == (0, 0, 0)
    is_part = first.roi.contains(roi) or roi.contains(first.roi)
    if roi == first.roi or _have_one_grid(first, second) or (is_part and not same_start):
        return ""
    what = "start at the same position, but differ in shape" if same_start else "overlap in part"
    return (
        f"{first.name} and {second.name} {what}: {_describe(first)}, and {_describe(second)}"
        f"{_name_exchanged_axes(first.shape, second.shape)}; only their common voxels are used: "
        "check both with `asem info`; a part of an image needs its --offset-nm at import"
    )


def _have_one_grid(first: Volume, second: Volume) -> bool:
    """Return whether two images of one voxel size are crops of one original grid."""
    a, b = first.original_grid, second.original_grid
    shifts = per_axis(
        lambda p, q, size: abs(p - q) / size,
        *(a.origin_nm, b.origin_nm, first.voxel_size),
    )
    return a.shape == b.shape and max(shifts) <= WHOLE_VOXEL_TOLERANCE


def _name_exchanged_axes(first: IntZYX, second: IntZYX) -> str:
    """Return a question about exchanged axes, if one shape is a permutation of the other.

    Examples
    --------
    >>> _name_exchanged_axes((40, 48, 72), (40, 72, 48))
    '; axes y and x exchanged?'
    """
    for a, b in combinations(range(3) if first != second else (), 2):
        exchanged = list(first)
        exchanged[a], exchanged[b] = first[b], first[a]
        if tuple(exchanged) == second:
            return f"; axes {AXES[a]} and {AXES[b]} exchanged?"
    is_permutation = first != second and sorted(first) == sorted(second)
    return "; axes exchanged?" if is_permutation else ""


def _describe(volume: Volume) -> str:
    extent = per_axis(lambda n, size: n * size, volume.shape, volume.voxel_size)
    position = ", ".join(f"{nm:.6g}" for nm in volume.offset_nm)
    return f"{format_shape(volume.shape)} voxels ({format_nm(extent)} nm, from {position} nm)"
