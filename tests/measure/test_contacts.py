"""Contacts are those of a search of all pairs of voxels, the same for every block grid."""

import itertools
import math

import edt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.measure import contacts
from asem.measure.contacts import (
    CONTACT_KEYS,
    CONTACT_REDUCTIONS,
    ContactSearch,
    derive_contacts,
    find_nearest,
    reach_in_voxels,
)
from asem.measure.object_columns import merge_columns
from asem.measure.surface_cells import HALO
from asem.measure.surface_points import find_border, find_point
from asem.measure.surfaces import area_unit_nm2, find_areas, read_with_mirrored_halo
from asem.volume.block_grid import split_into_blocks
from asem.volume.volume import Volume
from shapes import rasterize, sphere

SIZE = (5.2, 4.0, 4.5)
ISOTROPIC = (5.0, 5.0, 5.0)
A, B = 2**33 + 1, 2**40


def volume(labels, offset=(0, 0, 0), voxel_size=SIZE):
    position = tuple(o * s for o, s in zip(offset, voxel_size, strict=True))
    return Volume(np.asarray(labels), voxel_size, position, kind="labels")


def search(objects, others=None, *, within_nm, block_shape=None):
    """Merged columns of all blocks."""
    task = ContactSearch(objects, others, within_nm)
    blocks = split_into_blocks(objects.roi, block_shape or objects.shape)
    return merge_columns(map(task.measure, blocks), CONTACT_REDUCTIONS, CONTACT_KEYS)


def as_rows(found):
    """Squared gap and area of each pair."""
    columns = (found[name].tolist() for name in ("id", "other_id", "squared_gap", "area"))
    return {(i, j): (gap, area) for i, j, gap, area in zip(*columns, strict=True)}


def find_points(padded, voxel_size):
    """Id and point of the surface (or None) of each voxel of an object; `HALO` voxels around."""
    padded = np.where(padded == np.iinfo(padded.dtype).max, 0, padded)
    border, found = find_border(padded), {}
    for voxel in map(tuple, np.argwhere(padded[HALO:-HALO, HALO:-HALO, HALO:-HALO]).tolist()):
        at, offset = tuple(i + HALO for i in voxel), np.empty(3)
        if border[voxel]:
            find_point(padded, at, np.array(voxel_size), offset)
        found[voxel] = int(padded[at]), offset if border[voxel] else None
    return found


def expected_rows(objects, others=None, *, within_nm):
    """The same by a search of all pairs of voxels."""
    sizes, shift = np.array(objects.voxel_size), objects.roi_of(others or objects).offset
    padded = read_with_mirrored_halo(objects, objects.roi)
    areas, own = find_areas(padded, objects.voxel_size), find_points(padded, sizes)
    second = others or objects
    other = find_points(read_with_mirrored_halo(second, second.roi), sizes)
    limit, reach = (within_nm * (1 + 1e-6)) ** 2, reach_in_voxels(within_nm, objects.voxel_size)
    gaps, near = {}, set()
    for (a, (i, p)), (b, (j, q)) in itertools.product(own.items(), other.items()):
        steps = np.array(a) - b - shift
        squared = (np.maximum(0, abs(steps) - 1) * sizes) ** 2
        squared = squared[2] + squared[1] + squared[0]
        if others is None and i == j:
            continue
        if squared <= limit:
            gaps[i, j] = min(gaps.get((i, j), math.inf), squared)
        if (steps == 0).all():
            near.add((a, i, j))
        if p is not None and q is not None and (abs(steps) <= reach).all():
            distance = steps * sizes + (p - q)
            if distance @ distance <= limit + sizes @ sizes / 4:
                near.add((a, i, j))
    rows = {pair: (gap, 0) for pair, gap in gaps.items()}
    for a, i, j in near:
        if squared_gap(a, j, other, shift, sizes) <= limit:
            rows[i, j] = rows[i, j][0], rows[i, j][1] + int(areas[a])
    return rows


def squared_gap(a, j, other, shift, sizes):
    """Squared gap between a voxel and an object."""
    steps = np.array([np.array(a) - b - shift for b, (label, _) in other.items() if label == j])
    return ((np.maximum(0, abs(steps) - 1) * sizes) ** 2).sum(axis=1).min()


ids = st.sampled_from([0, 0, 0, A, 7, B, 2**64 - 1])
label_arrays = arrays(np.uint64, st.tuples(*[st.integers(1, 6)] * 3), elements=ids)
distances = st.sampled_from([0.0, 4.0, 9.0, 10.4, 14.0])
block_shapes = st.tuples(*[st.integers(1, 4)] * 3)


@settings(max_examples=60)
@given(label_arrays, distances, block_shapes)
def test_pairs_of_one_image_are_those_of_all_voxels(labels, within_nm, block_shape):
    objects = volume(labels)
    expected = expected_rows(objects, within_nm=within_nm)
    found = as_rows(search(objects, within_nm=within_nm, block_shape=block_shape))
    assert found == expected
    gaps = {pair: gap for pair, (gap, _) in found.items()}
    assert gaps == {(j, i): gap for (i, j), gap in gaps.items()}


@settings(max_examples=60)
@given(label_arrays, label_arrays, st.tuples(*[st.integers(-4, 4)] * 3), distances, block_shapes)
def test_pairs_of_two_images_are_those_of_all_voxels(one, two, offset, within_nm, block_shape):
    objects, others = volume(one), volume(two.astype(np.uint64), offset)
    expected = expected_rows(objects, others, within_nm=within_nm)
    found = search(objects, others, within_nm=within_nm, block_shape=block_shape)
    assert as_rows(found) == expected


