"""Voxel sizes that a network takes as they are. Loads no torch."""

from asem.config import Nm3, VoxelSize

ROUNDING = 1e-6
VoxelSizeRange = tuple[VoxelSize, VoxelSize]
"""The smallest and the largest voxel size along (z, y, x), nm."""


def is_within(voxel_size: Nm3, accepted: VoxelSizeRange) -> bool:
    """Whether a voxel size lies in a range, ends included, within rounding along each axis.

    Examples
    --------
    >>> is_within((5.24, 4, 4), ((3.2, 4, 4), (5.24, 4, 4)))
    True
    """
    axes = zip(*accepted, voxel_size, strict=True)
    return all(low * (1 - ROUNDING) <= size <= high * (1 + ROUNDING) for low, high, size in axes)


def seen_voxel_size(data: Nm3, own: Nm3, accepted: VoxelSizeRange | None) -> Nm3:
    """Return the voxel size at which a network sees data, all in nm.

    Parameters
    ----------
    data
        Voxel size of the data.
    own
        That of the network, to which other data is resampled.
    accepted
        Data of these voxel sizes is not resampled; None: of `own` only.

    Examples
    --------
    >>> hpfs = ((3.2, 4, 4), (5.24, 4, 4))
    >>> seen_voxel_size((5.2, 4, 4), (4, 4, 4), hpfs), seen_voxel_size((5, 5, 5), (4, 4, 4), hpfs)
    ((5.2, 4, 4), (4, 4, 4))
    """
    return data if accepted is not None and is_within(data, accepted) else own


def range_text(voxel_size: Nm3, accepted: VoxelSizeRange | None) -> str:
    """Write a voxel size, or the range of those that are accepted: ``3.2-5.24 x 4 x 4``."""
    low, high = accepted or (voxel_size, voxel_size)
    ends = zip(low, high, strict=True)
    return " x ".join(f"{a:g}" if a == b else f"{a:g}-{b:g}" for a, b in ends)


def checked_range(voxel_size: Nm3, accepted: VoxelSizeRange | None) -> None:
    """Raise ValueError where a network's own voxel size is not in the range that it accepts."""
    if accepted is not None and not is_within(voxel_size, accepted):
        raise ValueError(
            f"'voxel_size_range': {range_text(voxel_size, accepted)} nm does not hold "
            f"'voxel_size', {range_text(voxel_size, None)} nm; give the smallest and the largest "
            "that are accepted, [[z, y, x], [z, y, x]]"
        )
