import numpy as np
import pytest
from scipy import ndimage, special

from asem.measure.pores.rim_model import (
    BOX_NM,
    LUMEN,
    MEMBRANE,
    S_REACH_NM,
    SIDES,
    STEP_NM,
    X_RANGE_NM,
    blurred_parts,
    tables,
)

STAIN = 6.0
S = np.arange(-S_REACH_NM, S_REACH_NM + STEP_NM / 2, STEP_NM)
X = np.arange(X_RANGE_NM[0], X_RANGE_NM[1] + STEP_NM / 2, STEP_NM)


def test_far_from_the_rim_are_two_flat_membranes():
    membrane = blurred_parts(48, 15.0, 4.0, STAIN)[MEMBRANE, -1]
    width = np.hypot(np.sqrt(STAIN), 4.0)
    expected = sum(
        special.ndtr((S - h + BOX_NM / 2) / width) - special.ndtr((S - h - BOX_NM / 2) / width)
        for h in (-15, 15)
    )
    np.testing.assert_allclose(membrane, expected, atol=0.002)


def test_sides_of_the_envelope_have_opposite_signs():
    parts = blurred_parts(48, 15.0, 4.0, STAIN)
    np.testing.assert_allclose(parts[SIDES], -parts[SIDES, :, ::-1], atol=1e-6)
    for part in (MEMBRANE, LUMEN):
        np.testing.assert_allclose(parts[part], parts[part, :, ::-1], atol=1e-6)


def test_the_blur_of_the_rim_is_that_of_a_3d_gaussian():
    radius, h, sigma = 32.0, 12.0, 5.0
    z = np.arange(-34.5, 35, STEP_NM)
    y = np.arange(-75.0, 76, STEP_NM)
    rho = np.hypot(y[:, None], y)
    distance = np.hypot(np.maximum(radius + h - rho, 0), z[:, None, None]) - h
    membrane = special.ndtr((distance + BOX_NM / 2) / np.sqrt(STAIN))
    membrane -= special.ndtr((distance - BOX_NM / 2) / np.sqrt(STAIN))
    blurred = ndimage.gaussian_filter(membrane, sigma / STEP_NM)[len(z) // 2, len(y) // 2]
    near = (y > radius - 15) & (y < radius + 20)
    expected = np.interp(
        y[near] - radius, X, blurred_parts(32, h, sigma, STAIN)[MEMBRANE, :, len(S) // 2]
    )
    np.testing.assert_allclose(blurred[near], expected, atol=0.006)


def test_tables_between_nodes_are_those_of_the_model():
    place = np.array([15.3, 4.7, 9.5])
    found = tables(48.0, *place)
    near = X > -40
    np.testing.assert_allclose(found[0][:, near], blurred_parts(48, *place)[:, near], atol=0.02)
    for k in range(3):
        step = 0.1 * (np.arange(3) == k)
        slope = (blurred_parts(48, *place + step) - blurred_parts(48, *place - step)) / 0.2
        expected, membrane = slope[MEMBRANE].ravel(), found[k + 1, MEMBRANE].ravel()
        assert expected @ membrane == pytest.approx(expected @ expected, rel=0.15)
