"""The voxel size of a source: the one that it states, or the one that the user gives."""

import logging

from asem.config import NmZYX
from asem.volume.formats.source_image import StatedVoxelSize
from asem.volume.roi import per_axis
from asem.volume.volume import OriginalGrid, Volume, format_nm

LOG = logging.getLogger(__name__)
MAX_VOXEL_SIZE_DIFFERENCE = 0.01
"""Largest relative difference of a given voxel size from the one in the source."""
USUAL_VOXEL_NM = (0.5, 1000.0)
"""From the voxels of transmission electron microscopes to those of light microscopes."""


def format_stated(size: StatedVoxelSize) -> str:
    """Return a stated voxel size as text, ``?`` where an axis has none."""
    return ",".join("?" if nm is None else f"{nm:.6g}" for nm in size)


def with_voxel_size(volume: Volume, voxel_size: NmZYX) -> Volume:
    """Return a volume with another voxel size at the same index of its original grid."""
    origin_nm = per_axis(
        lambda offset, index, size: offset - index * size,
        volume.offset_nm,
        volume.original_offset,
        voxel_size,
    )
    grid = OriginalGrid(volume.original_grid.shape, origin_nm)
    return volume.with_array(volume.array, voxel_size=voxel_size, stated_grid=grid)


def resolve_voxel_size(
    name: str,
    source_size: StatedVoxelSize,
    user_size: NmZYX | None,
    *,
    override: bool = False,
) -> NmZYX:
    """Return the voxel size of a source, nm along (z, y, x).

    Parameters
    ----------
    name
        The source, for messages.
    source_size
        Voxel size in the source along each axis; None: not stated.
    user_size
        Voxel size given by the user.
    override
        Whether `user_size` replaces a different `source_size`.

    Raises
    ------
    ValueError
        An axis has no voxel size, or the two differ by more than 1 %.
    """
    text = format_stated(source_size)
    if user_size is None:
        z, y, x = source_size
        if z is None or y is None or x is None:
            states = "" if text == "?,?,?" else f" (it states {text})"
            raise ValueError(
                f"{name} does not state its voxel size{states}; give --voxel-size z,y,x in nm"
            )
        LOG.info("%s states voxels of %s nm", name, format_nm((z, y, x)))
        return z, y, x
    pairs = zip(user_size, source_size, strict=True)
    differs = any(own and abs(size - own) > MAX_VOXEL_SIZE_DIFFERENCE * own for size, own in pairs)
    if differs and not override:
        raise ValueError(
            f"{name} states voxels of {text} nm (z,y,x), but --voxel-size is "
            f"{','.join(f'{size:.6g}' for size in user_size)}; leave it out, or give "
            "--voxel-size-override to use it"
        )
    return user_size


def warn_about_voxel_size(voxel_size: NmZYX, name: str) -> None:
    """Log a warning where voxels are smaller or larger than those of microscopes."""
    low, high = USUAL_VOXEL_NM
    if 0 < min(voxel_size) < low or max(voxel_size) > high:
        LOG.warning(
            "%s: voxels of %s nm are outside of %g to %g nm; voxel sizes are nm, not micrometres "
            "(5 nm = 0.005 um)",
            name,
            format_nm(voxel_size),
            low,
            high,
        )
