"""Widget "Colour by column": colours instances, pores and pits by a column of their table."""

import napari
import numpy as np
from napari.layers import Labels, Layer, Points
from napari.utils import DirectLabelColormap
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from asem.plugin.column_colours import choose_limits, colour_labels, colour_values, is_number

COLOURMAPS = ("viridis", "magma", "cividis", "coolwarm")
NO_TABLE = "No layer has a table: open a cell with tables of `asem measure`, or a table."
INDEX = "index"
"""Column of the ids of labels."""


class ColourWidget(QWidget):
    """Choose a layer with a table, one of its columns and a colourmap; the layer is coloured.

    Parameters
    ----------
    viewer
        napari passes it.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.layers, self.columns, self.colourmaps = QComboBox(), QComboBox(), QComboBox()
        self.colourmaps.addItems(COLOURMAPS)
        self.text = QLabel()
        self.text.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow("Layer", self.layers)
        form.addRow("Column", self.columns)
        form.addRow("Colourmap", self.colourmaps)
        form.addRow(self.text)
        self.layers.currentTextChanged.connect(self.list_columns)
        self.columns.activated.connect(self.colour)
        self.colourmaps.activated.connect(self.colour)
        viewer.layers.events.inserted.connect(self.list_layers)
        viewer.layers.events.removed.connect(self.list_layers)
        self.list_layers()

    def list_layers(self, event: object = None) -> None:
        """List the layers that have a table."""
        chosen = self.layers.currentText()
        names = [layer.name for layer in self.viewer.layers if _has_table(layer)]
        self.layers.blockSignals(True)
        self.layers.clear()
        self.layers.addItems(names)
        self.layers.setCurrentText(chosen)
        self.layers.blockSignals(False)
        self.text.setText("" if names else NO_TABLE)
        self.list_columns()

    def list_columns(self, name: str = "") -> None:
        """List the columns of the chosen layer."""
        layer = self._find_layer()
        self.columns.clear()
        if layer is not None:
            self.columns.addItems([str(c) for c in layer.features.columns if c != INDEX])

    def colour(self, index: int = 0) -> None:
        """Colour the chosen layer by the chosen column."""
        layer, column = self._find_layer(), self.columns.currentText()
        if layer is None or not column:
            return
        colourmap = self.colourmaps.currentText()
        if INDEX in layer.features.columns:
            _colour_labels(layer, column, colourmap)
        else:
            layer.border_color = colour_values(layer.features[column], colourmap)
        self.text.setText(describe_colours(layer, column))

    def _find_layer(self) -> Labels | Points | None:
        name = self.layers.currentText()
        found = [layer for layer in self.viewer.layers if layer.name == name]
        return found[0] if found else None


def describe_colours(layer: Labels | Points, column: str) -> str:
    """Return the limits of the colours of numbers, or the number of categories."""
    values = layer.features[column]
    if not is_number(values):
        return f"{values.replace('', None).nunique()} different values; grey: no value"
    low, high = choose_limits(values.to_numpy(np.float64, na_value=np.nan))
    return f"{low:.4g} to {high:.4g}; grey: no value"


def _has_table(layer: Layer) -> bool:
    features = getattr(layer, "features", None)
    return features is not None and features.shape[1] > 0


def _colour_labels(layer: Labels, column: str, colourmap: str) -> None:
    colours = colour_labels(layer.features, column, colourmap)
    layer.colormap = DirectLabelColormap(color_dict=colours)
