"""The annotation in a real window, by the pointer and the keys of an X server."""

import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from asem.annotate.strokes import Stroke, Verdict
from asem.volume.formats import open_labels
from asem.workflows.annotation import open_session, windows_of

pytestmark = pytest.mark.gui
MIDDLE = 24
ANNOTATE = """
import sys
from pathlib import Path
from asem.plugin.main import annotate

annotate(Path(sys.argv[1]))
"""


def longest_run(plane):
    """Return row, first and last column of the longest run of True in a plane."""
    ends = np.diff(plane.astype(np.int8), axis=1, prepend=0, append=0)
    first, behind = np.argwhere(ends == 1), np.argwhere(ends == -1)
    longest = np.argmax(behind[:, 1] - first[:, 1])
    return int(first[longest, 0]), int(first[longest, 1]), int(behind[longest, 1] - 1)


@pytest.fixture
def inside(drawn_cell):
    """Two voxels along a mitochondrion, on the middle plane."""
    row, first, last = longest_run(ndimage.binary_erosion(drawn_cell[1][MIDDLE], iterations=4))
    return (MIDDLE, row, first), (MIDDLE, row, last)


@pytest.fixture
def outside(drawn_cell):
    """Two voxels along what is none."""
    row, first, last = longest_run(~ndimage.binary_dilation(drawn_cell[1][MIDDLE], iterations=5))
    return (MIDDLE, row, first + 4), (MIDDLE, row, last - 4)


@pytest.fixture
def hands(open_window, raw):
    """A window on raw, prepared."""
    hands = open_window(raw)
    hands.settle()
    return hands


def test_two_strokes_a_cut_undo_and_redo(hands, inside, outside, pictures):
    desk = hands.desk
    assert desk.status == "draw foreground and background"
    hands.press("1")
    hands.drag(*inside)
    hands.settle()
    assert desk.status == "draw background too"
    (stroke,) = desk.annotation.marks
    assert (stroke.kind, stroke.axis, stroke.radius, stroke.square) == (1, 0, 3, False)
    assert np.abs(np.subtract(stroke.path[0], inside[0])).max() <= 1
    assert np.abs(np.subtract(stroke.path[-1], inside[1])).max() <= 1
    assert desk.strokes[inside[0]] == 1
    assert not desk.foreground.any()
    hands.press("2")
    hands.drag(*outside)
    hands.settle()
    assert desk.status.startswith("cut in ")
    first = desk.foreground.copy()
    assert first[inside[0]]
    assert not first[outside[0]]
    hands.picture(pictures / "two_strokes.png")
    where = np.argwhere(first[MIDDLE] & (desk.strokes[MIDDLE] == 0))[-1].tolist()
    hands.drag((MIDDLE, *where), (MIDDLE, *where))
    hands.settle()
    second = desk.foreground.copy()
    assert not np.array_equal(first, second)
    hands.press("ctrl+z")
    hands.settle()
    assert np.array_equal(desk.foreground, first)
    hands.press("ctrl+y")
    hands.settle()
    assert np.array_equal(desk.foreground, second)
    assert len(desk.annotation.marks) == 3


def test_planes_axes_brushes_and_the_view(hands, pictures):
    viewer, desk, panel = hands.viewer, hands.desk, hands.window.findChild(panel_class())
    hands.point((MIDDLE, 40, 40))
    hands.do("keydown", "ctrl", "click", 4, "keyup", "ctrl")
    assert viewer.dims.current_step[0] != MIDDLE
    hands.press("Left", "Left")
    hands.click(panel.axes.button(2))
    assert viewer.dims.order == (2, 0, 1)
    hands.press("2", "bracketright", "bracketright", "bracketleft")
    hands.click(panel.shapes.button(1))
    hands.drag((20, 30, 56), (30, 60, 56))
    (stroke,) = desk.annotation.marks
    assert (stroke.kind, stroke.axis, stroke.radius, stroke.square) == (2, 2, 4, True)
    hands.picture(pictures / "along_x.png")
    hands.press("e", "bracketright")
    hands.drag((20, 30, 56), (30, 60, 56))
    assert not desk.strokes.any()
    camera, ways = viewer.scene.camera, [viewer.scene.camera.center]
    there, back = ((20, 30, 56), (30, 60, 56)), ((30, 40, 56), (20, 10, 56))
    hands.drag(*there, button=2)
    ways.append(camera.center)
    hands.do("keydown", "space")
    hands.drag(*back)
    hands.do("keyup", "space")
    ways.append(camera.center)
    hands.press("m")
    hands.drag(*there)
    ways.append(camera.center)
    assert len(set(ways)) == 4
    assert len(desk.annotation.marks) == 2
    zoom = camera.zoom
    hands.do("click", 4)
    assert camera.zoom > zoom


