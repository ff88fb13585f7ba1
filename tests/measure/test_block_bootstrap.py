import numpy as np
import pytest
from scipy import stats

from asem.measure import block_bootstrap
from asem.measure.block_bootstrap import bootstrap_interval, draw_cubes, f1_of, iou_of


def mean_of(counts):
    return counts[:, 0] / counts[:, 1]


def test_the_interval_of_a_mean_is_that_of_scipy(rng):
    values = rng.integers(0, 100, 200)
    counts = np.stack([values, np.ones_like(values)], axis=1)
    low, high = bootstrap_interval(counts, draw_cubes(200, rng, 4000), mean_of)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=rng
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.6)


def test_intervals_cover_the_true_score_about_as_often_as_stated():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(100):
        hits = rng.binomial(50, 0.7, 60)
        counts = np.stack([hits, np.full(60, 50)], axis=1)
        low, high = bootstrap_interval(counts, draw_cubes(60, rng, 400), mean_of)
        covered += low <= 0.7 <= high
    assert 88 <= covered <= 99


def test_equal_seeds_give_equal_intervals_also_in_parts(monkeypatch):
    counts = np.random.default_rng(1).integers(0, 50, (20, 3))
    found = bootstrap_interval(counts, draw_cubes(20, np.random.default_rng(5)), f1_of)
    monkeypatch.setattr(block_bootstrap, "MAX_PART_NUMBERS", 100)
    assert bootstrap_interval(counts, draw_cubes(20, np.random.default_rng(5)), f1_of) == found
    other = bootstrap_interval(counts, draw_cubes(20, np.random.default_rng(6)), f1_of)
    assert other != found


def test_few_cubes_have_no_interval(rng):
    assert draw_cubes(7, rng) is None
    assert draw_cubes(8, rng).sum(axis=1).tolist() == [8.0] * block_bootstrap.REPLICATES
    assert bootstrap_interval(np.ones((7, 3), np.int64), None, f1_of) is None


def test_scores_that_are_not_defined_are_left_out(rng):
    counts = np.zeros((10, 3), np.int64)
    assert bootstrap_interval(counts, draw_cubes(10, rng), f1_of) is None
    counts[:5] = 2, 1, 1
    assert bootstrap_interval(counts, draw_cubes(10, rng), iou_of) == (0.5, 0.5)
