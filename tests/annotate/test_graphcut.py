"""What holds for each energy: the least of all, strokes kept, faults told."""

import numpy as np
import pytest

from asem.annotate import membranes, paper
from asem.annotate.fragments import FragmentConfig
from asem.annotate.graphcut import GraphCutConfig, cut, prepared
from asem.annotate.membranes import MembraneConfig, binned_strokes
from asem.annotate.paper import PaperConfig
from asem.annotate.supervoxels import SupervoxelConfig

VOXEL = (8.0, 4.0, 4.0)
CONFIGS = {
    "membranes": GraphCutConfig(
        membranes=MembraneConfig(fragments=FragmentConfig(membrane_nm=5, seeds=2), smoothing_nm=0)
    ),
    "paper": GraphCutConfig(
        energy="paper", paper=PaperConfig(supervoxels=SupervoxelConfig(number=300))
    ),
}
both = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def energy_of(region, strokes):
    """The energy that a region minimizes, where no piece carries both kinds of strokes."""
    if isinstance(region, paper.PaperRegion):
        return paper.energy_of(region, region.pieces, strokes)
    marks = binned_strokes(strokes, region.factors, region.fragments.labels.shape)
    return membranes.energy_of(region.fragments, region.features, marks, region.config)


@both
def test_no_random_neighbour_of_the_cut_is_better(ball, strokes, rng, config):
    region = prepared(ball[0], VOXEL, config)
    energy = energy_of(region, strokes)
    found = energy.minimize()
    least = energy.of(found)
    assert cut(region, strokes).energy == pytest.approx(least)
    for _ in range(1000):
        other = found.copy()
        some = rng.choice(len(other), rng.integers(1, 6), replace=False)
        other[some] ^= True
        assert energy.of(other) >= least - 1e-9


@both
def test_a_ball_is_found_from_two_strokes(ball, strokes, config):
    raw, truth = ball
    found = cut(prepared(raw, VOXEL, config), strokes).foreground
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


@both
def test_strokes_keep_their_label_also_within_one_piece(ball, rng, config):
    raw, _ = ball
    region = prepared(raw, VOXEL, config)
    strokes = rng.choice([0] * 6 + [1, 2], raw.shape).astype(np.uint8)
    found = cut(region, strokes)
    assert found.foreground[strokes == 1].all()
    assert not found.foreground[strokes == 2].any()
    assert np.isinf(found.margin[strokes > 0]).all()


@both
def test_a_cut_again_is_the_same(ball, strokes, config):
    region = prepared(ball[0], VOXEL, config)
    one, two = cut(region, strokes), cut(region, strokes)
    assert np.array_equal(one.foreground, two.foreground)
    assert one.energy == two.energy


@both
@pytest.mark.parametrize("shape", [(1, 30, 40), (2, 9, 1), (31, 1, 17)])
def test_thin_regions(rng, config, shape):
    raw = rng.random(shape, np.float32)
    strokes = np.zeros(shape, np.uint8)
    strokes[0, 0, 0], strokes[-1, -1, -1] = 1, 2
    found = cut(prepared(raw, VOXEL, config), strokes).foreground
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
    region = prepared(ball[0], VOXEL, config)
    with pytest.raises(ValueError, match=message):
        cut(region, change(strokes))


@both
def test_a_constant_region_has_nothing_to_cut_by(config):
    with pytest.raises(ValueError, match=r"all grey values of the region are 0\.5"):
        prepared(np.full((4, 4, 4), 0.5, np.float32), VOXEL, config)


def test_weights_of_the_other_energy_are_refused():
    given = {"energy": "paper", "membranes": {"look": 2}}
    with pytest.raises(ValueError, match=r'\[membranes\] says nothing where energy = "paper"'):
        GraphCutConfig.checked(given, source="x.toml")
