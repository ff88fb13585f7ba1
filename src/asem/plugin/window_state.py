"""State of a window: image, strokes, cut, accepted labels, prediction."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from asem.annotate.edits import ObjectDecision
from asem.annotate.energy import Cut
from asem.annotate.structure_annotation import StructureAnnotation
from asem.annotate.window_files import PriorPrediction
from asem.image.components import label_components
from asem.volume.roi import IntZYX, Roi
from asem.volume.volume import Volume


@dataclass(eq=False)
class WindowState:
    """Data of a window of one structure; arrays have the shape (z, y, x) of the window.

    Parameters
    ----------
    window
        Voxels of raw.
    image
        Raw.
    strokes
        uint8: 1 foreground, 2 background, 0 no stroke.
    accepted_labels
        bool: accepted foreground; None if the window is not accepted.
    prediction
        Prediction from which the cut starts; None if there is none.
    read_error
        Why labels or prediction cannot be read; empty if both can.

    Attributes
    ----------
    cut
        Last cut; None if there is none.
    is_cut_outdated
        Whether strokes changed since the last cut was requested.
    foreground
        uint8: 1 in the cut; in the accepted labels if there is no cut.
    """

    window: Roi
    image: npt.NDArray[np.generic]
    strokes: npt.NDArray[np.uint8]
    accepted_labels: npt.NDArray[np.bool_] | None
    prediction: PriorPrediction | None
    read_error: str
    cut: Cut | None = field(default=None, init=False)
    is_cut_outdated: bool = field(default=False, init=False)
    foreground: npt.NDArray[np.uint8] = field(init=False)

    def __post_init__(self) -> None:
        """Show the accepted labels."""
        self.foreground = np.zeros(self.window.shape, np.uint8)
        if self.accepted_labels is not None:
            self.foreground[...] = self.accepted_labels

    @classmethod
    def read(cls, volume: Volume, annotation: StructureAnnotation, window: Roi) -> Self:
        """Read a window from raw and session.

        Damaged labels or predictions are reported in `read_error`; strokes are returned all the
        same.

        Raises
        ------
        ValueError, OSError
            Raw cannot be read.
        """
        image, strokes = volume.read(window), annotation.stroke_labels(window)
        accepted_labels, prediction, read_error = None, None, ""
        try:
            if window in annotation.accepted_windows:
                accepted_labels = annotation.read_labels(window)
        except OSError as error:
            read_error = str(error)
        try:
            prediction = annotation.read_prediction(window)
        except OSError as error:
            read_error = read_error or str(error)
        return cls(window, image, strokes, accepted_labels, prediction, read_error)

    @property
    def stroke_labels(self) -> set[int]:
        """Labels of the strokes in the window."""
        return set(np.unique(self.strokes).tolist()) - {0}

    @property
    def is_unchanged(self) -> bool:
        """Whether the window is accepted and `foreground` equals the accepted labels."""
        accepted = self.accepted_labels
        return accepted is not None and np.array_equal(accepted, self.foreground)

    def set_cut(self, cut: Cut | None) -> None:
        """Replace the cut; without a cut and strokes the accepted labels are the foreground."""
        self.cut = cut
        if cut is not None:
            self.foreground[...] = cut.foreground
        else:
            accepted = None if self.strokes.any() else self.accepted_labels
            self.foreground[...] = 0 if accepted is None else accepted

    def make_decision(self, voxel: IntZYX, label: int) -> ObjectDecision | None:
        """Return the decision about the object at a voxel of the window; None if there is none."""
        inside = Roi.of_shape(self.window.shape).contains(Roi(voxel, (1, 1, 1)))
        if not inside or not self.foreground[voxel]:
            return None
        components = label_components(self.foreground)
        mask = components == components[voxel]
        return ObjectDecision.from_mask(label, mask, self.window.offset)
