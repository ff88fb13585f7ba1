"""The interval of a median has the confidence that it states."""

import numpy as np
import pytest

from asem.measure.sample_statistics import find_median_interval


@pytest.mark.parametrize("count", [6, 20, 101])
def test_the_interval_of_the_median_covers_it(count, rng):
    samples = rng.lognormal(size=(2000, count))
    intervals = np.array([find_median_interval(sample) for sample in samples])
    covered = np.mean((intervals[:, 0] <= 1) & (intervals[:, 1] >= 1))
    assert 0.935 < covered < 0.985


def test_few_values_have_no_interval():
    assert [find_median_interval(np.arange(float(n))) for n in (0, 1, 5)] == [None] * 3
    assert find_median_interval(np.arange(5.0), confidence=0.9) == (0.0, 4.0)
