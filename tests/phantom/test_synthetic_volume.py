from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from asem.phantom.cell_geometry import CellGeometry, Pit, Pore, Sphere
from asem.phantom.generate_cell import CellConfig, generate_cell
from asem.phantom.microscope import MicroscopeConfig
from asem.phantom.smooth_surface import SmoothSurface
from asem.phantom.synthetic_volume import SyntheticVolume
from asem.volume.roi import Roi

QUIET = {"grain": 0.0, "ribosome": 0.0, "granule": 0.0, "heterochromatin": 0.0}
NO_WAVES = np.zeros((0, 5))
CLEAN = MicroscopeConfig(
    noise_sd=0, curtaining=0, drift_sd_nm=0, brightness_sd=0, jump_probability=0, blur_nm=2
)


@pytest.fixture(scope="module")
def rendered(small_volume):
    return small_volume.render(Roi.of_shape(small_volume.shape))


def test_a_block_equals_its_part_of_the_whole(small_volume, rendered):
    """Also where the slabs of a block begin at other planes, and at the border."""
    for block in (Roi((0, 0, 0), (37, 50, 170)), Roi((61, 70, 33), (89, 41, 97))):
        image, labels = small_volume.render(block)
        assert (image == rendered[0][block.slices]).all()
        for name, ids in labels.items():
            assert (ids == rendered[1][name][block.slices]).all(), name


def test_all_structures_are_there(small_cell, rendered):
    labels = rendered[1]
    assert set(np.unique(labels["npc"])) == set(range(len(small_cell.pores) + 1))
    for name in ("mito", "er", "nucleus", "plasma_membrane"):
        assert labels[name].any(), name


def test_structures_are_apart(rendered):
    """The same voxel is not in two structures; pores are holes of the envelope."""
    labels = rendered[1]
    for a, b in (("mito", "er"), ("mito", "ccp"), ("golgi", "er"), ("mito", "nucleus")):
        assert not np.any((labels[a] > 0) & (labels[b] > 0)), (a, b)


def test_the_er_is_continuous_with_the_envelope(rendered):
    _, count = ndimage.label(rendered[1]["er"], structure=np.ones((3, 3, 3)))
    assert count == 1


def test_the_same_seed_gives_the_same_cell(small_cell):
    again = generate_cell(small_cell.extent_nm, CellConfig(), np.random.default_rng(5))
    other = generate_cell(small_cell.extent_nm, CellConfig(), np.random.default_rng(6))
    centres = [np.array([pore.centre for pore in c.pores]) for c in (small_cell, again, other)]
    assert (centres[0] == centres[1]).all()
    assert centres[0].shape != centres[2].shape or (centres[0] != centres[2]).any()


def test_pores_have_the_diameters_and_number_that_are_given():
    config = CellConfig(pores=12, pore_diameter_nm=100, pore_diameter_sd_nm=0)
    cell = generate_cell((1600.0,) * 3, config, np.random.default_rng(1))
    assert len(cell.pores) == 12
    assert {pore.radius_nm for pore in cell.pores} == {50.0}


def flat_pore(radius_nm, normal=(1.0, 0.0, 0.0), distance_nm=0.0):
    """A pore in an envelope that is nearly a plane, in a box of 600 nm, and nothing else."""
    normal = np.array(normal) / np.linalg.norm(normal)
    centre = np.full(3, 300.0)
    far = 50_000.0
    nucleus = SmoothSurface(tuple(centre - far * normal), (far,) * 3, NO_WAVES)
    cell = SmoothSurface((300.0,) * 3, (5_000.0,) * 3, NO_WAVES)
    return CellGeometry((600.0,) * 3, cell, nucleus, pores=(Pore(centre, normal, radius_nm),))