@pytest.fixture
def scene(rng):
    """Smooth objects with gaps between them, in a volume of odd shape."""
    noise = ndimage.gaussian_filter(rng.normal(size=(30, 41, 53)), 2)
    return volume(ndimage.label(noise > 0.8 * noise.std())[0].astype(np.uint16))


@pytest.mark.parametrize("tile", [9, 16])
def test_block_grids_and_tiles_give_the_same_rows(scene, tile, monkeypatch):
    whole = as_rows(search(scene, within_nm=20))
    assert len(whole) > 20
    monkeypatch.setattr(contacts, "MIN_TILE", tile)
    monkeypatch.setattr(contacts, "MAX_TILE", tile)
    for block_shape in ((30, 41, 53), (16, 16, 16), (11, 41, 7)):
        assert as_rows(search(scene, within_nm=20, block_shape=block_shape)) == whole


@pytest.mark.parametrize("within_nm", [12.0, 100.0])
def test_gaps_are_the_distances_to_dilated_objects(scene, within_nm):
    rows = as_rows(search(scene, within_nm=within_nm, block_shape=(20, 20, 30)))
    labels = scene.array
    for j in np.unique(labels)[1:]:
        distance = edt.edt(~ndimage.binary_dilation(labels == j, np.ones((3, 3, 3))), SIZE)
        for i in np.unique(labels)[1:]:
            nearest = distance[labels == i].min() if i != j else np.inf
            if (i, j) in rows:
                assert math.sqrt(rows[i, j][0]) == pytest.approx(nearest, rel=1e-5, abs=1e-6)
            else:
                assert nearest > within_nm


def test_parallel_plates():
    labels = np.zeros((20, 10, 13), np.uint8)
    labels[2:5], labels[8:11], labels[13:15] = 3, 5, 8
    found = derive_contacts(search(volume(labels), within_nm=3 * 5.2), SIZE)
    pairs = list(zip(found["object_id"].tolist(), found["other_id"].tolist(), strict=True))
    assert pairs == [(3, 5), (5, 3), (5, 8), (8, 5)]
    assert found["gap_nm"].tolist() == pytest.approx([3 * 5.2, 3 * 5.2, 2 * 5.2, 2 * 5.2])
    face = 10 * 4.0 * 13 * 4.5 / 1e6
    assert found["area_um2"] == pytest.approx([face] * 4)
    assert not search(volume(labels), within_nm=1.99 * 5.2)["id"].size


def cap_nm2(radius, gap, within_nm):
    """Area of the points of a sphere within a distance of another one.

    Of a point at an angle a to the axis between the centres, which are d apart, the distance to the
    other centre is sqrt(R^2 + d^2 - 2 R d cos a).
    """
    d = 2 * radius + gap
    cosine = (radius**2 + d**2 - (radius + within_nm) ** 2) / (2 * radius * d)
    return 2 * math.pi * radius**2 * (1 - cosine)


@pytest.mark.parametrize("within_nm", [25.0, 35.0, 50.0])
def test_two_spheres(within_nm):
    radius, gap = 62.5, 20.0  # the last voxel of 5 nm along an axis ends at 62.5 nm
    ball = rasterize(sphere(radius), ISOTROPIC, margin=0)[1:-1, 1:-1, 1:-1]
    assert ball.shape == (25, 25, 25)
    labels = np.concatenate([ball, np.zeros((25, 25, 4)), 2 * ball], axis=2).astype(np.uint8)
    found = derive_contacts(
        search(volume(labels, voxel_size=ISOTROPIC), within_nm=within_nm), ISOTROPIC
    )
    assert found["gap_nm"] == pytest.approx([gap] * 2)
    cap = cap_nm2(radius, gap, within_nm)
    assert found["area_um2"] * 1e6 == pytest.approx([cap] * 2, rel=0.1)


def test_an_object_inside_another_one_overlaps_it():
    own, inside = np.zeros((11, 11, 11), np.uint8), np.zeros((11, 11, 11), np.uint8)
    own[1:-1, 1:-1, 1:-1], inside[5, 5, 5] = 1, 9
    assert as_rows(search(volume(own), volume(inside), within_nm=0)) == {(1, 9): (0.0, 0)}
    reached = as_rows(search(volume(own), volume(inside), within_nm=20))
    assert reached[1, 9][1] > 0


def test_others_outside_of_the_volume_are_found():
    own, other = np.full((2, 2, 2), 4, np.uint8), np.full((1, 1, 1), 6, np.uint8)
    found = as_rows(search(volume(own), volume(other, (0, 1, 4)), within_nm=9.0))
    assert found == {(4, 6): (pytest.approx(9.0**2), 0)}


def test_the_nearest_distance_is_that_of_the_nearest_other_object():
    labels = np.zeros((1, 1, 30), np.uint8)
    labels[0, 0, [0, 4, 6, 25]] = 1, 2, 3, 9
    found = derive_contacts(search(volume(labels), within_nm=3 * 4.5), SIZE)
    nearest = find_nearest(np.array([1, 2, 3, 9], np.uint64), found)
    assert nearest.tolist() == pytest.approx([13.5, 4.5, 4.5, math.nan], nan_ok=True)


def test_reach_includes_all_voxels_within_the_distance():
    for within_nm, size in itertools.product((0.0, 5.2, 10.4, 15.6, 31.2, 33.3), (5.2, 4.0)):
        reach = reach_in_voxels(within_nm, (size,) * 3)[0]
        assert (reach - 1) * size <= within_nm * (1 + 1e-6) < reach * size


def test_objects_without_contacts_have_no_rows():
    empty = search(volume(np.zeros((3, 4, 5), np.uint8)), within_nm=50)
    assert {name: len(values) for name, values in empty.items()} == dict.fromkeys(empty, 0)
    assert empty["squared_gap"].dtype == np.float64
    assert {area_unit_nm2(SIZE)} == {5.2 * 4.5 / 2**24}
