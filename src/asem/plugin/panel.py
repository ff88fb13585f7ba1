"""Control panel of the annotation widget: Qt widgets and layout, no logic."""

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

from asem.plugin.display_options import AXIS_ORDERS, COLORS, CUT_OPACITY, MAX_BRUSH_RADIUS, MODES

PANEL_WIDTH = 352
"""Pixels; the image has almost half of a screen of 1280 pixels next to napari's own panels."""
LABEL_WIDTH = 80
STATUS_HEIGHT = 68
"""Pixels; four lines, so that long texts do not move the buttons."""
PROGRESS_HEIGHT = 34
"""Pixels; two lines."""
MODE_LABELS = {
    "foreground": ("Foreground", "1", "Draw inside the structure"),
    "background": ("Background", "2", "Draw outside the structure"),
    "erase": ("Erase", "E", "Erase strokes"),
    "accept": (
        "Accept object",
        "A",
        "Accept the object under the pointer (A), or press this button and click the object",
    ),
    "reject": (
        "Reject object",
        "R",
        "Remove the object under the pointer (R), or press this button and click the object",
    ),
    "move": ("Move view", "M", "Pan the image by dragging (also Space + drag, or middle button)"),
}


class Panel(QWidget):
    """All controls, in the order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = QVBoxLayout(self)
        self.rows.setContentsMargins(6, 4, 6, 4)
        self.rows.setSpacing(4)
        self._add_status()
        self._add_navigation()
        self._add_brush()
        self._add_cut()
        self._add_network()
        self._add_save()
        self.rows.addStretch(1)
        self.setMinimumWidth(PANEL_WIDTH)

    def _add_status(self) -> None:
        self.status = make_plain_label()
        self.status.setAccessibleName("Status")
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(STATUS_HEIGHT)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.status.setStyleSheet("font-weight: bold; padding: 4px; border: 1px solid gray;")
        self.rows.addWidget(self.status)

    def _add_navigation(self) -> None:
        self.structure = QComboBox()
        self.structure.setToolTip("Structure to annotate; strokes are stored per structure")
        self.new_structure = make_button("New...", "Add a structure")
        self._add_row("Structure", self.structure, self.new_structure)
        self.previous = make_button("<", "Previous window (P)")
        self.window_number = QSpinBox()
        self.window_number.setMinimum(1)
        self.window_number.setToolTip("Window: the part of the volume shown now")
        self.next = make_button(">", "Next window (N)")
        for arrow in (self.previous, self.next):
            arrow.setFixedWidth(36)
        self._add_row("Window", self.previous, self.window_number, self.next)
        self.progress_label = make_plain_label()
        self.progress_label.setWordWrap(True)
        self.progress_label.setMinimumHeight(PROGRESS_HEIGHT)
        self._add_row(None, self.progress_label)
        self.view_axes = QButtonGroup(self)
        for number, axis in enumerate(AXIS_ORDERS):
            axis_button = make_button(axis, f"Show planes perpendicular to {axis}", checkable=True)
            self.view_axes.addButton(axis_button, number)
        self.view_axes.button(0).setChecked(True)
        self._add_row("View along", *self.view_axes.buttons())

    def _add_brush(self) -> None:
        self._add_heading("Draw")
        self.modes = QButtonGroup(self)
        grid = QGridLayout()
        grid.setSpacing(4)
        for number, mode in enumerate(MODES):
            text, key, tooltip = MODE_LABELS[mode]
            mode_button = make_button(f"{text} ({key})", tooltip, checkable=True)
            if mode in COLORS:
                mode_button.setStyleSheet(
                    f"QPushButton {{ border-left: 6px solid {COLORS[mode]}; }}"
                    f"QPushButton:checked {{ background: {COLORS[mode]}; color: black; }}"
                )
            self.modes.addButton(mode_button, number)
            grid.addWidget(mode_button, number // 2, number % 2)
        self.modes.button(0).setChecked(True)
        self.rows.addLayout(grid)
        self.radius = QSpinBox()
        self.radius.setRange(0, MAX_BRUSH_RADIUS)
        self.radius.setSuffix(" voxels")
        self.radius.setToolTip("Radius of the brush ([ and ])")
        self.brush_shapes = QButtonGroup(self)
        for number, shape in enumerate(("Round", "Square")):
            self.brush_shapes.addButton(
                make_button(shape, f"{shape} brush", checkable=True), number
            )
        self.brush_shapes.button(0).setChecked(True)
        for shape_button in self.brush_shapes.buttons():
            shape_button.setMaximumWidth(72)  # leaves the radius room for "100 voxels"
        self._add_row("Radius", self.radius, *self.brush_shapes.buttons())
        self.undo = make_button("Undo", "Undo the last stroke or object decision (Ctrl+Z)")
        self.redo = make_button("Redo", "Redo (Ctrl+Y)")
        self._add_row("", self.undo, self.redo)

    def _add_cut(self) -> None:
        self._add_heading("Graph cut")
        self.auto_cut = QCheckBox("Update after each stroke")
        self.auto_cut.setToolTip("If off, press Update cut (C)")
        self.auto_cut.setChecked(True)
        self.cut_now = make_button("Update cut (C)", "Segment this window from its strokes")
        self._add_row(None, self.auto_cut, self.cut_now)
        self.smoothing = QDoubleSpinBox()
        self.smoothing.setRange(0, 500)
        self.smoothing.setDecimals(0)
        self.smoothing.setSingleStep(5)
        self.smoothing.setSuffix(" nm")
        self.smoothing.setToolTip("Smoothing of the object boundary, nm")
        self.threshold = QDoubleSpinBox()
        self.threshold.setRange(0.05, 0.95)
        self.threshold.setSingleStep(0.05)
        self.threshold.setToolTip("Threshold: lower makes objects thicker, higher thinner")
        self._add_row("Smoothing", self.smoothing, QLabel("Threshold"), self.threshold)
        self.threshold.setAccessibleName("Threshold")
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(round(100 * CUT_OPACITY))
        self.opacity.setToolTip("Opacity of the segmentation overlay")
        self._add_row("Overlay", self.opacity)
        self.least_certain = make_button(
            "Least certain voxel (U)", "Go to the voxel with the least certain label"
        )
        self.rows.addWidget(self.least_certain)

    def _add_network(self) -> None:
        self.checkpoint = QLineEdit()
        self.checkpoint.setPlaceholderText("runs/mito")
        self.checkpoint.setToolTip("Run folder or checkpoint from asem train")
        self._add_row("Network", self.checkpoint)
        self.predict = make_button(
            "Predict window", "Start from the network's prediction; strokes correct it"
        )
        self.discard_prediction = make_button(
            "Discard prediction", "Use only strokes in this window; stops a running prediction"
        )
        self._add_row(None, self.predict, self.discard_prediction)

    def _add_save(self) -> None:
        self._add_heading("Accept and save")
        self.accept = make_button("Accept window", "Store the cut as the labels of this window")
        self.accept.setMinimumHeight(32)
        self.rows.addWidget(self.accept)
        self.destination = QLineEdit()
        self.destination.setToolTip("Output label image")
        self._add_row("Save to", self.destination)
        self.overwrite = QCheckBox("Overwrite")
        self.overwrite.setToolTip("Overwrite existing labels")
        self.apply_preset = QCheckBox("Clean and dilate")
        self.apply_preset.setToolTip(
            "Apply the structure's preset, as asem labels does (for training)"
        )
        self.save = make_button("Save labels", "Write all accepted windows; the rest is unlabelled")
        self._add_row("", self.overwrite, self.apply_preset)
        self.rows.addWidget(self.save)

    def _add_heading(self, text: str) -> None:
        label = QLabel(text)
        label.setStyleSheet("font-weight: bold; margin-top: 8px;")
        self.rows.addWidget(label)

    def _add_row(self, text: str | None, *widgets: QWidget) -> None:
        """Add widgets next to a label; "" leaves its column empty, None lets them fill it."""
        row = QHBoxLayout()
        row.setSpacing(4)
        if text is not None:
            label = QLabel(text)
            label.setFixedWidth(LABEL_WIDTH)
            row.addWidget(label)
        for widget in widgets:
            if isinstance(widget, QAbstractSpinBox):
                _focus_only_while_typing(widget)
            elif not isinstance(widget, QLineEdit):
                widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            if text:
                is_button = isinstance(widget, QPushButton)
                widget.setAccessibleName(widget.toolTip() if is_button else text)
            row.addWidget(widget, 1)
        self.rows.addLayout(row)


def _focus_only_while_typing(spin: QAbstractSpinBox) -> None:
    """Give a number field the keyboard focus only while it is edited."""
    spin.setKeyboardTracking(False)  # signal complete numbers only
    spin.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
    spin.editingFinished.connect(spin.clearFocus)
    if isinstance(spin, QSpinBox | QDoubleSpinBox):
        spin.valueChanged.connect(lambda _: spin.clearFocus())


def make_plain_label() -> QLabel:
    """Make a label that shows text as it is, without HTML."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def make_button(text: str, tooltip: str, *, checkable: bool = False) -> QPushButton:
    """Make a button without keyboard focus, so that the canvas receives the keys."""
    button = QPushButton(text)
    button.setToolTip(tooltip)
    button.setCheckable(checkable)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(28)
    return button