@pytest.mark.parametrize("normal", [(1, 0, 0), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("size", [(5.0, 5.0, 5.0), (5.2, 4.0, 4.0)])
def test_the_membranes_of_a_pore_are_as_far_apart_as_its_diameter(normal, size):
    """The darkest points on a line through the centre, within the envelope."""
    cell = flat_pore(46.0, normal)
    shape = tuple(round(600 / step) for step in size)
    volume = SyntheticVolume.of_cell(cell, shape, size, preparation="cf", seed=0, microscope=CLEAN)
    quiet = volume.stain.model_copy(update=QUIET)
    image, _ = replace(volume, stain=quiet).render(Roi.of_shape(shape))
    pore = cell.pores[0]
    across = np.cross(pore.normal, [0.0, 0.6, 0.8])
    across /= np.linalg.norm(across)
    along = np.arange(-90, 90.5, 0.5)
    points = (pore.centre + along[:, None] * across) / size
    grey = ndimage.map_coordinates(image.astype(float), points.T, order=3)
    sides = [along[along < 0][grey[along < 0].argmin()], along[along > 0][grey[along > 0].argmin()]]
    assert sides[1] - sides[0] == pytest.approx(92, abs=3)


def test_voxel_size_and_drift_do_not_move_objects(small_cell):
    """The centre of each pore's mask is where the geometry has it."""
    size = (12.0, 8.0, 10.0)
    shape = tuple(round(e / s) for e, s in zip(small_cell.extent_nm, size, strict=True))
    volume = SyntheticVolume.of_cell(small_cell, shape, size, preparation="cf", seed=1)
    labels = volume.render(Roi.of_shape(shape))[1]["npc"]
    for number, pore in enumerate(small_cell.pores, 1):
        centre = np.mean(np.nonzero(labels == number), axis=1) * size
        assert np.linalg.norm(centre - pore.centre) < 8


def test_sampling_of_smaller_voxels_is_the_same_cell(small_volume, small_cell):
    """Twice as fine: every second voxel has the same labels."""
    roi = Roi((40, 40, 40), (20, 30, 30))
    calm = MicroscopeConfig(drift_sd_nm=0)
    coarse, fine = (
        SyntheticVolume.of_cell(
            small_cell, shape, (nm,) * 3, preparation="hpfs", seed=5, microscope=calm
        )
        for shape, nm in (
            (small_volume.shape, 10.0),
            (tuple(2 * n for n in small_volume.shape), 5.0),
        )
    )
    halved = fine.render(Roi(tuple(2 * n for n in roi.offset), tuple(2 * n for n in roi.shape)))[1]
    for name, ids in coarse.render(roi)[1].items():
        assert (halved[name][::2, ::2, ::2] == ids).all(), name


def test_an_endosome_with_a_pit_has_no_second_one_on_its_far_side():
    far = SmoothSurface((-9_000.0, 300.0, 300.0), (5_000.0,) * 3, NO_WAVES)
    around = SmoothSurface((300.0,) * 3, (5_000.0,) * 3, NO_WAVES)
    centre, normal = np.array([200.0, 300.0, 300.0]), np.array([1.0, 0.0, 0.0])
    pit = Pit(centre + 110 * normal, normal, 125.0, 55.0, 50.0, 15.0, True, 0)
    cell = CellGeometry((600.0,) * 3, around, far, pits=(pit,), endosomes=(Sphere(centre, 110.0),))
    volume = SyntheticVolume.of_cell(cell, (60,) * 3, (10.0,) * 3, preparation="cf", seed=0)
    coat = volume.render(Roi.of_shape((60,) * 3))[1]["ccp"]
    assert ndimage.label(coat)[1] == 1
    assert 10 * np.argwhere(coat)[:, 0].min() > centre[0]


def test_a_pit_has_no_label_outside_of_the_cell():
    """The sphere of a shallow pit rises above the membrane; its label ends 9 nm above it."""
    far = SmoothSurface((9_000.0, 300.0, 300.0), (500.0,) * 3, NO_WAVES)
    around = SmoothSurface((50_200.0, 300.0, 300.0), (50_000.0,) * 3, NO_WAVES)
    position, normal = np.array([200.0, 300.0, 300.0]), np.array([1.0, 0.0, 0.0])
    pit = Pit(position, normal, 40.0, 60.0, 80.0, 0.0, True)
    cell = CellGeometry((600.0,) * 3, around, far, pits=(pit,))
    volume = SyntheticVolume.of_cell(cell, (120,) * 3, (5.0,) * 3, preparation="cf", seed=0)
    coat = 5 * np.argwhere(volume.render(Roi.of_shape((120,) * 3))[1]["ccp"])
    assert 200 - 9 - 5 <= coat[:, 0].min() <= 200 - 9 + 5
    assert coat[:, 0].max() > 240
