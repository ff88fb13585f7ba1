import numpy as np

from asem.annotate.walk import graph, meets_foreground


def test_the_probability_is_the_mean_over_the_next_step(rng):
    first, second = np.triu_indices(12, 1)
    some = rng.random(len(first)) < 0.4
    some[:11] = True  # all hang together
    first, second, weight = first[some], second[some], rng.random(some.sum()) + 1e-3
    weights = graph(first, second, weight, 12)
    bound = np.zeros(12, np.uint8)
    bound[[0, 5]], bound[11] = 1, 2
    found = meets_foreground(weights, bound)
    assert found[bound == 1].tolist() == [1, 1]
    assert found[bound == 2].tolist() == [0]
    step = weights.toarray() / weights.sum(1)[:, None]
    free = bound == 0
    assert np.allclose((step @ found)[free], found[free], atol=1e-5)


def test_who_cannot_meet_either_is_in_between():
    weights = graph(np.array([0, 2]), np.array([1, 3]), np.ones(2), 4)
    assert meets_foreground(weights, np.array([1, 0, 0, 0], np.uint8)).tolist() == [1, 1, 0.5, 0.5]


def test_all_are_bound():
    weights = graph(np.array([0]), np.array([1]), np.ones(1), 2)
    assert meets_foreground(weights, np.array([2, 1], np.uint8)).tolist() == [0, 1]


def test_walks_that_tire_end_at_a_guess(rng):
    """Far from the one node that is bound, the guess holds; beside it, the stroke."""
    line = graph(np.arange(49), np.arange(1, 50), np.ones(49), 50)
    bound, guess = np.zeros(50, np.uint8), np.full(50, 0.9)
    bound[0] = 2
    found = meets_foreground(line, bound, guess=guess, tires=0.01)
    assert found[1] < 0.3
    assert found[49] > 0.85
    assert (np.diff(found) > 0).all()
    step = line.toarray() / line.sum(1)[:, None]
    assert np.allclose(found[1:], ((step @ found + 0.01 * guess) / 1.01)[1:], atol=1e-4)
    assert meets_foreground(line, np.zeros(50, np.uint8), guess=guess).tolist() == guess.tolist()


def test_walks_from_behind_a_thick_membrane_end_where_they_can():
    """A cluster that touches nothing but foreground, by 10^-5 of a step, beside an open chain."""
    first = np.array([0, 1, 2, 3, 5, 6, 7])
    second = np.array([1, 2, 3, 4, 6, 7, 8])
    weight = np.array([5e-5, 1, 1, 1, 50, 50, 50])
    bound = np.array([1, 0, 0, 0, 0, 2, 0, 0, 1], np.uint8)
    found = meets_foreground(graph(first, second, weight, 9), bound)
    assert np.allclose(found, [1, 1, 1, 1, 1, 0, 1 / 3, 2 / 3, 1])
