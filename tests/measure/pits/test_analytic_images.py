"""The truth of analytic images, against closed forms."""

import numpy as np
import pytest

from pits import HalfPlane, Pit, Stain, cap, sphere_on_stalk

BARE, REACH_NM = Stain(), 180.0


def test_lengths_of_a_sphere_on_a_stalk():
    found = HalfPlane(sphere_on_stalk(40.0, 12.0, 30.0), REACH_NM).lengths(BARE)
    height = 30 + np.sqrt(40**2 - 12**2) + 40
    width = 2 * np.sqrt(40**2 - (height / 2 - 40) ** 2)
    assert found.height_nm == pytest.approx(height, abs=0.2)
    assert found.width_nm == pytest.approx(width, abs=0.3)
    assert found.neck_nm == pytest.approx(24, abs=0.3)
    assert not found.is_open


def test_lengths_of_an_open_cap():
    found = HalfPlane(cap(50.0, 35.0), REACH_NM).lengths(BARE)
    assert found.height_nm == pytest.approx(35, abs=0.2)
    assert found.width_nm == pytest.approx(2 * np.sqrt(50**2 - 32.5**2), abs=0.3)
    assert found.neck_nm == pytest.approx(2 * np.sqrt(50**2 - 23**2), abs=0.3)
    assert found.is_open


@pytest.mark.parametrize("radius", [300.0, -300.0])
def test_a_curved_membrane_is_no_depth(radius):
    half_plane = HalfPlane(Pit(45.0, 40.0, 60.0, curvature_nm=radius), REACH_NM)
    outline = half_plane.outline(BARE)
    far = outline[(outline[:, 1] > 120) & (outline[:, 1] < 160)]
    depth = half_plane.surface_depth(*far.T)
    np.testing.assert_allclose(depth, 0, atol=0.1)
    assert half_plane.lengths(BARE).height_nm == pytest.approx(60, abs=0.2)


def test_a_coat_moves_the_darkest_line_outward():
    bare, coated = Stain(), Stain(coat=0.5)
    assert abs(bare.darkest_nm) < 1
    assert coated.darkest_nm > 1
    shape = HalfPlane(cap(50.0, 75.0, 6.0), REACH_NM)
    more = shape.lengths(coated).height_nm - shape.lengths(bare).height_nm
    assert more == pytest.approx(coated.darkest_nm, abs=0.2)
