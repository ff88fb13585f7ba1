"""Both ways to cut a patch, by the processor's kernels and by torch, against what is known."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from asem.model.config import AugmentConfig
from asem.training.augment import Warp, draw_warp, rotation
from asem.training.fields import STEP
from asem.training.on_device import sources_on_device, warp_codes_on_device, warp_grey_on_device
from asem.training.warp import warp_codes, warp_grey

BEYOND = 254


def grey_here(voxels, centre, warp):
    grey, mean = warp_grey(voxels, np.asarray(centre, float), warp)
    assert mean == pytest.approx(grey.mean(), abs=1e-5)
    return grey


def grey_there(voxels, centre, warp):
    source = sources_on_device(warp, torch.device("cpu"))
    tensor = torch.from_numpy(voxels)
    return warp_grey_on_device(tensor, np.asarray(centre, float), warp, source).numpy()


def codes_here(codes, centre, warp, edge):
    centre = np.asarray(centre, float)
    return warp_codes(codes, centre, warp, edge=(edge,) * 3, outside=BEYOND)


def codes_there(codes, centre, warp, edge):
    tensor = torch.from_numpy(codes)
    centre = np.asarray(centre, float)
    source = sources_on_device(warp, torch.device("cpu"))
    return warp_codes_on_device(tensor, centre, source, edge=edge, outside=BEYOND).numpy()


BOTH = pytest.mark.parametrize(
    ("grey_of", "codes_of"), [(grey_here, codes_here), (grey_there, codes_there)]
)


def still(size, matrix=None):
    nodes = -(-(size - 1) // STEP) + 1
    return Warp(
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
def test_nothing_drawn_is_a_cut(voxels, grey_of, codes_of, size):
    start = np.array([0, 0, 0]) if size == 20 else np.array([2, 5, 6])
    centre = start + (size - 1) / 2
    cut = voxels[tuple(slice(s, s + size) for s in start)]
    assert np.allclose(grey_of(voxels, centre, still(size)), cut / 255, atol=1e-5)
    edge = size - 6
    assert (codes_of(voxels, centre, still(size), edge) == cut[3:-3, 3:-3, 3:-3]).all()


@BOTH
def test_mirrors_and_transposes_are_exact(voxels, grey_of, codes_of):
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        warp = still(20, np.eye(3)[list(order)] * signs)
        flipped = voxels[tuple(slice(None, None, int(s)) for s in warp.matrix @ np.ones(3))]
        expected = flipped.transpose(np.argsort(order))
        assert np.allclose(grey_of(voxels, middle(voxels.shape), warp), expected / 255, atol=1e-5)
        assert (codes_of(voxels, middle(voxels.shape), warp, 20) == expected).all()


@BOTH
def test_beyond_the_array_grey_is_reflected_and_labels_do_not_count(voxels, grey_of, codes_of):
    padded = np.pad(voxels, 7, mode="reflect")
    centre = middle(voxels.shape)
    assert np.allclose(grey_of(voxels, centre, still(34)), padded / 255, atol=1e-5)
    codes = codes_of(voxels, centre, still(34), 24)
    assert (codes[2:-2, 2:-2, 2:-2] == voxels).all()
    codes[2:-2, 2:-2, 2:-2] = BEYOND
    assert (codes == BEYOND).all()


@BOTH
def test_a_plane_and_a_thin_axis(grey_of, codes_of, rng):
    thin = rng.integers(0, 256, (1, 2, 20)).astype(np.uint8)
    grey = grey_of(thin, middle(thin.shape), still(8))
    expected = np.pad(thin, [(4, 3), (3, 3), (0, 0)], mode="reflect")[:, :, 6:14]
    assert np.allclose(grey, expected / 255, atol=1e-5)


@BOTH
def test_interpolation_is_scipys(voxels, grey_of, codes_of, rng):
    warp = draw_warp(AugmentConfig(scale=0.1), (17,) * 3, voxel_size=(10, 10, 10), rng=rng)
    centre = np.array([9.3, 10.5, 8.75])
    place = positions(warp, centre)
    expected = map_coordinates(voxels.astype(float), place, order=1, mode="mirror")
    assert np.allclose(grey_of(voxels, centre, warp), expected / 255, atol=2e-4)
    nearest = map_coordinates(voxels, np.floor(place + 0.5), order=0, mode="constant", cval=BEYOND)
    assert (codes_of(voxels, centre, warp, 17) == nearest).mean() > 0.999  # but for ties


def positions(warp, centre):
    """Return where each voxel comes from, by the formula in `Warp`, in double precision."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in warp.shape), indexing="ij")).astype(float)
    offset = index - (np.array(warp.shape).reshape(3, 1, 1, 1) - 1) / 2
    place = np.einsum("ab,bzyx->azyx", warp.matrix, offset) + np.reshape(centre, (3, 1, 1, 1))
    for axis, shift in enumerate(warp.shifts):
        shape = [3, 1, 1, 1]
        shape[1 + axis] = -1
        place += shift.T.reshape(shape)
    bend = [
        map_coordinates(channel, index / STEP, order=1, mode="nearest") for channel in warp.field
    ]
    return place + np.stack(bend)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_measured_angle_is_the_drawn_one(grey_of, codes_of, axis):
    """A rod along one axis is turned towards another; its principal axis says by how much."""
    size, angle = 61, np.radians(27)
    rod = np.zeros((size,) * 3, np.uint8)
    a, b = (other for other in range(3) if other != axis)
    box = [slice(28, 33)] * 3
    box[a] = slice(8, 53)
    rod[tuple(box)] = 255
    warp = still(size, rotation(axis, angle))
    for mass in (
        grey_of(rod, middle(rod.shape), warp),
        codes_of((rod > 0).astype(np.uint8), middle(rod.shape), warp, size) == 1,
    ):
        points = np.argwhere(mass > 0.5) - (size - 1) / 2
        direction = np.linalg.svd(points, full_matrices=False)[2][0]
        # The patch's voxel i shows source voxel R i: what it shows is turned back.
        measured = np.degrees(np.arctan2(-direction[b], direction[a]) % np.pi)
        assert measured == pytest.approx(27, abs=1)


