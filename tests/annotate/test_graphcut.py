from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from asem.annotate.graphcut import Energy, GraphCutConfig, Region, cut, energy_of, measured
from asem.annotate.supervoxels import SupervoxelConfig

VOXEL = (8.0, 4.0, 4.0)
CONFIG = GraphCutConfig(supervoxels=SupervoxelConfig(number=150))


@pytest.fixture
def ball(rng):
    """A bright ball in the dark, with noise: grey values and truth."""
    z, y, x = np.indices((16, 32, 32))
    truth = (2 * (z - 8)) ** 2 + (y - 15) ** 2 + (x - 17) ** 2 < 9**2
    noisy = np.where(truth, 0.7, 0.3) + 0.05 * rng.standard_normal(truth.shape)
    return noisy.clip(0, 1).astype(np.float32), truth


@pytest.fixture
def strokes(ball):
    """On one plane: a line through the ball, a frame around it."""
    drawn = np.zeros(ball[0].shape, np.uint8)
    drawn[8, 15, 12:23] = 1
    drawn[8, 2, 2:30] = drawn[8, 2:30, 2] = 2
    return drawn


def random_energy(rng, nodes, edges):
    first = rng.integers(0, nodes, edges)
    second = (first + rng.integers(1, nodes, edges)) % nodes
    bound = rng.choice([0, 0, 0, 1, 2], nodes).astype(np.uint8)
    return Energy(rng.random((nodes, 2)), first, second, rng.random(edges), bound)


def test_the_cut_is_the_best_of_all_labellings_of_small_graphs(rng):
    for _ in range(50):
        energy = random_energy(rng, nodes=8, edges=14)
        best = min(energy.of(np.array(bits)) for bits in product((False, True), repeat=8))
        assert energy.of(energy.minimize()) == pytest.approx(best)


def test_a_margin_is_what_the_energy_rises_by(rng):
    energy = random_energy(rng, nodes=12, edges=30)
    found = energy.minimize()
    margins = energy.margins(found)
    for node in range(12):
        other = found.copy()
        other[node] = not other[node]
        assert margins[node] == pytest.approx(energy.of(other) - energy.of(found))
    assert (margins >= -1e-12).all()


def test_no_random_neighbour_of_the_cut_is_better(ball, strokes, rng):
    region = Region.of(ball[0], VOXEL, CONFIG)
    energy = energy_of(region, region.pieces, strokes)
    found = energy.minimize()
    least = energy.of(found)
    for _ in range(1000):
        other = found.copy()
        some = rng.choice(len(other), rng.integers(1, 6), replace=False)
        other[some] ^= True
        assert energy.of(other) >= least - 1e-9


def test_a_ball_is_found_from_two_strokes(ball, strokes):
    raw, truth = ball
    found = cut(Region.of(raw, VOXEL, CONFIG), strokes).foreground
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.95


def test_strokes_keep_their_label_also_within_one_supervoxel(ball, rng):
    raw, _ = ball
    region = Region.of(raw, VOXEL, CONFIG)
    strokes = rng.choice([0] * 60 + [1, 2], raw.shape).astype(np.uint8)
    carried = [set(region.pieces.labels[strokes == kind].tolist()) for kind in (1, 2)]
    assert carried[0] & carried[1]
    found = cut(region, strokes)
    assert found.foreground[strokes == 1].all()
    assert not found.foreground[strokes == 2].any()
    assert np.isinf(found.margin[strokes > 0]).all()


def test_it_does_not_depend_on_the_numbers_of_supervoxels(ball, strokes, rng):
    raw, _ = ball
    region = Region.of(raw, VOXEL, CONFIG)
    order = rng.permutation(len(region.pieces.sizes)).astype(np.int32)
    labels = order[region.pieces.labels]
    other = replace(
        region, pieces=measured(labels, raw, region.binned, region.spacing, CONFIG.bins)
    )
    one, two = cut(region, strokes), cut(other, strokes)
    assert np.array_equal(one.foreground, two.foreground)
    assert two.energy == pytest.approx(one.energy)
    assert np.allclose(one.margin, two.margin)


def test_the_terms_of_the_energy():
    """Three supervoxels by hand, in two planes; strokes are on the first and the last voxel::

    0 0 1    grey values 0.0 0.2 0.4
    2 2 1                0.8 1.0 0.6
    """
    unit = np.array([[[0.0, 0.2, 0.4]], [[0.8, 1.0, 0.6]]], np.float32)
    labels = np.array([[[0, 0, 1]], [[2, 2, 1]]], np.int32)
    strokes = np.array([[[1, 0, 0]], [[0, 2, 0]]], np.uint8)
    config = GraphCutConfig(bins=2, contrast_sigma=1, likelihood=3, distance=5, smoothness=7)
    region = Region.of(unit, (8.0, 4.0, 2.0), config)
    z, x = 2.0, 0.5  # the geometric mean of the voxel size is 4 nm
    pieces = measured(labels, unit, region.binned, region.spacing, 2)
    energy = energy_of(region, pieces, strokes)
    assert energy.bound.tolist() == [1, 0, 2]

    likely, unlikely = np.log(3 / 2), np.log(3)  # 1 + 1 of 3 in the stroke's bin, 1 in the other
    grey = 3 * np.array([[likely, unlikely], [(likely + unlikely) / 2] * 2, [unlikely, likely]])
    to_first = [x / 2, (2 * x + np.hypot(z, 2 * x)) / 2, (z + np.hypot(z, x)) / 2]
    to_last = [(np.hypot(z, x) + z) / 2, (np.hypot(z, x) + x) / 2, x / 2]
    assert np.allclose(energy.unary, grey + 5 * np.log1p(np.transpose([to_first, to_last])))

    assert energy.first.tolist() == [0, 0, 1]
    assert energy.second.tolist() == [1, 2, 2]
    differs = (255 * np.array([0.4, 0.8, 0.4])) ** 2
    contrast = np.exp(-differs / (2 * differs.mean()) / 2)
    apart = np.array([np.hypot(z / 2, 1.5 * x), z, np.hypot(z / 2, 1.5 * x)])
    assert np.allclose(energy.pair, 7 * contrast / apart)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s[:-1], r"the strokes have shape \(15, 32, 32\), the region \(16, 32, 32\)"),
        (lambda s: np.where(s == 1, 0, s), r"no stroke of the foreground \(1\)"),
        (lambda s: np.where(s == 2, 0, s), r"no stroke of the background \(2\)"),
        (lambda s: np.where(s == 2, 3, s), r"1 \(foreground\) and 2 \(background\), not 3"),
    ],
)
def test_bad_strokes(ball, strokes, change, message):
    region = Region.of(ball[0], VOXEL, CONFIG)
    with pytest.raises(ValueError, match=message):
        cut(region, change(strokes))


def test_a_constant_region_has_nothing_to_cut_by():
    with pytest.raises(ValueError, match=r"all grey values of the region are 0\.5"):
        Region.of(np.full((4, 4, 4), 0.5, np.float32), VOXEL)
