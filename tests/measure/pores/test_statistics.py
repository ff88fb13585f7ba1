"""Statistics of the diameters of pores: known patterns, and samples that are too small."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from asem.measure.pores.statistics import (
    describe_diameters,
    describe_spacing,
    describe_surface,
    describe_table,
    find_morans_i,
    find_spacing,
    measure_correlation,
    select_edges,
    single_size_distribution,
)

ROWS, COLUMNS = 12, 15


def grid_edges():
    """Neighbours on a grid, each pair once."""
    number = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    pairs = [(number[1:], number[:-1]), (number[:, 1:], number[:, :-1])]
    return np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in pairs])


def test_morans_i_of_known_patterns(rng):
    edges = grid_edges()
    row, column = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    board = ((row + column) % 2).astype(float)
    board -= board.mean()
    assert find_morans_i(np.sign(board), edges) == pytest.approx(-1, abs=0.01)
    halves = (row < ROWS // 2).astype(float)
    crossing, n = COLUMNS, len(edges)
    assert find_morans_i(halves, edges) == pytest.approx((n - 2 * crossing) / n)
    smooth = measure_correlation(row + rng.normal(0, 1, len(row)), edges)
    assert smooth["i"] > 0.5
    assert smooth["p"] == 1 / 10_000
    noise = [measure_correlation(rng.normal(90, 8, len(row)), edges)["p"] for _ in range(4)]
    assert max(noise) > 0.05
    assert measure_correlation(np.arange(3.0), edges)["reason"]
    assert measure_correlation(np.ones(len(row)), edges)["p"] is None


def test_a_single_size_is_one_and_two_sizes_are_not(rng):
    errors = rng.uniform(1, 4, 400)
    one = describe_diameters(rng.normal(90, errors), errors)["single_size"]["own"]
    assert one["p"] > 0.05
    assert one["uncertainty_nm"] == pytest.approx(np.sqrt(np.mean(errors**2)))
    errors_of_one = np.full(400, 3.0)
    diameters = rng.normal(90, 3, 400)
    found = describe_diameters(diameters, errors_of_one)["single_size"]["own"]
    expected = stats.kstest(diameters, stats.norm(np.median(diameters), 3).cdf)
    assert (found["d"], found["p"]) == pytest.approx((expected.statistic, expected.pvalue))
    two = describe_diameters(rng.normal(np.repeat([80, 100], 200), errors), errors)
    assert two["single_size"]["own"]["p"] < 1e-10
    assert two["single_size"]["paper"]["uncertainty_nm"] == 6
    assert two["shapiro_wilk"]["p"] < 1e-6


def test_the_distribution_of_a_single_size():
    at = np.linspace(70, 110, 9)
    same = single_size_distribution(at, 90.0, np.full(5, 6.0))
    assert same == pytest.approx(stats.norm.cdf(at, 90, 6))
    mixed = single_size_distribution(at, 90.0, np.array([6.0, 2.0]))
    assert mixed == pytest.approx((same + stats.norm.cdf(at, 90, 2)) / 2)


@pytest.mark.parametrize("count", range(4))
def test_small_samples_are_null_with_a_reason(count):
    found = describe_diameters(np.array([80.0, 90, 97])[:count], np.full(count, 2.0))
    assert (found["median_nm"] is None) == (count == 0)
    assert (found["sd_nm"] is None) == (count < 2)
    for test in (found["shapiro_wilk"], found["single_size"]["own"]):
        assert (test["p"] is None) == (count < 3)
        assert ("reason" in test) == (count < 3)


def test_no_error_of_measurement_is_no_single_size():
    found = describe_diameters(np.arange(5.0), np.zeros(5))
    assert found["single_size"]["own"]["reason"] == "a standard error is not above 0"
    assert describe_diameters(np.full(5, 90.0), np.ones(5))["shapiro_wilk"]["w"] is None


def test_spacing_follows_the_surface():
    """Points of a bent line: the way from 0 to 3 is along it, over the unused point between."""
    points = np.array([[0, 0, 0], [0, 0, 100], [0, 100, 100], [0, 100, 10]], float)
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    assert find_spacing(points, edges, np.ones(4, bool)).tolist() == [100, 100, 90, 90]
    used = np.array([True, False, False, True])
    assert find_spacing(points, edges, used).tolist() == [290, 290]
    assert find_spacing(points, edges, ~used).tolist() == [100, 100]
    assert describe_spacing(find_spacing(points, edges[:1], used))["median_nm"] is None
    assert select_edges(edges, ~used).tolist() == [[0, 1]]


def table_of(diameters, flags):
    count = len(diameters)
    frame = {"diameter_nm": diameters, "diameter_se_nm": np.full(count, 2.0), "flags": flags}
    places = {f"{axis}_nm": np.arange(count) * 100.0 * (axis == "x") for axis in "zyx"}
    return pd.DataFrame(frame | places)


def test_flagged_pores_are_counted_and_left_out():
    table = table_of([90.0, 95, 300, np.nan, 100], ["", "", "cut;no_rim", "", "cut"])
    found = describe_table(table)
    assert found["n"] == {"all": 5, "used": 2, "flags": {"cut": 2, "no_rim": 1}}
    assert found["mean_nm"] == 92.5
    surface = describe_surface(table, np.array([[0, 1], [1, 2]]), np.arange(3))
    assert surface["spacing"]["median_nm"] == 100
    assert surface["spacing"]["n"] == 2
