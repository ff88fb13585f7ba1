"""The dock widget "Annotate (graph cut)": it asks for a volume, and lets one work on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

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

from asem.plugin.desk import Desk
from asem.plugin.main import FIRST_STRUCTURE
from asem.plugin.panel import WIDTH, button, plain_label
from asem.plugin.work import Work
from asem.workflows.annotation import open_session

NAME = "Annotate (graph cut)"


def post(call: Callable[[], None]) -> None:
    """Have a function called in the thread of the screen."""
    ensure_main_thread(call)()


def open_desk(raw: Path, folder: Path | None = None, structure: str = FIRST_STRUCTURE) -> Desk:
    """Open a volume and its annotations; it needs no viewer, but Qt, which `post` waits for."""
    volume, session = open_session(raw, folder)
    get_qapp()
    try:
        return Desk(volume, session, structure, post)
    except (ValueError, OSError):
        session.close()
        raise


class AnnotateWidget(QWidget):
    """Draw on a volume, and see what the strokes mean.

    Parameters
    ----------
    napari_viewer
        The viewer; napari gives it to a parameter of this name.
    desk
        What is annotated; None: it asks for it.
    """

    def __init__(self, napari_viewer: Any, desk: Desk | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.work: Work | None = None
        self._rows = QVBoxLayout(self)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self.raw = QLineEdit()
        self.told = plain_label()
        if desk is None:
            self._ask()
        else:
            self._begin(desk)

    def _ask(self) -> None:
        """Show where to name raw."""
        active = self.viewer.layers.selection.active
        self.raw.setText(str(active.metadata.get("asem", "")) if active else "")
        self.raw.setPlaceholderText("cell.zarr/raw")
        self.raw.setAccessibleName("Raw image")
        browse = button("Browse...", "Choose the folder of the image, for instance cell.zarr/raw")
        browse.clicked.connect(self._browse)
        begin = button("Annotate", "Open this image and its annotations")
        begin.clicked.connect(self._open)
        self.raw.returnPressed.connect(self._open)
        self.told.setWordWrap(True)
        self._asking = QWidget()
        self._asking.setMinimumWidth(WIDTH)
        greedy = QSizePolicy.Policy.Expanding  # else napari puts a stretch below it
        self._asking.setSizePolicy(greedy, greedy)
        rows = QVBoxLayout(self._asking)
        rows.addWidget(QLabel("Raw image to annotate:"))
        rows.addWidget(self.raw)
        row = QHBoxLayout()
        row.addWidget(browse)
        row.addWidget(begin)
        rows.addLayout(row)
        rows.addWidget(self.told)
        rows.addStretch(1)
        self._rows.addWidget(self._asking)

    def _browse(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Raw image", self.raw.text())
        if found:
            self.raw.setText(found)

    def _open(self) -> None:
        try:
            desk = open_desk(Path(self.raw.text()))
        except (ValueError, OSError) as fault:
            self.told.setText(str(fault))
            return
        self._asking.hide()
        self._begin(desk)

    def _begin(self, desk: Desk) -> None:
        self.work = Work(self.viewer, desk)
        scroll = QScrollArea()  # screens lower than 800 pixels
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self.work.panel)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setMinimumWidth(WIDTH + scroll.verticalScrollBar().sizeHint().width())
        self._rows.addWidget(scroll)

    def changeEvent(self, event: QEvent) -> None:
        """Leave when napari takes the widget out of its window."""
        super().changeEvent(event)
        gone = event.type() == QEvent.Type.ParentChange and self.parent() is None
        if gone and self.work is not None:
            self.work.leave()
            self.work = None
