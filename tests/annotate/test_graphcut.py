"""Properties of each energy: cuts are minimal, strokes keep their label, errors have messages."""

import numpy as np
import pytest

from asem.annotate import membrane_energy
from asem.annotate.fragments import FragmentConfig
from asem.annotate.graphcut import ENERGIES, GraphCutConfig, cut_region, prepare_region
from asem.annotate.hard_constraints import downsample_strokes, drop_grazing_strokes
from asem.annotate.membrane_energy import MembraneConfig
from asem.annotate.paper_energy import PaperConfig
from asem.annotate.supervoxel_energy import PreparedSupervoxels
from asem.annotate.supervoxels import SupervoxelConfig

VOXEL = (8.0, 4.0, 4.0)
CONFIGS = {
    "membranes": GraphCutConfig(
        membranes=MembraneConfig(
            fragments=FragmentConfig(membrane_nm=5, seed_spacing_bins=2), smoothing_nm=0
        )
    ),
    "paper": GraphCutConfig(
        energy="paper", paper=PaperConfig(supervoxels=SupervoxelConfig(number=300))
    ),
}
both = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def energy_of(region, strokes):
    """The energy that a region minimizes, where no node has strokes of both labels."""
    if isinstance(region, PreparedSupervoxels):
        return region.build_energy(strokes)
    labels = region.fragments.labels
    bins = downsample_strokes(strokes, region.bin_factors, labels.shape)
    return membrane_energy.build_membrane_energy(
        region.fragments, region.features, drop_grazing_strokes(bins, labels), region.config
    )


def f1(found, truth):
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@both
def test_no_random_neighbour_of_the_cut_is_better(ball, strokes, rng, config):
    region = prepare_region(ball[0], VOXEL, config)
    energy = energy_of(region, strokes)
    found = energy.minimize()
    least = energy.evaluate(found)
    assert cut_region(region, strokes).energy == pytest.approx(least)
    for _ in range(1000):
        other = found.copy()
        some = rng.choice(len(other), rng.integers(1, 6), replace=False)
        other[some] ^= True
        assert energy.evaluate(other) >= least - 1e-9


@both
def test_a_ball_is_found_from_two_strokes(ball, strokes, config):
    raw, truth = ball
    found = cut_region(prepare_region(raw, VOXEL, config), strokes).foreground
    assert f1(found, truth) > 0.8


@both
def test_strokes_keep_their_label_also_within_one_node(ball, rng, config):
    raw, _ = ball
    region = prepare_region(raw, VOXEL, config)
    strokes = rng.choice([0] * 6 + [1, 2], raw.shape).astype(np.uint8)
    found = cut_region(region, strokes)
    assert found.foreground[strokes == 1].all()
    assert not found.foreground[strokes == 2].any()
    assert np.isinf(found.voxel_margins[strokes > 0]).all()


@pytest.mark.parametrize(
    ("name", "voxels", "energy"),
    [("membranes", 1020, 4.479129990942151), ("paper", 1104, 997.2007984995355)],
)
def test_results_do_not_change_between_versions(ball, strokes, name, voxels, energy):
    """The values are those of the version that added the test."""
    found = cut_region(prepare_region(ball[0], VOXEL, CONFIGS[name]), strokes)
    assert np.count_nonzero(found.foreground) == voxels
    assert found.energy == pytest.approx(energy, rel=1e-6)


@both
def test_a_repeated_cut_is_the_same(ball, strokes, config):
    region = prepare_region(ball[0], VOXEL, config)
    one, two = cut_region(region, strokes), cut_region(region, strokes)
    assert np.array_equal(one.foreground, two.foreground)
    assert one.energy == two.energy


