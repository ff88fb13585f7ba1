"""Mouse on the canvas: one press, drag and release is one stroke, or one object judged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from asem.annotate.strokes import BACKGROUND, ERASE, FOREGROUND, Stroke
from asem.plugin.desk import Desk
from asem.volume.roi import Triple, add

LEFT, MIDDLE = 1, 3
MOST_RADIUS = 100
"""Voxels; what a screen shows has a use for no more."""
STROKES = {"foreground": FOREGROUND, "background": BACKGROUND, "erase": ERASE}
VERDICTS = {"accept": FOREGROUND, "reject": BACKGROUND}
MODES = (*STROKES, *VERDICTS, "move")


@dataclass
class Brush:
    """What the left button does.

    Parameters
    ----------
    mode
        One of `MODES`: draw a stroke, judge the object under the pointer, or move the view.
    radius
        Voxels.
    square
        Else round.
    held
        Space is down: move the view, whatever the mode.
    """

    mode: str = "foreground"
    radius: int = 3
    square: bool = False
    held: bool = False


def dragging(brush: Brush, desk: Desk, layer: Any) -> Callable[[Any, Any], Iterator[None]]:
    """Return napari's mouse callback.

    Parameters
    ----------
    brush
        What to do.
    desk
        What is drawn on.
    layer
        A layer of napari that shows the window.
    """

    def drag(viewer: Any, event: Any) -> Iterator[None]:
        if event.button == MIDDLE:
            yield from _move(viewer, event)
            return
        moves = brush.held or brush.mode == "move"
        if event.button == LEFT and not event.modifiers and not moves:
            yield from _work(viewer, event, brush, desk, layer)

    return drag


def voxel_at(layer: Any, position: Any) -> Triple:
    """Return the voxel of a layer at a world position; it may lie outside."""
    z, y, x = (int(np.floor(place + 0.5)) for place in layer.world_to_data(position))
    return z, y, x


def _work(viewer: Any, event: Any, brush: Brush, desk: Desk, layer: Any) -> Iterator[None]:
    """Draw or judge; presses outside of the window are left to napari."""
    first = voxel_at(layer, event.position)
    if any(not 0 <= place < size for place, size in zip(first, desk.window.shape, strict=True)):
        return
    if len(viewer.dims.displayed) != 2:
        desk.say("back to 2D to draw: the button with the cube, bottom left")
        return
    event.handled = True
    if brush.mode in VERDICTS:
        desk.judge(first, VERDICTS[brush.mode])
        return
    camera = viewer.scene.camera
    pans, camera.mouse_pan = camera.mouse_pan, False
    try:
        yield from _draw(event, brush, desk, layer, first, viewer.dims.not_displayed[0])
    finally:
        camera.mouse_pan = pans


def _draw(
    event: Any, brush: Brush, desk: Desk, layer: Any, first: Triple, axis: int
) -> Iterator[None]:
    """Show a stroke while it is drawn, and keep it at the end."""
    offset, window = desk.window.offset, desk.window
    kind, radius, square = STROKES[brush.mode], brush.radius, brush.square
    path = [add(first, offset)]

    def pass_to(position: Any) -> None:
        """Go on to a position, from outside of the window to the nearest voxel inside."""
        place = list(voxel_at(layer, position))
        place[axis] = first[axis]
        z, y, x = (min(max(p, 0), n - 1) for p, n in zip(place, window.shape, strict=True))
        voxel = add((z, y, x), offset)
        if voxel != path[-1]:
            path.append(voxel)
            desk.preview(Stroke(kind, axis, radius, square, tuple(path[-2:])))

    desk.preview(Stroke(kind, axis, radius, square, tuple(path)))
    yield
    while event.type == "mouse_move":
        pass_to(event.position)
        event.handled = True
        yield
    pass_to(event.position)
    event.handled = True
    desk.draw(Stroke(kind, axis, radius, square, tuple(path)))


def _move(viewer: Any, event: Any) -> Iterator[None]:
    """Move the view with the pointer."""
    camera = viewer.scene.camera
    last = np.array(event.pos)
    yield
    while event.type == "mouse_move":
        by = (np.array(event.pos) - last)[::-1] / camera.zoom
        last = np.array(event.pos)
        z, y, x = camera.center
        camera.center = (z, y - by[0], x - by[1])
        event.handled = True
        yield
