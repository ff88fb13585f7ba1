"""The annotation model without Qt; an X server without a monitor, and user input by xdotool."""

import gc
import itertools
import os
import queue
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.plugin import annotation_model
from asem.plugin.annotation_model import AnnotationModel
from asem.workflows.annotation import open_session, window_grid_of
from asem.workflows.importing import import_volume
from strokes import BACKGROUND, FOREGROUND

WIDTH, HEIGHT = 1280, 800
SIZE = (10.0, 10.0, 10.0)


@pytest.fixture(scope="session")
def screen():
    """An X server without a monitor; DISPLAY and Qt are set to it until the end of the tests."""
    out, into = os.pipe()
    os.set_inheritable(into, True)
    # It ends with this process: Qt uses it until then, and would abort the tests without it.
    words = ["setpriv", "--pdeathsig", "TERM", "Xvfb", "-displayfd", str(into), "-nolisten", "tcp"]
    words += ["-screen", "0", f"{WIDTH}x{HEIGHT}x24"]
    quiet = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
    os.posix_spawnp(words[0], words, os.environ, file_actions=[quiet])
    os.close(into)
    with os.fdopen(out) as display_number:
        display = f":{display_number.readline().strip()}"
    before = os.environ.copy()
    os.environ |= {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "NAPARI_CONFIG": ""}
    yield display
    os.environ.clear()
    os.environ |= before


@pytest.fixture(scope="session")
def drawn_cell(tmp_path_factory):
    """A folder with cell.zarr/raw, and the mask of its mitochondria."""
    folder = tmp_path_factory.mktemp("drawn")
    raw, mitochondria = make_synthetic_cell((48, 80, 112), SIZE, np.random.default_rng(3))
    tifffile.imwrite(folder / "raw.tif", raw)
    import_volume(folder / "raw.tif", folder / "cell.zarr/raw", voxel_size=SIZE)
    return folder, mitochondria > 0


@pytest.fixture
def raw(drawn_cell, tmp_path):
    """A copy of cell.zarr/raw without annotations."""
    shutil.copytree(drawn_cell[0] / "cell.zarr", tmp_path / "cell.zarr")
    return tmp_path / "cell.zarr/raw"


class GuiThread:
    """Calls in the thread of the test what is scheduled in the GUI thread."""

    def __init__(self):
        self.calls = queue.Queue()

    def settle(self, model):
        end = time.monotonic() + 120
        while model.is_cutting or model.is_predicting or not self.calls.empty():
            assert time.monotonic() < end, model.status
            try:
                self.calls.get(timeout=0.05)()
            except queue.Empty:
                continue


@pytest.fixture
def gui_thread():
    return GuiThread()


@pytest.fixture
def model(raw, gui_thread, monkeypatch):
    """Two windows along x; the first one is prepared."""
    monkeypatch.setattr(annotation_model, "window_grid_of", partial(window_grid_of, edge=80))
    model = AnnotationModel(*open_session(raw), "mito", gui_thread.calls.put)
    assert [window.shape for window in model.windows] == [(48, 80, 56)] * 2
    gui_thread.settle(model)
    yield model
    model.close()


@pytest.fixture
def annotated(model, gui_thread):
    """The model with both strokes and their cut."""
    model.add_edit(FOREGROUND)
    model.add_edit(BACKGROUND)
    gui_thread.settle(model)
    assert model.status.startswith("cut in ")
    return model


@pytest.fixture
def pictures(tmp_path):
    """Folder of screenshots: ASEM_PICTURES, else a temporary one."""
    folder = Path(os.environ.get("ASEM_PICTURES", tmp_path / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class UserInput:
    """Sends real mouse and key events to a viewer of this process, and processes Qt events."""

    def __init__(self, viewer, model):
        from qtpy.QtWidgets import QApplication

        self.viewer, self.model = viewer, model
        self.window = viewer.window._qt_window
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.process = QApplication.processEvents
        viewer.window.resize(WIDTH, HEIGHT)
        self.window.move(0, 0)
        self.wait(lambda: self.window.width() == WIDTH)
        self.do("windowfocus", str(int(self.window.winId())))

    def wait(self, until, seconds=120.0):
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, f"waited {seconds} s; status: {self.model.status}"
            self.process()
            time.sleep(0.005)

    def rest(self, seconds=0.1):
        end = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= end)

    def settle(self):
        """Wait until no cut is running."""
        self.rest()
        self.wait(lambda: not self.model.is_cutting)
        self.rest()

    def do(self, *words):
        self._run(["xdotool", *map(str, words)])

    def answer(self, widget, title, words):
        """Click on a widget that opens a modal dialog, and type into the dialog."""
        place = widget.mapToGlobal(widget.rect().center())
        commands = (
            f"xdotool mousemove {place.x()} {place.y()} click 1",
            f"xdotool search --sync --onlyvisible --name '{title}' windowfocus --sync",
            f"xdotool key ctrl+a type --delay 20 '{words}'",
            "xdotool key Return",
        )
        self._run(["sh", "-c", " && ".join(commands)])

    def _run(self, words):
        process = subprocess.Popen(words)
        self.wait(lambda: process.poll() is not None)
        assert process.returncode == 0
        self.rest()

    def pixel(self, voxel):
        """Return the position of a voxel of the window on the screen."""
        from qtpy.QtCore import QPoint

        dims, camera = self.viewer.dims, self.viewer.scene.camera
        world = np.array(self.viewer.layers["raw (window)"].data_to_world(voxel))[
            list(dims.displayed)
        ]
        row, column = (world - camera.center[-2:]) * camera.zoom
        middle = self.canvas.rect().center()
        place = self.canvas.mapToGlobal(middle + QPoint(round(column), round(row)))
        return place.x(), place.y()

    def point(self, voxel):
        self.do("mousemove", *self.pixel(voxel))

    def drag(self, *voxels, button=1):
        """Press, pass through voxels, release."""
        places = [self.pixel(voxel) for voxel in voxels]
        words = ["mousemove", *places[0], "mousedown", button]
        for (x, y), (to_x, to_y) in itertools.pairwise(places):
            for part in np.linspace(0, 1, 8)[1:]:
                way = (round(x + part * (to_x - x)), round(y + part * (to_y - y)))
                words += ["sleep", "0.02", "mousemove", *way]
        self.do(*words, "sleep", "0.02", "mouseup", button)

    def press(self, *keys):
        self.do("key", "--clearmodifiers", *keys)

    def click(self, widget):
        place = widget.mapToGlobal(widget.rect().center())
        self.do("mousemove", place.x(), place.y(), "click", 1)

    def picture(self, path):
        self.rest()
        self.window.grab()  # computes the layout
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)


@pytest.fixture
def make_user(screen):
    """Return the class that sends user input to a viewer and its model."""
    yield UserInput
    gc.collect()  # Qt objects must not be deleted in a worker thread of the next test


@pytest.fixture
def open_window(make_user):
    """Open raw in a viewer of this process; it is closed at the end."""
    opened = []

    def open_(raw):
        from asem.plugin.annotate_widget import open_annotation, start_viewer

        model = open_annotation(raw)
        opened.append(model)
        viewer = start_viewer(model)
        opened.append(viewer)
        return make_user(viewer, model)

    yield open_
    for one in reversed(opened):
        one.close()
