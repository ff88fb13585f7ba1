"""Range of voxel sizes that a network accepts without resampling. Loads no torch."""

from typing import Annotated

from asem.config import Expected, NmZYX, VoxelSize

RELATIVE_TOLERANCE = 1e-6
VoxelSizeRange = Annotated[
    tuple[VoxelSize, VoxelSize],
    Expected("the smallest and the largest voxel size in nm, [[z, y, x], [z, y, x]]"),
]
"""The smallest and the largest voxel size along (z, y, x), nm."""


def is_within(voxel_size: NmZYX, accepted: VoxelSizeRange) -> bool:
    """Whether a voxel size is in a range, ends included, within rounding along each axis.

    Examples
    --------
    >>> is_within((5.24, 4, 4), ((3.2, 4, 4), (5.24, 4, 4)))
    True
    """
    axes = zip(*accepted, voxel_size, strict=True)
    return all(
        low * (1 - RELATIVE_TOLERANCE) <= size <= high * (1 + RELATIVE_TOLERANCE)
        for low, high, size in axes
    )


def network_voxel_size(data: NmZYX, trained: NmZYX, accepted: VoxelSizeRange | None) -> NmZYX:
    """Return the voxel size at which a network processes data, all in nm.

    Parameters
    ----------
    data
        Voxel size of the data.
    trained
        Voxel size of the network, to which other data is resampled.
    accepted
        Range of voxel sizes that are not resampled; None: only `trained`.

    Examples
    --------
    >>> hpfs = ((3.2, 4, 4), (5.24, 4, 4))
    >>> network_voxel_size((5.2, 4, 4), (4, 4, 4), hpfs)
    (5.2, 4, 4)
    >>> network_voxel_size((5, 5, 5), (4, 4, 4), hpfs)
    (4, 4, 4)
    """
    return data if accepted is not None and is_within(data, accepted) else trained


def format_voxel_size_range(voxel_size: NmZYX, accepted: VoxelSizeRange | None) -> str:
    """Format a voxel size, or a range of voxel sizes: ``3.2-5.24 x 4 x 4``."""
    low, high = accepted or (voxel_size, voxel_size)
    ends = zip(low, high, strict=True)
    return " x ".join(f"{a:g}" if a == b else f"{a:g}-{b:g}" for a, b in ends)


def check_voxel_size_range(voxel_size: NmZYX, accepted: VoxelSizeRange | None) -> None:
    """Raise ValueError if a network's own voxel size is not in the range that it accepts."""
    if accepted is not None and not is_within(voxel_size, accepted):
        raise ValueError(
            f"'voxel_size_range': {format_voxel_size_range(voxel_size, accepted)} nm does not "
            f"contain 'voxel_size', {format_voxel_size_range(voxel_size, None)} nm; give the "
            "smallest and the largest accepted voxel size, [[z, y, x], [z, y, x]]"
        )