@both
@pytest.mark.parametrize("shape", [(1, 30, 40), (2, 9, 1), (31, 1, 17)])
def test_thin_regions(rng, config, shape):
    raw = rng.random(shape, np.float32)
    strokes = np.zeros(shape, np.uint8)
    strokes[0, 0, 0], strokes[-1, -1, -1] = 1, 2
    found = cut_region(prepare_region(raw, VOXEL, config), strokes).foreground
    assert found.shape == shape
    assert found[0, 0, 0]
    assert not found[-1, -1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:-1], r"the strokes have shape \(15, 32, 32\), the region \(16, 32, 32\)"),
        (lambda s: np.where(s == 1, 0, s), r"no stroke of the foreground \(1\)"),
        (lambda s: np.where(s == 2, 0, s), r"no stroke of the background \(2\)"),
        (lambda s: np.where(s == 2, 3, s), r"1 \(foreground\) and 2 \(background\), not 3"),
    ],
)
@both
def test_bad_strokes(ball, strokes, change, message, config):
    region = prepare_region(ball[0], VOXEL, config)
    with pytest.raises(ValueError, match=message):
        cut_region(region, change(strokes))


@both
def test_a_constant_region_has_nothing_to_cut_by(config):
    with pytest.raises(ValueError, match=r"all grey values of the region are 0\.5"):
        prepare_region(np.full((4, 4, 4), 0.5, np.float32), VOXEL, config)


def test_each_energy_has_a_table_of_settings():
    assert set(ENERGIES) == set(CONFIGS)
    for name, entry in ENERGIES.items():
        assert GraphCutConfig(energy=name).energy_config == entry.config()


def test_an_unknown_energy():
    with pytest.raises(ValueError, match="'energy': give one of membranes, paper; got 'x'"):
        GraphCutConfig.from_dict({"energy": "x"}, source="x.toml")


def test_a_table_of_another_energy_is_an_error():
    given = {"energy": "paper", "membranes": {"appearance_weight": 2}}
    with pytest.raises(ValueError, match=r'\[membranes\] has no effect where energy = "paper"'):
        GraphCutConfig.from_dict(given, source="x.toml")


def test_a_prior_needs_no_strokes_and_strokes_correct_it(ball, strokes):
    """A wrong prior labels the ball as background, and a side of the background as foreground."""
    raw, truth = ball
    region = prepare_region(raw, VOXEL, CONFIGS["membranes"])
    right = np.where(truth, 240, 15).astype(np.uint8)
    found = cut_region(region, np.zeros_like(strokes), right).foreground
    assert f1(found, truth) > 0.8
    nodes = region.fragments.labels.repeat(2, 1).repeat(2, 2)  # bins of 1 x 2 x 2 voxels
    corner = np.isin(nodes, np.unique(nodes[:, 31])) & ~truth
    wrong = np.where(corner, 240, 15).astype(np.uint8)
    found = cut_region(region, np.zeros_like(strokes), wrong).foreground
    assert found[corner].mean() > 0.5
    assert found[truth].mean() < 0.1
    only = np.where(strokes == 1, strokes, 0)
    assert cut_region(region, only, wrong).foreground[truth].mean() > 0.5
    assert f1(cut_region(region, strokes, wrong).foreground, truth) > f1(found, truth) + 0.3


def test_a_prior_of_another_shape_or_for_the_papers_energy(ball, strokes):
    prior = np.zeros(strokes.shape, np.uint8)
    with pytest.raises(
        ValueError, match=r"the prediction has shape \(1, 32, 32\), the region \(16"
    ):
        cut_region(prepare_region(ball[0], VOXEL), strokes, prior[:1])
    with pytest.raises(ValueError, match='allows no prediction; use energy = "membranes"'):
        cut_region(prepare_region(ball[0], VOXEL, CONFIGS["paper"]), strokes, prior)


@both
def test_both_labels_in_one_node(rng, config):
    raw, strokes = rng.random((2, 2, 2), np.float32), np.zeros((2, 2, 2), np.uint8)
    strokes[0, 0, 0], strokes[0, 0, 1] = 1, 2
    found = cut_region(prepare_region(raw, (5.0,) * 3, config), strokes).foreground
    assert found[0, 0, 0]
    assert not found[0, 0, 1]
