import numpy as np
import pytest

from asem.model.augment import augment, change_intensity, draw_orientation
from asem.model.config import AugmentConfig

OFF = AugmentConfig(mirror=False, transpose=False, contrast=0, brightness=0)
CUBE = (10.0, 10.0, 10.0)


@pytest.fixture
def patch(rng):
    """Grey values whose centre is a function of the label there."""
    target = rng.integers(0, 2, (6, 6, 6)).astype(np.uint8)
    raw = np.zeros((10, 10, 10), np.float32)
    raw[2:-2, 2:-2, 2:-2] = 0.25 + 0.5 * target
    return raw, target


def test_everything_off_is_the_identity(patch, rng):
    raw, target = augment(*patch, OFF, voxel_size=CUBE, rng=rng)
    assert np.allclose(raw, patch[0], atol=1e-7)
    assert (target == patch[1]).all()


def test_labels_stay_on_their_image(patch, rng):
    shapes = AugmentConfig(contrast=0, brightness=0)
    seen = set()
    for _ in range(600):
        raw, target = augment(*patch, shapes, voxel_size=CUBE, rng=rng)
        assert np.allclose(raw[2:-2, 2:-2, 2:-2], 0.25 + 0.5 * target, atol=1e-6)
        seen.add(target.tobytes())
    assert len(seen) == 48  # all orientations of a cube


def test_only_axes_of_equal_voxel_size_are_exchanged(rng):
    orders = {draw_orientation((50.0, 4.6, 4.6), rng)[0] for _ in range(100)}
    assert orders == {(0, 1, 2), (0, 2, 1)}


def test_intensity_by_hand():
    raw = np.array([[[0.2, 0.4, 0.9]]], np.float32)
    assert np.allclose(change_intensity(raw, 1.1, 0.05), [[[0.22 - 0.05 + 0.05, 0.44, 0.99]]])
    assert change_intensity(raw, 1, 0.5).max() == 1


def test_intensity_stays_in_its_bounds(patch, rng):
    raw = np.full((4, 4, 4), 0.5, np.float32)
    bounds = AugmentConfig(brightness=0.15)
    means = [augment(raw, patch[1], bounds, voxel_size=CUBE, rng=rng)[0].mean() for _ in range(200)]
    assert 0.35 - 1e-6 <= min(means) < 0.37
    assert 0.63 < max(means) <= 0.65 + 1e-6
    two = np.where(rng.random((8, 8, 8)) < 0.5, 0.4, 0.6).astype(np.float32)
    contrast = AugmentConfig(contrast=0.15, brightness=0)
    target = np.zeros((4, 4, 4), np.uint8)
    spans = [
        np.ptp(augment(two, target, contrast, voxel_size=CUBE, rng=rng)[0]) / 0.2
        for _ in range(200)
    ]
    assert 0.85 - 1e-5 <= min(spans) < 0.87
    assert 1.13 < max(spans) <= 1.15 + 1e-5