def test_windows_and_numbers(open_window, raw, monkeypatch, pictures):
    monkeypatch.setattr("asem.plugin.desk.windows_of", partial(windows_of, edge=80))
    hands = open_window(raw)
    hands.settle()
    desk, panel = hands.desk, hands.window.findChild(panel_class())
    hands.press("n")
    hands.settle()
    assert desk.number == 1
    assert panel.number.value() == 2
    hands.press("e", "1")
    hands.drag((24, 20, 10), (24, 60, 20))
    assert np.abs(np.subtract(desk.annotation.marks[0].path[0], (24, 20, 66))).max() <= 1
    hands.picture(pictures / "second_window.png")
    hands.press("p")
    hands.settle()
    assert desk.number == 0
    assert not desk.strokes.any()
    corner = panel.radius.mapToGlobal(panel.radius.rect().topRight())
    hands.do("mousemove", corner.x() - 8, corner.y() + 10, "click", 1)
    hands.press("2")  # a brush, no digit of the radius
    assert panel.radius.value() == 4
    assert panel.modes.checkedButton().text() == "Background (2)"
    field = panel.radius.mapToGlobal(panel.radius.rect().center())
    hands.do("mousemove", field.x() - 10, field.y(), "click", 1)
    hands.do("key", "ctrl+a", "1", "2", "Return")
    assert panel.radius.value() == 12
    hands.press("bracketleft")
    assert panel.radius.value() == 11


def panel_class():
    from asem.plugin.panel import Panel

    return Panel


def test_objects_uncertain_places_accepting_and_saving(hands, raw, inside, outside, pictures):
    viewer, desk, panel = hands.viewer, hands.desk, hands.window.findChild(panel_class())
    hands.click(panel.accept)
    assert desk.status.startswith("nothing to accept")
    hands.drag(*inside)
    hands.press("2")
    hands.drag(*outside)
    hands.settle()
    hands.point(outside[0])
    hands.press("a")
    assert desk.status.startswith("there is no object under the pointer")
    hands.point(inside[0])
    hands.press("a")
    hands.settle()
    assert isinstance(desk.annotation.marks[-1], Verdict)
    assert desk.annotation.marks[-1].kind == 1
    hands.press("u")
    place = desk.cut.least_certain()
    assert viewer.dims.current_step[0] == place[0]
    assert hands.viewer.layers["least certain"].data.tolist() == [list(place)]
    hands.picture(pictures / "least_certain.png")
    hands.click(panel.accept)
    assert panel.progress.text() == "1 of 1 windows accepted, this one too"
    hands.click(panel.save)
    hands.wait(lambda: desk.status == "saved as cell.zarr/labels/mito")
    saved = open_labels(raw.parent / "labels/mito")
    assert np.array_equal(saved.read(saved.roi) > 0, desk.foreground > 0)
    hands.picture(pictures / "saved.png")
    hands.click(panel.save)
    hands.wait(lambda: desk.status.startswith("not saved"))
    hands.click(panel.modes.button(4))  # reject object
    hands.drag(inside[0], inside[0])
    hands.settle()
    assert desk.annotation.marks[-1].kind == 2
    assert not desk.foreground.any()
    assert panel.progress.text() == "1 of 1 windows accepted, this one before it changed"
    hands.picture(pictures / "rejected.png")


def test_a_new_structure_by_its_dialog(hands, pictures):
    desk, panel = hands.desk, hands.window.findChild(panel_class())
    hands.answer(panel.new, "New structure", "vesicle")
    hands.settle()
    assert desk.structure == "vesicle"
    assert panel.structure.currentText() == "vesicle"
    assert panel.destination.text().endswith("labels/vesicle")
    hands.answer(panel.new, "New structure", "a/b")
    hands.settle()
    assert desk.structure == "vesicle"
    assert "is no name of a structure" in panel.status.text()
    hands.picture(pictures / "new_structure.png")


