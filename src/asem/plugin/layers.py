"""napari layers of a window: raw, cut, strokes and a marker."""

from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import DirectLabelColormap

from asem.plugin.annotation_model import AnnotationModel, Change
from asem.plugin.display_options import (
    AXIS_ORDERS,
    COLORS,
    CUT_OPACITY,
    MARKER_SIZE,
    STROKE_LABEL_NAMES,
    STROKES_OPACITY,
)
from asem.plugin.layer_transform import layer_transform
from asem.volume.contrast import contrast_window_of
from asem.volume.roi import IntZYX, per_axis

LabelColors = dict[int | None, str]
NO_POINTS = np.empty((0, 3))


class WindowLayers:
    """The layers of an annotation model in a viewer.

    Parameters
    ----------
    viewer
        napari viewer; the layers are added to it.
    model
        The annotation to show.
    """

    def __init__(self, viewer: Any, model: AnnotationModel) -> None:
        self.viewer, self.model = viewer, model
        transform = layer_transform(model.volume, model.window.offset)
        state = model.state
        self.raw = Image(
            state.image,
            name="raw (window)",
            contrast_limits=contrast_window_of(model.volume),
            **transform,
        )
        stroke_colors: LabelColors = {
            label: COLORS[name] for label, name in STROKE_LABEL_NAMES.items()
        }
        self.cut = _make_labels_layer(
            "cut", state.foreground, {1: COLORS["cut"]}, CUT_OPACITY, transform
        )
        self.strokes = _make_labels_layer(
            "strokes", state.strokes, stroke_colors, STROKES_OPACITY, transform
        )
        self.marker = Points(
            ndim=3,
            name="least certain",
            size=MARKER_SIZE,
            face_color="transparent",
            border_color=COLORS["marker"],
            border_width=0.15,
            **transform,
        )
        for layer in self.in_order:
            viewer.add_layer(layer)
        viewer.canvas.overlays.scale_bar.visible = True
        self.view_along("Z")
        self._center()

    @property
    def in_order(self) -> tuple[Any, Any, Any, Any]:
        """All layers, from bottom to top."""
        return self.raw, self.cut, self.strokes, self.marker

    def update(self, change: Change) -> None:
        """Update the layers after a change of the model."""
        if change == "strokes":
            self.strokes.refresh(extent=False)
        elif change == "cut":
            self.cut.refresh(extent=False)
            self.marker.data = NO_POINTS
        elif change == "window":
            self._show_window()

    def view_along(self, axis: str) -> None:
        """Show planes perpendicular to an axis: X, Y or Z."""
        self.viewer.dims.ndisplay = 2
        self.viewer.dims.order = AXIS_ORDERS[axis]
        self.viewer.reset_view()

    def mark_voxel(self, voxel: IntZYX) -> None:
        """Center on a voxel and mark it until the next cut."""
        self.center_on(voxel)
        self.marker.data = [voxel]

    def center_on(self, voxel: IntZYX) -> None:
        """Center the view on a voxel of the window."""
        position = self.strokes.data_to_world(voxel)
        for axis, point in enumerate(position):
            self.viewer.dims.set_point(axis, point)
        shown = [position[axis] for axis in self.viewer.dims.displayed]
        self.viewer.scene.camera.center = (0, *shown)[-3:]

    def _show_window(self) -> None:
        state = self.model.state
        transform = layer_transform(self.model.volume, state.window.offset)
        arrays = (state.image, state.foreground, state.strokes, NO_POINTS)
        for layer, data in zip(self.in_order, arrays, strict=True):
            layer.data = data
            layer.translate = transform["translate"]
        self._center()

    def _center(self) -> None:
        self.center_on(per_axis(lambda size: size // 2, self.model.window.shape))
        self.viewer.reset_view()


def _make_labels_layer(
    name: str, data: Any, colors: LabelColors, opacity: float, transform: dict[str, Any]
) -> Any:
    all_colors: LabelColors = {None: "transparent", 0: "transparent", **colors}
    colormap = DirectLabelColormap(color_dict=all_colors)
    layer = Labels(data, name=name, opacity=opacity, colormap=colormap, **transform)
    layer.editable = False  # napari's own brush would not store strokes
    return layer
