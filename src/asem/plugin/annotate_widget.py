"""Dock widget "Annotate (graph cut)": choose an image, then show the annotation panel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from napari.qt import get_qapp
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import ensure_main_thread

from asem.plugin.annotation_controller import AnnotationController
from asem.plugin.annotation_model import AnnotationModel
from asem.plugin.panel import PANEL_WIDTH, make_button, make_plain_label
from asem.structures import DEFAULT_STRUCTURE
from asem.volume.address import AddressLike
from asem.workflows.annotation import open_session

DOCK_TITLE = "Annotate (graph cut)"


def call_in_gui_thread(function: Callable[[], None]) -> None:
    """Schedule a function in the GUI thread."""
    ensure_main_thread(function)()


def open_annotation(
    raw: AddressLike, folder: Path | None = None, structure: str = DEFAULT_STRUCTURE
) -> AnnotationModel:
    """Open a volume and its annotations; needs no viewer, but starts Qt for its GUI thread."""
    volume, session = open_session(raw, folder)
    get_qapp()
    try:
        return AnnotationModel(volume, session, structure, call_in_gui_thread)
    except (ValueError, OSError):
        session.close()
        raise


def start_viewer(model: AnnotationModel) -> napari.Viewer:
    """Open a viewer with the annotation of a model and return it."""
    viewer = napari.Viewer(title=f"asem annotate {model.volume.name}", show=False)
    viewer.window.add_dock_widget(AnnotateWidget(viewer, model), name=DOCK_TITLE, area="right")
    viewer.show()
    return viewer


class AnnotateWidget(QWidget):
    """Segment a volume from strokes.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it by this name.
    model
        The annotation; None: show a form to open an image first.
    """

    def __init__(self, napari_viewer: Any, model: AnnotationModel | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller: AnnotationController | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self.raw_path = QLineEdit()
        self.message = make_plain_label()
        if model is None:
            self._show_open_form()
        else:
            self._start(model)

    def _show_open_form(self) -> None:
        """Show a form with the path of the image."""
        active_layer = self.viewer.layers.selection.active
        self.raw_path.setText(str(active_layer.metadata.get("asem", "")) if active_layer else "")
        self.raw_path.setPlaceholderText("cell.zarr/raw, or a URL")
        self.raw_path.setAccessibleName("Raw image")
        browse = make_button("Browse...", "Select the image folder, e.g. cell.zarr/raw")
        browse.clicked.connect(self._browse)
        open_button = make_button("Open", "Open this image and its annotations")
        open_button.clicked.connect(self._open_raw)
        self.raw_path.returnPressed.connect(self._open_raw)
        self.message.setWordWrap(True)
        self._open_form = QWidget()
        self._open_form.setMinimumWidth(PANEL_WIDTH)
        expanding = QSizePolicy.Policy.Expanding  # otherwise napari adds a stretch below
        self._open_form.setSizePolicy(expanding, expanding)
        rows = QVBoxLayout(self._open_form)
        rows.addWidget(QLabel("Raw image to annotate:"))
        rows.addWidget(self.raw_path)
        row = QHBoxLayout()
        row.addWidget(browse)
        row.addWidget(open_button)
        rows.addLayout(row)
        rows.addWidget(self.message)
        rows.addStretch(1)
        self._layout.addWidget(self._open_form)

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Raw image", self.raw_path.text())
        if folder:
            self.raw_path.setText(folder)

    def _open_raw(self) -> None:
        try:
            model = open_annotation(self.raw_path.text())
        except (ValueError, OSError) as error:
            self.message.setText(str(error))
            return
        self._open_form.hide()
        self._start(model)

    def _start(self, model: AnnotationModel) -> None:
        self.controller = AnnotationController(self.viewer, model)
        scroll = QScrollArea()  # for screens less than 800 pixels high
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self.controller.panel)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(PANEL_WIDTH + scroll.verticalScrollBar().sizeHint().width())
        self._layout.addWidget(scroll)

    def changeEvent(self, event: QEvent) -> None:
        """Close the annotation when napari removes the widget."""
        super().changeEvent(event)
        is_removed = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if is_removed and self.controller is not None:
            self.controller.close()
            self.controller = None
