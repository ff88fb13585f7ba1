from dataclasses import replace

import numpy as np

from asem.annotate.fragments import FragmentConfig, Fragments, touching_of
from asem.annotate.membranes import (
    MembraneConfig,
    MembraneRegion,
    energy_of,
)

CONFIG = MembraneConfig(fragments=FragmentConfig(membrane_nm=5, seeds=2))
VOXEL = (8.0, 4.0, 4.0)


def test_the_terms_of_the_energy():
    """Two fragments of 2 and 4 bins, drawn on, and one of 2 between them::

    0 2 1 1      ridge 1 on the faces of 0 and 2, 3 on those of 2 and 1
    0 2 1 1
    """
    labels = np.array([[[0, 2, 1, 1], [0, 2, 1, 1]]], np.int32)
    ridge = np.array([[[1, 0, 3, 0], [1, 0, 3, 0]]], np.float32)
    marks = np.array([[[1, 0, 0, 2], [0, 0, 0, 0]]], np.uint8)
    touching = touching_of(labels, ridge, 0.25)
    fragments = fragments_of(labels, ridge, touching)
    config = MembraneConfig(walk=2, look=3, smoothness=5, softness=0.5, leak=2)
    energy = energy_of(fragments, np.zeros((3, 4), np.float32), marks, config)
    assert energy.bound.tolist() == [1, 2, 0]
    left, right = 2 * np.exp(-1 / 2), 2 * np.exp(-3 / 2)
    meets = left / (left + right)
    sure = np.sqrt(2 / (8 / 3)) * 2 * np.log(meets / (1 - meets))  # looks tell nothing
    assert np.allclose(
        energy.unary[2], [np.log1p(np.exp(-sure)), np.log1p(np.exp(sure))], atol=1e-3
    )
    assert energy.first.tolist() == [0, 1]
    assert energy.second.tolist() == [2, 2]
    assert np.allclose(energy.pair, [5 * 2 * np.exp(-1 / 0.5), 5 * 2 * np.exp(-3 / 0.5)])


def test_it_does_not_depend_on_the_numbers_of_fragments(ball, strokes, rng):
    region = MembraneRegion.of(ball[0], VOXEL, CONFIG)
    number = len(region.features)
    order = rng.permutation(number)
    labels = order[region.fragments.labels].astype(np.int32)
    touching = touching_of(labels, region.fragments.ridge, CONFIG.fragments.quantile)
    fragments = replace(
        region.fragments,
        labels=labels,
        touching=replace(touching, membrane=touching.membrane / region.fragments.scale),
    )
    features = region.features[np.argsort(order)]
    other = replace(region, fragments=fragments, features=features)
    one, two = region.cut(strokes), other.cut(strokes)
    assert np.array_equal(one.foreground, two.foreground)
    assert np.isclose(one.energy, two.energy, rtol=1e-3)  # the fits stop where they are near


def test_smoothing_takes_steps_out_of_a_slanted_border():
    """The share of voxels of the foreground that have background on three sides and more."""
    z, y, x = np.indices((16, 32, 32))
    grey = np.where(abs(2 * x - y - 14 + z) < 3, 0, 1).astype(np.float32)
    strokes = np.zeros(grey.shape, np.uint8)
    strokes[8, 16, 2:5], strokes[8, 16, 24:30] = 1, 2
    region = MembraneRegion.of(grey, (5.0,) * 3, CONFIG)

    def roughness(smoothing_nm):
        config = CONFIG.model_copy(update={"smoothing_nm": smoothing_nm})
        found = replace(region, config=config).cut(strokes).foreground
        sides = sum((found != np.roll(found, step, axis)) for axis in range(3) for step in (1, -1))
        return (found & (sides >= 3)).sum() / found.sum()

    assert roughness(15.0) < 0.9 * roughness(0.0)


def test_a_threshold_makes_objects_thicker_or_thinner(ball, strokes):
    region = MembraneRegion.of(ball[0], VOXEL, CONFIG)
    sizes, drawn = [], strokes != 0
    for threshold in (0.2, 0.5, 0.8):
        config = CONFIG.model_copy(update={"threshold": threshold})
        found = replace(region, config=config).cut(strokes).foreground
        assert (found[drawn] == (strokes[drawn] == 1)).all()
        sizes.append(found.sum())
    assert sizes[0] > 1.2 * sizes[1] > 1.4 * sizes[2] > 0


def fragments_of(labels, ridge, touching):
    return Fragments(labels, ridge, 1.0, touching, FragmentConfig())
