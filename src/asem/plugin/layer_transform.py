"""Transform of a napari layer: scale and translation in nm, axes z, y, x."""

from typing import Any

from asem.volume.roi import IntZYX
from asem.volume.volume import Volume


def layer_transform(volume: Volume, offset: IntZYX = (0, 0, 0)) -> dict[str, Any]:
    """Return the layer settings that position an array with its first voxel at `offset`.

    Parameters
    ----------
    volume
        Defines voxel size and origin.
    offset
        Voxels of `volume`.
    """
    return {
        "scale": volume.voxel_size,
        "translate": volume.position_nm(offset),
        "units": ("nm", "nm", "nm"),
        "axis_labels": ("z", "y", "x"),
    }
