import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from asem.measure.precision_recall import average_precision, precision_recall_curve


def histogram(truth, values):
    counts = np.zeros((2, 256), np.int64)
    np.add.at(counts, (truth.astype(int), values), 1)
    return counts


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 255))
def test_against_scikit_learn(seed, size, largest):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.4
    truth[0] = True
    values = rng.integers(0, largest + 1, size)
    counts = histogram(truth, values)
    expected = metrics.average_precision_score(truth, values)
    assert average_precision(counts) == pytest.approx(expected)
    precision, recall, thresholds = metrics.precision_recall_curve(truth, values)
    curve = precision_recall_curve(counts)
    assert curve["threshold"] == pytest.approx(thresholds / 255)
    assert curve["precision"] == pytest.approx(precision[:-1])
    assert curve["recall"] == pytest.approx(recall[:-1])
    f1 = [metrics.f1_score(truth, values >= threshold) for threshold in thresholds]
    assert curve["f1"] == pytest.approx(f1)


def test_several_at_once(rng):
    counts = rng.integers(0, 9, (5, 3, 2, 256))
    together = average_precision(counts)
    assert together.shape == (5, 3)
    assert together[4, 1] == average_precision(counts[4, 1])


def test_without_foreground_it_is_not_defined():
    counts = np.zeros((2, 256), np.int64)
    counts[0, 7] = 5
    assert np.isnan(average_precision(counts))
    curve = precision_recall_curve(counts)
    assert np.isnan(curve["recall"]).all()
    assert curve["precision"].tolist() == [0.0]
