import numpy as np
import pytest

from asem.annotate.gaussian_mixture import drop_intensity_outliers


@pytest.fixture
def scene(rng):
    """Grey 0.6 under and next to the strokes; 0.1 in a corner without strokes."""
    intensity = (0.6 + 0.02 * rng.standard_normal((4, 20, 20))).astype(np.float32)
    intensity[:, :5, :5] -= 0.5
    foreground = np.ones(intensity.shape, bool)
    strokes = np.zeros(intensity.shape, np.uint8)
    strokes[2, 10, 6:15] = 1
    return intensity, foreground, strokes


def test_intensities_without_strokes_are_dropped(scene):
    intensity, foreground, strokes = scene
    assert np.array_equal(
        drop_intensity_outliers(foreground, intensity, strokes, 2), intensity > 0.35
    )


def test_stroke_voxels_remain(scene):
    intensity, foreground, strokes = scene
    strokes = strokes.repeat(1, 0)
    strokes[2, 1:16, 10] = 1
    intensity = intensity.copy()
    intensity[2, 1, 10] = 0.1
    assert drop_intensity_outliers(foreground, intensity, strokes, 2)[2, 1, 10]


def test_components_with_strokes_remain(scene):
    intensity, foreground, strokes = scene
    strokes[2, 2, :5] = 1
    assert drop_intensity_outliers(foreground, intensity, strokes, 2).all()


def test_one_grey_value_is_no_mixture(scene):
    _, foreground, strokes = scene
    flat = np.full(foreground.shape, 0.5, np.float32)
    assert drop_intensity_outliers(foreground, flat, strokes, 2).all()
