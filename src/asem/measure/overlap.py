"""Precision, recall, F1 and IoU from counts that can be added up over blocks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Overlap:
    """How two foregrounds overlap, in voxels.

    Parameters
    ----------
    both
        Predicted and labelled.
    only_predicted, only_labelled
        In one of them.
    voxels
        Scored voxels, background included.

    Examples
    --------
    >>> Overlap(both=3, only_predicted=1, only_labelled=2, voxels=10).scores()["f1"]
    0.6666666666666666
    """

    both: int = 0
    only_predicted: int = 0
    only_labelled: int = 0
    voxels: int = 0

    def __add__(self, other: "Overlap") -> "Overlap":
        return Overlap(
            self.both + other.both,
            self.only_predicted + other.only_predicted,
            self.only_labelled + other.only_labelled,
            self.voxels + other.voxels,
        )

    def scores(self) -> dict[str, Any]:
        """Return precision, recall, F1, IoU and the number of voxels; 0/0 is None."""
        predicted, labelled = self.both + self.only_predicted, self.both + self.only_labelled
        return {
            "precision": _share(self.both, predicted),
            "recall": _share(self.both, labelled),
            "f1": _share(2 * self.both, predicted + labelled),
            "iou": _share(self.both, predicted + self.only_labelled),
            "voxels": self.voxels,
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def overlap(
    predicted: npt.NDArray[np.bool_],
    labelled: npt.NDArray[np.bool_],
    scored: npt.NDArray[np.bool_],
) -> Overlap:
    """Count where two foregrounds agree among the voxels that are `scored`; one shape for all."""
    return Overlap(
        both=int(np.count_nonzero(predicted & labelled & scored)),
        only_predicted=int(np.count_nonzero(predicted & ~labelled & scored)),
        only_labelled=int(np.count_nonzero(~predicted & labelled & scored)),
        voxels=int(np.count_nonzero(scored)),
    )
