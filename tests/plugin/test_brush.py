"""The mouse callback with events of our own; the real ones are in test_annotate."""

from types import SimpleNamespace

import pytest

from asem.plugin.brush import Brush, dragging
from asem.volume.roi import Roi


class Desk:
    """Remembers what it is asked for; a window of 4 x 6 x 8 voxels within raw."""

    def __init__(self):
        self.window = Roi((10, 20, 30), (4, 6, 8))
        self.shown, self.kept, self.judged, self.status = [], [], [], ""

    def preview(self, stroke):
        self.shown.append(stroke)

    def draw(self, stroke):
        self.kept.append(stroke)

    def judge(self, voxel, kind):
        self.judged.append((voxel, kind))

    def say(self, status):
        self.status = status


class Mouse:
    """A viewer that shows voxels in their own coordinates, and events on it."""

    def __init__(self, brush, *, axis=0, displayed=None):
        self.desk = Desk()
        layer = SimpleNamespace(world_to_data=lambda position: position)
        self.drag = dragging(brush, self.desk, layer)
        shown = displayed or tuple(other for other in range(3) if other != axis)
        self.camera = SimpleNamespace(mouse_pan=True, center=(0.0, 5.0, 5.0), zoom=2.0)
        self.viewer = SimpleNamespace(
            dims=SimpleNamespace(displayed=shown, not_displayed=(axis,)),
            scene=SimpleNamespace(camera=self.camera),
        )

    def act(self, *positions, button=1, modifiers=()):
        event = SimpleNamespace(button=button, modifiers=modifiers, handled=False)
        kinds = ["mouse_press", *["mouse_move"] * (len(positions) - 1), "mouse_release"]
        running = None
        for kind, position in zip(kinds, (*positions, positions[-1]), strict=True):
            event.type, event.position, event.pos = kind, position, position[-1:-3:-1]
            running = running or self.drag(self.viewer, event)
            if next(running, running) is running:
                return event
            assert self.camera.mouse_pan == (button != 1)
        return event


def test_one_press_and_drag_is_one_stroke_in_voxels_of_raw():
    mouse = Mouse(Brush(mode="background", radius=2, square=True))
    event = mouse.act((1, 2, 3), (1, 2.4, 4.6), (1, 2.4, 4.7))
    (stroke,) = mouse.desk.kept
    assert stroke.path == ((11, 22, 33), (11, 22, 35))
    assert (stroke.kind, stroke.axis, stroke.radius, stroke.square) == (2, 0, 2, True)
    assert [part.path for part in mouse.desk.shown] == [((11, 22, 33),), stroke.path]
    assert event.handled
    assert mouse.camera.mouse_pan


def test_a_stroke_keeps_to_its_plane_and_to_the_window():
    mouse = Mouse(Brush(), axis=2)
    mouse.act((1, 2, 3), (1, 9, 4), (-7, 9, 5))
    (stroke,) = mouse.desk.kept
    assert stroke.axis == 2
    assert stroke.path == ((11, 22, 33), (11, 25, 33), (10, 25, 33))


@pytest.mark.parametrize(
    ("brush", "how"),
    [
        (Brush(mode="move"), {}),
        (Brush(held=True), {}),
        (Brush(), {"modifiers": ("Shift",)}),
        (Brush(), {"button": 2}),
    ],
)
def test_napari_has_the_mouse_where_the_brush_does_not(brush, how):
    mouse = Mouse(brush)
    assert not mouse.act((1, 2, 3), (1, 2, 5), **how).handled
    assert not mouse.desk.kept
    assert not mouse.desk.shown


def test_a_press_outside_of_the_window_is_left_to_napari():
    mouse = Mouse(Brush())
    assert not mouse.act((1, 6, 3), (1, 2, 5)).handled
    assert not mouse.desk.shown


def test_an_object_is_judged_once_at_the_press():
    mouse = Mouse(Brush(mode="reject"))
    assert mouse.act((1, 2, 3), (1, 2, 5)).handled
    assert mouse.desk.judged == [((1, 2, 3), 2)]
    assert not mouse.desk.kept


def test_the_middle_button_moves_the_view():
    mouse = Mouse(Brush())
    mouse.act((0, 10, 10), (0, 14, 12), (0, 14, 16), button=3)
    assert mouse.camera.center == (0, 3, 2)


def test_in_3d_it_says_how_to_draw():
    mouse = Mouse(Brush(), displayed=(0, 1, 2))
    mouse.act((1, 2, 3), (1, 2, 5))
    assert mouse.desk.status.startswith("back to 2D to draw")
    assert not mouse.desk.shown
