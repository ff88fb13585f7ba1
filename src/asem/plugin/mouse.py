"""Mouse callback of the canvas: one drag is one stroke, one object decision, or a pan."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from asem.annotate.edits import Stroke
from asem.plugin.annotation_model import AnnotationModel
from asem.plugin.display_options import DECISION_MODES, STROKE_MODES
from asem.volume.roi import IntZYX, add, per_axis

LEFT_BUTTON, MIDDLE_BUTTON = 1, 3


@dataclass
class Brush:
    """Mode of the left button, and shape of strokes.

    Parameters
    ----------
    mode
        One of `display_options.MODES`: draw a stroke, decide on the object under the pointer, or
        pan.
    radius
        Voxels.
    square
        Square instead of round.
    is_panning
        Space is pressed: pan in all modes.
    """

    mode: str = "foreground"
    radius: int = 3
    square: bool = False
    is_panning: bool = False


def make_drag_callback(
    brush: Brush, model: AnnotationModel, layer: Any
) -> Callable[[Any, Any], Iterator[None]]:
    """Return napari's mouse drag callback.

    Parameters
    ----------
    brush
        Mode of the left button.
    model
        Stores strokes and decisions.
    layer
        A napari layer that shows the window.
    """

    def drag(viewer: Any, event: Any) -> Iterator[None]:
        if event.button == MIDDLE_BUTTON:
            yield from _pan(viewer, event)
            return
        pans = brush.is_panning or brush.mode == "move"
        if event.button == LEFT_BUTTON and not event.modifiers and not pans:
            yield from _handle_drag(viewer, event, brush, model, layer)

    return drag


def voxel_at(layer: Any, position: Any) -> IntZYX:
    """Return the voxel of a layer at a world position; it may be outside of the layer."""
    return per_axis(lambda p: int(np.floor(p + 0.5)), layer.world_to_data(position))


def _handle_drag(
    viewer: Any, event: Any, brush: Brush, model: AnnotationModel, layer: Any
) -> Iterator[None]:
    """Draw or decide; napari handles presses outside of the window."""
    first = voxel_at(layer, event.position)
    if any(not 0 <= p < size for p, size in zip(first, model.window.shape, strict=True)):
        return
    if len(viewer.dims.displayed) != 2:
        model.set_status("switch to the 2D view to draw (cube button, bottom left)")
        return
    event.handled = True
    if brush.mode in DECISION_MODES:
        model.decide_object(first, DECISION_MODES[brush.mode])
        return
    camera = viewer.scene.camera
    mouse_pan, camera.mouse_pan = camera.mouse_pan, False
    try:
        yield from _draw_stroke(event, brush, model, layer, first, viewer.dims.not_displayed[0])
    finally:
        camera.mouse_pan = mouse_pan


def _draw_stroke(
    event: Any, brush: Brush, model: AnnotationModel, layer: Any, first: IntZYX, axis: int
) -> Iterator[None]:
    """Show a stroke while it is drawn, and store it at the end."""
    offset, shape = model.window.offset, model.window.shape
    label, radius, square = STROKE_MODES[brush.mode], brush.radius, brush.square
    path = [add(first, offset)]

    def extend_to(position: Any) -> None:
        """Extend the stroke in its plane to a position, clamped to the window."""
        target = list(voxel_at(layer, position))
        target[axis] = first[axis]
        voxel = add(per_axis(lambda p, size: min(max(p, 0), size - 1), target, shape), offset)
        if voxel != path[-1]:
            path.append(voxel)
            model.preview_stroke(Stroke(label, axis, radius, square, tuple(path[-2:])))

    model.preview_stroke(Stroke(label, axis, radius, square, tuple(path)))
    yield
    while event.type == "mouse_move":
        extend_to(event.position)
        event.handled = True
        yield
    extend_to(event.position)
    event.handled = True
    model.add_edit(Stroke(label, axis, radius, square, tuple(path)))


def _pan(viewer: Any, event: Any) -> Iterator[None]:
    """Move the view with the pointer."""
    camera = viewer.scene.camera
    last = np.array(event.pos)
    yield
    while event.type == "mouse_move":
        shift = (np.array(event.pos) - last)[::-1] / camera.zoom
        last = np.array(event.pos)
        z, y, x = camera.center
        camera.center = (z, y - shift[0], x - shift[1])
        event.handled = True
        yield
