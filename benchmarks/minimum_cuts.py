"""Solvers that minimize an energy of two labels, as `annotation.py cuts` compares them.

SciPy and OR-tools take whole numbers of 32 and 64 bits. Capacities are scaled once, such that twice
the capacity of a known cut, which bounds the flow, is about the largest number that fits; larger
capacities are clipped to it.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import maxflow
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from asem.annotate.edits import BACKGROUND, FOREGROUND
from asem.annotate.energy import Energy

Bool = npt.NDArray[np.bool_]
Solver = Callable[[Energy], Bool]


def pymaxflow(energy: Energy) -> Bool:
    """Boykov and Kolmogorov's search trees, in C++ with float64 (GPL)."""
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


def whole_arcs(energy: Energy, bits: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Return tails, heads and capacities of all arcs; source and sink are the last two nodes."""
    excess = energy.unary[:, 1] - energy.unary[:, 0]
    excess[energy.hard_constraints == FOREGROUND] = np.inf
    excess[energy.hard_constraints == BACKGROUND] = -np.inf
    sides = [energy.hard_constraints == FOREGROUND, energy.hard_constraints != BACKGROUND]
    own = np.where(excess > 0, energy.unary[:, 0], energy.unary[:, 1]).sum()  # of all labellings
    bound = min(map(energy.evaluate, sides)) - own
    nodes = np.arange(len(excess))
    source, sink = np.full((2, len(excess)), [[len(excess)], [len(excess) + 1]])
    up = excess > 0
    tails = [energy.first, energy.second, source[up], nodes[~up]]
    heads = [energy.second, energy.first, nodes[up], sink[~up]]
    capacity = np.concatenate([energy.pairwise, energy.pairwise, excess[up], -excess[~up]])
    if bound > 0:
        scale = 2.0 ** np.floor(np.log2(2.0**bits / (2 * bound)))
        whole = np.floor(np.minimum(capacity, 2 * bound) * scale).astype(np.int64)
    else:  # no flow: all that counts is what is joined
        whole = (capacity > 0).astype(np.int64)
    return np.concatenate(tails), np.concatenate(heads), whole


def scipy(energy: Energy) -> Bool:
    """SciPy's Dinic, int32."""
    nodes = len(energy.unary)
    tails, heads, whole = whole_arcs(energy, 30)
    graph = csr_array((whole, (tails, heads)), shape=(nodes + 2,) * 2)  # adds what is twice there
    graph.data = np.minimum(graph.data, 2**30).astype(np.int32)
    left = (graph - maximum_flow(graph, nodes, nodes + 1).flow).T.tocsr()
    left.eliminate_zeros()
    side = np.ones(nodes + 2, bool)
    side[breadth_first_order(left, nodes + 1, return_predecessors=False)] = False
    return side[:nodes]


def ortools(energy: Energy) -> Bool:
    """OR-tools' push-relabel, int64."""
    from ortools.graph.python.max_flow import SimpleMaxFlow

    nodes = len(energy.unary)
    solver = SimpleMaxFlow()
    solver.add_arcs_with_capacity(*whole_arcs(energy, 60))
    solver.solve(nodes, nodes + 1)
    side = np.ones(nodes + 2, bool)
    side[solver.get_sink_side_min_cut()] = False
    return side[:nodes]


SOLVERS: dict[str, Solver] = {
    "PyMaxflow": pymaxflow,
    "ours (Dinic, numba, float64)": Energy.minimize,
    "SciPy (Dinic, int32)": scipy,
}
if find_spec("ortools"):  # 80 MB, and it pins an older protobuf than the rest: not in [dev]
    SOLVERS["OR-tools (push-relabel, int64)"] = ortools


def random_energy(rng: np.random.Generator) -> Energy:
    """Return costs of 1e-9 to 1e6 on 2 to 1000 nodes."""
    nodes = int(rng.choice([2, 3, 10, 100, 1000]))
    edges = int(nodes * rng.uniform(0.5, 10))
    first = rng.integers(0, nodes, edges)
    second = (first + rng.integers(1, nodes, edges)) % nodes
    unary, pair = (10 ** rng.uniform(-9, 6, size) for size in ((nodes, 2), edges))
    bound = rng.choice([0] * 8 + [FOREGROUND, BACKGROUND], nodes).astype(np.uint8)
    return Energy(unary, first, second, pair, bound)


def compared(name: str, energies: list[Energy], repeats: int = 5) -> None:
    """Print CPU seconds of each solver, the least of some, and how much its energy is too high."""
    least = [energy.evaluate(pymaxflow(energy)) for energy in energies]
    nodes = sum(len(energy.unary) for energy in energies)
    edges = sum(len(energy.pairwise) for energy in energies)
    for solver, minimize in SOLVERS.items():
        spent = []
        for _ in range(repeats):
            began = time.process_time()
            sides = [minimize(energy) for energy in energies]
            spent.append(time.process_time() - began)
        found = [energy.evaluate(side) for energy, side in zip(energies, sides, strict=True)]
        off = max(one / other - 1 for one, other in zip(found, least, strict=True))
        row = f"{name} | {nodes:,} | {edges:,} | {solver} | {min(spent):.4f} | {off:.1e}"
        print(f"| {row} |", flush=True)
