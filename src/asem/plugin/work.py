"""An annotation under way in a viewer: it joins the desk, its layers, the panel and the keys."""

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QInputDialog

from asem.plugin.brush import MODES, STROKES, VERDICTS, Brush, dragging, voxel_at
from asem.plugin.cutting import Boundary
from asem.plugin.desk import Desk, What
from asem.plugin.keys import bind
from asem.plugin.layers import ORDERS, WindowLayers
from asem.plugin.panel import Panel
from asem.structures import STRUCTURES
from asem.volume.volume import Volume


class Work:
    """What is pressed, drawn and shown.

    Parameters
    ----------
    viewer
        Of napari.
    desk
        What is annotated.
    """

    def __init__(self, viewer: Any, desk: Desk) -> None:
        self.viewer, self.desk, self.brush = viewer, desk, Brush()
        self.layers, self.panel = WindowLayers(viewer, desk), Panel()
        self._fill()
        self._connect()
        self._drag = dragging(self.brush, desk, self.layers.strokes)
        viewer.mouse_drag_callbacks.append(self._drag)
        self._unbind = bind([viewer, *self.layers.all], self)
        desk.changed = self.update_from
        viewer.layers.selection.active = self.layers.raw  # its contrast can be changed
        self._show_brush()
        self.update_from("state")

    def leave(self) -> None:
        """Give mouse, keys and layers back, and close the session."""
        self.desk.changed = lambda what: None
        self.viewer.mouse_drag_callbacks.remove(self._drag)
        self._unbind()
        for layer in self.layers.all:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.desk.close()

    def _fill(self) -> None:
        panel, desk = self.panel, self.desk
        panel.structure.addItems(desk.structures)
        panel.structure.setCurrentText(desk.structure)
        panel.number.setMaximum(len(desk.windows))
        panel.number.setSuffix(f" of {len(desk.windows)}")
        panel.radius.setValue(self.brush.radius)
        panel.smoothing.setValue(desk.boundary.smoothing_nm)
        panel.threshold.setValue(desk.boundary.threshold)
        panel.destination.setText(str(labels_path(desk.volume, desk.structure)))

    def _connect(self) -> None:
        panel, desk = self.panel, self.desk
        panel.structure.textActivated.connect(self.choose)
        panel.new.clicked.connect(self._ask_structure)
        panel.previous.clicked.connect(lambda: desk.go_to(desk.number - 1))
        panel.next.clicked.connect(lambda: desk.go_to(desk.number + 1))
        panel.number.valueChanged.connect(lambda number: desk.go_to(number - 1))
        panel.axes.idClicked.connect(lambda n: self.layers.look_along(list(ORDERS)[n]))
        panel.modes.idClicked.connect(lambda n: self.set_mode(MODES[n]))
        panel.shapes.idClicked.connect(lambda _: self._show_brush())
        panel.radius.valueChanged.connect(lambda _: self._show_brush())
        panel.undo.clicked.connect(lambda: desk.undo())
        panel.redo.clicked.connect(lambda: desk.redo())
        panel.live.toggled.connect(lambda on: setattr(desk, "live", on))
        panel.cut.clicked.connect(lambda: desk.recut())
        panel.smoothing.valueChanged.connect(lambda _: self._draw_boundary())
        panel.threshold.valueChanged.connect(lambda _: self._draw_boundary())
        panel.opacity.valueChanged.connect(lambda n: setattr(self.layers.cut, "opacity", n / 100))
        panel.uncertain.clicked.connect(lambda: self.go_to_uncertain())
        panel.predict.clicked.connect(self._predict)
        panel.forget.clicked.connect(lambda: desk.forget_guess())
        panel.accept.clicked.connect(lambda: desk.accept())
        panel.save.clicked.connect(self._save)

    def update_from(self, what: What) -> None:
        """Show what changed on the desk."""
        self.layers.update(what)
        panel, desk = self.panel, self.desk
        panel.status.setText(desk.status)
        panel.progress.setText(desk.progress)
        panel.undo.setEnabled(desk.annotation.can_undo)
        panel.redo.setEnabled(desk.annotation.can_redo)
        panel.preset.setEnabled(desk.structure in STRUCTURES)
        panel.forget.setEnabled(desk.can_forget)
        panel.previous.setEnabled(desk.number > 0)
        panel.next.setEnabled(desk.number + 1 < len(desk.windows))
        panel.number.blockSignals(True)
        panel.number.setValue(desk.number + 1)
        panel.number.blockSignals(False)

    def set_mode(self, mode: str) -> None:
        """Choose what the left button does."""
        self.brush.mode = mode
        self.panel.modes.button(MODES.index(mode)).setChecked(True)
        self._show_brush()

    def widen(self, by: int) -> None:
        """Make the brush larger or smaller, voxels."""
        self.panel.radius.setValue(self.brush.radius + by)

    def judge(self, mode: str) -> None:
        """Accept or reject the object under the pointer."""
        voxel = voxel_at(self.layers.strokes, self.viewer.cursor.position)
        self.desk.judge(voxel, VERDICTS[mode])

    def go_to_uncertain(self) -> None:
        """Show the least certain place."""
        place = self.desk.least_certain()
        if place is not None:
            self.layers.point_at(place)

    def choose(self, structure: str) -> None:
        """Annotate another structure."""
        self.desk.choose(structure)
        if self.panel.structure.findText(self.desk.structure) < 0:
            self.panel.structure.addItem(self.desk.structure)
        self.panel.structure.setCurrentText(self.desk.structure)
        self.panel.destination.setText(str(labels_path(self.desk.volume, self.desk.structure)))

    def _ask_structure(self) -> None:
        name, given = QInputDialog.getText(
            self.panel, "New structure", "Its name, for instance vesicle:"
        )
        if given:
            self.choose(name.strip())

    def _draw_boundary(self) -> None:
        panel = self.panel
        self.desk.boundary = Boundary(panel.smoothing.value(), panel.threshold.value())
        self.desk.recut()

    def _predict(self) -> None:
        words = self.panel.checkpoint.text().strip()
        if words:
            self.desk.predict(Path(words))
        else:
            self.desk.say("name a network first: a run or checkpoint of asem train")

    def _save(self) -> None:
        path = Path(self.panel.destination.text())
        panel = self.panel
        preset = panel.preset.isEnabled() and panel.preset.isChecked()
        self.desk.save(path, preset=preset, overwrite=panel.overwrite.isChecked())

    def _show_brush(self) -> None:
        """Take the brush from the panel, and let the pointer look like it."""
        brush = self.brush
        brush.radius = self.panel.radius.value()
        brush.square = self.panel.shapes.checkedId() == 1
        style = "square" if brush.square else "circle"
        for layer in self.layers.all:  # the pointer is that of the active one
            layer.cursor_size = (2 * brush.radius + 1) * min(self.desk.volume.voxel_size)
            layer.cursor = style if brush.mode in STROKES else "standard"


def labels_path(volume: Volume, structure: str) -> Path:
    """Return where labels of a structure belong: beside raw, in its cell."""
    return Path(volume.name).parent / "labels" / structure
