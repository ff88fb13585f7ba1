"""Surfaces are those of the bodies, of marching cubes, and the same for every block grid."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from asem.measure.object_columns import BlockObjects, merge_columns
from asem.measure.surfaces import (
    SURFACE_REDUCTIONS,
    area_unit_nm2,
    derive_surface,
    find_areas,
    read_with_mirrored_halo,
    sum_surface,
)
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from shapes import Box, Capsule, Cylinder, Ellipsoid, Torus, random_pose, rasterize, sphere

ISOTROPIC, ANISOTROPIC = (5.0, 5.0, 5.0), (5.2, 4.0, 4.0)
N = 5.0
"""nm of a voxel, about, in the sizes of bodies."""


def measure(labels, block_shape=None, voxel_size=ISOTROPIC):
    """Columns of all blocks: ids, and surfaces in integers."""
    volume, parts = Volume(labels, voxel_size, kind="labels"), []
    for block in split_into_blocks(volume.roi, block_shape or labels.shape):
        objects = BlockObjects.from_labels(volume.read(block))
        areas = find_areas(read_with_mirrored_halo(volume, block), voxel_size)
        assert areas.shape == block.shape
        parts.append({"id": objects.ids, **sum_surface(objects, areas)})
    return merge_columns(parts, SURFACE_REDUCTIONS)


def surfaces_nm2(labels, voxel_size=ISOTROPIC):
    sums = measure(np.asarray(labels), voxel_size=voxel_size)
    areas = 1e6 * derive_surface(sums, voxel_size)["surface_um2"]
    return dict(zip(sums["id"].tolist(), areas.tolist(), strict=True))


def surface_nm2(mask, voxel_size=ISOTROPIC):
    return surfaces_nm2(mask.astype(np.uint8), voxel_size)[1]


def relative_errors(body, voxel_size, count=3):
    for seed in range(count):
        mask = rasterize(body, voxel_size, *random_pose(np.random.default_rng(seed), voxel_size))
        yield surface_nm2(mask, voxel_size) / body.surface_nm2 - 1


@pytest.mark.parametrize("voxel_size", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize(
    "body",
    [
        sphere(6 * N),
        sphere(25 * N),
        Ellipsoid((6 * N, 10 * N, 16 * N)),
        Torus(14 * N, 6 * N),
        Cylinder(6 * N, 12 * N),
        Cylinder(8 * N, 30 * N),
        Cylinder(18 * N, 6 * N),
        Capsule(6 * N, 24 * N),
    ],
    ids=str,
)
def test_surfaces_of_bodies_are_within_two_percent(body, voxel_size):
    assert max(map(abs, relative_errors(body, voxel_size))) < 0.02


@pytest.mark.parametrize("voxel_size", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize(
    ("body", "bias", "tolerance"),
    [
        (Box((N, 30 * N, 30 * N)), 0.05, 0.06),
        (Box((2 * N, 30 * N, 30 * N)), 0.02, 0.04),
        (Box((3 * N, 30 * N, 30 * N)), 0, 0.02),
        (Box((4 * N, 30 * N, 30 * N)), 0, 0.02),
        (Capsule(1 * N, 40 * N), 0.1, 0.05),
        (Capsule(1.5 * N, 40 * N), 0.06, 0.04),
        (sphere(3 * N), 0.02, 0.05),
    ],
    ids=str,
)
def test_thin_bodies_have_their_surface(body, bias, tolerance, voxel_size):
    assert list(relative_errors(body, voxel_size)) == pytest.approx([bias] * 3, abs=tolerance)


def find_heights(mask):
    """The heights of the method, above 0 in the object, by filters of whole arrays."""
    smooth = mask.astype(float)
    for axis in range(3):
        smooth = ndimage.correlate1d(smooth, np.array([1, 4, 6, 4, 1]) / 16, axis=axis)
    height, margin = np.where(mask, smooth - 0.5, 0.5 - smooth), 3 / 64
    height = np.where(height >= margin, height, margin + 2 * (margin - height))
    return np.where(mask, height, -height)


def fan_area(loop):
    """Area of the triangles between the sides of a polygon and its centroid."""
    spokes = np.array(loop) - np.mean(loop, axis=0)
    return np.linalg.norm(np.cross(spokes, np.roll(spokes, -1, axis=0)), axis=1).sum() / 2


def fan_mesh_nm2(vertices, faces, voxel_size):
    """Area of a mesh of marching cubes, where each polygon of a cell is a fan."""
    sides_of_cells = {}
    for face in faces:
        cell = tuple(np.floor(vertices[face].mean(axis=0)).astype(int).tolist())
        for side in zip(face.tolist(), np.roll(face, -1).tolist(), strict=True):
            sides_of_cells.setdefault(cell, set()).add(side)
    area = 0.0
    for sides in sides_of_cells.values():
        following = {a: b for a, b in sides if (b, a) not in sides}
        while following:
            loop = [next(iter(following))]
            while (vertex := following.pop(loop[-1])) != loop[0]:
                loop.append(vertex)
            area += fan_area(vertices[loop] * voxel_size)
    return area


@pytest.mark.parametrize("sigma", [1, 1.5, 3])
def test_the_surface_is_that_of_marching_cubes(rng, sigma):
    noise = ndimage.gaussian_filter(rng.normal(size=(26, 24, 28)), sigma)
    mask = np.pad(noise[3:-3, 3:-3, 3:-3] > 0.1 * noise.std(), 4)
    vertices, faces, _, _ = marching_cubes(find_heights(mask), 0.0)
    found = surface_nm2(mask, ANISOTROPIC)
    assert found == pytest.approx(fan_mesh_nm2(vertices, faces, ANISOTROPIC), rel=1e-5)
    mesh = mesh_surface_area(vertices * ANISOTROPIC, faces)  # other triangles of each polygon
    assert found == pytest.approx(mesh, rel=0.01 if sigma == 3 else 0.05)


small = st.tuples(*[st.integers(1, 9)] * 3)
LARGE = 2**40


@settings(max_examples=40)
@given(
    arrays(np.uint64, small, elements=st.sampled_from([0, 0, 1, 1, LARGE, 2**64 - 1])),
    st.tuples(*[st.integers(1, 5)] * 3),
)
def test_every_block_grid_gives_the_same_integers(labels, block_shape):
    whole, merged = measure(labels), measure(labels, block_shape)
    assert {name: v.tolist() for name, v in merged.items()} == {
        name: v.tolist() for name, v in whole.items()
    }


def test_block_grids_of_a_large_object(rng):
    noise = ndimage.gaussian_filter(rng.normal(size=(39, 50, 61)), 3)
    labels = np.digitize(noise / noise.std(), [-0.5, 0.2, 0.9]).astype(np.uint16)
    whole = measure(labels)["surface"].tolist()
    for block_shape in ((16, 16, 16), (39, 7, 23), (20, 50, 19)):
        assert measure(labels, block_shape)["surface"].tolist() == whole


def test_touching_objects_each_have_their_full_surface(rng):
    body = Capsule(9 * N, 20 * N)
    mask = rasterize(body, ISOTROPIC, *random_pose(rng, ISOTROPIC))
    halves = mask * (1 + (np.indices(mask.shape)[2] > mask.shape[2] // 2)).astype(np.uint8)
    together = surfaces_nm2(halves)
    alone = {i: surface_nm2(halves == i) for i in (1, 2)}
    assert together == pytest.approx(alone, rel=1e-6)
    assert sum(together.values()) > 1.15 * surface_nm2(mask)


def test_an_object_has_no_surface_where_the_volume_ends():
    labels = np.zeros((8, 9, 10), np.uint8)
    labels[2:4] = 3  # a layer: its two faces only
    _, y, x = ISOTROPIC
    assert surfaces_nm2(labels)[3] == pytest.approx(2 * 9 * y * 10 * x)
    assert surfaces_nm2(np.full((4, 5, 6), 3, np.uint8)) == {3: 0}


def test_a_single_plane_has_the_surface_of_a_slice():
    radius = 12 * N
    disc = rasterize(sphere(radius), ISOTROPIC)
    plane = disc[disc.shape[0] // 2][None]
    assert surface_nm2(plane) == pytest.approx(2 * math.pi * radius * ISOTROPIC[0], rel=0.01)


def test_mirrored_halves_have_the_surface_of_the_whole():
    mask = rasterize(sphere(10 * N), ISOTROPIC, shift_nm=(N / 2, 0, 0))  # symmetric in z
    middle = mask.shape[0] // 2 + 1
    assert mask[:middle][::-1][: mask.shape[0] - middle].tolist() == mask[middle:].tolist()
    assert surface_nm2(mask[middle:]) == pytest.approx(surface_nm2(mask) / 2, rel=1e-6)


def test_unlabelled_voxels_are_background():
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3:9, 3:9, 3:9] = 4
    expected = surfaces_nm2(labels)
    labels[labels == 0] = 255
    assert surfaces_nm2(labels) == expected


@pytest.mark.parametrize(
    ("labels", "faces"),
    [
        ([[[0, 0, 0], [0, 1, 0], [0, 0, 0]]] * 3, 4),  # a line through the volume
        (np.indices((5, 5, 5)).sum(0) % 2, None),  # a checkerboard
    ],
)
def test_single_voxels_do_not_vanish(labels, faces):
    area = surfaces_nm2(np.array(labels, np.uint8))[1]
    assert area > 0
    if faces:
        assert area == pytest.approx(3 * faces * N**2, rel=0.25)


def test_the_unit_leaves_room_for_large_sums():
    for size in (ISOTROPIC, (50.0, 4.6, 4.6), (1e4, 1.0, 1.0)):
        isolated = np.zeros((7, 7, 7), np.uint8)
        isolated[3, 3, 3] = 1
        assert find_areas(isolated, size).item() < 2**28
        assert area_unit_nm2(size) * 2**24 >= max(size) * sorted(size)[1]


def test_the_halo_is_mirrored_at_the_border():
    volume = Volume(np.arange(4, dtype=np.uint8).reshape(1, 1, 4), ISOTROPIC, kind="labels")
    read = read_with_mirrored_halo(volume, Roi((0, 0, 2), (1, 1, 2)))
    assert read.shape == (7, 7, 8)
    assert read[0, 0].tolist() == [0, 0, 1, 2, 3, 3, 2, 1]
