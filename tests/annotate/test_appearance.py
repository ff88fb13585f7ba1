import numpy as np
import pytest

from asem.annotate.adjacency import Adjacency
from asem.annotate.appearance import appearance_log_odds, fragment_features


def test_features_have_no_scale(rng):
    labels = np.arange(27, dtype=np.int32).reshape(3, 3, 3).repeat(3, 0).repeat(3, 1).repeat(3, 2)
    grey, ridge = rng.random((2, *labels.shape), np.float32)
    pairs = Adjacency(np.arange(26), np.arange(1, 27), np.full(26, 9))
    faces = pairs.to_matrix(pairs.faces, 27)
    found = fragment_features(labels, grey, ridge, (1.0, 1.0, 1.0), faces)
    assert np.isfinite(found).all()
    assert np.allclose(found.mean(0), 0, atol=0.2)
    brighter = fragment_features(labels, 3 * grey, ridge, (1.0, 1.0, 1.0), faces)
    assert np.allclose(found, brighter, atol=1e-2)


def test_log_odds_depend_on_features_not_on_the_number_of_strokes(rng):
    features = rng.standard_normal((4000, 5)).astype(np.float32)
    is_foreground = features[:, 2] > 0
    bound = np.where(is_foreground, 1, 2).astype(np.uint8)
    drawn = rng.random(4000) < np.where(is_foreground, 0.05, 0.5)  # ten times as much background
    odds = appearance_log_odds(features, np.where(drawn, bound, 0).astype(np.uint8))
    assert ((odds > 0) == is_foreground).mean() > 0.9


def test_features_without_information_give_even_odds(rng):
    features = np.zeros((20, 3), np.float32)
    bound = np.array([1] * 3 + [2] * 9 + [0] * 8, np.uint8)
    assert appearance_log_odds(features, bound) == pytest.approx(np.zeros(20), abs=1e-3)
