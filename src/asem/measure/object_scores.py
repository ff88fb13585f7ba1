"""Scores of objects: precision, recall, F1 and panoptic quality; variation of information; splits.

Voxels that are not scored (unlabelled, or outside of the mask) count for no object. Which objects
count:

- a truth object, if at least half of its voxels are scored; else its voxels are not scored either;
- a predicted object, if at least half of its voxels are scored, or if it matches a truth object
  (Kirillov et al. 2019, section 4.1, rules for void pixels).

A pair matches at a threshold of at least 0.5 if its IoU is above it; each object then has at most
one match. With matches TP, other predicted objects FP and other truth objects FN::

    SQ = mean IoU of the matches     RQ = F1 = TP / (TP + FP / 2 + FN / 2)     PQ = SQ RQ

(Kirillov et al., Panoptic segmentation, CVPR 2019.) The variation of information (Meila, J
Multivariate Anal 2007; its parts: Nunez-Iglesias et al., PLoS ONE 2013) is in bits, over the scored
voxels of truth objects, where the background of the prediction is one segment::

    VI = H(P | T) + H(T | P)         split: H(P | T), merge: H(T | P)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.measure.object_overlap import ObjectOverlap

IOU_THRESHOLDS = (0.5, 0.75)
PARTS = {"predicted": 0, "truth": 1}
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoredObjects:
    """The objects that count, and the overlaps of pairs of them.

    Parameters
    ----------
    predicted_voxels, truth_voxels
        Scored voxels of each object, without those of truth objects that do not count, (n,).
    mostly_scored, truth_counts
        Predicted objects of which at least half is scored; truth objects that count; bool, (n,).
    pairs, voxels, iou
        Rows of the predicted and the truth object of each pair of objects that count, (2, m); the
        common voxels and the IoU of each pair, (m,).
    background_pairs, background_voxels
        The same for truth objects and the background of the prediction: truth rows, voxels.
    """

    predicted_voxels: Rows
    truth_voxels: Rows
    mostly_scored: npt.NDArray[np.bool_]
    truth_counts: npt.NDArray[np.bool_]
    pairs: Rows
    voxels: Rows
    iou: npt.NDArray[np.float64]
    background_pairs: Rows
    background_voxels: Rows

    @classmethod
    def from_overlap(cls, overlap: ObjectOverlap) -> "ScoredObjects":
        """Apply the rules which objects count."""
        truth, predicted = overlap.truth, overlap.predicted
        truth_counts = (2 * truth.scored_voxels >= truth.voxels) & (truth.scored_voxels > 0)
        keep = np.append(truth_counts, True)[overlap.pairs[1]]  # -1, background: the last element
        pairs, voxels = overlap.pairs[:, keep], overlap.voxels[keep]
        predicted_voxels = np.zeros(len(predicted), np.int64)
        is_object = pairs[0] >= 0
        np.add.at(predicted_voxels, pairs[0][is_object], voxels[is_object])
        truth_voxels = np.where(truth_counts, truth.scored_voxels, 0)
        both, missed = (pairs >= 0).all(axis=0), ~is_object
        common = voxels[both]
        sizes = predicted_voxels[pairs[0][both]] + truth_voxels[pairs[1][both]]
        return cls(
            predicted_voxels,
            truth_voxels,
            (2 * predicted_voxels >= predicted.voxels) & (predicted_voxels > 0),
            truth_counts,
            pairs[:, both],
            common,
            common / (sizes - common),
            pairs[1][missed],
            voxels[missed],
        )

    @property
    def predicted_counts(self) -> npt.NDArray[np.bool_]:
        """Predicted objects that count: at least half is scored, or they match at 0.5; (n,)."""
        counts = self.mostly_scored.copy()
        counts[self.match(IOU_THRESHOLDS[0]).pairs[0]] = True
        return counts

    def match(self, threshold: float) -> "Matches":
        """Match the pairs of an IoU above a threshold, which is at least 0.5."""
        assert threshold >= 0.5, "below, an object may have several matches"
        chosen = self.iou > threshold
        predicted, truth = self.pairs[:, chosen]
        matched_prediction = np.zeros(len(self.mostly_scored), np.bool_)
        matched_prediction[predicted] = True
        matched_truth = np.zeros(len(self.truth_counts), np.bool_)
        matched_truth[truth] = True
        return Matches(
            np.stack([predicted, truth]),
            self.iou[chosen],
            np.flatnonzero(self.mostly_scored & ~matched_prediction),
            np.flatnonzero(self.truth_counts & ~matched_truth),
        )


@dataclass(frozen=True)
class Matches:
    """Matched pairs, and the objects without a match.

    Parameters
    ----------
    pairs, iou
        Rows of the predicted and truth objects, (2, m), and the IoU of each pair, (m,).
    false_positives, false_negatives
        Rows of predicted and of truth objects.
    """

    pairs: Rows
    iou: npt.NDArray[np.float64]
    false_positives: Rows
    false_negatives: Rows

    def scores(self) -> dict[str, Any]:
        """Return the numbers of objects, precision, recall, F1, and PQ with its parts SQ and RQ."""
        hits, false, missed = self.iou.size, self.false_positives.size, self.false_negatives.size
        f1 = _divide(2 * hits, 2 * hits + false + missed)
        quality = _divide(float(self.iou.sum()), hits)
        return {
            "true_positives": hits,
            "false_positives": false,
            "false_negatives": missed,
            "precision": _divide(hits, hits + false),
            "recall": _divide(hits, hits + missed),
            "f1": f1,
            "pq": None if f1 is None else f1 * (quality or 0.0),
            "sq": quality,
            "rq": f1,
        }


def _divide(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def score_objects(objects: ScoredObjects) -> dict[str, Any]:
    """Return all scores of objects.

    Returns
    -------
    dict
        ``truth_objects``, ``predicted_objects``: those that count; ``iou_50`` and ``iou_75``
        (`Matches.scores`); ``vi`` (`variation_of_information`); ``splits``, ``merges``
        (`count_splits`).
    """
    by_threshold = {f"iou_{round(100 * t)}": objects.match(t).scores() for t in IOU_THRESHOLDS}
    first = next(iter(by_threshold.values()))
    return {
        "truth_objects": int(np.count_nonzero(objects.truth_counts)),
        "predicted_objects": first["true_positives"] + first["false_positives"],
        **by_threshold,
        "vi": variation_of_information(objects),
        **count_splits(objects),
    }


def variation_of_information(objects: ScoredObjects) -> dict[str, float | None]:
    """Return the variation of information in bits: ``split_bits``, ``merge_bits``, ``total_bits``.

    Over the scored voxels of the truth objects that count; None without one.
    """
    voxels = np.concatenate([objects.voxels, objects.background_voxels]).astype(np.float64)
    total = voxels.sum()
    if total == 0:
        return {"split_bits": None, "merge_bits": None, "total_bits": None}
    background = np.zeros(len(objects.background_pairs), np.int64)
    predicted = np.concatenate([objects.pairs[0] + 1, background])
    truth = np.concatenate([objects.pairs[1], objects.background_pairs])
    parts = []
    for given in (truth, predicted):
        sizes = np.bincount(given, voxels)
        parts.append(float(-(voxels / total * np.log2(voxels / sizes[given])).sum()) + 0.0)
    split, merge = parts
    return {"split_bits": split, "merge_bits": merge, "total_bits": split + merge}


def count_splits(objects: ScoredObjects) -> dict[str, int]:
    """Return the numbers of splits and merges.

    A predicted object is a part of the truth object that contains more than half of its scored
    voxels. A truth object of n parts has n - 1 splits. Merges are the same with both exchanged: a
    predicted object that contains more than half of each of n truth objects has n - 1 merges.
    """
    counts = {}
    sizes = (objects.predicted_voxels, objects.truth_voxels)
    for name, part, whole in (("splits", 0, 1), ("merges", 1, 0)):
        inside = 2 * objects.voxels > sizes[part][objects.pairs[part]]
        parts = np.bincount(objects.pairs[whole][inside])
        counts[name] = int(np.maximum(parts - 1, 0).sum())
    return counts


def find_best_partners(objects: ScoredObjects, side: str) -> tuple[npt.NDArray[np.float64], Rows]:
    """Return for each object of a side its largest IoU (0: no overlap), and the row of the partner.

    Parameters
    ----------
    objects
        The objects.
    side
        ``"predicted"`` or ``"truth"``.

    Returns
    -------
    iou, partner
        Shape (n,); partner -1: none; of ties the first.
    """
    own = PARTS[side]
    count = (len(objects.mostly_scored), len(objects.truth_counts))[own]
    best, partner = np.zeros(count), np.full(count, -1)
    order = np.lexsort((-objects.pairs[1 - own], objects.iou))  # the last assignment holds
    best[objects.pairs[own][order]] = objects.iou[order]
    partner[objects.pairs[own][order]] = objects.pairs[1 - own][order]
    return best, partner


def count_by_cube(
    matches: Matches, predicted_cubes: Rows, truth_cubes: Rows, cubes: int
) -> npt.NDArray[np.int64]:
    """Return true positives, false positives and false negatives of each cube, (cubes, 3).

    A match counts in the cube of its truth object.

    Parameters
    ----------
    matches
        The matches of all objects.
    predicted_cubes, truth_cubes
        Cube of each object: that of its first voxel.
    cubes
        Number of cubes.
    """
    columns = (
        truth_cubes[matches.pairs[1]],
        predicted_cubes[matches.false_positives],
        truth_cubes[matches.false_negatives],
    )
    return np.stack([np.bincount(column, minlength=cubes) for column in columns], axis=1)
