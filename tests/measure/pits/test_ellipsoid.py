"""The ellipsoid of a vesicle."""

import numpy as np
import pytest

from asem.measure.pits.bulb import sphere_directions
from asem.measure.pits.ellipsoid import RAYS, Ellipsoid, fit_vesicle


@pytest.fixture(scope="module")
def fitted(near_vesicle):
    return fit_vesicle(near_vesicle.image, near_vesicle.bulb)


def test_axes_directions_and_centre(near_vesicle, fitted):
    truth = near_vesicle.shape
    np.testing.assert_allclose(fitted.axes_nm, 2 * truth.half_axes_nm, atol=1.5)
    assert np.linalg.norm(fitted.centre_nm - near_vesicle.rendering.centre_nm) < 1
    for row, degrees in ((0, 6), (1, 12), (2, 12)):
        cosine = abs(fitted.vectors[row] @ truth.vectors[row])
        assert np.rad2deg(np.arccos(min(cosine, 1))) < degrees
    assert fitted.misfit_nm < 1.5
    assert fitted.diameter_nm == pytest.approx(2 * np.prod(truth.half_axes_nm) ** (1 / 3), abs=1)


def test_a_part_of_the_wall_suffices(near_vesicle, fitted):
    left_out = sphere_directions(RAYS) @ near_vesicle.rendering.outward > 0.5
    part = fit_vesicle(near_vesicle.image, near_vesicle.bulb, left_out)
    np.testing.assert_allclose(part.axes_nm, fitted.axes_nm, atol=4)
    assert np.abs(part.axes_nm - fitted.axes_nm).max() > 1e-3


def test_radii_are_those_of_the_surface():
    ellipsoid = Ellipsoid(np.zeros(3), np.array([100.0, 80, 60]), np.eye(3)[[2, 0, 1]], 0.0)
    np.testing.assert_allclose(ellipsoid.radii(np.eye(3)), [40, 30, 50])
    assert ellipsoid.diameter_nm == pytest.approx(48e4 ** (1 / 3))
