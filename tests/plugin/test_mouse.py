"""The mouse callback with artificial events; real ones are in test_annotate_widget."""

from types import SimpleNamespace

import pytest

from asem.plugin.mouse import Brush, make_drag_callback
from asem.volume.roi import Roi


class FakeModel:
    """Records calls; its window has 4 x 6 x 8 voxels."""

    def __init__(self):
        self.window = Roi((10, 20, 30), (4, 6, 8))
        self.previews, self.edits, self.decisions, self.status = [], [], [], ""

    def preview_stroke(self, stroke):
        self.previews.append(stroke)

    def add_edit(self, stroke):
        self.edits.append(stroke)

    def decide_object(self, voxel, label):
        self.decisions.append((voxel, label))

    def set_status(self, status):
        self.status = status


class Mouse:
    """Mouse events on a fake viewer whose world coordinates are voxels."""

    def __init__(self, brush, *, axis=0, displayed=None):
        self.model = FakeModel()
        layer = SimpleNamespace(world_to_data=lambda position: position)
        self.drag = make_drag_callback(brush, self.model, layer)
        displayed_axes = displayed or tuple(other for other in range(3) if other != axis)
        self.camera = SimpleNamespace(mouse_pan=True, center=(0.0, 5.0, 5.0), zoom=2.0)
        self.viewer = SimpleNamespace(
            dims=SimpleNamespace(displayed=displayed_axes, not_displayed=(axis,)),
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
    (stroke,) = mouse.model.edits
    assert stroke.path == ((11, 22, 33), (11, 22, 35))
    assert (stroke.label, stroke.axis, stroke.radius, stroke.square) == (2, 0, 2, True)
    assert [part.path for part in mouse.model.previews] == [((11, 22, 33),), stroke.path]
    assert event.handled
    assert mouse.camera.mouse_pan


def test_a_stroke_is_clamped_to_its_plane_and_window():
    mouse = Mouse(Brush(), axis=2)
    mouse.act((1, 2, 3), (1, 9, 4), (-7, 9, 5))
    (stroke,) = mouse.model.edits
    assert stroke.axis == 2
    assert stroke.path == ((11, 22, 33), (11, 25, 33), (10, 25, 33))


@pytest.mark.parametrize(
    ("brush", "how"),
    [
        (Brush(mode="move"), {}),
        (Brush(is_panning=True), {}),
        (Brush(), {"modifiers": ("Shift",)}),
        (Brush(), {"button": 2}),
    ],
)
def test_napari_handles_other_events(brush, how):
    mouse = Mouse(brush)
    assert not mouse.act((1, 2, 3), (1, 2, 5), **how).handled
    assert not mouse.model.edits
    assert not mouse.model.previews


def test_napari_handles_a_press_outside_of_the_window():
    mouse = Mouse(Brush())
    assert not mouse.act((1, 6, 3), (1, 2, 5)).handled
    assert not mouse.model.previews


def test_a_press_makes_one_object_decision():
    mouse = Mouse(Brush(mode="reject"))
    assert mouse.act((1, 2, 3), (1, 2, 5)).handled
    assert mouse.model.decisions == [((1, 2, 3), 2)]
    assert not mouse.model.edits


def test_the_middle_button_moves_the_view():
    mouse = Mouse(Brush())
    mouse.act((0, 10, 10), (0, 14, 12), (0, 14, 16), button=3)
    assert mouse.camera.center == (0, 3, 2)


def test_drawing_needs_the_2d_view():
    mouse = Mouse(Brush(), displayed=(0, 1, 2))
    mouse.act((1, 2, 3), (1, 2, 5))
    assert mouse.model.status.startswith("switch to the 2D view to draw")
    assert not mouse.model.previews
