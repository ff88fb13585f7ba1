"""Precision, recall, F1 and IoU from confusion counts that add up over blocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ConfusionCounts:
    """Confusion counts of two foregrounds, in voxels.

    Parameters
    ----------
    true_positives
        Foreground in the prediction and in the labels.
    false_positives, false_negatives
        Foreground in the prediction only, in the labels only.
    scored_voxels
        All scored voxels, with the background.

    Examples
    --------
    >>> ConfusionCounts(3, false_positives=1, false_negatives=2, scored_voxels=10).scores()["f1"]
    0.6666666666666666
    """

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    scored_voxels: int = 0

    def __add__(self, other: "ConfusionCounts") -> "ConfusionCounts":
        return ConfusionCounts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.scored_voxels + other.scored_voxels,
        )

    def scores(self) -> dict[str, Any]:
        """Return precision, recall, F1, IoU and the number of voxels; 0/0 is None."""
        predicted = self.true_positives + self.false_positives
        labelled = self.true_positives + self.false_negatives
        return {
            "precision": _ratio(self.true_positives, predicted),
            "recall": _ratio(self.true_positives, labelled),
            "f1": _ratio(2 * self.true_positives, predicted + labelled),
            "iou": _ratio(self.true_positives, predicted + self.false_negatives),
            "voxels": self.scored_voxels,
        }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def count_confusion(
    predicted: npt.NDArray[np.bool_],
    labelled: npt.NDArray[np.bool_],
    scored: npt.NDArray[np.bool_],
) -> ConfusionCounts:
    """Count true and false positives and negatives among `scored` voxels; equal shapes."""
    return ConfusionCounts(
        true_positives=int(np.count_nonzero(predicted & labelled & scored)),
        false_positives=int(np.count_nonzero(predicted & ~labelled & scored)),
        false_negatives=int(np.count_nonzero(~predicted & labelled & scored)),
        scored_voxels=int(np.count_nonzero(scored)),
    )
