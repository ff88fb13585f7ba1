"""The sphere of a bulb."""

import numpy as np
import pytest

from asem.measure.pits.bulb import find_bulb, sphere_directions
from asem.measure.pits.half_plane import Image


def test_directions_are_spread_evenly():
    directions = sphere_directions(200)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(directions.T @ directions / 200, np.eye(3) / 3, atol=0.01)


@pytest.mark.parametrize("name", ["stalk_pit", "turned_pit"])
def test_the_bulb_of_a_pit_is_its_sphere(name, request):
    found = request.getfixturevalue(name)
    bulb = found.bulb
    assert np.linalg.norm(bulb.centre_nm - found.rendering.centre_nm) < 5
    assert bulb.radius_nm == pytest.approx(42 + found.look.darkest_nm, abs=3)


def test_the_search_moves_a_start_that_is_off(near_vesicle):
    rendering = near_vesicle.rendering
    start = rendering.centre_nm + 20 * rendering.outward
    bulb = find_bulb(rendering.darkness(), start)
    assert np.linalg.norm(bulb.centre_nm - rendering.centre_nm) < 7
    assert 32 < bulb.radius_nm < 46
    assert bulb.contrast > 0


def test_contrast_is_in_the_unit_of_the_image(near_vesicle):
    image, bulb = near_vesicle.rendering.darkness(), near_vesicle.bulb
    brighter = Image(image.values * 2 + 50, image.first_nm, image.voxel_size)
    found = find_bulb(brighter, near_vesicle.rendering.start_nm)
    np.testing.assert_allclose(found.centre_nm, bulb.centre_nm)
    assert found.contrast == pytest.approx(2 * bulb.contrast, rel=1e-4)
