"""The ellipsoid of a vesicle."""

import numpy as np
import pytest

from asem.measure.pits.bulb import sphere_directions
from asem.measure.pits.ellipsoid import RAYS, Ellipsoid, fit_ellipsoid, fit_vesicle


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


@pytest.mark.parametrize("dimensions", [2, 3])
def test_an_ellipsoid_through_exact_points_has_its_centre(dimensions):
    centre, axes = np.array([9.0, -6, 4])[:dimensions], np.array([110.0, 84, 66])[:dimensions]
    points = centre + sphere_directions(300)[:, :dimensions] * axes / 2
    if dimensions == 2:
        angle = np.linspace(0, 2 * np.pi, 90)
        points = centre + np.stack([np.cos(angle), np.sin(angle)], axis=1) * axes / 2
    found = fit_ellipsoid(points, np.ones(len(points)))
    np.testing.assert_allclose(found.centre_nm, centre, atol=1e-6)
    np.testing.assert_allclose(found.axes_nm, axes, atol=1e-6)
    np.testing.assert_allclose(np.abs(found.vectors), np.eye(dimensions), atol=1e-6)
    assert found.misfit_nm == pytest.approx(0, abs=1e-6)
