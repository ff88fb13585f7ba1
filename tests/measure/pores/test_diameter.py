"""Analytic pores of known radius, in any pose; what has no pore is flagged."""

from dataclasses import replace

import numpy as np
import pytest

import pores
from asem.measure.pores import diameter
from asem.measure.pores.diameter import measure_pore
from asem.measure.pores.view import VIEW_STEP_NM

CLEAN = pores.Look(noise=0.0)


def measure(pore, patch=None, **changes):
    pore = replace(pore, **changes)
    return measure_pore(
        pore.patch if patch is None else patch,
        tuple(pore.origin_nm),
        pore.voxel_size,
        tuple(pore.start_centre_nm),
        tuple(pore.start_normal),
    )


@pytest.fixture(scope="module")
def clean():
    """A pore of 90 nm without noise; the start is off by 30 nm and 25 degrees."""
    rng = np.random.default_rng(0)
    pore = pores.render_pore(rng, look=CLEAN)
    across = pores.basis(pore.normal)[0]
    start = pore.centre_nm + 25 * across + 15 * pore.normal
    return replace(pore, start_centre_nm=start, start_normal=pores.tilted(pore.normal, 25, rng))


def assert_pose(measured, pore):
    assert np.linalg.norm(np.array(measured.centre_nm) - pore.centre_nm) < 1
    assert np.degrees(np.arccos(min(1.0, measured.normal @ pore.normal))) < 1
    assert np.linalg.norm(measured.normal) == pytest.approx(1)


def test_a_pore_from_a_start_with_errors(clean):
    measured = measure(clean)
    assert measured.flags == measured.notes == ()
    assert measured.diameter_nm == pytest.approx(90, abs=1)
    assert_pose(measured, clean)
    assert measured.lines_used == 18
    assert measured.radii_nm.shape == (36,)
    assert measured.diameter_sd_nm < 0.3
    diameters = measured.radii_nm[:18] + measured.radii_nm[18:]
    assert measured.diameter_nm == np.median(diameters)
    darkest = np.argmin(measured.profile[12:]) + 12
    assert darkest * VIEW_STEP_NM == pytest.approx(45, abs=2)


@pytest.mark.parametrize(
    ("diameter_nm", "options"),
    [
        (60.0, {"voxel_size": (5.2, 4.0, 4.0), "half_lumen_nm": 20.0}),
        (130.0, {"radius_nm": 400.0, "look": replace(CLEAN, thickness_nm=8.0)}),
        (
            100.0,
            {
                "radius_nm": -500.0,
                "look": replace(CLEAN, chromatin=0.8, ribosomes=0.6, plug=0.7),
                "neighbour_nm": 150.0,
            },
        ),
    ],
)
def test_other_pores(diameter_nm, options):
    rng = np.random.default_rng(int(diameter_nm))
    options = {"look": CLEAN, "reach_nm": 130.0, **options}
    pore = pores.render_pore(rng, diameter_nm=diameter_nm, **options)
    measured = measure(pore)
    assert measured.flags == ()
    assert measured.diameter_nm == pytest.approx(diameter_nm, abs=1)
    assert_pose(measured, pore)


def test_the_standard_error_is_that_of_repeated_measurements(clean):
    rng = np.random.default_rng(1)
    noise = 20 * rng.standard_normal((10, *clean.patch.shape)).astype(np.float32)
    measured = [measure(clean, clean.patch + one) for one in noise]
    diameters = np.array([one.diameter_nm for one in measured])
    errors = np.array([one.diameter_se_nm for one in measured])
    assert 0.5 < np.sqrt(np.mean(((diameters - diameters.mean()) / errors) ** 2)) < 1.6
    assert np.abs(diameters - 90).max() < 2
    assert all(one.flags == () for one in measured)


def test_the_median_of_an_elliptical_rim():
    rng = np.random.default_rng(2)
    pore = pores.render_pore(rng, ellipticity=0.06, look=CLEAN, reach_nm=120.0)
    measured = measure(pore)
    assert measured.diameter_nm == pytest.approx(90, abs=1)
    longest, shortest = np.quantile(measured.radii_nm, [1, 0])
    assert (longest - shortest) / (longest + shortest) == pytest.approx(0.06, abs=0.01)
    assert measured.diameter_sd_nm == pytest.approx(90 * 0.06 / np.sqrt(2), rel=0.1)