def test_raw_is_chosen_in_a_viewer_that_is_open(hands_of, raw, pictures):
    import napari

    from asem.plugin.annotate import NAME, AnnotateWidget

    viewer = napari.Viewer(show=False)
    widget = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(widget, name=NAME, area="right")
    viewer.show()
    try:
        hands = hands_of(viewer, None)
        (browse,) = (one for one in buttons(widget) if one.text() == "Browse...")
        hands.answer(browse, "Raw image", raw)
        hands.wait(lambda: widget.raw.text() == str(raw))
        widget.raw.setText(str(raw.parent))
        (begin,) = (one for one in buttons(widget) if one.text() == "Annotate")
        hands.click(begin)
        assert "cell.zarr" in widget.told.text()
        hands.picture(pictures / "refused.png")
        widget.raw.setText(str(raw))
        hands.click(begin)
        hands.desk = widget.work.desk
        hands.settle()
        assert hands.desk.status == "draw foreground and background"
        hands.picture(pictures / "chosen.png")
    finally:
        viewer.close()
        if widget.work is not None:
            widget.work.desk.close()


def test_a_network_begins_a_window(hands, run, outside, pictures):
    desk, panel = hands.desk, hands.window.findChild(panel_class())
    assert not panel.forget.isEnabled()
    panel.checkpoint.setText(str(run))
    hands.click(panel.predict)
    hands.wait(lambda: not desk.predicting and not desk.busy)
    assert panel.progress.text().endswith("a network began this one")
    assert panel.forget.isEnabled()
    hands.press("2")
    hands.drag(*outside)
    hands.settle()
    before = desk.foreground.sum()
    assert 0 < before < desk.foreground.size
    hands.click(panel.threshold)
    hands.do("key", "ctrl+a", "0", "period", "2", "Return")
    hands.settle()
    assert panel.threshold.value() == 0.2
    assert desk.foreground.sum() > before
    hands.picture(pictures / "guessed.png")
    hands.click(panel.forget)
    hands.settle()
    assert desk.status == "draw foreground too"
    assert not panel.forget.isEnabled()


def buttons(widget):
    from qtpy.QtWidgets import QPushButton

    return widget.findChildren(QPushButton)


def test_strokes_outlive_a_kill(screen, raw, open_window, inside, outside, pictures):
    process = subprocess.Popen([sys.executable, "-c", ANNOTATE, str(raw)])
    log = raw.parent / "annotations/mito/log.jsonl"
    try:
        found = xdotool("search", "--sync", "--onlyvisible", "--name", "asem annotate").split()[-1]
        xdotool("windowsize", "--sync", found, 1280, 800, "windowmove", found, 0, 0)
        xdotool("windowfocus", found)
        time.sleep(1)
        for number, row in enumerate((350, 400), start=1):
            drag = ["mousemove", 560, row, "mousedown", 1, "sleep", 0.1]
            for column in range(570, 700, 10):
                drag += ["mousemove", column, row, "sleep", 0.02]
            xdotool(*drag, "mouseup", 1)
            wait_for(lambda number=number: log.exists() and log.read_text().count("\n") == number)
        xdotool("mousemove", 560, 450, "mousedown", 1, "mousemove", 640, 450)  # no mouseup
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        xdotool("mouseup", 1)
    _volume, session = open_session(raw)
    with session:
        marks = session.structure("mito").marks
    assert [type(mark) for mark in marks] == [Stroke, Stroke]
    hands = open_window(raw)
    hands.settle()
    assert hands.desk.annotation.marks == marks
    assert all(hands.desk.strokes[mark.path[0]] == 1 for mark in marks)
    hands.picture(pictures / "reopened.png")


def test_closing_the_window_ends_it_well(screen, raw):
    words = [sys.executable, "-c", ANNOTATE, str(raw)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        found = xdotool("search", "--sync", "--onlyvisible", "--name", "asem annotate").split()[-1]
        xdotool("windowfocus", found)
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            xdotool("sleep", 1, "key", "ctrl+q")  # twice: napari asks whether one is sure
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
    open_session(raw)[1].close()


def test_a_signal_closes_the_window(screen, raw):
    words = [sys.executable, "-m", "asem", "annotate", str(raw)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        xdotool("search", "--sync", "--onlyvisible", "--name", "asem annotate")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        told = process.stderr.read()
        assert "Traceback" not in told
        assert told.splitlines()[-1].startswith("asem: interrupted")
    finally:
        process.kill()
        process.communicate()
    open_session(raw)[1].close()


def xdotool(*words):
    words = ["xdotool", *map(str, words)]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout


def wait_for(until, seconds=120):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)
