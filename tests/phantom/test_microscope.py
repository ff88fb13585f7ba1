import numpy as np
import pytest
from scipy import ndimage

from asem.phantom.microscope import (
    MICROSCOPES,
    TRUNCATE,
    MicroscopeConfig,
    blur_halo,
    expose,
    gaussian_blur,
    plane_brightness,
    plane_drift,
)

FLAT = MicroscopeConfig(white=200, noise_sd=6, line_correlation=0.3, curtaining=0)


def expose_density(density, config, first=(0, 0, 0), voxel_size=(5.0, 5.0, 5.0)):
    halo = blur_halo(config, voxel_size)
    padded = np.pad(density.astype(np.float32), [(h, h) for h in halo], mode="edge")
    planes = np.zeros(first[0] + len(density), np.float32)
    return expose(padded, np.array(first), voxel_size, config, planes, 3)


@pytest.mark.parametrize("voxel_size", [(5.0, 5.0, 5.0), (5.2, 4.0, 3.0), (30.0, 4.0, 4.0)])
def test_blur_is_that_of_scipy(voxel_size):
    values = np.random.default_rng(0).random((9, 17, 20), np.float32)
    halo = blur_halo(MicroscopeConfig(blur_nm=4), voxel_size)
    blurred = gaussian_blur(values, 4, voxel_size)
    sigma = [4 / size for size in voxel_size]
    cut = tuple(slice(h, n - h) for h, n in zip(halo, values.shape, strict=True))
    expected = ndimage.gaussian_filter(values, sigma, truncate=TRUNCATE)[cut]
    np.testing.assert_allclose(blurred, expected, rtol=1e-5)


def test_no_blur_returns_the_values():
    values = np.random.default_rng(0).random((3, 4, 5), np.float32)
    np.testing.assert_array_equal(gaussian_blur(values, 0, (5.0, 5.0, 5.0)), values)


def test_noise_of_resin_has_the_given_spread_and_correlates_along_x_only():
    image = expose_density(np.zeros((4, 60, 80)), FLAT).astype(float)
    noise = image - image.mean()
    assert image.mean() == pytest.approx(FLAT.white, abs=0.3)
    assert noise.std() == pytest.approx(FLAT.noise_sd, rel=0.03)
    correlation = [
        np.mean(a * b) / noise.var()
        for a, b in (
            (noise[..., 1:], noise[..., :-1]),
            (noise[..., 2:], noise[..., :-2]),
            (noise[:, 1:], noise[:, :-1]),
            (noise[1:], noise[:-1]),
        )
    ]
    assert correlation == pytest.approx([0.3, 0, 0, 0], abs=0.03)


def test_dark_parts_have_less_noise():
    dark = expose_density(np.full((4, 60, 80), 0.8), FLAT).astype(float)
    signal = FLAT.white - 0.8 * FLAT.contrast
    assert dark.mean() == pytest.approx(signal, abs=0.3)
    assert dark.std() == pytest.approx(FLAT.noise_sd * np.sqrt(signal / FLAT.white), rel=0.04)


def test_streaks_run_along_y():
    config = MicroscopeConfig(noise_sd=0, curtaining=10)
    image = expose_density(np.zeros((1, 30, 200)), config)[0].astype(float)
    assert image.mean(axis=0).std() > 1
    assert image.mean(axis=1).std() < 0.2  # rounding


def test_a_block_is_exposed_as_the_same_part_of_a_larger_one():
    density = np.random.default_rng(0).random((12, 30, 40), np.float32)
    config, size = MICROSCOPES["cf"], (5.0, 4.0, 6.0)
    halo = blur_halo(config, size)
    brightness = np.arange(20, dtype=np.float32)
    first = np.array((3, 7, 11))
    whole = expose(density, first, size, config, brightness, 3)
    start, stop = (2, 5, 9), (6, 15, 22)
    reads = tuple(slice(a, b + 2 * h) for a, b, h in zip(start, stop, halo, strict=True))
    part = expose(np.ascontiguousarray(density[reads]), first + start, size, config, brightness, 3)
    cut = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    np.testing.assert_array_equal(part, whole[cut])


def test_drift_and_brightness_of_planes_have_the_given_spread():
    config = MicroscopeConfig(drift_sd_nm=2, brightness_sd=1.5, jump_probability=0)
    drift, brightness = plane_drift(4000, config, 1), plane_brightness(4000, config, 1)
    assert drift.std(axis=0) == pytest.approx([2, 2], rel=0.1)
    assert brightness.std() == pytest.approx(1.5, rel=0.1)
    assert not np.array_equal(drift, plane_drift(4000, config, 2))
    jumping = plane_brightness(4000, config.model_copy(update={"jump_probability": 0.01}), 1)
    assert jumping.std() > 1.8
