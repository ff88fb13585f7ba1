"""A new energy by its two terms: costs, constraints and splits are those of all energies."""

import numpy as np
import pytest
from scipy import ndimage

from asem.annotate.supervoxel_energy import SupervoxelGraph, SupervoxelTerms
from asem.annotate.supervoxels import SupervoxelConfig
from asem.config import Config


class CountConfig(Config):
    cost: float = 1
    supervoxels: SupervoxelConfig = SupervoxelConfig(number=100)


def unary(graph, strokes, config):
    """A supervoxel without strokes prefers the foreground where it is bright."""
    grey = graph.means(graph.intensity)
    return np.stack([1 - grey, grey], 1)


def pairwise(graph, config):
    return config.cost * graph.adjacency.faces


TERMS = SupervoxelTerms(unary, pairwise)


def graph_of(labels, intensity):
    return SupervoxelGraph(np.array(labels, np.int32), np.array(intensity), (1.0, 1.0, 1.0))


def test_sums_and_means_are_those_of_each_supervoxel(ball):
    graph = TERMS.prepare(ball[0], (8.0, 4.0, 4.0), CountConfig()).graph
    ids = np.arange(graph.labels.max() + 1)
    assert len(ids) > 50
    assert graph.sums(ball[0]) == pytest.approx(ndimage.sum_labels(ball[0], graph.labels, ids))
    assert graph.means(ball[0]) == pytest.approx(ndimage.mean(ball[0], graph.labels, ids))
    assert graph.spacing == pytest.approx(np.array([8, 4, 4]) / 128 ** (1 / 3))


@pytest.mark.parametrize(("cost", "foreground"), [(0.1, [1, 1, 0, 1]), (0.5, [1, 1, 0, 0])])
def test_the_cut_minimizes_the_sum_of_both_terms(cost, foreground):
    """A bright voxel at the end is foreground unless its boundary costs more than it gains."""
    graph = graph_of([[[0, 1, 2, 3]]], [[[0.9, 0.8, 0.1, 0.7]]])
    strokes = np.array([[[1, 0, 2, 0]]], np.uint8)
    region = TERMS.prepare_graph(graph, CountConfig(cost=cost))
    found = region.cut(strokes)
    assert found.foreground.astype(int).tolist() == [[foreground]]
    boundaries = np.count_nonzero(np.diff(foreground))
    costs = np.where(np.array(foreground) == 1, 1 - graph.intensity, graph.intensity).sum()
    assert found.energy == pytest.approx(costs + cost * boundaries)
    assert np.isinf(found.node_margins).tolist() == [True, False, True, False]
    assert region.shape == (1, 1, 4)


def test_both_terms_are_computed_again_where_strokes_split_a_supervoxel():
    graph = graph_of([[[0, 0, 0, 0]], [[1, 1, 1, 1]]], np.full((2, 1, 4), 0.5))
    strokes = np.array([[[1, 0, 0, 2]], [[0, 0, 0, 0]]], np.uint8)
    region = TERMS.prepare_graph(graph, CountConfig())
    assert region.pairwise.tolist() == [4]
    split = region.split(strokes)
    assert split.graph.labels.tolist() == [[[0, 0, 2, 2]], [[1, 1, 1, 1]]]
    assert split.graph.sizes.tolist() == [2, 4, 2]
    assert split.pairwise.tolist() == [2, 1, 2]
    assert region.cut(strokes).foreground[0, 0].tolist() == [True, True, False, False]
    one = np.where(strokes == 1, strokes, 0)
    assert region.split(one) is region


def test_it_allows_no_prediction_and_has_no_boundary_settings():
    strokes = np.array([[[1, 2]]], np.uint8)
    region = TERMS.prepare_graph(graph_of([[[0, 1]]], [[[0.0, 1.0]]]), CountConfig())
    with pytest.raises(ValueError, match='allows no prediction; use energy = "membranes"'):
        region.cut(strokes, strokes)
    assert region.with_boundary(smoothing_nm=1.0, threshold=0.1) is region
