"""State of a view: layers, position, zoom and layout, as neuroglancer's JSON."""

from collections.abc import Sequence
from typing import Any

from asem.config import NmZYX
from asem.view.layers import DIMENSIONS

PANEL_PIXELS = (300, 640)
"""Height and width of a panel in the window of a laptop, for the zoom that displays everything."""
MARGIN, FILL_3D = 1.1, 0.95
OBLIQUE = (0.27, 0.27, 0.03, 0.92)
"""Orientation of the 3D panel (quaternion x, y, z, w): seen from above and the left."""
BACKGROUND = "#17191c"
MIN_SCALE_NM = 1e-3


def make_state(
    layers: Sequence[dict[str, Any]],
    *,
    box_nm: tuple[NmZYX, NmZYX],
    position_nm: NmZYX | None = None,
    width_nm: float | None = None,
    has_meshes: bool = False,
    panel: tuple[int, int] = PANEL_PIXELS,
    unit_nm: NmZYX = (1.0, 1.0, 1.0),
) -> dict[str, Any]:
    """Return the state of a view with four panels: xy, xz, yz and 3D.

    The client moves by one unit for a step of the wheel or a key: a unit is a voxel.

    Parameters
    ----------
    layers
        The lowest first.
    box_nm
        First and last corner of what is displayed, nm along (z, y, x).
    position_nm
        Where the planes cross; None: the middle of the box.
    width_nm
        Width of what a panel displays, nm; None: the box fits.
    has_meshes
        Whether meshes are displayed: then the 3D panel has no planes, which would hide them.
    panel
        Height and width of a panel, pixels.
    unit_nm
        Units of the axes (z, y, x), nm.
    """
    low, high = box_nm
    position = position_nm or find_middle(box_nm)
    height, width = panel
    size_z, size_y, size_x = (b - a for a, b in zip(low, high, strict=True))
    scale = max(size_x / width, size_y / height, size_z / height, size_z / width) * MARGIN
    extent = FILL_3D * (size_x**2 + size_y**2 + size_z**2) ** 0.5
    if width_nm is not None:
        scale, extent = width_nm / width, width_nm * height / width * 1.5
    shortest = min(unit_nm)  # zooms are in this unit
    units = dict(zip("zyx", unit_nm, strict=True))
    places = dict(zip("zyx", position, strict=True))
    return {
        "dimensions": {name: [units[name] * 1e-9, "m"] for name in DIMENSIONS},
        "position": [places[name] / units[name] for name in DIMENSIONS],
        "crossSectionScale": max(scale, MIN_SCALE_NM) / shortest,
        "projectionScale": max(extent, MIN_SCALE_NM) / shortest,
        "projectionOrientation": list(OBLIQUE),
        "projectionBackgroundColor": BACKGROUND,
        "crossSectionBackgroundColor": BACKGROUND,
        "hideCrossSectionBackground3D": True,
        "layers": list(layers),
        "layout": "4panel",
        "showSlices": not has_meshes,
        "showAxisLines": True,
        "showScaleBar": True,
        "showDefaultAnnotations": True,
        "selectedLayer": {"visible": False},
    }


def find_middle(box_nm: tuple[NmZYX, NmZYX]) -> NmZYX:
    """Return the middle of a box, nm."""
    z, y, x = ((low + high) / 2 for low, high in zip(*box_nm, strict=True))
    return z, y, x
