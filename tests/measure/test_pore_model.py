import numpy as np
import pytest
from scipy import ndimage, special

from asem.measure.pore_model import (
    EDGE_NM,
    LUMEN,
    MEMBRANE,
    S_REACH_NM,
    SIDES,
    STEP_NM,
    THICKNESS_NM,
    X_RANGE_NM,
    blurred_parts,
    tables,
)

S = np.arange(-S_REACH_NM, S_REACH_NM + STEP_NM / 2, STEP_NM)
X = np.arange(X_RANGE_NM[0], X_RANGE_NM[1] + STEP_NM / 2, STEP_NM)


def test_far_from_the_rim_are_two_flat_membranes():
    membrane = blurred_parts(48, 15.0, 4.0)[MEMBRANE, -1]
    width = np.hypot(EDGE_NM, 4.0)
    expected = sum(
        special.ndtr((S - h + THICKNESS_NM / 2) / width)
        - special.ndtr((S - h - THICKNESS_NM / 2) / width)
        for h in (-15, 15)
    )
    np.testing.assert_allclose(membrane, expected, atol=0.002)


def test_sides_of_the_envelope_have_opposite_signs():
    parts = blurred_parts(48, 15.0, 4.0)
    np.testing.assert_allclose(parts[SIDES], -parts[SIDES, :, ::-1], atol=1e-6)
    for part in (MEMBRANE, LUMEN):
        np.testing.assert_allclose(parts[part], parts[part, :, ::-1], atol=1e-6)


def test_the_blur_of_the_rim_is_that_of_a_3d_gaussian():
    radius, h, sigma = 32.0, 12.0, 5.0
    z = np.arange(-34.5, 35, STEP_NM)
    y = np.arange(-75.0, 76, STEP_NM)
    rho = np.hypot(y[:, None], y)
    distance = np.hypot(np.maximum(radius + h - rho, 0), z[:, None, None]) - h
    membrane = special.ndtr((distance + THICKNESS_NM / 2) / EDGE_NM)
    membrane -= special.ndtr((distance - THICKNESS_NM / 2) / EDGE_NM)
    blurred = ndimage.gaussian_filter(membrane, sigma / STEP_NM)[len(z) // 2, len(y) // 2]
    near = (y > radius - 15) & (y < radius + 20)
    expected = np.interp(y[near] - radius, X, blurred_parts(32, h, sigma)[MEMBRANE, :, len(S) // 2])
    np.testing.assert_allclose(blurred[near], expected, atol=0.006)


def test_tables_between_nodes_are_those_of_the_model():
    between, by_h, by_sigma = tables(48.0, 15.3, 4.7)
    near = X > -40
    exact = blurred_parts(48, 15.3, 4.7)
    np.testing.assert_allclose(between[:, near], exact[:, near], atol=0.02)
    slope = (blurred_parts(48, 15.4, 4.7) - blurred_parts(48, 15.2, 4.7)) / 0.2
    assert by_h[MEMBRANE].ravel() @ slope[MEMBRANE].ravel() == pytest.approx(
        (slope[MEMBRANE] ** 2).sum(), rel=0.1
    )
    assert by_sigma.shape == between.shape
