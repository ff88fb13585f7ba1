"""The annotation in a real viewer, with the pointer and keys of an X server."""

import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from asem.annotate.edits import ObjectDecision, Stroke
from asem.volume.roi import Roi
from asem.volume.sources import open_labels, open_volume
from asem.workflows.annotation import open_session, window_grid_of
from remote_servers import serve_files

pytestmark = pytest.mark.gui
MIDDLE = 24
ANNOTATE = """
import sys
from pathlib import Path
from asem.plugin.launch import annotate

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
    """Two voxels along a line outside of mitochondria."""
    row, first, last = longest_run(~ndimage.binary_dilation(drawn_cell[1][MIDDLE], iterations=5))
    return (MIDDLE, row, first + 4), (MIDDLE, row, last - 4)


@pytest.fixture
def user(open_window, raw):
    """User input in a viewer of raw; the window is prepared."""
    user = open_window(raw)
    user.settle()
    return user


def test_two_strokes_a_cut_undo_and_redo(user, inside, outside, pictures):
    model = user.model
    assert model.status == "draw foreground and background"
    user.press("1")
    user.drag(*inside)
    user.settle()
    assert model.status == "draw background too"
    (stroke,) = model.annotation.edits
    assert (stroke.label, stroke.axis, stroke.radius, stroke.square) == (1, 0, 3, False)
    assert np.abs(np.subtract(stroke.path[0], inside[0])).max() <= 1
    assert np.abs(np.subtract(stroke.path[-1], inside[1])).max() <= 1
    assert model.state.strokes[inside[0]] == 1
    assert not model.state.foreground.any()
    user.press("2")
    user.drag(*outside)
    user.settle()
    assert model.status.startswith("cut in ")
    first = model.state.foreground.copy()
    assert first[inside[0]]
    assert not first[outside[0]]
    user.picture(pictures / "two_strokes.png")
    where = np.argwhere(first[MIDDLE] & (model.state.strokes[MIDDLE] == 0))[-1].tolist()
    user.drag((MIDDLE, *where), (MIDDLE, *where))
    user.settle()
    second = model.state.foreground.copy()
    assert not np.array_equal(first, second)
    user.press("ctrl+z")
    user.settle()
    assert np.array_equal(model.state.foreground, first)
    user.press("ctrl+y")
    user.settle()
    assert np.array_equal(model.state.foreground, second)
    assert len(model.annotation.edits) == 3


def test_planes_axes_brushes_and_the_view(user, pictures):
    viewer, model, panel = user.viewer, user.model, user.window.findChild(panel_class())
    user.point((MIDDLE, 40, 40))
    user.do("keydown", "ctrl", "click", 4, "keyup", "ctrl")
    assert viewer.dims.current_step[0] != MIDDLE
    user.press("Left", "Left")
    user.click(panel.view_axes.button(2))
    assert viewer.dims.order == (2, 0, 1)
    user.press("2", "bracketright", "bracketright", "bracketleft")
    user.click(panel.brush_shapes.button(1))
    user.drag((20, 30, 56), (30, 60, 56))
    (stroke,) = model.annotation.edits
    assert (stroke.label, stroke.axis, stroke.radius, stroke.square) == (2, 2, 4, True)
    user.picture(pictures / "along_x.png")
    user.press("e", "bracketright")
    user.drag((20, 30, 56), (30, 60, 56))
    assert not model.state.strokes.any()
    camera, ways = viewer.scene.camera, [viewer.scene.camera.center]
    there, back = ((20, 30, 56), (30, 60, 56)), ((30, 40, 56), (20, 10, 56))
    user.drag(*there, button=2)
    ways.append(camera.center)
    user.do("keydown", "space")
    user.drag(*back)
    user.do("keyup", "space")
    ways.append(camera.center)
    user.press("m")
    user.drag(*there)
    ways.append(camera.center)
    assert len(set(ways)) == 4
    assert len(model.annotation.edits) == 2
    zoom = camera.zoom
    user.do("click", 4)
    assert camera.zoom > zoom


def test_windows_and_numbers(open_window, raw, monkeypatch, pictures):
    monkeypatch.setattr(
        "asem.plugin.annotation_model.window_grid_of", partial(window_grid_of, edge=80)
    )
    user = open_window(raw)
    user.settle()
    model, panel = user.model, user.window.findChild(panel_class())
    user.press("n")
    user.settle()
    assert model.window_index == 1
    assert panel.window_number.value() == 2
    user.press("e", "1")
    user.drag((24, 20, 10), (24, 60, 20))
    assert np.abs(np.subtract(model.annotation.edits[0].path[0], (24, 20, 66))).max() <= 1
    user.picture(pictures / "second_window.png")
    user.press("p")
    user.settle()
    assert model.window_index == 0
    assert not model.state.strokes.any()
    corner = panel.radius.mapToGlobal(panel.radius.rect().topRight())
    user.do("mousemove", corner.x() - 8, corner.y() + 10, "click", 1)
    user.press("2")  # selects a mode, does not edit the radius
    assert panel.radius.value() == 4
    assert panel.modes.checkedButton().text() == "Background (2)"
    field = panel.radius.mapToGlobal(panel.radius.rect().center())
    user.do("mousemove", field.x() - 10, field.y(), "click", 1)
    user.do("key", "ctrl+a", "1", "2", "Return")
    assert panel.radius.value() == 12
    user.press("bracketleft")
    assert panel.radius.value() == 11


def panel_class():
    from asem.plugin.panel import Panel

    return Panel


def test_object_decisions_least_certain_voxel_accepting_and_saving(
    user, raw, inside, outside, pictures
):
    viewer, model, panel = user.viewer, user.model, user.window.findChild(panel_class())
    user.click(panel.accept)
    assert model.status.startswith("nothing to accept")
    user.drag(*inside)
    user.press("2")
    user.drag(*outside)
    user.settle()
    user.point(outside[0])
    user.press("a")
    assert model.status.startswith("no object under the pointer")
    user.point(inside[0])
    user.press("a")
    user.settle()
    assert isinstance(model.annotation.edits[-1], ObjectDecision)
    assert model.annotation.edits[-1].label == 1
    user.press("u")
    voxel = model.state.cut.find_least_certain_voxel()
    assert viewer.dims.current_step[0] == voxel[0]
    assert user.viewer.layers["least certain"].data.tolist() == [list(voxel)]
    user.picture(pictures / "least_certain.png")
    user.click(panel.accept)
    assert panel.progress_label.text() == "1 of 1 windows accepted; this one is accepted"
    user.click(panel.save)
    user.wait(lambda: model.status == "saved to cell.zarr/labels/mito")
    saved = open_labels(raw.parent / "labels/mito")
    assert np.array_equal(saved.read(saved.roi) > 0, model.state.foreground > 0)
    user.picture(pictures / "saved.png")
    user.click(panel.save)
    user.wait(lambda: model.status.startswith("not saved"))
    user.click(panel.modes.button(4))  # reject object
    user.drag(inside[0], inside[0])
    user.settle()
    assert model.annotation.edits[-1].label == 2
    assert not model.state.foreground.any()
    assert panel.progress_label.text() == "1 of 1 windows accepted; this one has changed"
    user.picture(pictures / "rejected.png")


def test_a_new_structure_by_its_dialog(user, pictures):
    model, panel = user.model, user.window.findChild(panel_class())
    user.answer(panel.new_structure, "New structure", "vesicle")
    user.settle()
    assert model.structure == "vesicle"
    assert panel.structure.currentText() == "vesicle"
    assert panel.destination.text().endswith("labels/vesicle")
    user.answer(panel.new_structure, "New structure", "a/b")
    user.settle()
    assert model.structure == "vesicle"
    assert "is no name of a structure" in panel.status.text()
    user.picture(pictures / "new_structure.png")


def test_raw_is_opened_in_an_open_viewer(make_user, raw, pictures):
    import napari

    from asem.plugin.annotate_widget import DOCK_TITLE, AnnotateWidget

    viewer = napari.Viewer(show=False)
    widget = AnnotateWidget(viewer)
    viewer.window.add_dock_widget(widget, name=DOCK_TITLE, area="right")
    viewer.show()
    try:
        user = make_user(viewer, None)
        (browse,) = (one for one in buttons(widget) if one.text() == "Browse...")
        user.answer(browse, "Raw image", raw)
        user.wait(lambda: widget.raw_path.text() == str(raw))
        widget.raw_path.setText(str(raw.parent))
        (open_button,) = (one for one in buttons(widget) if one.text() == "Open")
        user.click(open_button)
        assert "cell.zarr" in widget.message.text()
        user.picture(pictures / "open_error.png")
        widget.raw_path.setText(str(raw))
        user.click(open_button)
        user.model = widget.controller.model
        user.settle()
        assert user.model.status == "draw foreground and background"
        user.picture(pictures / "chosen.png")
    finally:
        viewer.close()
        if widget.controller is not None:
            widget.controller.model.close()


@pytest.mark.parametrize("place", ["url", "level", "tiff"])
def test_raw_may_be_a_url_a_level_or_a_tiff_stack(open_window, raw, tmp_path, monkeypatch, place):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    tifffile.imwrite(
        tmp_path / "stack.tif", np.asarray(open_volume(raw).read(Roi((0, 0, 0), (40, 40, 40)))),
        imagej=True, resolution=(100, 100),
        metadata={"axes": "ZYX", "spacing": 0.01, "unit": "um"},
    )  # fmt: skip
    with serve_files(tmp_path) as server:
        names = {
            "url": (f"{server.url}/cell.zarr/raw", "cell.zarr.raw.annotations", "labels/mito"),
            "level": (f"{raw}#1", "../cell.zarr/annotations_level1", "../cell.zarr/labels/mito"),
            "tiff": ("../stack.tif", "../stack.tif.annotations", "../labels/mito"),
        }
        address, session, labels = names[place]
        user = open_window(address)
        user.settle()
        model = user.model
        assert model.status == "draw foreground and background"
        destination = Path(user.window.findChild(panel_class()).destination.text())
        assert Path(session).samefile(model.session.folder)
        assert destination.resolve() == Path(labels).resolve()
        scale = user.viewer.layers["raw (window)"].scale
        assert tuple(scale) == pytest.approx(model.volume.voxel_size)


def test_a_cut_starts_from_a_prediction(user, run, outside, pictures):
    model, panel = user.model, user.window.findChild(panel_class())
    assert not panel.discard_prediction.isEnabled()
    panel.checkpoint.setText(str(run))
    user.click(panel.predict)
    user.wait(lambda: not model.is_predicting and not model.is_cutting)
    assert panel.progress_label.text().endswith("; started from a prediction")
    assert panel.discard_prediction.isEnabled()
    user.press("2")
    user.drag(*outside)
    user.settle()
    before = model.state.foreground.sum()
    assert 0 < before < model.state.foreground.size
    user.click(panel.threshold)
    user.do("key", "ctrl+a", "0", "period", "2", "Return")
    user.settle()
    assert panel.threshold.value() == 0.2
    assert model.state.foreground.sum() > before
    user.picture(pictures / "predicted.png")
    user.click(panel.discard_prediction)
    user.settle()
    assert model.status == "draw foreground too"
    assert not panel.discard_prediction.isEnabled()


def buttons(widget):
    from qtpy.QtWidgets import QPushButton

    return widget.findChildren(QPushButton)


def test_strokes_persist_after_a_kill(screen, raw, open_window, inside, outside, pictures):
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
        edits = session.open_structure("mito").edits
    assert [type(edit) for edit in edits] == [Stroke, Stroke]
    user = open_window(raw)
    user.settle()
    assert user.model.annotation.edits == edits
    assert all(user.model.state.strokes[edit.path[0]] == 1 for edit in edits)
    user.picture(pictures / "reopened.png")


def test_closing_the_viewer_ends_the_process(screen, raw):
    words = [sys.executable, "-c", ANNOTATE, str(raw)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        found = xdotool("search", "--sync", "--onlyvisible", "--name", "asem annotate").split()[-1]
        xdotool("windowfocus", found)
        end = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < end:
            xdotool("sleep", 1, "key", "ctrl+q")  # twice: napari shows a confirmation dialog
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
        messages = process.stderr.read()
        assert "Traceback" not in messages
        assert messages.splitlines()[-1].startswith("asem: interrupted")
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