def ball(shape, centre, radius, voxel_size):
    place = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    return (((place - centre) * voxel_size) ** 2).sum(-1) <= radius**2


@BOTH
@pytest.mark.parametrize("voxel_size", [(10, 10, 10), (30, 6, 6)])
def test_a_labelled_sphere_stays_on_its_image(grey_of, codes_of, voxel_size, rng):
    shape = tuple(int(600 / size) for size in voxel_size)
    sphere = ball(shape, middle(shape), 150, np.array(voxel_size)).astype(np.uint8)
    config = AugmentConfig(scale=0.1, elastic_sigma_nm=15)
    for _ in range(4):
        warp = draw_warp(config, (40, 40, 40), voxel_size=voxel_size, rng=rng)
        grey = grey_of(sphere * 255, middle(shape), warp)
        codes = codes_of(sphere, middle(shape), warp, 40)
        inside = codes != BEYOND
        assert ((grey > 0.5) == (codes == 1))[inside].mean() > 0.985
        assert (codes == 1).any()


@BOTH
def test_a_sphere_of_anisotropic_voxels_stays_a_sphere(grey_of, codes_of):
    """Turned in the plane of 6 and 8 nm; as voxels it would shear."""
    size = np.array([10.0, 6.0, 8.0])
    shape = (41, 69, 51)
    sphere = ball(shape, middle(shape), 160, size).astype(np.uint8)
    matrix = rotation(0, 0.6) * size / size[:, None]
    codes = codes_of(sphere, middle(shape), still(71, matrix), 71)
    points = (np.argwhere(codes == 1) - 35) * size
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    assert spread.max() / spread.min() < 1.02


@BOTH
def test_scale_makes_objects_larger(grey_of, codes_of):
    sphere = ball((50,) * 3, (24.5,) * 3, 12, np.ones(3)).astype(np.uint8)
    codes = codes_of(sphere, (24.5,) * 3, still(50, np.eye(3) / 1.2), 50)
    assert (codes == 1).sum() / sphere.sum() == pytest.approx(1.2**3, rel=0.03)


@BOTH
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slip_moves_its_plane_alone(voxels, grey_of, codes_of, axis):
    shifts = tuple(np.zeros((20, 3), np.float32) for _ in range(3))
    other = (axis + 1) % 3
    shifts[axis][4, other] = 2
    warp = replace(still(20), shifts=shifts)
    codes = codes_of(voxels, middle(voxels.shape), warp, 20)
    planes = np.moveaxis(codes, axis, 0)
    source = np.moveaxis(voxels, axis, 0)
    assert (np.delete(planes, 4, 0) == np.delete(source, 4, 0)).all()
    shifted = np.moveaxis(np.take(voxels, 4, axis), other - (other > axis), 0)
    moved = np.moveaxis(np.take(codes, 4, axis), other - (other > axis), 0)
    assert (moved[:-2] == shifted[2:]).all()
    assert (moved[-2:] == BEYOND).all()


def test_both_ways_are_one(voxels, rng):
    for _ in range(5):
        warp = draw_warp(AugmentConfig(scale=0.2), (24,) * 3, voxel_size=(5, 5, 5), rng=rng)
        centre = rng.uniform(5, 15, 3)
        here, there = grey_here(voxels, centre, warp), grey_there(voxels, centre, warp)
        assert np.abs(here - there).max() < 1e-3
        labels = codes_here(voxels, centre, warp, 12), codes_there(voxels, centre, warp, 12)
        assert (labels[0] == labels[1]).mean() > 0.999
