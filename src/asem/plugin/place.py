"""Where things are in napari: in nm, on the axes z, y, x."""

from typing import Any

from asem.volume.roi import Triple
from asem.volume.volume import Volume


def place(volume: Volume, offset: Triple = (0, 0, 0)) -> dict[str, Any]:
    """Return where a layer shows an array that begins at voxel `offset` of a volume."""
    return {
        "scale": volume.voxel_size,
        "translate": volume.position_nm(offset),
        "units": ("nm", "nm", "nm"),
        "axis_labels": ("z", "y", "x"),
    }
