"""Extraction of a patch by the CPU kernels and by torch, compared with references."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from asem.training.augmentation import SpatialTransform, draw_spatial_transform, rotation_matrix
from asem.training.config import AugmentConfig
from asem.training.random_fields import NODE_SPACING
from asem.training.spatial_cpu import warp_codes, warp_grey
from asem.training.transforms_torch import (
    source_coordinates_on_device,
    warp_codes_on_device,
    warp_grey_on_device,
)

OUTSIDE = 254


def grey_cpu(voxels, centre, transform):
    grey, mean = warp_grey(voxels, np.asarray(centre, float), transform)
    assert mean == pytest.approx(grey.mean(), abs=1e-5)
    return grey


def grey_torch(voxels, centre, transform):
    source = source_coordinates_on_device(transform, torch.device("cpu"))
    tensor = torch.from_numpy(voxels)
    return warp_grey_on_device(tensor, np.asarray(centre, float), transform, source).numpy()


def codes_cpu(codes, centre, transform, edge):
    centre = np.asarray(centre, float)
    return warp_codes(codes, centre, transform, output_shape=(edge,) * 3, outside=OUTSIDE)


def codes_torch(codes, centre, transform, edge):
    tensor = torch.from_numpy(codes)
    centre = np.asarray(centre, float)
    source = source_coordinates_on_device(transform, torch.device("cpu"))
    return warp_codes_on_device(tensor, centre, source, edge=edge, outside=OUTSIDE).numpy()


BOTH = pytest.mark.parametrize(
    ("grey_of", "codes_of"), [(grey_cpu, codes_cpu), (grey_torch, codes_torch)]
)


def identity(size, matrix=None):
    nodes = -(-(size - 1) // NODE_SPACING) + 1
    return SpatialTransform(
        (size,) * 3,
        np.eye(3) if matrix is None else np.asarray(matrix, float),
        np.zeros((3, nodes, nodes, nodes), np.float32),
        (np.zeros((size, 3), np.float32),) * 3,
    )


def middle(shape):
    return [(n - 1) / 2 for n in shape]


@pytest.fixture
def voxels(rng):
    return rng.integers(0, 256, (20, 20, 20)).astype(np.uint8)


@BOTH
@pytest.mark.parametrize("size", [13, 20])
def test_the_identity_is_a_crop(voxels, grey_of, codes_of, size):
    start = np.array([0, 0, 0]) if size == 20 else np.array([2, 5, 6])
    centre = start + (size - 1) / 2
    cut = voxels[tuple(slice(s, s + size) for s in start)]
    assert np.allclose(grey_of(voxels, centre, identity(size)), cut / 255, atol=1e-5)
    edge = size - 6
    assert (codes_of(voxels, centre, identity(size), edge) == cut[3:-3, 3:-3, 3:-3]).all()


@BOTH
def test_mirrors_and_transposes_are_exact(voxels, grey_of, codes_of):
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        transform = identity(20, np.eye(3)[list(order)] * signs)
        flipped = voxels[tuple(slice(None, None, int(s)) for s in transform.matrix @ np.ones(3))]
        expected = flipped.transpose(np.argsort(order))
        assert np.allclose(
            grey_of(voxels, middle(voxels.shape), transform), expected / 255, atol=1e-5
        )
        assert (codes_of(voxels, middle(voxels.shape), transform, 20) == expected).all()


@BOTH
def test_outside_the_array_grey_is_reflected_and_labels_are_ignored(voxels, grey_of, codes_of):
    padded = np.pad(voxels, 7, mode="reflect")
    centre = middle(voxels.shape)
    assert np.allclose(grey_of(voxels, centre, identity(34)), padded / 255, atol=1e-5)
    codes = codes_of(voxels, centre, identity(34), 24)
    assert (codes[2:-2, 2:-2, 2:-2] == voxels).all()
    codes[2:-2, 2:-2, 2:-2] = OUTSIDE
    assert (codes == OUTSIDE).all()


@BOTH
def test_a_plane_and_a_thin_axis(grey_of, codes_of, rng):
    thin = rng.integers(0, 256, (1, 2, 20)).astype(np.uint8)
    grey = grey_of(thin, middle(thin.shape), identity(8))
    expected = np.pad(thin, [(4, 3), (3, 3), (0, 0)], mode="reflect")[:, :, 6:14]
    assert np.allclose(grey, expected / 255, atol=1e-5)


@BOTH
def test_interpolation_is_scipys(voxels, grey_of, codes_of, rng):
    transform = draw_spatial_transform(
        AugmentConfig(scale=0.1), (17,) * 3, voxel_size=(10, 10, 10), rng=rng
    )
    centre = np.array([9.3, 10.5, 8.75])
    place = source_positions(transform, centre)
    expected = map_coordinates(voxels.astype(float), place, order=1, mode="mirror")
    assert np.allclose(grey_of(voxels, centre, transform), expected / 255, atol=2e-4)
    nearest = map_coordinates(voxels, np.floor(place + 0.5), order=0, mode="constant", cval=OUTSIDE)
    assert (codes_of(voxels, centre, transform, 17) == nearest).mean() > 0.999  # but for ties


def source_positions(transform, centre):
    """Return the source positions by the formula of `SpatialTransform`, in double precision."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in transform.shape), indexing="ij")).astype(
        float
    )
    offset = index - (np.array(transform.shape).reshape(3, 1, 1, 1) - 1) / 2
    place = np.einsum("ab,bzyx->azyx", transform.matrix, offset) + np.reshape(centre, (3, 1, 1, 1))
    for axis, shift in enumerate(transform.slice_shifts):
        shape = [3, 1, 1, 1]
        shape[1 + axis] = -1
        place += shift.T.reshape(shape)
    bend = [
        map_coordinates(channel, index / NODE_SPACING, order=1, mode="nearest")
        for channel in transform.displacement
    ]
    return place + np.stack(bend)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_measured_angle_is_the_drawn_one(grey_of, codes_of, axis):
    """A rod along one axis is turned towards another; its principal axis is the angle."""
    size, angle = 61, np.radians(27)
    rod = np.zeros((size,) * 3, np.uint8)
    a, b = (other for other in range(3) if other != axis)
    box = [slice(28, 33)] * 3
    box[a] = slice(8, 53)
    rod[tuple(box)] = 255
    transform = identity(size, rotation_matrix(axis, angle))
    for mass in (
        grey_of(rod, middle(rod.shape), transform),
        codes_of((rod > 0).astype(np.uint8), middle(rod.shape), transform, size) == 1,
    ):
        points = np.argwhere(mass > 0.5) - (size - 1) / 2
        direction = np.linalg.svd(points, full_matrices=False)[2][0]
        # The patch's voxel i shows source voxel R i: the rod is rotated by the inverse.
        measured = np.degrees(np.arctan2(-direction[b], direction[a]) % np.pi)
        assert measured == pytest.approx(27, abs=1)


