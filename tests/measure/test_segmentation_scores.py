import numpy as np
import pytest
from sklearn import metrics

from asem.measure.segmentation_scores import ConfusionCounts, count_confusion


def test_by_hand():
    predicted = np.array([1, 1, 1, 0, 0, 1], bool)
    labelled = np.array([1, 1, 0, 1, 0, 1], bool)
    scored = np.array([1, 1, 1, 1, 1, 0], bool)
    scores = count_confusion(predicted, labelled, scored).scores()
    assert scores == {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "iou": 2 / 4, "voxels": 5}


def test_against_scikit_learn_and_in_pieces(rng):
    predicted, labelled, scored = rng.random((3, 10, 11, 12)) < 0.5
    whole = count_confusion(predicted, labelled, scored)
    truth, prediction = labelled[scored], predicted[scored]
    scores = whole.scores()
    assert scores["precision"] == pytest.approx(metrics.precision_score(truth, prediction))
    assert scores["recall"] == pytest.approx(metrics.recall_score(truth, prediction))
    assert scores["f1"] == pytest.approx(metrics.f1_score(truth, prediction))
    assert scores["iou"] == pytest.approx(metrics.jaccard_score(truth, prediction))
    pieces = [count_confusion(p, q, s) for p, q, s in zip(predicted, labelled, scored, strict=True)]
    assert sum(pieces, ConfusionCounts()) == whole


def test_nothing_over_nothing_is_none():
    assert ConfusionCounts(scored_voxels=9).scores() == {
        "precision": None,
        "recall": None,
        "f1": None,
        "iou": None,
        "voxels": 9,
    }
    assert ConfusionCounts(false_negatives=3, scored_voxels=9).scores()["recall"] == 0
