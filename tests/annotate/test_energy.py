import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from asem.annotate.energy import Cut, Energy


def random_energy(rng, nodes, edges):
    first = rng.integers(0, nodes, edges)
    second = (first + rng.integers(1, nodes, edges)) % nodes
    bound = rng.choice([0, 0, 0, 1, 2], nodes).astype(np.uint8)
    return Energy(rng.random((nodes, 2)), first, second, rng.random(edges), bound)


def test_the_cut_is_the_best_of_all_labellings_of_small_graphs(rng):
    for _ in range(50):
        energy = random_energy(rng, nodes=8, edges=14)
        best = min(energy.evaluate(np.array(bits)) for bits in product((False, True), repeat=8))
        assert energy.evaluate(energy.minimize()) == pytest.approx(best)


WITHOUT_PYMAXFLOW = """
import sys
sys.modules["maxflow"] = None  # importing it raises ImportError
import numpy as np
from asem.annotate.energy import Energy
unary = np.array([[0, 3], [1.5, 1], [2, 0.0]])
bound = np.zeros(3, np.uint8)
energy = Energy(unary, np.array([0, 1]), np.array([1, 2]), np.array([1.0, 0.25]), bound)
print(energy.minimize().tolist())
"""


def test_pymaxflow_need_not_be_installed():
    """It is under the GPL; asem is not."""
    command = [sys.executable, "-c", WITHOUT_PYMAXFLOW]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "[True, True, False]\n", done.stderr


@pytest.mark.parametrize(
    ("unary", "pair", "message"),
    [(1.0, -1.0, r"a capacity is -1\.0"), (np.nan, 1.0, "the excess of node 0 is not a number")],
)
def test_invalid_costs(unary, pair, message):
    costs, bound = np.array([[unary, 0], [0, 0]]), np.zeros(2, np.uint8)
    energy = Energy(costs, np.array([0]), np.array([1]), np.array([pair]), bound)
    with pytest.raises(ValueError, match=message):
        energy.minimize()


def test_a_margin_is_the_increase_in_energy(rng):
    energy = random_energy(rng, nodes=12, edges=30)
    found = energy.minimize()
    margins = energy.node_margins(found)
    for node in range(12):
        other = found.copy()
        other[node] = not other[node]
        assert margins[node] == pytest.approx(energy.evaluate(other) - energy.evaluate(found))
    assert (margins >= -1e-12).all()


def test_the_least_certain_voxel_is_in_the_middle_of_its_node():
    """Nodes in bins of 1 x 2 x 2 voxels; node 1 has the smallest margin, node 2 is constrained::

    0 0 1    voxels 0 to 4 along x: the last bin has one
    0 1 1
    0 2 1
    """
    nodes = np.array([[[0, 0, 1], [0, 1, 1], [0, 2, 1]]], np.int32)
    cut = Cut(np.zeros((1, 6, 5), bool), 0.0, nodes, (1, 2, 2), np.array([3.0, 1.5, np.inf]))
    assert cut.find_least_certain_voxel() == (0, 3, 4)
    assert cut.voxel_margins.shape == (1, 6, 5)
    assert cut.voxel_margins[0, 2:4, 2:].tolist() == [[1.5] * 3] * 2
    assert np.isinf(cut.voxel_margins[0, 4:, 2:4]).all()


def test_nothing_is_uncertain_where_all_nodes_are_constrained():
    cut = Cut(
        np.zeros((1, 1, 1), bool), 0.0, np.zeros((1, 1, 1), np.int32), (1,) * 3, np.r_[np.inf]
    )
    assert cut.find_least_certain_voxel() is None
