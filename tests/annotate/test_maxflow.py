"""The cut is a minimum, the one with the largest source side, also of graphs that are odd."""

from itertools import product

import maxflow
import numpy as np
import pytest

from asem.annotate.edits import BACKGROUND, FOREGROUND
from asem.annotate.energy import Energy
from asem.annotate.maxflow import min_cut_source_side

EDGES = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)


def cost(first, second, capacity, excess, side):
    """The capacity that a labelling cuts."""
    terminals = np.where(side, np.maximum(-excess, 0), np.maximum(excess, 0)).sum()
    return terminals + capacity[side[first] != side[second]].sum()


def by_brute_force(first, second, capacity, excess):
    """The union of the source sides of all minimum cuts, which is one too."""
    sides = [np.array(bits) for bits in product((False, True), repeat=len(excess))]
    costs = np.array([cost(first, second, capacity, excess, side) for side in sides])
    least = np.flatnonzero(costs == costs.min())
    return np.any([sides[n] for n in least], axis=0), len(least)


def by_pymaxflow(energy):
    """What PyMaxflow finds; strokes cost more than all the rest."""
    costs = energy.unary.copy()
    never = 1 + np.abs(costs).sum() + 2 * energy.pairwise.sum()
    costs[energy.hard_constraints == BACKGROUND, 0] += never
    costs[energy.hard_constraints == FOREGROUND, 1] += never
    graph = maxflow.GraphFloat(len(costs), len(energy.pairwise))
    nodes = graph.add_nodes(len(costs))
    graph.add_edges(energy.first, energy.second, energy.pairwise, energy.pairwise)
    graph.add_grid_tedges(nodes, costs[:, 1], costs[:, 0])
    graph.maxflow()
    return ~np.asarray(graph.get_grid_segments(nodes), bool)


def integers(rng, number):
    """Small whole numbers: zeros and ties abound, sums are exact."""
    return rng.integers(0, 5, number).astype(float)


def magnitudes(rng, number):
    """From 1e-9 to 1e6, a fifth of them zero."""
    return rng.choice([0, 1, 1, 1, 1], number) * 10 ** rng.uniform(-9, 6, number)


def decimals(rng, number):
    """Tenths: what ties in exact arithmetic differs by rounding."""
    return rng.integers(0, 10, number) / 10


def uniform(rng, number):
    return rng.random(number)


CAPACITIES = [integers, magnitudes, decimals, uniform]


def random_energy(rng, numbers):
    """Of few or many nodes and edges, some twice; parts are disconnected, some nodes are bound."""
    nodes = int(rng.choice([1, 2, 3, 10, 100, 1000]))
    edges = 0 if nodes == 1 else int(nodes * rng.choice([0, 0.5, 1, 3, 10]))
    first = rng.integers(0, nodes, edges)
    near = rng.integers(1, min(nodes, rng.choice([3, 10_000])), edges) if edges else first
    second = (first + near) % nodes
    unary = numbers(rng, 2 * nodes).reshape(nodes, 2) * rng.choice([0, 1, 1, 1])
    bound = rng.choice([0] * 8 + [FOREGROUND, BACKGROUND], nodes).astype(np.uint8)
    return Energy(unary, first, second, numbers(rng, edges), bound * rng.integers(0, 2, dtype="u1"))


@pytest.mark.parametrize("numbers", CAPACITIES)
@pytest.mark.parametrize("seed", range(50))
def test_200_random_graphs_have_the_least_energy_that_pymaxflow_finds(numbers, seed):
    energy = random_energy(np.random.default_rng(seed), numbers)
    found, reference = energy.minimize(), by_pymaxflow(energy)
    assert energy.evaluate(found) == pytest.approx(energy.evaluate(reference), rel=1e-6, abs=0)
    if numbers is integers:
        assert np.array_equal(found, reference)


def test_costs_of_labels_may_be_negative(rng):
    energy = random_energy(rng, uniform)
    shifted = Energy(
        energy.unary - 10, energy.first, energy.second, energy.pairwise, energy.hard_constraints
    )
    assert energy.evaluate(shifted.minimize()) == pytest.approx(energy.evaluate(energy.minimize()))


def test_of_several_minimum_cuts_the_source_side_is_the_largest(rng):
    """Edges to itself and twice between two nodes included; often several cuts are minimal."""
    several = 0
    for _ in range(200):
        nodes, edges = rng.integers(1, 8), rng.integers(0, 12)
        first, second = rng.integers(0, nodes, (2, edges))
        graph = first, second, rng.integers(0, 3, edges) * 1.0, rng.integers(-2, 3, nodes) * 1.0
        best, number = by_brute_force(*graph)
        assert min_cut_source_side(*graph).tolist() == best.tolist()
        several += number > 1
    assert several > 50


@pytest.mark.parametrize(
    ("excess", "side"),
    [
        ([], []),
        ([0.0], [True]),
        ([-1e-300], [False]),
        ([np.inf], [True]),
        ([-np.inf, 2.0, 0.0, -3.0], [False, True, True, False]),
    ],
)
def test_without_edges_each_node_has_the_side_that_it_can_reach(excess, side):
    assert min_cut_source_side(*EDGES, np.array(excess)).tolist() == side


def test_nodes_that_no_terminal_reaches_are_on_the_source_side():
    r"""Two parts; edges without capacity join nothing::

    source -> 0 - 1 - 2 -> sink     3 - 4     5 (0) sink
              2   1                   1
    """
    first, second = np.array([0, 1, 3, 4]), np.array([1, 2, 4, 5])
    excess = np.array([5.0, 0, -5, 0, 0, -1])
    side = min_cut_source_side(first, second, np.array([2.0, 1, 1, 0]), excess)
    assert side.tolist() == [True, True, False, True, True, False]


