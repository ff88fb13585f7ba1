"""The layers that show a window, in nm: raw, the cut over it, strokes, and a ring on top."""

from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import DirectLabelColormap

from asem.annotate.strokes import BACKGROUND, FOREGROUND
from asem.plugin.desk import Desk, What
from asem.plugin.place import place
from asem.volume.contrast import window_of
from asem.volume.roi import Triple

COLORS = {"foreground": "#22c7ff", "background": "#ff7a1a", "cut": "#ffe14d", "here": "#ff3fd0"}
"""Told apart by those who see no red or no green, too."""
Colors = dict[int | None, str]
CUT_OPACITY, STROKES_OPACITY = 0.35, 0.6
RING = 12
"""Diameter of what points at a voxel, voxels."""
NOWHERE = np.empty((0, 3))
ORDERS = {"Z": (0, 1, 2), "Y": (1, 0, 2), "X": (2, 0, 1)}
"""The axis one looks along: it comes first, the others are the rows and columns of the screen."""


class WindowLayers:
    """The layers of a desk in a viewer.

    Parameters
    ----------
    viewer
        Of napari.
    desk
        What they show.
    """

    def __init__(self, viewer: Any, desk: Desk) -> None:
        self.viewer, self.desk = viewer, desk
        where = place(desk.volume, desk.window.offset)
        self.raw = Image(
            desk.image,
            name="window of raw",
            contrast_limits=window_of(desk.volume),
            **where,
        )
        self.cut = _labels("cut", desk.foreground, {1: COLORS["cut"]}, CUT_OPACITY, where)
        kinds: Colors = {FOREGROUND: COLORS["foreground"], BACKGROUND: COLORS["background"]}
        self.strokes = _labels("strokes", desk.strokes, kinds, STROKES_OPACITY, where)
        self.here = Points(
            ndim=3,
            name="least certain",
            size=RING,
            face_color="transparent",
            border_color=COLORS["here"],
            border_width=0.15,
            **where,
        )
        for layer in self.all:
            viewer.add_layer(layer)
        viewer.canvas.overlays.scale_bar.visible = True
        self.look_along("Z")
        self._to_middle()

    @property
    def all(self) -> tuple[Any, Any, Any, Any]:
        """From the bottom to the top."""
        return self.raw, self.cut, self.strokes, self.here

    def update(self, what: What) -> None:
        """Show what changed."""
        if what == "strokes":
            self.strokes.refresh(extent=False)
        elif what == "cut":
            self.cut.refresh(extent=False)
            self.here.data = NOWHERE
        elif what == "window":
            self._replace()

    def look_along(self, axis: str) -> None:
        """Show planes across an axis, from its middle on: X, Y or Z."""
        self.viewer.dims.ndisplay = 2
        self.viewer.dims.order = ORDERS[axis]
        self.viewer.reset_view()

    def point_at(self, voxel: Triple) -> None:
        """Go to a voxel and put a ring around it, until the next cut."""
        self.go_to(voxel)
        self.here.data = [voxel]

    def go_to(self, voxel: Triple) -> None:
        """Show the plane, and the middle of it, where a voxel of the window lies."""
        position = self.strokes.data_to_world(voxel)
        for axis, point in enumerate(position):
            self.viewer.dims.set_point(axis, point)
        shown = [position[axis] for axis in self.viewer.dims.displayed]
        self.viewer.scene.camera.center = (0, *shown)[-3:]

    def _replace(self) -> None:
        desk = self.desk
        where = place(desk.volume, desk.window.offset)
        arrays = (desk.image, desk.foreground, desk.strokes, NOWHERE)
        for layer, data in zip(self.all, arrays, strict=True):
            layer.data = data
            layer.translate = where["translate"]
        self._to_middle()

    def _to_middle(self) -> None:
        z, y, x = (size // 2 for size in self.desk.window.shape)
        self.go_to((z, y, x))
        self.viewer.reset_view()


def _labels(name: str, data: Any, colors: Colors, opacity: float, where: dict[str, Any]) -> Any:
    known: Colors = {None: "transparent", 0: "transparent", **colors}
    colormap = DirectLabelColormap(color_dict=known)
    layer = Labels(data, name=name, opacity=opacity, colormap=colormap, **where)
    layer.editable = False  # napari's own brush would keep no record
    return layer
