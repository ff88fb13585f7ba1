"""The controls of the annotation widget: what there is to press, and where; no logic."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from asem.plugin.brush import MODES, MOST_RADIUS
from asem.plugin.layers import COLORS, CUT_OPACITY, ORDERS

WIDTH = 330
"""Pixels; leaves the image two thirds of a screen of 1280."""
LABEL_WIDTH = 80
STATUS_HEIGHT = 68
"""Pixels: four lines, so that a longer one moves no button."""
MODE_WORDS = {
    "foreground": ("Foreground", "1", "Draw on the structure"),
    "background": ("Background", "2", "Draw on what is not the structure"),
    "erase": ("Erase", "E", "Take strokes away where you draw"),
    "accept": (
        "Accept object",
        "A",
        "Key: the object under the pointer is right. Button: click it",
    ),
    "reject": (
        "Reject object",
        "R",
        "Key: the object under the pointer is wrong. Button: click it",
    ),
    "move": ("Move view", "M", "Drag the image; also with Space held, or the middle button"),
}


class Panel(QWidget):
    """All controls, in the order of the work."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(6, 4, 6, 4)
        self.rows.setSpacing(4)
        self._add_status()
        self._add_place()
        self._add_brush()
        self._add_cut()
        self._add_network()
        self._add_end()
        self.rows.addStretch(1)
        self.setMinimumWidth(WIDTH)

    def _add_status(self) -> None:
        self.status = plain_label()
        self.status.setAccessibleName("Status")
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(STATUS_HEIGHT)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.status.setStyleSheet("font-weight: bold; padding: 4px; border: 1px solid gray;")
        self.rows.addWidget(self.status)

    def _add_place(self) -> None:
        self.structure = QComboBox()
        self.structure.setToolTip("What you annotate; each structure has its own strokes")
        self.new = button("New...", "Begin another structure")
        self._row("Structure", self.structure, self.new)
        self.previous = button("<", "Previous window (P)")
        self.number = QSpinBox()
        self.number.setMinimum(1)
        self.number.setToolTip("Number of the window: the part of the volume that is worked on")
        self.next = button(">", "Next window (N)")
        for arrow in (self.previous, self.next):
            arrow.setFixedWidth(36)
        self._row("Window", self.previous, self.number, self.next)
        self.progress = plain_label()
        self.progress.setWordWrap(True)
        self._row("", self.progress)
        self.axes = QButtonGroup(self)
        for number, axis in enumerate(ORDERS):
            one = button(axis, f"Look along {axis}", toggles=True)
            self.axes.addButton(one, number)
        self.axes.button(0).setChecked(True)
        self._row("Look along", *self.axes.buttons())

    def _add_brush(self) -> None:
        self._heading("Draw")
        self.modes = QButtonGroup(self)
        grid = QGridLayout()
        grid.setSpacing(4)
        for number, mode in enumerate(MODES):
            words, key, tip = MODE_WORDS[mode]
            one = button(f"{words} ({key})", tip, toggles=True)
            if mode in COLORS:
                one.setStyleSheet(
                    f"QPushButton {{ border-left: 6px solid {COLORS[mode]}; }}"
                    f"QPushButton:checked {{ background: {COLORS[mode]}; color: black; }}"
                )
            self.modes.addButton(one, number)
            grid.addWidget(one, number // 2, number % 2)
        self.modes.button(0).setChecked(True)
        self.rows.addLayout(grid)
        self.radius = QSpinBox()
        self.radius.setRange(0, MOST_RADIUS)
        self.radius.setSuffix(" voxels")
        self.radius.setToolTip("Radius of the brush ([ and ])")
        self.shapes = QButtonGroup(self)
        for number, shape in enumerate(("Round", "Square")):
            self.shapes.addButton(button(shape, f"{shape} brush", toggles=True), number)
        self.shapes.button(0).setChecked(True)
        self._row("Radius", self.radius, *self.shapes.buttons())
        self.undo = button("Undo", "Take the last stroke or verdict back (Ctrl+Z)")
        self.redo = button("Redo", "Bring it back (Ctrl+Y)")
        self._row("", self.undo, self.redo)

    def _add_cut(self) -> None:
        self._heading("Cut")
        self.live = QCheckBox("Cut after each stroke")
        self.live.setToolTip("Else with Cut now")
        self.live.setChecked(True)
        self.cut = button("Cut now (C)", "Find the structure by all strokes of this window")
        self._row(None, self.live, self.cut)
        self.smoothing = QDoubleSpinBox()
        self.smoothing.setRange(0, 500)
        self.smoothing.setDecimals(0)
        self.smoothing.setSingleStep(5)
        self.smoothing.setSuffix(" nm")
        self.smoothing.setToolTip("By how much the boundary is smoothed, nm")
        self.threshold = QDoubleSpinBox()
        self.threshold.setRange(0.05, 0.95)
        self.threshold.setSingleStep(0.05)
        self.threshold.setPrefix("at ")
        self.threshold.setToolTip("Threshold: less makes objects thicker, more makes them thinner")
        self._row("Boundary", self.smoothing, self.threshold)
        self.smoothing.setAccessibleName("Smoothing of the boundary")
        self.threshold.setAccessibleName("Threshold of the boundary")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(round(100 * CUT_OPACITY))
        self.opacity.setToolTip("How strongly the cut covers the image")
        self._row("Overlay", self.opacity)
        self.uncertain = button("Least certain place (U)", "Go to where a stroke helps most")
        self.rows.addWidget(self.uncertain)

    def _add_network(self) -> None:
        self.checkpoint = QLineEdit()
        self.checkpoint.setPlaceholderText("runs/mito")
        self.checkpoint.setToolTip("A run or checkpoint of asem train")
        self._row("Network", self.checkpoint)
        self.predict = button("Predict here", "Begin this window with what the network predicts")
        self.forget = button("Strokes alone", "Leave the network's prediction of this window out")
        self._row("", self.predict, self.forget)

    def _add_end(self) -> None:
        self._heading("Keep")
        self.accept = button("Accept window", "Its cut is right: keep it as labels")
        self.accept.setMinimumHeight(32)
        self.rows.addWidget(self.accept)
        self.destination = QLineEdit()
        self.destination.setToolTip("The label image to write")
        self._row("Labels to", self.destination)
        self.overwrite = QCheckBox("Replace")
        self.overwrite.setToolTip("Replace labels that are there already")
        self.preset = QCheckBox("Clean, widen")
        self.preset.setToolTip("By the structure's preset, as asem labels does, for training")
        self.save = button("Save labels", "Write all accepted windows; the rest is unknown")
        self._row("", self.overwrite, self.preset)
        self.rows.addWidget(self.save)

    def _heading(self, words: str) -> None:
        label = QLabel(words)
        label.setStyleSheet("font-weight: bold; margin-top: 8px;")
        self.rows.addWidget(label)

    def _row(self, words: str | None, *widgets: QWidget) -> None:
        """Add widgets beside a label; "" leaves its place empty, None gives it to them."""
        row = QHBoxLayout()
        row.setSpacing(4)
        if words is not None:
            label = QLabel(words)
            label.setFixedWidth(LABEL_WIDTH)
            row.addWidget(label)
        for widget in widgets:
            if isinstance(widget, QAbstractSpinBox):
                _tame(widget)
            elif not isinstance(widget, QLineEdit):
                widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            if words:
                named = isinstance(widget, QPushButton)
                widget.setAccessibleName(widget.toolTip() if named else words)
            row.addWidget(widget, 1)
        self.rows.addLayout(row)


def _tame(spin: QAbstractSpinBox) -> None:
    """Let a number have the keys only while it is typed."""
    spin.setKeyboardTracking(False)  # tell when it is complete
    spin.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    spin.editingFinished.connect(spin.clearFocus)
    if isinstance(spin, QSpinBox | QDoubleSpinBox):
        spin.valueChanged.connect(lambda _: spin.clearFocus())


def plain_label() -> QLabel:
    """Make a label that shows messages as they are: names of files are no HTML."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def button(words: str, tip: str, *, toggles: bool = False) -> QPushButton:
    """Make a button that leaves the keys to the image."""
    made = QPushButton(words)
    made.setToolTip(tip)
    made.setCheckable(toggles)
    made.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    made.setMinimumWidth(28)
    return made
