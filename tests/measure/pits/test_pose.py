"""The axis of a pit."""

import numpy as np
import pytest

from asem.measure.frame import Frame
from asem.measure.pits.axis_search import SEARCH_DIRECTIONS, choose_apart, map_wall
from asem.measure.pits.bulb import sphere_directions
from asem.measure.pits.outline import Line, normals
from asem.measure.pits.pose import PitSearch, refine, sample_profiles
from pores import tilted


@pytest.mark.parametrize("name", ["stalk_pit", "turned_pit"])
def test_the_axis_points_out_of_the_cytosol_through_the_middle(name, request):
    found = request.getfixturevalue(name)
    axis, outward = found.pose.axis, found.rendering.outward
    assert np.rad2deg(np.arccos(axis.normal @ outward)) < 3
    aside = axis.origin_nm - found.rendering.centre_nm
    assert np.linalg.norm(aside - (aside @ outward) * outward) < 2


def test_a_pose_that_is_off_is_refined(stalk_pit, rng):
    axis = stalk_pit.pose.axis
    off = Frame.from_normal(axis.origin_nm + 7 * axis.axes[0], tilted(axis.normal, 15, rng))
    pose = refine(PitSearch(stalk_pit.image, stalk_pit.bulb.radius_nm, 0.9), off)
    assert np.rad2deg(np.arccos(pose.axis.normal @ axis.normal)) < 2
    aside = pose.axis.origin_nm - axis.origin_nm
    assert np.linalg.norm(aside - (aside @ axis.normal) * axis.normal) < 1.5
    assert pose.path.cost == pytest.approx(stalk_pit.pose.path.cost, rel=0.1)


def test_the_wall_is_bright_only_at_the_opening(stalk_pit):
    wall = map_wall(stalk_pit.image, stalk_pit.bulb)
    towards = sphere_directions(SEARCH_DIRECTIONS) @ stalk_pit.rendering.outward
    assert towards[np.argmin(wall)] > 0.9
    assert wall[towards < 0].min() > wall.min() + 0.2


def test_chosen_axes_are_far_apart():
    directions = np.array([[1.0, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]])
    axes = [Frame.from_normal(np.zeros(3), direction) for direction in directions]
    chosen = choose_apart(axes, np.array([2.0, 1, 4, 5, 3]))
    assert [id(axis) for axis in chosen] == [id(axes[row]) for row in (1, 4, 2)]


def test_profiles_across_an_outline_have_the_membrane_in_the_middle(stalk_pit):
    """Across the wall of the lower half of the sphere, 43 nm from its centre."""
    axis = Frame.from_normal(stalk_pit.rendering.centre_nm, stalk_pit.rendering.outward)
    angle = np.linspace(0, -1.4, 15)
    radius = 42 + stalk_pit.look.darkest_nm
    path = Line(radius * np.cos(angle), radius * np.sin(angle), 0.0)
    offsets = np.arange(-15.0, 15.1, 1.0)
    profiles = sample_profiles(stalk_pit.image, axis, path, normals(path), offsets, 24)
    assert profiles.shape == (24, 15, 31)
    darkest = offsets[np.argmax(profiles.mean(axis=(0, 1)))]
    assert abs(darkest) <= 1