def test_grey_values_may_have_another_scale_and_type(clean):
    expected = measure(clean).diameter_nm
    wide = (clean.patch * 200 + 1000).astype(np.uint16)
    assert measure(clean, wide).diameter_nm == pytest.approx(expected, abs=0.05)
    narrow = np.rint(clean.patch).astype(np.uint8)
    assert measure(clean, narrow).diameter_nm == pytest.approx(expected, abs=0.1)
    for unit in (1e-6, 1e25):
        scaled = measure(clean, clean.patch.astype(np.float64) * unit)
        assert scaled.diameter_nm == pytest.approx(expected, abs=1e-3)
        assert scaled.diameter_se_nm == pytest.approx(measure(clean).diameter_se_nm, rel=1e-3)
        assert scaled.profile == pytest.approx(measure(clean).profile * unit, rel=1e-3)


def test_extreme_grey_values_change_little(clean):
    spikes = clean.patch.astype(np.float64)
    spikes.flat[::9973] = np.tile([np.inf, -np.inf, 3e38, -3e38], spikes.size)[
        : len(spikes.flat[::9973])
    ]
    measured = measure(clean, spikes)
    assert measured.flags == ()
    assert measured.diameter_nm == pytest.approx(90, abs=1)


def test_the_normal_stays_on_the_given_side(clean):
    turned = measure(clean, start_normal=-clean.start_normal)
    assert turned.diameter_nm == pytest.approx(measure(clean).diameter_nm, abs=0.2)
    assert turned.normal @ clean.normal < -0.99


def outside(pore, beyond_nm):
    """The image, nan where it is farther from the axis than a distance, on one side."""
    places = np.moveaxis(np.indices(pore.patch.shape), 0, -1) * pore.voxel_size + pore.origin_nm
    across = pores.basis(pore.normal)[1]
    return np.where((places - pore.centre_nm) @ across > beyond_nm, np.nan, pore.patch)


def test_voxels_that_are_missing(clean):
    measured = measure(clean, outside(clean, 64))
    assert measured.flags == ()
    assert measured.diameter_nm == pytest.approx(90, abs=1)
    assert np.isnan(measured.view).any()
    few = measure(clean, outside(clean, 50))
    assert (few.flags, few.notes) == ((), ("few_lines",))
    assert few.lines_used < 14
    assert np.isnan(few.radii_nm).sum() >= 5
    assert few.diameter_nm == pytest.approx(90, abs=1.5)
    for missing in (outside(clean, 30), outside(clean, 5), np.full_like(clean.patch, np.nan)):
        cut = measure(clean, missing)
        assert cut.flags == ("cut",)
        assert np.isnan([cut.diameter_nm, cut.diameter_sd_nm, cut.diameter_se_nm]).all()


def test_a_pore_far_from_the_start_is_another_pore(clean):
    away = clean.centre_nm + 60 * pores.basis(clean.normal)[0]
    measured = measure(clean, start_centre_nm=away, start_normal=clean.normal)
    assert measured.flags == ("no_rim",)


@pytest.mark.parametrize("kind", ["flat", "cytoplasm", "noise", "tubule", "vesicle"])
def test_what_is_no_pore_is_flagged(kind):
    image = pores.render_false(kind, np.random.default_rng(3), reach_nm=120.0)
    measured = measure(image)
    assert measured.flags == ("no_rim",)
    assert np.isnan(measured.diameter_nm)
    assert measured.lines_used == 0
    assert np.isnan(measured.radii_nm).all()


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        (np.zeros((30, 30, 30), np.uint8), "no_rim"),
        (np.full((30, 30, 30), np.inf), "cut"),
        (np.ones((1, 2, 3)), "cut"),
    ],
)
def test_images_without_content_are_flagged(values, flag):
    size, normal = (10.0, 10.0, 10.0), (1.0, 0.2, 0.0)
    measured = measure_pore(values, (-145.0, -145.0, -145.0), size, (0.0, 0.0, 0.0), normal)
    assert measured.flags == (flag,)


def test_the_reach_of_the_image(clean):
    reach = np.array(clean.patch.shape) * clean.voxel_size / 2
    assert reach.min() >= diameter.PORE_REACH_NM
