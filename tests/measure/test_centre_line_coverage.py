"""Centre lines of thin objects, and how much of them is covered."""

import numpy as np
import pytest

from asem.measure.centre_line_coverage import (
    count_covered,
    find_centre_line,
    line_halo,
    score_lines,
    select_object,
)

ISOTROPIC = (5.0, 5.0, 5.0)


def bar(thickness, length=21):
    return np.ones((thickness, thickness, length), bool)


def test_a_single_row_is_its_own_centre_line():
    staircase = np.zeros((3, 8, 8), bool)
    staircase[1, np.arange(8), np.arange(8)] = True
    assert (find_centre_line(staircase, ISOTROPIC) == staircase).all()


@pytest.mark.parametrize("thickness", [1, 2, 3, 4, 5, 7])
def test_the_centre_line_of_a_bar_is_its_axis(thickness):
    line = np.argwhere(find_centre_line(bar(thickness), ISOTROPIC))
    distance = abs(line[:, :2] - (thickness - 1) / 2).max(axis=1)
    assert np.median(distance) <= 0.5
    assert distance.max() <= 1.5
    assert np.ptp(line[:, 2]) >= 20 - thickness


def test_an_object_without_voxels():
    assert not find_centre_line(np.zeros((2, 3, 4), bool), ISOTROPIC).any()


def test_one_object_of_a_box():
    labels = np.array([[[7, 7, 0, 7, 8]]], np.uint64)
    assert select_object(labels, 7, None).tolist() == [[[True, True, False, True, False]]]
    assert select_object(labels, 7, (0, 0, 3)).tolist() == [[[False, False, False, True, False]]]
    assert select_object(labels, 8, (0, 0, 4)).sum() == 1


@pytest.mark.parametrize(("distance_nm", "covered"), [(0, 2), (4, 2), (5, 3), (10, 4), (25, 7)])
def test_voxels_within_a_distance(distance_nm, covered):
    line = np.array([[[0, 1, 1, 1, 1, 1, 1, 1, 0, 0]]], bool)
    other = np.array([[[0, 0, 0, 0, 0, 0, 1, 1, 1, 1]]], bool)
    assert count_covered(line, other, distance_nm, ISOTROPIC) == covered


def test_distances_follow_the_voxel_size():
    line, other = np.zeros((2, 3, 1, 3), bool)
    line[1], other[0] = True, True
    assert count_covered(line, other, 49, (50.0, 5.0, 5.0)) == 0
    assert count_covered(line, other, 50, (50.0, 5.0, 5.0)) == 3
    assert line_halo(50, (50.0, 4.6, 5.0)) == (1, 10, 10)
    assert line_halo(13.8, (4.6, 4.6, 4.6)) == (3, 3, 3)


def test_half_of_a_line_is_enough():
    covered, length = np.array([5, 4, 0, 9]), np.array([10, 9, 0, 9])
    scores = score_lines((covered, length), (covered[:1], length[:1]), 15)
    assert (scores["predicted_objects"], scores["predicted_found"]) == (3, 2)
    assert scores["precision"] == 2 / 3
    assert scores["recall"] == 1
    assert scores["f1"] == pytest.approx(0.8)


def test_without_objects():
    none, one = np.zeros(0, np.int64), np.ones(1, np.int64)
    scores = score_lines((none, none), (0 * one, one), 15)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (None, 0, 0)
    scores = score_lines((0 * one, one), (0 * one, one), 15)
    assert scores["f1"] == 0
    scores = score_lines((none, none), (none, none), 15)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (None, None, None)
