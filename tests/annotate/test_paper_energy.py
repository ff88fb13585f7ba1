from dataclasses import replace

import numpy as np
import pytest

from asem.annotate.paper_energy import PAPER_TERMS, PaperConfig
from asem.annotate.supervoxel_energy import SupervoxelGraph
from asem.annotate.supervoxels import SupervoxelConfig

VOXEL = (8.0, 4.0, 4.0)
CONFIG = PaperConfig(supervoxels=SupervoxelConfig(number=150))


def test_it_does_not_depend_on_the_numbers_of_supervoxels(ball, strokes, rng):
    raw, _ = ball
    region = PAPER_TERMS.prepare(raw, VOXEL, CONFIG)
    order = rng.permutation(len(region.graph.sizes)).astype(np.int32)
    graph = replace(region.graph, labels=order[region.graph.labels])
    other = PAPER_TERMS.prepare_graph(graph, CONFIG)
    one, two = region.cut(strokes), other.cut(strokes)
    assert np.array_equal(one.foreground, two.foreground)
    assert two.energy == pytest.approx(one.energy)
    assert np.allclose(one.voxel_margins, two.voxel_margins)


def test_the_terms_of_the_energy():
    """Three supervoxels by hand, in two planes; strokes are on the first and the last voxel::

    0 0 1    grey values 0.0 0.2 0.4
    2 2 1                0.8 1.0 0.6
    """
    unit = np.array([[[0.0, 0.2, 0.4]], [[0.8, 1.0, 0.6]]], np.float32)
    labels = np.array([[[0, 0, 1]], [[2, 2, 1]]], np.int32)
    strokes = np.array([[[1, 0, 0]], [[0, 2, 0]]], np.uint8)
    config = PaperConfig(bins=2, contrast_sigma=1, likelihood=3, distance=5, smoothness=7)
    z, x = 2.0, 0.5
    graph = SupervoxelGraph(labels, unit, (z, 1.0, x))
    energy = PAPER_TERMS.prepare_graph(graph, config).build_energy(strokes)
    assert energy.hard_constraints.tolist() == [1, 0, 2]

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
    assert np.allclose(energy.pairwise, 7 * contrast / apart)
