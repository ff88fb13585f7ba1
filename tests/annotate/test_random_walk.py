import numpy as np

from asem.annotate.adjacency import Adjacency
from asem.annotate.random_walk import random_walker_probability


def adjacency_matrix(first, second, weights, node_count):
    return Adjacency(first, second, np.ones(len(first), int)).to_matrix(weights, node_count)


def test_the_probability_is_the_mean_over_the_next_step(rng):
    first, second = np.triu_indices(12, 1)
    some = rng.random(len(first)) < 0.4
    some[:11] = True  # all are connected
    first, second, weight = first[some], second[some], rng.random(some.sum()) + 1e-3
    weights = adjacency_matrix(first, second, weight, 12)
    bound = np.zeros(12, np.uint8)
    bound[[0, 5]], bound[11] = 1, 2
    found = random_walker_probability(weights, bound)
    assert found[bound == 1].tolist() == [1, 1]
    assert found[bound == 2].tolist() == [0]
    step = weights.toarray() / weights.sum(1)[:, None]
    free = bound == 0
    assert np.allclose((step @ found)[free], found[free], atol=1e-5)


def test_nodes_without_a_path_to_strokes_have_even_odds():
    weights = adjacency_matrix(np.array([0, 2]), np.array([1, 3]), np.ones(2), 4)
    assert random_walker_probability(weights, np.array([1, 0, 0, 0], np.uint8)).tolist() == [
        1,
        1,
        0.5,
        0.5,
    ]


def test_all_nodes_are_constrained():
    weights = adjacency_matrix(np.array([0]), np.array([1]), np.ones(1), 2)
    assert random_walker_probability(weights, np.array([2, 1], np.uint8)).tolist() == [0, 1]


def test_walks_may_end_at_a_prior(rng):
    """Far from the one constrained node, the prior counts; next to it, the stroke."""
    line = adjacency_matrix(np.arange(49), np.arange(1, 50), np.ones(49), 50)
    bound, prior = np.zeros(50, np.uint8), np.full(50, 0.9)
    bound[0] = 2
    found = random_walker_probability(line, bound, prior=prior, prior_weight=0.01)
    assert found[1] < 0.3
    assert found[49] > 0.85
    assert (np.diff(found) > 0).all()
    step = line.toarray() / line.sum(1)[:, None]
    assert np.allclose(found[1:], ((step @ found + 0.01 * prior) / 1.01)[1:], atol=1e-4)
    assert (
        random_walker_probability(line, np.zeros(50, np.uint8), prior=prior).tolist()
        == prior.tolist()
    )


def test_walks_from_behind_a_strong_membrane():
    """A cluster connected to foreground alone, by 10^-5 of a step, next to an open chain."""
    first = np.array([0, 1, 2, 3, 5, 6, 7])
    second = np.array([1, 2, 3, 4, 6, 7, 8])
    weight = np.array([5e-5, 1, 1, 1, 50, 50, 50])
    bound = np.array([1, 0, 0, 0, 0, 2, 0, 0, 1], np.uint8)
    found = random_walker_probability(adjacency_matrix(first, second, weight, 9), bound)
    assert np.allclose(found, [1, 1, 1, 1, 1, 0, 1 / 3, 2 / 3, 1])
