"""Points are on the surface of bodies, and the same for every block grid."""

import math

import numpy as np
import pytest
from scipy import ndimage

from asem.measure.surface_cells import HALO
from asem.measure.surface_points import find_border, find_point
from asem.measure.surfaces import area_unit_nm2, find_areas, read_with_mirrored_halo
from asem.volume.block_grid import split_into_blocks
from asem.volume.volume import Volume
from shapes import random_pose, rasterize, sphere

VOXEL_SIZES = [(5.0, 5.0, 5.0), (5.2, 4.0, 4.0), (15.0, 8.0, 8.0)]


def find_points(padded, voxel_size):
    """Indices of the border voxels of a block (n, 3), and the offset of the point of each, nm."""
    voxels = np.argwhere(find_border(padded))
    offsets = np.full((len(voxels), 3), np.nan)
    for voxel, offset in zip(voxels + HALO, offsets, strict=True):
        find_point(padded, tuple(voxel.tolist()), np.array(voxel_size), offset)
    return voxels, offsets


def points_of(labels, voxel_size):
    """Offset of the point of each border voxel of a whole volume."""
    voxels, offsets = find_points(np.pad(labels, HALO, "symmetric"), voxel_size)
    return dict(zip(map(tuple, voxels.tolist()), offsets.tolist(), strict=True))


@pytest.fixture(params=VOXEL_SIZES, ids=str)
def ball(request):
    """Voxel size, radius, and points and areas of a ball around the origin, nm."""
    size, radius = request.param, 12 * max(request.param)
    rotation, shift = random_pose(np.random.default_rng(1), size)
    mask = rasterize(sphere(radius), size, rotation, shift).astype(np.uint8)
    padded = np.pad(mask, HALO)
    voxels, offsets = find_points(padded, size)
    centre = (np.array(mask.shape) - 1) / 2
    points = (voxels - centre) * size + offsets - shift
    areas = find_areas(padded, size)
    assert not areas[~find_border(padded)].any()
    return size, radius, points, areas[tuple(voxels.T)] * area_unit_nm2(size)


def test_points_of_a_ball_are_on_its_surface(ball):
    size, radius, points, areas = ball
    errors = np.linalg.norm(points, axis=1) - radius
    assert abs(errors).max() < 0.55 * max(size)
    assert math.sqrt(np.average(errors**2, weights=areas)) < 0.15 * max(size)
    assert abs(np.average(errors, weights=areas)) < 0.08 * max(size)


def test_the_areas_of_the_points_of_a_ball_cover_it_evenly(ball):
    """Of the unit vectors to the points, the mean is 0, and that of their squares 1/3 each."""
    _, radius, points, areas = ball
    assert areas.sum() == pytest.approx(4 * math.pi * radius**2, rel=0.02)
    directions = points / np.linalg.norm(points, axis=1)[:, None]
    assert np.average(directions, axis=0, weights=areas) == pytest.approx(0, abs=0.01)
    assert np.average(directions**2, axis=0, weights=areas) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("axis", range(3))
def test_points_of_a_plane_are_half_way_between_voxels(axis):
    size, labels = VOXEL_SIZES[1], np.zeros((12, 12, 12), np.uint8)
    sides = np.moveaxis(labels, axis, 0)
    sides[2:7], sides[7:] = 7, 200  # background, and two objects that touch
    expected = {2: -size[axis] / 2, 6: size[axis] / 2, 7: -size[axis] / 2}
    points = points_of(labels, size)
    assert len(points) == 3 * 12 * 12
    for voxel, offset in points.items():
        along = [expected[voxel[axis]] if k == axis else 0 for k in range(3)]
        assert offset == pytest.approx(along)


def test_a_voxel_has_its_point_at_the_centre_and_an_inner_one_has_none():
    labels = np.zeros((15, 15, 15), np.uint8)
    labels[3, 3, 3], labels[6:11, 6:11, 6:11] = 3, 4
    points = points_of(labels, VOXEL_SIZES[1])
    assert points[3, 3, 3] == [0, 0, 0]
    assert len(points) == 1 + 5**3 - 3**3
    corner = np.array(points[6, 6, 6]) / VOXEL_SIZES[1]
    assert (corner < 0).all()
    assert corner == pytest.approx([corner[0]] * 3)


def test_objects_have_no_points_at_the_border_of_the_volume():
    assert points_of(np.full((4, 5, 6), 9, np.uint8), VOXEL_SIZES[0]) == {}


@pytest.mark.parametrize("block_shape", [(7, 7, 7), (3, 25, 10)])
def test_every_block_grid_has_the_same_points(rng, block_shape):
    noise = ndimage.gaussian_filter(rng.normal(size=(17, 20, 23)), 1.5)
    labels = (np.digitize(noise, [0, noise.std()]) * 2**33).astype(np.uint64)
    volume, found = Volume(labels, VOXEL_SIZES[1], kind="labels"), {}
    for block in split_into_blocks(volume.roi, block_shape):
        voxels, offsets = find_points(read_with_mirrored_halo(volume, block), VOXEL_SIZES[1])
        keys = map(tuple, (voxels + block.offset).tolist())
        found |= dict(zip(keys, offsets.tolist(), strict=True))
    whole = points_of(labels, VOXEL_SIZES[1])
    assert len(whole) > 1000
    assert found == whole
