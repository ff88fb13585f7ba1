"""A random walk over fragments: how likely one meets the foreground before the background."""

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

from asem.annotate.strokes import FOREGROUND


def graph(
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    weight: npt.NDArray[np.number],
    number: int,
) -> sparse.csr_array:
    """Return the symmetric matrix of the weights between `number` nodes."""
    ends = np.concatenate([first, second]), np.concatenate([second, first])
    return sparse.csr_array((np.concatenate([weight, weight]), ends), shape=(number, number))


def meets_foreground(
    weights: sparse.csr_array,
    bound: npt.NDArray[np.uint8],
    *,
    guess: npt.NDArray[np.float64] | None = None,
    tires: float = 0.0,
) -> npt.NDArray[np.float64]:
    """Return, for walks from each node, the probability to meet foreground first (Grady, 2006).

    A walk goes from u to v with a probability that is proportional to their weight, until it comes
    to a node that is bound. With the Laplacian matrix L = D - W and x = 1 on foreground, 0 on
    background, it is the x of the others for which L x = 0 there.

    With a guess g, a walk may also end before each step, and then meets foreground with the
    probability that is guessed where it is: (L + t D) x = t D g. Strokes then overrule the guess as
    far as walks come.

    Parameters
    ----------
    weights
        From `graph`; positive between neighbours.
    bound
        Code of the stroke that binds a node, or 0, (n,).
    guess
        A probability of foreground, (n,).
    tires
        t: how likely, over how unlikely, a walk ends before a step.

    Returns
    -------
    ndarray
        In [0, 1], (n,). A node without a way to one that is bound has its guess, or else 0.5.

    Examples
    --------
    >>> line = graph(np.array([0, 1]), np.array([1, 2]), np.array([3.0, 1.0]), 3)
    >>> meets_foreground(line, np.array([1, 0, 2], np.uint8)).round(3).tolist()
    [1.0, 0.75, 0.0]
    """
    found = np.where(bound == FOREGROUND, 1.0, 0.0)
    _, part = sparse.csgraph.connected_components(weights, directed=False)
    reached = np.isin(part, part[bound != 0])
    found[~reached] = 0.5 if guess is None else guess[~reached]
    free = np.flatnonzero((bound == 0) & reached)
    if not free.size:
        return found
    among = weights[free]
    degree = among.sum(1)
    ends = np.zeros_like(degree) if guess is None else tires * degree
    system = sparse.diags_array(degree + ends) - among[:, free]
    target = among @ found + (0 if guess is None else ends * guess[free])
    # Directly: weights differ by many orders, which iterations do not bear.
    factors = splu(
        system.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0,
        options={"SymmetricMode": True},
    )
    found[free] = factors.solve(target).clip(0, 1)
    return found
