"""Maximum flow and minimum cut of a graph with undirected edges, by Dinic's algorithm.

A labelling A, which puts each node on the side of the source or of the sink, cuts the capacity

    C(A) = sum_(v on the sink side) max(e_v, 0) + sum_(v on the source side) max(-e_v, 0)
         + sum_(u, v) c_uv [A_u != A_v],

where c_uv is the capacity of an edge and e_v the *excess* of a node: the capacity from the source
to it, or, negative, from it to the sink. The minimum over A equals the maximum flow from source to
sink (Ford and Fulkerson, 1956), so that a minimum cut is the exact minimum of an energy of two
labels (Boykov and Kolmogorov, 2004, doi:10.1109/TPAMI.2004.60).

The flow is found in phases (Dinic, 1970). The *level* of a node is the length of the shortest path
of residual arcs from it to the sink. A phase computes levels, then pushes flow along arcs that lead
one level down, until every such path has an arc without residual capacity. With n nodes and m edges
this takes at most O(n^2 m) steps, whatever the capacities.

The bound also holds in floating-point arithmetic, so that residuals of rounding cannot cause an
endless loop. A push subtracts the minimum residual capacity along its path, the terminals included:
one of them becomes exactly 0. It stays 0 in this phase, since only arcs that lead down carry flow
and the opposite arc leads up; thus a phase has at most m + n pushes. Arcs that a phase adds lead
one level up, so that the level of every node that still has excess rises: there are at most n
phases.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def min_cut_source_side(
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    capacity: npt.NDArray[np.floating],
    excess: npt.NDArray[np.floating],
) -> npt.NDArray[np.bool_]:
    """Return the source side of a minimum cut, True on the side of the source, (n,).

    Of several minimum cuts, the one with the largest source side: a node is on the sink side only
    if a path of residual arcs leads from it to the sink. A node that neither terminal reaches is on
    the source side. Cuts that tie in exact arithmetic may differ by rounding. The result depends on
    nothing but the arguments.

    Parameters
    ----------
    first, second
        The nodes of each edge, (m,). Several edges may join the same nodes; an edge from a node to
        itself is ignored.
    capacity
        Of each edge, the same in both directions, finite and not negative, (m,).
    excess
        Capacity between the source and a node, or, negative, between it and the sink, (n,).
        Infinite where the node's side is given.

    Raises
    ------
    ValueError
        Edges of different lengths or between nodes that do not exist; capacities that are negative
        or not finite; an excess that is not a number.

    Examples
    --------
    Both edges of a chain tie; the cut is the one next to the sink.

    >>> excess = np.array([np.inf, 0, -np.inf])
    >>> first, second = np.array([0, 1]), np.array([1, 2])
    >>> min_cut_source_side(first, second, np.array([1.0, 1.0]), excess).tolist()
    [True, True, False]
    >>> min_cut_source_side(first, second, np.array([1.0, 3.0]), excess).tolist()
    [True, False, False]
    """
    edges = np.ascontiguousarray(first, np.int64), np.ascontiguousarray(second, np.int64)
    capacities = np.ascontiguousarray(capacity, np.float64)
    remaining = np.array(excess, np.float64)
    _check_graph(edges, capacities, remaining)
    start, heads, opposite, residual = _residual_arcs(*edges, capacities, len(remaining))
    level, arc, path = (np.empty(len(remaining), np.int64) for _ in range(3))
    while _set_levels(start, heads, opposite, residual, remaining, level, path):
        _push_flow(start, heads, opposite, residual, remaining, level, arc, path)
    return np.asarray(level == len(remaining))


def _check_graph(
    edges: tuple[IntArray, IntArray], capacity: FloatArray, excess: FloatArray
) -> None:
    sizes = {len(capacity), *map(len, edges)}
    if len(sizes) > 1:
        raise ValueError(
            f"edges have {len(edges[0])} first nodes, {len(edges[1])} second nodes and "
            f"{len(capacity)} capacities; there must be as many of each"
        )
    if len(capacity):
        low, high = min(end.min() for end in edges), max(end.max() for end in edges)
        if low < 0 or high >= len(excess):
            raise ValueError(f"edges join nodes {low} to {high}; nodes are 0 to {len(excess) - 1}")
    invalid = capacity[~((capacity >= 0) & (capacity < np.inf))]
    if len(invalid):
        raise ValueError(f"a capacity is {invalid[0]}; capacities are finite and not negative")
    if np.isnan(excess).any():
        raise ValueError(f"the excess of node {np.isnan(excess).argmax()} is not a number")


@njit(cache=True, nogil=True)
def _residual_arcs(first, second, capacity, nodes):  # type: ignore[no-untyped-def]
    """Return the two arcs of each edge, sorted by tail (compressed sparse rows).

    Those of node v are `start[v]` to `start[v + 1]`: head, index of the opposite arc, residual
    capacity.
    """
    start = np.zeros(nodes + 1, np.int64)
    for e in range(len(first)):
        if first[e] != second[e]:
            start[first[e] + 1] += 1
            start[second[e] + 1] += 1
    for v in range(nodes):
        start[v + 1] += start[v]
    free = start.copy()
    heads = np.empty(start[nodes], np.int64)
    opposite = np.empty(start[nodes], np.int64)
    residual = np.empty(start[nodes], np.float64)
    for e in range(len(first)):
        u, v = first[e], second[e]
        if u != v:
            there, back = free[u], free[v]
            free[u] += 1
            free[v] += 1
            heads[there], opposite[there], residual[there] = v, back, capacity[e]
            heads[back], opposite[back], residual[back] = u, there, capacity[e]
    return start, heads, opposite, residual


@njit(cache=True, nogil=True)
def _set_levels(  # type: ignore[no-untyped-def]
    start, heads, opposite, residual, excess, level, queue
):
    """Set the level of each node by breadth-first search; return whether excess can reach the sink.

    Nodes with capacity to the sink have level 0; nodes that cannot reach it, the number of nodes.
    """
    nodes = len(level)
    end, found = 0, False
    for v in range(nodes):
        level[v] = nodes
        if excess[v] < 0:
            level[v] = 0
            queue[end] = v
            end += 1
    n = 0
    while n < end:
        v = queue[n]
        n += 1
        for a in range(start[v], start[v + 1]):
            u = heads[a]
            if level[u] == nodes and residual[opposite[a]] > 0:
                level[u] = level[v] + 1
                queue[end] = u
                end += 1
                found |= excess[u] > 0
    return found


@njit(cache=True, nogil=True)
def _push_flow(  # type: ignore[no-untyped-def]
    start, heads, opposite, residual, excess, level, arc, path
):
    """Push a blocking flow: depth-first search from each node with excess, one level down a step.

    `arc[v]` is the first arc of node v that may still lead to the sink in this phase; `path` has
    the arcs from the node with excess to node v. Dead ends get the level of nodes that cannot reach
    the sink.
    """
    nodes = len(level)
    for v in range(nodes):
        arc[v] = start[v]
    for source in range(nodes):
        if excess[source] <= 0:
            continue
        v, length = source, 0
        while level[source] < nodes and excess[source] > 0:
            if excess[v] < 0:
                length = _augment(heads, opposite, residual, excess, path[:length], source, v)
                v = heads[path[length - 1]] if length else source
                continue
            a = _next_arc(start, heads, residual, level, arc[v], v)
            arc[v] = a
            if a < start[v + 1]:
                path[length] = a
                length += 1
                v = heads[a]
            else:
                level[v] = nodes
                length -= 1
                v = heads[opposite[path[length]]] if length >= 0 else source


@njit(cache=True, nogil=True, inline="always")
def _next_arc(start, heads, residual, level, a, v):  # type: ignore[no-untyped-def]
    """Return the first arc of node v from `a` on that leads one level down, else the end."""
    while a < start[v + 1] and not (residual[a] > 0 and level[heads[a]] == level[v] - 1):
        a += 1
    return a


@njit(cache=True, nogil=True)
def _augment(  # type: ignore[no-untyped-def]
    heads, opposite, residual, excess, path, source, sink
):
    """Push flow along a path; return the number of arcs before the first saturated one."""
    flow = min(excess[source], -excess[sink])
    for a in path:
        flow = min(flow, residual[a])
    excess[source] -= flow
    excess[sink] += flow
    before = len(path)
    for n in range(len(path) - 1, -1, -1):
        a = path[n]
        residual[a] -= flow
        residual[opposite[a]] += flow
        if residual[a] <= 0:
            before = n
    return before
