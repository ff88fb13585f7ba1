import numpy as np
import pytest

from asem.annotate.mixture import without_outliers


@pytest.fixture
def scene(rng):
    """Grey 0.6 under the strokes and beside them; 0.1 in a corner that no stroke has."""
    unit = (0.6 + 0.02 * rng.standard_normal((4, 20, 20))).astype(np.float32)
    unit[:, :5, :5] -= 0.5
    foreground = np.ones(unit.shape, bool)
    strokes = np.zeros(unit.shape, np.uint8)
    strokes[2, 10, 6:15] = 1
    return unit, foreground, strokes


def test_what_strokes_never_showed_is_taken_away(scene):
    unit, foreground, strokes = scene
    assert np.array_equal(without_outliers(foreground, unit, strokes, 2), unit > 0.35)


def test_what_was_drawn_stays(scene):
    unit, foreground, strokes = scene
    strokes = strokes.repeat(1, 0)
    strokes[2, 1:16, 10] = 1
    unit = unit.copy()
    unit[2, 1, 10] = 0.1
    assert without_outliers(foreground, unit, strokes, 2)[2, 1, 10]


def test_components_that_strokes_show_stay(scene):
    unit, foreground, strokes = scene
    strokes[2, 2, :5] = 1
    assert without_outliers(foreground, unit, strokes, 2).all()


def test_one_grey_value_is_no_mixture(scene):
    _, foreground, strokes = scene
    flat = np.full(foreground.shape, 0.5, np.float32)
    assert without_outliers(foreground, flat, strokes, 2).all()
