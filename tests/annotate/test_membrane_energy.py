from dataclasses import replace

import numpy as np

from asem.annotate.adjacency import find_boundary_quantiles
from asem.annotate.fragments import FragmentConfig, Fragments
from asem.annotate.membrane_energy import MembraneConfig, build_membrane_energy, prepare

CONFIG = MembraneConfig(fragments=FragmentConfig(membrane_nm=5, seed_spacing_bins=2))
VOXEL = (8.0, 4.0, 4.0)


def test_the_terms_of_the_energy():
    """Two fragments of 2 and 4 bins, drawn on, and one of 2 between them::

    0 2 1 1      ridge 1 on the faces of 0 and 2, 3 on those of 2 and 1
    0 2 1 1
    """
    labels = np.array([[[0, 2, 1, 1], [0, 2, 1, 1]]], np.int32)
    ridge = np.array([[[1, 0, 3, 0], [1, 0, 3, 0]]], np.float32)
    strokes = np.array([[[1, 0, 0, 2], [0, 0, 0, 0]]], np.uint8)
    adjacency, membrane = find_boundary_quantiles(labels, ridge, 0.25)
    fragments = Fragments(labels, ridge, 1.0, adjacency, membrane, FragmentConfig())
    config = MembraneConfig(
        walk_weight=2, appearance_weight=3, smoothness=5, membrane_softness=0.5, walk_leak=2
    )
    energy = build_membrane_energy(fragments, np.zeros((3, 4), np.float32), strokes, config)
    assert energy.hard_constraints.tolist() == [1, 2, 0]
    left, right = 2 * np.exp(-1 / 2), 2 * np.exp(-3 / 2)
    walk = left / (left + right)
    # The appearance has log odds of 0.
    log_odds = np.sqrt(2 / (8 / 3)) * 2 * np.log(walk / (1 - walk))
    expected = [np.log1p(np.exp(-log_odds)), np.log1p(np.exp(log_odds))]
    assert np.allclose(energy.unary[2], expected, atol=1e-3)
    assert energy.first.tolist() == [0, 1]
    assert energy.second.tolist() == [2, 2]
    assert np.allclose(energy.pairwise, [5 * 2 * np.exp(-1 / 0.5), 5 * 2 * np.exp(-3 / 0.5)])


def test_it_does_not_depend_on_the_numbers_of_fragments(ball, strokes, rng):
    region = prepare(ball[0], VOXEL, CONFIG)
    number = len(region.features)
    order = rng.permutation(number)
    labels = order[region.fragments.labels].astype(np.int32)
    adjacency, membrane = find_boundary_quantiles(
        labels, region.fragments.ridge, CONFIG.fragments.quantile
    )
    membrane /= region.fragments.scale
    fragments = replace(region.fragments, labels=labels, adjacency=adjacency, membrane=membrane)
    features = region.features[np.argsort(order)]
    other = replace(region, fragments=fragments, features=features)
    one, two = region.cut(strokes), other.cut(strokes)
    assert np.array_equal(one.foreground, two.foreground)
    assert np.isclose(one.energy, two.energy, rtol=1e-3)  # the fits stop near the optimum


def test_smoothing_removes_steps_from_a_slanted_boundary():
    """Fraction of foreground voxels that have background on at least three sides."""
    z, y, x = np.indices((16, 32, 32))
    grey = np.where(abs(2 * x - y - 14 + z) < 3, 0, 1).astype(np.float32)
    strokes = np.zeros(grey.shape, np.uint8)
    strokes[8, 16, 2:5], strokes[8, 16, 24:30] = 1, 2
    region = prepare(grey, (5.0,) * 3, CONFIG)

    def roughness(smoothing_nm):
        changed = region.with_boundary(smoothing_nm=smoothing_nm, threshold=0.5)
        found = changed.cut(strokes).foreground
        sides = sum((found != np.roll(found, step, axis)) for axis in range(3) for step in (1, -1))
        return (found & (sides >= 3)).sum() / found.sum()

    assert roughness(15.0) < 0.9 * roughness(0.0)


def test_a_threshold_makes_objects_thicker_or_thinner(ball, strokes):
    region = prepare(ball[0], VOXEL, CONFIG)
    sizes, drawn = [], strokes != 0
    for threshold in (0.2, 0.5, 0.8):
        changed = region.with_boundary(smoothing_nm=15.0, threshold=threshold)
        found = changed.cut(strokes).foreground
        assert (found[drawn] == (strokes[drawn] == 1)).all()
        sizes.append(found.sum())
    assert sizes[0] > 1.2 * sizes[1] > 1.4 * sizes[2] > 0
