import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from asem.training.augmentation import IntensityTransform, draw_intensity_transform
from asem.training.config import AugmentConfig
from asem.training.intensity_cpu import apply_intensity, gaussian_blur
from asem.training.random_fields import NODE_SPACING, draw_smooth_field
from asem.training.transforms_torch import apply_intensity_on_device

SHAPE = (19, 23, 29)
NODES = tuple(-(-(n - 1) // NODE_SPACING) + 1 for n in SHAPE)


def neutral(**changes):
    settings = {
        "blur": (0.0, 0.0, 0.0),
        "scale": 1.0,
        "shift": 0.0,
        "drift": np.zeros((2, *NODES), np.float32),
        "gamma": 1.0,
        "noise": 0.0,
        "seed": 3,
    }
    return IntensityTransform(**{**settings, **changes})


def on_cpu(grey, transform):
    return apply_intensity(grey.copy(), float(grey.mean()), transform)


def in_torch(grey, transform):
    return apply_intensity_on_device(torch.from_numpy(grey.copy()), transform).numpy()


BOTH = pytest.mark.parametrize("apply", [on_cpu, in_torch])


@pytest.fixture
def grey(rng):
    return rng.random(SHAPE, np.float32)


@BOTH
def test_the_neutral_transform_scales_to_the_networks_range(grey, apply):
    assert np.allclose(apply(grey, neutral()), 2 * grey - 1, atol=1e-6)


@BOTH
def test_contrast_and_brightness_by_hand(apply):
    grey = np.array([[[0.2, 0.4, 0.9]]], np.float32)
    transform = neutral(scale=1.1, shift=0.05, drift=np.zeros((2, 1, 1, 1), np.float32))
    expected = 2 * np.array([[[0.22, 0.44, 0.99]]]) - 1  # mean 0.5: 0.5 - 1.1 * 0.3 + 0.05 ...
    assert np.allclose(apply(grey, transform), expected, atol=1e-6)
    bright = neutral(shift=0.5, drift=np.zeros((2, 1, 1, 1), np.float32))
    assert apply(grey, bright).max() == 1


@BOTH
@pytest.mark.parametrize("gamma", [0.77, 1.3])
def test_gamma_is_a_power(grey, apply, gamma):
    assert np.allclose((apply(grey, neutral(gamma=gamma)) + 1) / 2, grey**gamma, atol=2e-3)
    middle = (grey > 0.05).nonzero()
    exact = grey[middle] ** gamma
    assert np.allclose((apply(grey, neutral(gamma=gamma))[middle] + 1) / 2, exact, atol=1e-5)


@BOTH
def test_blur_is_scipys(grey, apply):
    sigma = (0.5, 1.0, 1.6)
    expected = gaussian_filter(grey, sigma, mode="nearest", truncate=3)
    assert np.allclose((apply(grey, neutral(blur=sigma)) + 1) / 2, expected, atol=1e-5)


def test_blur_of_an_axis_thinner_than_its_weights():
    thin = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    expected = gaussian_filter(thin, 2, mode="nearest", truncate=3)
    assert np.allclose(gaussian_blur(thin, (2, 2, 2)), expected, atol=1e-5)


@BOTH
def test_noise_has_its_width_and_comes_from_its_seed(apply):
    flat = np.full(SHAPE, 0.5, np.float32)
    noisy = (apply(flat, neutral(noise=0.05)) + 1) / 2 - 0.5
    assert noisy.mean() == pytest.approx(0, abs=0.002)
    assert noisy.std() == pytest.approx(0.05, rel=0.03)
    for axis in range(3):
        near, far = (np.take(noisy, range(n, SHAPE[axis] - 1 + n), axis).ravel() for n in (0, 1))
        assert abs(np.corrcoef(near, far)[0, 1]) < 0.05
    assert (apply(flat, neutral(noise=0.05)) == apply(flat, neutral(noise=0.05))).all()
    assert not (apply(flat, neutral(noise=0.05)) == apply(flat, neutral(noise=0.05, seed=4))).any()


@BOTH
def test_drift_by_hand(apply):
    """Contrast rises along z with the nodes, brightness along x."""
    flat = np.full(SHAPE, 0.5, np.float32)
    flat[:, ::2] = 0.6
    drift = np.zeros((2, *NODES), np.float32)
    drift[0] = np.arange(NODES[0]).reshape(-1, 1, 1) * 0.1
    drift[1] = np.arange(NODES[2]) * 0.01
    out = (apply(flat, neutral(drift=drift)) + 1) / 2
    gain = 1 + 0.1 * np.arange(SHAPE[0]).reshape(-1, 1, 1) / NODE_SPACING
    offset = 0.01 * np.arange(SHAPE[2]) / NODE_SPACING
    assert np.allclose(out, flat.mean() + (flat - flat.mean()) * gain + offset, atol=1e-5)


def test_cpu_and_torch_agree(grey, rng):
    config = AugmentConfig(drift=0.1, gamma=0.3, blur_nm=12, intensity_p=1)
    for _ in range(5):
        transform = draw_intensity_transform(config, SHAPE, voxel_size=(10, 10, 10), rng=rng)
        assert np.abs(on_cpu(grey, transform) - in_torch(grey, transform)).max() < 2e-3


def test_a_drift_varies_slowly(rng):
    field = draw_smooth_field((97, 97, 97), np.full(3, 64.0), 2, rng=rng)
    assert np.abs(np.diff(field, axis=1)).max() < 1