def test_neither_the_order_nor_the_direction_of_edges_matters(rng):
    for _ in range(20):
        first, second = rng.integers(0, 60, (2, 200))
        capacity, excess = integers(rng, 200), integers(rng, 60) - 2
        excess[:2] = np.inf, -np.inf
        order, turned = rng.permutation(200), rng.random(200) < 0.5
        number = rng.permutation(60)
        ends = np.where(turned, second, first)[order], np.where(turned, first, second)[order]
        moved = np.empty(60)
        moved[number] = excess
        side = min_cut_source_side(number[ends[0]], number[ends[1]], capacity[order], moved)
        assert np.array_equal(side[number], min_cut_source_side(first, second, capacity, excess))


def test_arguments_are_left_as_they_are(rng):
    graph = *rng.integers(0, 9, (2, 30)), rng.random(30), rng.random(9) - 0.5
    before = [part.copy() for part in graph]
    one, two = min_cut_source_side(*graph), min_cut_source_side(*graph)
    assert np.array_equal(one, two)
    for old, new in zip(before, graph, strict=True):
        assert np.array_equal(old, new)


def test_a_chain_of_a_million_edges(rng):
    """Its least edge is cut; the path from source to sink has every edge."""
    capacity = 1 + rng.random(1_000_000)
    capacity[700_000] = 0.5
    nodes = np.arange(1_000_001)
    excess = np.zeros(1_000_001)
    excess[0], excess[-1] = np.inf, -np.inf
    side = min_cut_source_side(nodes[:-1], nodes[1:], capacity, excess)
    assert np.array_equal(side, nodes <= 700_000)


def test_a_grid_of_a_million_edges(rng):
    """A cube of capacity 1 around the source, in a grid of capacity 2 to 3."""
    index = np.arange(70**3).reshape((70,) * 3)
    first, second = (
        np.concatenate([np.moveaxis(index, axis, 0)[part].ravel() for axis in range(3)])
        for part in (slice(None, -1), slice(1, None))
    )
    inside = np.zeros(index.shape, bool)
    inside[25:45, 25:45, 25:45] = True
    inside = inside.ravel()
    capacity = np.where(inside[first] != inside[second], 1, 2 + rng.random(len(first)))
    excess = np.zeros(len(inside))
    excess[index[27:43, 27:43, 27:43]] = np.inf
    excess[index[[0, -1]]] = -np.inf
    assert len(first) > 1_000_000
    assert np.array_equal(min_cut_source_side(first, second, capacity, excess), inside)


def test_small_capacities_beside_large_ones_count():
    """Flows of 1e-9 and 1e6 share node 2::

    source - 0 -small- 2 - large - 4 - sink
    source - 1 - 1e6 - 2 - 1e12 -- 3 - sink
    """
    first, second = np.array([0, 1, 2, 2]), np.array([2, 2, 3, 4])
    excess = np.array([np.inf, np.inf, 0, -np.inf, -np.inf])
    for small, large in ((1e-9, 2e-9), (2e-9, 1e-9)):
        side = min_cut_source_side(first, second, np.array([small, 1e6, 1e12, large]), excess)
        assert side.tolist() == [True, True, False, False, False]
    excess = np.array([1e6, -1e6, 3e-9, -1e-9])
    side = min_cut_source_side(np.array([0, 2]), np.array([1, 3]), np.array([1.0, 2e-9]), excess)
    assert side.tolist() == [True, False, True, True]
    side = min_cut_source_side(np.array([0, 2]), np.array([1, 3]), np.array([1.0, 5e-10]), excess)
    assert side.tolist() == [True, False, True, False]


@pytest.mark.parametrize("scale", 10.0 ** np.arange(-300, 301, 50))
def test_capacities_of_irrational_ratio_end_and_are_cut_at_the_least(scale, rng):
    """With them, augmenting paths in any order need not end (Ford and Fulkerson, 1962)."""
    golden = (5**0.5 - 1) / 2
    for _ in range(20):
        first, second = rng.integers(0, 7, (2, 20))
        capacity = golden ** rng.integers(0, 40, 20)
        excess = golden ** rng.integers(0, 40, 7) * rng.choice([-1, 1], 7)
        side = min_cut_source_side(first, second, scale * capacity, scale * excess)
        best, _ = by_brute_force(first, second, capacity, excess)
        least = cost(first, second, capacity, excess, best)
        assert cost(first, second, capacity, excess, side) == pytest.approx(least, abs=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: [0]}, "1 first nodes, 2 second nodes and 2 capacities; there must be as many of each"),
        ({1: [1, 3]}, "edges join nodes 0 to 3; nodes are 0 to 2"),
        ({0: [0, -1]}, "edges join nodes -1 to 2; nodes are 0 to 2"),
        ({2: [1, -1.5]}, r"a capacity is -1\.5; capacities are finite and not negative"),
        ({2: [np.nan, 1]}, "a capacity is nan; capacities are finite and not negative"),
        ({2: [np.inf, 1]}, "a capacity is inf; capacities are finite and not negative"),
        ({3: [0, np.nan, 1]}, "the excess of node 1 is not a number"),
    ],
)
def test_bad_graphs(change, message):
    graph = [[0, 1], [1, 2], [1.0, 1.0], [1.0, 0, -1]]
    for part, value in change.items():
        graph[part] = value
    with pytest.raises(ValueError, match=message):
        min_cut_source_side(*map(np.array, graph))
