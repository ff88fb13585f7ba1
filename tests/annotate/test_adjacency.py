from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.annotate.adjacency import Adjacency, find_adjacency, find_boundary_quantiles


def random_labels(rng, shape=(3, 5, 6), count=6):
    labels = rng.integers(0, count, shape).astype(np.int32)
    labels.ravel()[:count] = np.arange(count)  # each is present
    return labels


def faces_one_by_one(labels, heights):
    """Return the heights of the faces of each pair."""
    faces = {}
    for axis in range(3):
        segments, height = np.moveaxis(labels, axis, 0), np.moveaxis(heights, axis, 0)
        both = zip(segments[:-1].ravel().tolist(), segments[1:].ravel().tolist(), strict=True)
        larger = np.maximum(height[:-1], height[1:]).ravel()
        for (a, b), face_height in zip(both, larger, strict=True):
            if a != b:
                faces.setdefault((min(a, b), max(a, b)), []).append(face_height)
    return dict(sorted(faces.items()))


@given(st.integers(0, 10**6), st.sampled_from([0, 0.1, 0.5, 1]))
def test_pairs_faces_and_quantiles_are_those_of_a_plain_loop(seed, quantile):
    rng = np.random.default_rng(seed)
    labels = np.repeat(random_labels(rng), 2, axis=1)
    heights = rng.random(labels.shape).astype(np.float32)
    expected = faces_one_by_one(labels, heights)
    graph, quantiles = find_boundary_quantiles(labels, heights, quantile)
    assert list(zip(graph.first.tolist(), graph.second.tolist(), strict=True)) == list(expected)
    assert graph.faces.tolist() == [len(faces) for faces in expected.values()]
    ranked = [sorted(faces)[int((len(faces) - 1) * quantile)] for faces in expected.values()]
    assert quantiles.tolist() == ranked
    for quick, plain in zip(astuple(graph), astuple(find_adjacency(labels)), strict=True):
        assert np.array_equal(quick, plain)
        assert quick.dtype == plain.dtype == np.int64


def test_the_height_of_a_boundary():
    """Faces of 0 and 1 have ridges 5, 7 and 3: the lowest one, or the middle one, counts."""
    labels = np.array([[[0, 1, 1], [0, 1, 2], [0, 1, 2]]], np.int32)
    ridge = np.array([[[5, 1, 0], [2, 7, 1], [3, 2, 4]]], np.float32)
    graph, lowest = find_boundary_quantiles(labels, ridge, 0)
    assert list(zip(graph.first.tolist(), graph.second.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert graph.faces.tolist() == [3, 3]
    assert lowest.tolist() == [3, 1]
    assert find_boundary_quantiles(labels, ridge, 0.5)[1].tolist() == [5, 4]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.booleans(), min_size=6, max_size=6))
def test_pairs_with_some_nodes_and_the_others_merge_to_all_pairs(seed, chosen):
    rng = np.random.default_rng(seed)
    labels, nodes = random_labels(rng), np.array(chosen)
    heights = rng.random(labels.shape).astype(np.float32)
    graph, quantiles = find_boundary_quantiles(labels, heights, 0.5)
    some, some_quantiles = find_boundary_quantiles(labels, heights, 0.5, nodes=nodes)
    others = ~graph.has_any_of(nodes)
    merged, order = graph.select(others).merge(some)
    for a, b in zip(astuple(merged), astuple(graph), strict=True):
        assert np.array_equal(a, b)
    both = np.concatenate([quantiles[others], some_quantiles])
    assert np.array_equal(both[order], quantiles)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3)])
def test_one_segment_has_no_pairs(shape):
    graph = find_adjacency(np.zeros(shape, np.int32))
    assert graph.first.size == graph.second.size == graph.faces.size == 0


def test_the_matrix_is_symmetric():
    graph = Adjacency(np.array([0, 1]), np.array([2, 2]), np.array([5, 7]))
    weights = graph.to_matrix(np.array([0.5, 3.0]), 4).toarray()
    assert weights.tolist() == [[0, 0, 0.5, 0], [0, 0, 3, 0], [0.5, 3, 0, 0], [0, 0, 0, 0]]
