"""Controller: connects the annotation model to layers, panel, mouse and keys."""

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QInputDialog

from asem.plugin.annotation_model import AnnotationModel, Change
from asem.plugin.cut_service import BoundaryOptions
from asem.plugin.display_options import AXIS_ORDERS, DECISION_MODES, MODES, STROKE_MODES
from asem.plugin.key_bindings import bind_keys
from asem.plugin.layers import WindowLayers
from asem.plugin.mouse import Brush, make_drag_callback, voxel_at
from asem.plugin.panel import Panel
from asem.structures import PRESETS
from asem.workflows.annotation_paths import default_labels_path


class AnnotationController:
    """Passes user input to the model and shows its changes.

    Parameters
    ----------
    viewer
        napari viewer.
    model
        The annotation.
    """

    def __init__(self, viewer: Any, model: AnnotationModel) -> None:
        self.viewer, self.model, self.brush = viewer, model, Brush()
        self.layers, self.panel = WindowLayers(viewer, model), Panel()
        self._fill_panel()
        self._connect_panel()
        self._drag_callback = make_drag_callback(self.brush, model, self.layers.strokes)
        viewer.mouse_drag_callbacks.append(self._drag_callback)
        self._unbind_keys = bind_keys([viewer, *self.layers.in_order], self)
        model.on_change = self.update
        viewer.layers.selection.active = self.layers.raw  # so that napari shows its contrast
        self._update_brush()
        self.update("state")

    def close(self) -> None:
        """Remove mouse callback, keys and layers, and close the model."""
        self.model.on_change = lambda change: None
        self.viewer.mouse_drag_callbacks.remove(self._drag_callback)
        self._unbind_keys()
        for layer in self.layers.in_order:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.model.close()

    def _fill_panel(self) -> None:
        panel, model = self.panel, self.model
        panel.structure.addItems(model.structures)
        panel.structure.setCurrentText(model.structure)
        panel.window_number.setMaximum(len(model.windows))
        panel.window_number.setSuffix(f" of {len(model.windows)}")
        panel.radius.setValue(self.brush.radius)
        panel.smoothing.setValue(model.boundary_options.smoothing_nm)
        panel.threshold.setValue(model.boundary_options.threshold)
        panel.destination.setText(str(default_labels_path(model.volume.name, model.structure)))

    def _connect_panel(self) -> None:
        panel, model = self.panel, self.model
        panel.structure.textActivated.connect(self.set_structure)
        panel.new_structure.clicked.connect(self._prompt_structure)
        panel.previous.clicked.connect(lambda: model.go_to_window(model.window_index - 1))
        panel.next.clicked.connect(lambda: model.go_to_window(model.window_index + 1))
        panel.window_number.valueChanged.connect(lambda number: model.go_to_window(number - 1))
        panel.view_axes.idClicked.connect(lambda n: self.layers.view_along(list(AXIS_ORDERS)[n]))
        panel.modes.idClicked.connect(lambda n: self.set_mode(MODES[n]))
        panel.brush_shapes.idClicked.connect(lambda _: self._update_brush())
        panel.radius.valueChanged.connect(lambda _: self._update_brush())
        panel.undo.clicked.connect(lambda: model.undo())
        panel.redo.clicked.connect(lambda: model.redo())
        panel.auto_cut.toggled.connect(lambda on: setattr(model, "auto_cut", on))
        panel.cut_now.clicked.connect(lambda: model.request_cut())
        panel.smoothing.valueChanged.connect(lambda _: self._apply_boundary_options())
        panel.threshold.valueChanged.connect(lambda _: self._apply_boundary_options())
        panel.opacity.valueChanged.connect(lambda n: setattr(self.layers.cut, "opacity", n / 100))
        panel.least_certain.clicked.connect(lambda: self.go_to_least_certain())
        panel.predict.clicked.connect(self._predict)
        panel.discard_prediction.clicked.connect(lambda: model.discard_prediction())
        panel.accept.clicked.connect(lambda: model.accept_window())
        panel.save.clicked.connect(self._save)

    def update(self, change: Change) -> None:
        """Update layers and panel after a change of the model."""
        self.layers.update(change)
        panel, model = self.panel, self.model
        panel.status.setText(model.status)
        panel.progress_label.setText(model.progress_text)
        panel.undo.setEnabled(model.annotation.can_undo)
        panel.redo.setEnabled(model.annotation.can_redo)
        panel.apply_preset.setEnabled(model.structure in PRESETS)
        panel.discard_prediction.setEnabled(model.can_discard_prediction)
        panel.previous.setEnabled(model.window_index > 0)
        panel.next.setEnabled(model.window_index + 1 < len(model.windows))
        panel.window_number.blockSignals(True)
        panel.window_number.setValue(model.window_index + 1)
        panel.window_number.blockSignals(False)

    def set_mode(self, mode: str) -> None:
        """Set the mode of the left button."""
        self.brush.mode = mode
        self.panel.modes.button(MODES.index(mode)).setChecked(True)
        self._update_brush()

    def change_radius(self, voxels: int) -> None:
        """Add to the radius of the brush, voxels."""
        self.panel.radius.setValue(self.brush.radius + voxels)

    def decide_object(self, mode: str) -> None:
        """Accept or reject the object under the pointer."""
        voxel = voxel_at(self.layers.strokes, self.viewer.cursor.position)
        self.model.decide_object(voxel, DECISION_MODES[mode])

    def go_to_least_certain(self) -> None:
        """Show the voxel with the least certain label."""
        voxel = self.model.find_least_certain()
        if voxel is not None:
            self.layers.mark_voxel(voxel)

    def set_structure(self, structure: str) -> None:
        """Annotate another structure."""
        self.model.set_structure(structure)
        if self.panel.structure.findText(self.model.structure) < 0:
            self.panel.structure.addItem(self.model.structure)
        self.panel.structure.setCurrentText(self.model.structure)
        self.panel.destination.setText(
            str(default_labels_path(self.model.volume.name, self.model.structure))
        )

    def _prompt_structure(self) -> None:
        name, accepted = QInputDialog.getText(self.panel, "New structure", "Name, e.g. vesicle:")
        if accepted:
            self.set_structure(name.strip())

    def _apply_boundary_options(self) -> None:
        panel = self.panel
        self.model.boundary_options = BoundaryOptions(
            panel.smoothing.value(), panel.threshold.value()
        )
        self.model.request_cut()

    def _predict(self) -> None:
        checkpoint = self.panel.checkpoint.text().strip()
        if checkpoint:
            self.model.predict_window(Path(checkpoint))
        else:
            self.model.set_status(
                "enter a network first: a run folder or checkpoint from asem train"
            )

    def _save(self) -> None:
        panel = self.panel
        self.model.save_labels(
            Path(panel.destination.text()),
            apply_preset=panel.apply_preset.isEnabled() and panel.apply_preset.isChecked(),
            overwrite=panel.overwrite.isChecked(),
        )

    def _update_brush(self) -> None:
        """Set the brush from the panel, and the shape of the pointer from the brush."""
        brush = self.brush
        brush.radius = self.panel.radius.value()
        brush.square = self.panel.brush_shapes.checkedId() == 1
        style = "square" if brush.square else "circle"
        for layer in self.layers.in_order:  # the active layer sets the pointer
            layer.cursor_size = (2 * brush.radius + 1) * min(self.model.volume.voxel_size)
            layer.cursor = style if brush.mode in STROKE_MODES else "standard"
