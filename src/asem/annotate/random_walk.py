"""Random walker (Grady, 2006): probability of reaching foreground before background."""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

from asem.annotate.edits import FOREGROUND


def random_walker_probability(
    weights: sparse.csr_array,
    hard_constraints: npt.NDArray[np.uint8],
    *,
    prior: npt.NDArray[np.float64] | None = None,
    prior_weight: float = 0.0,
) -> npt.NDArray[np.float64]:
    """Return, for walks from each node, the probability of reaching foreground first (Grady, 2006).

    A walk steps from u to v with a probability proportional to their weight, until it reaches a
    constrained node. With the Laplacian matrix L = D - W and x = 1 on foreground, 0 on background,
    the result is the x of the other nodes for which L x = 0 there.

    With a prior g, a walk may also end before each step, and then reaches foreground with the prior
    probability of its node: (L + t D) x = t D g. Strokes thus overrule the prior as far as walks
    reach.

    Parameters
    ----------
    weights
        Symmetric (n, n), from `Adjacency.to_matrix`; positive between neighbours.
    hard_constraints
        Stroke label of a constrained node, or 0, (n,).
    prior
        A probability of foreground, (n,).
    prior_weight
        t: odds that a walk ends before a step.

    Returns
    -------
    ndarray
        In [0, 1], (n,). A node without a path to a constrained one has its prior, or else 0.5.

    Examples
    --------
    >>> from asem.annotate.adjacency import Adjacency
    >>> line = Adjacency(np.array([0, 1]), np.array([1, 2]), np.array([3, 1]))
    >>> weights = line.to_matrix(np.array([3.0, 1.0]), 3)
    >>> random_walker_probability(weights, np.array([1, 0, 2], np.uint8)).round(3).tolist()
    [1.0, 0.75, 0.0]
    """
    probability = np.where(hard_constraints == FOREGROUND, 1.0, 0.0)
    _, component = sparse.csgraph.connected_components(weights, directed=False)
    reached = np.isin(component, component[hard_constraints != 0])
    probability[~reached] = 0.5 if prior is None else prior[~reached]
    free = np.flatnonzero((hard_constraints == 0) & reached)
    if not free.size:
        return probability
    free_rows = weights[free]
    degree = free_rows.sum(1)
    stops = np.zeros_like(degree) if prior is None else prior_weight * degree
    system = sparse.diags_array(degree + stops) - free_rows[:, free]
    target = free_rows @ probability + (0 if prior is None else stops * prior[free])
    # A direct solver: iterative ones diverge, since weights differ by many orders of magnitude.
    factors = splu(
        system.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0,
        options={"SymmetricMode": True},
    )
    probability[free] = factors.solve(target).clip(0, 1)
    return probability
