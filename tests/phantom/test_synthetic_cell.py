import numpy as np
import pytest
from scipy import ndimage

from asem.phantom.geometry import CellGeometry, Sphere, Tube, generate_geometry
from asem.phantom.imaging_model import DEFAULT_IMAGING, LOW_CONTRAST_IMAGING, simulate_image
from asem.phantom.rasterization import CYTOSOL, rasterize, smooth_noise
from asem.phantom.synthetic_cell import make_synthetic_cell

SHAPE, SIZE = (40, 100, 120), (10.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def cell():
    return make_synthetic_cell(SHAPE, SIZE, np.random.default_rng(1))


def test_the_same_seed_gives_the_same_cell(cell):
    again = make_synthetic_cell(SHAPE, SIZE, np.random.default_rng(1))
    other = make_synthetic_cell(SHAPE, SIZE, np.random.default_rng(2))
    assert all((a == b).all() for a, b in zip(cell, again, strict=True))
    assert not (cell[1] == other[1]).all()


def test_it_has_the_grey_values_of_a_real_volume(cell):
    """EPFL hippocampus: 96 inside and 142 outside of the labels, all of 8 bits in use."""
    raw, labels = cell
    assert raw.dtype == np.uint8
    assert 75 < raw[labels > 0].mean() < 110
    assert 125 < raw[labels == 0].mean() < 160
    assert 25 < raw.std() < 50


def test_mitochondria_are_apart_and_connected(cell):
    labels = cell[1]
    assert labels.max() >= 2
    touching = ndimage.grey_dilation(labels, size=3)
    lowest = np.where(labels > 0, labels, 60_000)
    assert (touching[labels > 0] == labels[labels > 0]).all()
    assert (ndimage.grey_erosion(lowest, size=3)[labels > 0] == labels[labels > 0]).all()


def test_a_straight_tube_has_the_volume_of_a_capsule(rng):
    spine = np.array([[303.0, 304.0, 306.0], [303.0, 304.0, 706.0]])
    cell = CellGeometry((600.0, 600.0, 1000.0), (Tube(spine, 150.0),), ())
    specimen = rasterize(cell, SIZE, rng)
    volume = np.count_nonzero(specimen.mitochondria) * 10.0**3
    exact = np.pi * 150**2 * 400 + 4 / 3 * np.pi * 150**3
    assert volume == pytest.approx(exact, rel=0.01)


def test_anisotropic_voxels_keep_the_shape_in_nm(rng):
    spine = np.array([[300.0, 300.0, 300.0], [300.0, 300.0, 301.0]])
    cell = CellGeometry((600.0, 600.0, 600.0), (Tube(spine, 200.0),), ())
    ids = rasterize(cell, (30.0, 10.0, 5.0), rng).mitochondria
    assert ids.shape == (20, 60, 120)
    extents = [np.ptp(axis) * size for axis, size in zip(np.nonzero(ids), (30, 10, 5), strict=True)]
    assert extents == pytest.approx([390, 390, 390], abs=31)


def test_a_dark_ball_is_dark_and_no_mitochondrion(rng):
    ball = Sphere(np.array([200.0, 200.0, 200.0]), 100.0, electron_dense=True)
    specimen = rasterize(CellGeometry((400.0,) * 3, (), (ball,)), SIZE, rng)
    assert specimen.grey[20, 20, 20] < CYTOSOL - 50
    assert not specimen.mitochondria.any()


def test_drawn_bodies_keep_their_distance(rng):
    cell = generate_geometry((1000.0, 1000.0, 2000.0), rng)
    assert len(cell.mitochondria) >= 2
    assert {ball.electron_dense for ball in cell.spheres} == {True, False}
    for ball in cell.spheres:
        for tube in cell.mitochondria:
            apart = np.linalg.norm(tube.centreline - ball.centre, axis=1).min()
            assert apart >= ball.radius_nm + tube.radius_nm


def test_noise_has_unit_variance_and_its_length(rng):
    noise = smooth_noise((64, 64, 64), 30, SIZE, rng)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert noise.mean() == pytest.approx(0, abs=1e-3)
    near, far = (np.mean(noise[:-d] * noise[d:]) for d in (1, 20))
    assert near > 0.9
    assert abs(far) < 0.2


def test_the_image_is_blurred_and_noisy(rng):
    step = np.zeros((20, 40, 40), np.float32)
    step[:, :, 20:] = 200
    grey = simulate_image(step, SIZE, rng).astype(float)
    assert grey[:, :, :10].std() > 3
    assert 20 < grey[:, :, 20].mean() < 180


def test_another_preparation_shows_the_same_cell_otherwise():
    first, second = (
        make_synthetic_cell((20, 40, 60), SIZE, np.random.default_rng(4), imaging=imaging)
        for imaging in (DEFAULT_IMAGING, LOW_CONTRAST_IMAGING)
    )
    assert (first[1] == second[1]).all()
    assert second[0].std() < 0.75 * first[0].std()
    assert np.corrcoef(first[0].ravel(), second[0].ravel())[0, 1] > 0.5
    step = np.zeros((8, 40, 40), np.float32)
    noise = [
        simulate_image(step + 128, SIZE, np.random.default_rng(0), imaging).std()
        for imaging in (DEFAULT_IMAGING, LOW_CONTRAST_IMAGING)
    ]
    assert noise[1] > 1.2 * noise[0]
