"""Scores outside of several zones equal those of each zone alone, for every block grid."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.image.labels import exclusion_zone
from asem.measure.segmentation_scores import count_confusion
from asem.measure.zone_curve import ZoneSeries, confusion_outside, plan_curve, score_curve

small = st.tuples(*[st.integers(1, 8)] * 3)
label_arrays = arrays(np.uint8, small, elements=st.sampled_from([0, 0, 1, 7, 255]))
voxel_sizes = st.sampled_from([(5.0, 5.0, 5.0), (50.0, 4.6, 4.6), (15.0, 16.0, 16.0)])
zone_widths = st.sampled_from([None, (20.0, 20.0), (15.0, 5.0), (0.0, 10.0), (7.0, 0.0)])


@settings(max_examples=40)
@given(label_arrays, voxel_sizes, zone_widths, st.sampled_from(["diamond", "ball"]))
def test_each_zone_of_a_series_is_the_exclusion_zone(labels, voxel_size, zone_nm, shape):
    widths = plan_curve(zone_nm, voxel_size, 24)
    series = ZoneSeries.of_widths(widths, voxel_size, shape)
    steps = series.find_steps(labels)
    labelled = labels != 255
    for index in range(len(widths)):
        zone = exclusion_zone(labels, series.outside[index], series.inside[index], shape)
        assert ((steps <= index) == zone)[labelled].all()


@settings(max_examples=40)
@given(label_arrays, voxel_sizes, st.integers(0, 2**32))
def test_scores_outside_of_each_zone(labels, voxel_size, seed):
    predicted = np.random.default_rng(seed).random(labels.shape) < 0.5
    scored, foreground = labels != 255, (labels != 0) & (labels != 255)
    widths = plan_curve((20, 10), voxel_size)
    series = ZoneSeries.of_widths(widths, voxel_size)
    steps = series.find_steps(labels)
    counts = np.zeros((2, 2, len(widths) + 1), np.int64)
    index = (foreground[scored].astype(int), predicted[scored].astype(int), steps[scored])
    np.add.at(counts, index, 1)
    assert confusion_outside(counts, -1) == count_confusion(predicted, foreground, scored)
    for zone, row in enumerate(score_curve(counts, widths)):
        excluded = exclusion_zone(labels, series.outside[zone], series.inside[zone])
        expected = count_confusion(predicted, foreground, scored & ~excluded)
        assert row == {"out_nm": widths[zone][0], "in_nm": widths[zone][1], **expected.scores()}


def test_the_curve_contains_the_zone_and_starts_at_nothing_excluded():
    widths = plan_curve((20.0, 20.0), (5.0, 5.0, 5.0))
    assert widths == tuple((5.0 * n, 5.0 * n) for n in range(9))
    assert plan_curve((20.0, 10.0), (8.0, 8.0, 8.0))[3] == (20.0, 10.0)
    assert plan_curve((0.0, 0.0), (20.0, 20.0, 20.0)) == ((0.0, 0.0), (20.0, 20.0), (40.0, 40.0))
    assert plan_curve((0.0, 30.0), (15.0, 15.0, 15.0), 0)[-1] == (0.0, 30.0)
    # Widths of a zone that differ by rounding only from whole voxels are not listed twice.
    assert len(plan_curve((0.3, 0.3), (0.1, 0.1, 0.1), 0.3)) == 4


def test_the_halo_is_that_of_the_widest_zone():
    series = ZoneSeries.of_widths([(0, 0), (15, 5), (30, 10)], (5, 5, 5))
    assert series.halo == (6, 6, 6)
    assert ZoneSeries((), (), ()).halo == (0, 0, 0)


@pytest.mark.parametrize(
    ("max_width_nm", "steps"),
    [
        (2000, "2000 nm are 400 steps"),
        (-1, "-1 nm are -0.2 steps"),
        (1e300, "1e.300 nm are 2e.299"),
    ],
)
def test_widths_that_cannot_be_used(max_width_nm, steps):
    with pytest.raises(ValueError, match=f"widths up to {steps}.* 0 to 248 are allowed"):
        plan_curve(None, (5.0, 5.0, 5.0), max_width_nm)


@pytest.mark.parametrize("max_width_nm", [float("nan"), float("inf")])
def test_widths_that_are_no_numbers(max_width_nm):
    with pytest.raises(ValueError, match="0 to 248 are allowed"):
        plan_curve((10.0, 10.0), (5.0, 5.0, 5.0), max_width_nm)