def ball(shape, centre, radius, voxel_size):
    place = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return (((place - centre) * voxel_size) ** 2).sum(-1) <= radius**2


@BOTH
@pytest.mark.parametrize("voxel_size", [(10, 10, 10), (30, 6, 6)])
def test_labels_stay_aligned_with_the_image(grey_of, codes_of, voxel_size, rng):
    shape = tuple(int(600 / size) for size in voxel_size)
    sphere = ball(shape, middle(shape), 150, np.array(voxel_size)).astype(np.uint8)
    config = AugmentConfig(scale=0.1, elastic_sigma_nm=15)
    for _ in range(4):
        transform = draw_spatial_transform(config, (40, 40, 40), voxel_size=voxel_size, rng=rng)
        grey = grey_of(sphere * 255, middle(shape), transform)
        codes = codes_of(sphere, middle(shape), transform, 40)
        inside = codes != OUTSIDE
        assert ((grey > 0.5) == (codes == 1))[inside].mean() > 0.985
        assert (codes == 1).any()


@BOTH
def test_a_sphere_of_anisotropic_voxels_stays_a_sphere(grey_of, codes_of):
    """Rotated in the plane of 6 and 8 nm; a rotation in voxels would shear."""
    size = np.array([10.0, 6.0, 8.0])
    shape = (41, 69, 51)
    sphere = ball(shape, middle(shape), 160, size).astype(np.uint8)
    matrix = rotation_matrix(0, 0.6) * size / size[:, None]
    codes = codes_of(sphere, middle(shape), identity(71, matrix), 71)
    points = (np.argwhere(codes == 1) - 35) * size
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    assert spread.max() / spread.min() < 1.02


@BOTH
def test_scale_makes_objects_larger(grey_of, codes_of):
    sphere = ball((50,) * 3, (24.5,) * 3, 12, np.ones(3)).astype(np.uint8)
    codes = codes_of(sphere, (24.5,) * 3, identity(50, np.eye(3) / 1.2), 50)
    assert (codes == 1).sum() / sphere.sum() == pytest.approx(1.2**3, rel=0.03)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_shift_moves_only_its_plane(voxels, grey_of, codes_of, axis):
    shifts = tuple(np.zeros((20, 3), np.float32) for _ in range(3))
    other = (axis + 1) % 3
    shifts[axis][4, other] = 2
    transform = replace(identity(20), slice_shifts=shifts)
    codes = codes_of(voxels, middle(voxels.shape), transform, 20)
    planes = np.moveaxis(codes, axis, 0)
    source = np.moveaxis(voxels, axis, 0)
    assert (np.delete(planes, 4, 0) == np.delete(source, 4, 0)).all()
    shifted = np.moveaxis(np.take(voxels, 4, axis), other - (other > axis), 0)
    moved = np.moveaxis(np.take(codes, 4, axis), other - (other > axis), 0)
    assert (moved[:-2] == shifted[2:]).all()
    assert (moved[-2:] == OUTSIDE).all()


def test_cpu_and_torch_agree(voxels, rng):
    for _ in range(5):
        transform = draw_spatial_transform(
            AugmentConfig(scale=0.2), (24,) * 3, voxel_size=(5, 5, 5), rng=rng
        )
        centre = rng.uniform(5, 15, 3)
        on_cpu, in_torch = (
            grey_cpu(voxels, centre, transform),
            grey_torch(voxels, centre, transform),
        )
        assert np.abs(on_cpu - in_torch).max() < 1e-3
        labels = (
            codes_cpu(voxels, centre, transform, 12),
            codes_torch(voxels, centre, transform, 12),
        )
        assert (labels[0] == labels[1]).mean() > 0.999
