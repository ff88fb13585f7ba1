"""Statistics of pits and vesicles by group."""

import json

import numpy as np
import pytest
from scipy import stats

from asem.measure.pits.groups import GROUPS, find_groups
from asem.measure.pits.statistics import describe_table
from pit_tables import make_table


def test_each_object_is_in_its_group(rng):
    table = make_table(rng, open=2, deep=3, caveola=4, vesicle=5, secretory=6, inner=7, other=8)
    inside = table["location"] == "secretory"
    table.loc[table.index[inside & (table["kind"] == "pit")][:1], "coated"] = False
    groups = find_groups(table)
    assert tuple(groups) == GROUPS
    assert find_groups(table.assign(location=""))["others"].all()
    assert [int(chosen.sum()) for chosen in groups.values()] == [5, 4, 5, 5, 7, 9]
    assert np.sum(list(groups.values()), axis=0).tolist() == [1] * len(table)


def test_flagged_objects_are_counted_and_not_described(rng):
    table = make_table(rng, deep=20, caveola=3)
    table.loc[[0, 1], "flags"] = "cut;small", "cut"
    table.loc[[2, 3], "notes"] = "view_differs"
    table.loc[0, "height_nm"] = 5000.0
    statistics = describe_table(table)
    assert statistics["n"]["used"] == 21
    pits = statistics["groups"]["endocytic_coated_pits"]
    assert pits["n"] == {
        **{"all": 20, "used": 18},
        **{"flags": {"cut": 2, "small": 1}, "notes": {"view_differs": 2}},
    }
    heights = table["height_nm"][2:20]
    found = pits["height_nm"]
    assert (found["n"], found["median_nm"]) == (18, heights.median())
    assert (found["mean_nm"], found["sd_nm"]) == pytest.approx((heights.mean(), heights.std()))
    assert found["percentiles_nm"]["75"] == pytest.approx(heights.quantile(0.75))
    low, high = found["median_interval_95_nm"]
    ranks = sorted(heights).index(low), sorted(heights).index(high)
    assert ranks == (4, 13)
    assert 1 - 2 * stats.binom.cdf(ranks[0], 18, 0.5) >= 0.95
    assert statistics["groups"]["caveolae"]["height_nm"]["median_interval_95_nm"] is None


def test_necks_have_two_clusters(rng):
    table = make_table(rng, open=40, deep=60, caveola=9)
    table.loc[0, "neck_nm"] = np.nan
    table.loc[[1, 2, 40, 41], "neck_nm"] = 40.1, 40.0, 10.0, 9.9
    necks = describe_table(table)["groups"]["endocytic_coated_pits"]["necks"]
    assert necks["n"] == 99
    counts = [necks[name]["n"] for name in ("open", "narrow", "narrower")]
    assert counts == [38, 60, 1]
    assert necks["open"]["share"] == pytest.approx(38 / 99)
    assert necks["open"]["height_nm"]["median_nm"] == pytest.approx(52, abs=4)
    assert necks["narrow"]["height_nm"]["median_nm"] == pytest.approx(115, abs=8)


@pytest.mark.parametrize("count", [0, 1])
def test_statistics_of_few_objects_are_json(count, rng):
    table = make_table(rng, deep=count, vesicle=count)
    statistics = describe_table(table)
    json.dumps(statistics, allow_nan=False)
    pits = statistics["groups"]["endocytic_coated_pits"]
    assert pits["necks"]["open"]["share"] == (0 if count else None)
    vesicles = statistics["groups"]["endocytic_coated_vesicles"]
    assert vesicles["neck_nm"] == {
        **{"n": 0, "median_nm": None, "percentiles_nm": None, "mean_nm": None, "sd_nm": None},
        "median_interval_95_nm": None,
    }
    assert vesicles["width_nm"]["n"] == count
