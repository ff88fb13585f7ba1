"""Pit or vesicle, and the lengths on an image."""

from dataclasses import replace

import numpy as np
import pytest

from asem.measure.pits.outline import Line
from asem.measure.pits.shape import (
    SMALLEST_LINE,
    jackknife_errors,
    line_darkness,
    mean_profile,
    measure_pit,
    measure_vesicle,
)


@pytest.fixture(scope="module")
def measured(stalk_pit, turned_pit):
    return [measure_pit(found.image, found.pose, found.bulb) for found in (stalk_pit, turned_pit)]


def test_the_outline_of_a_pit_is_dark_and_that_of_a_vesicle_has_a_gap(
    stalk_pit, turned_pit, near_vesicle
):
    lines = [
        line_darkness(found.image, found.pose) for found in (stalk_pit, turned_pit, near_vesicle)
    ]
    assert min(lines[:2]) > SMALLEST_LINE + 0.15
    assert lines[2] < SMALLEST_LINE - 0.15


@pytest.mark.parametrize("number", [0, 1])
def test_the_lengths_of_a_sphere_on_a_stalk(number, measured, stalk_pit):
    found, truth = measured[number].lengths, stalk_pit.shape.lengths(stalk_pit.look)
    assert found.height_nm == pytest.approx(truth.height_nm, abs=2.5)
    assert found.width_nm == pytest.approx(truth.width_nm, abs=2.5)
    assert found.neck_nm == pytest.approx(truth.neck_nm, abs=5)
    assert found.across_nm / found.along_nm == pytest.approx(truth.eccentricity, abs=0.05)
    assert not found.is_open
    depth = found.centre_t_nm + stalk_pit.shape.pit.bulb_depth_nm - found.neck_t_nm
    assert 2 < depth < 16


def test_lengths_depend_neither_on_direction_nor_on_voxels(measured):
    first, second = (
        np.array([m.lengths.height_nm, m.lengths.width_nm, m.lengths.neck_nm]) for m in measured
    )
    np.testing.assert_allclose(first, second, atol=3)


def test_standard_errors_are_those_of_the_noise(measured):
    for shape in measured:
        assert (shape.se_nm > 0.02).all()
        assert (shape.se_nm < 4).all()


def test_a_membrane_without_depth_is_no_pit(stalk_pit):
    """A flat membrane below the place of the bulb."""
    image, pose = stalk_pit.image, stalk_pit.pose
    places = np.indices(image.values.shape).transpose(1, 2, 3, 0) * image.voxel_size
    t = (places + image.first_nm - pose.axis.origin_nm) @ pose.axis.normal
    flat = replace(image, values=np.exp(-(((t + 20) / 7) ** 2)).astype(np.float32))
    line = replace(pose, path=Line(np.linspace(120, 0, 60), np.full(60, -20.0), 0.0))
    assert measure_pit(flat, line, stalk_pit.bulb) is None


def test_the_diameter_of_a_vesicle_and_its_error(near_vesicle):
    found = measure_vesicle(near_vesicle.image, near_vesicle.bulb)
    truth = 2 * np.prod(near_vesicle.shape.half_axes_nm) ** (1 / 3)
    assert found.ellipsoid.diameter_nm == pytest.approx(truth, abs=1)
    assert 0.02 < found.se_nm < 1.5


def test_the_jackknife_of_means_is_the_standard_error(rng):
    values = rng.normal(size=(12, 2))
    parts = (values.sum(axis=0) - values) / 11
    np.testing.assert_allclose(jackknife_errors(parts), values.std(axis=0, ddof=1) / np.sqrt(12))
    assert np.isnan(jackknife_errors(values[:1])).all()


def test_the_mean_profile_is_over_the_known_angles():
    profiles = np.array([[[1.0, 2, np.nan]], [[3, np.nan, np.nan]]], np.float32)
    np.testing.assert_array_equal(mean_profile(profiles), [[2, 2, np.nan]])
