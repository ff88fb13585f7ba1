import numpy as np
import pytest

from asem.training.fit_regime import FitRegime, find_fit_regime

N = 60
AT = np.arange(1, N + 1) * 100
LEARNT = np.exp(-np.arange(N) / 6)
"""An under-fit that is over after about 18 validations: down to 5 %."""


def noisy(curve, width, seed=0):
    return curve + np.random.default_rng(seed).normal(0, width, len(curve))


@pytest.mark.parametrize("width", [0, 0.005, 0.02, 0.05])
@pytest.mark.parametrize("seed", range(5))
def test_all_three_regimes(width, seed):
    rise = np.maximum(0, np.arange(N) - 40) * 0.02
    fit = find_fit_regime(AT, noisy(0.2 + LEARNT + rise, width, seed))
    assert fit is not None
    assert 500 < fit.first < 2800
    assert 3600 < fit.last < 5800
    assert abs(fit.middle - (fit.first + fit.last) / 2) <= 50


@pytest.mark.parametrize("width", [0, 0.01, 0.05])
def test_a_fit_that_lasts_to_the_end(width):
    fit = find_fit_regime(AT, noisy(0.2 + LEARNT, width))
    assert fit is not None
    assert fit.last == AT[-1]
    assert 500 < fit.first < 2800


@pytest.mark.parametrize("width", [0, 0.01])
def test_a_curve_that_still_falls_has_no_fit_regime(width):
    assert find_fit_regime(AT, noisy(np.linspace(2, 1, N), width)) is None
    assert find_fit_regime(AT, noisy(np.exp(-np.arange(N) / 60), width)) is None
    assert find_fit_regime(AT, noisy(0.2 + np.exp(-np.arange(N) / 30), width)) is None


@pytest.mark.parametrize("width", [0, 0.01, 0.1])
def test_a_curve_that_never_falls_has_no_fit_regime(width):
    assert find_fit_regime(AT, noisy(np.ones(N), width)) is None
    assert find_fit_regime(AT, noisy(np.linspace(1, 2, N), width)) is None


def test_a_sharp_turn_is_no_fit():
    """Over-fitting starts at once: nothing is flat."""
    turn = np.abs(np.arange(N) - 30) / 30 + 0.1
    assert find_fit_regime(AT, turn) is None


def test_a_lucky_single_validation_is_not_the_fit():
    curve = 0.2 + LEARNT
    curve[3] = 0.01
    fit = find_fit_regime(AT, curve)
    assert fit is not None
    assert fit.first > 700


def test_the_fit_regime_starts_after_a_slow_fall():
    """A slow fall within the noise of single validations is detected."""
    slow = np.concatenate([np.linspace(2, 1, 10), np.linspace(1, 0.7, 30), np.full(20, 0.7)])
    for seed in range(5):
        fit = find_fit_regime(AT, noisy(slow, 0.08, seed))
        assert fit is not None
        assert fit.first > 1500
        assert fit.last == AT[-1]


@pytest.mark.parametrize("width", [0, 0.005, 0.02])
def test_the_first_loss_has_no_effect(width):
    """With batch norm and EMA it may be many times as high."""
    rise = np.maximum(0, np.arange(N) - 40) * 0.02
    curve = noisy(0.2 + LEARNT + rise, width)
    usual = find_fit_regime(AT, curve)
    for first in (4, 8, 40):
        curve[0] = first
        assert find_fit_regime(AT, curve) == usual


def test_too_few_validations():
    assert find_fit_regime([1, 2, 3, 4, 5], [9, 1, 1, 1, 1]) is None
    assert find_fit_regime([1, 2, 3, 4, 5, 6], [9, 1, 1, 1, 1, 1]) == FitRegime(2, 4, 6)
    assert find_fit_regime([], []) is None


def test_iterations_need_not_be_even():
    fit = find_fit_regime([10, 20, 30, 40, 50, 1000], [9, 1, 1, 1, 1, 1])
    assert fit == FitRegime(20, 1000, 1000) or fit == FitRegime(20, 50, 1000)
