"""Objects that were measured twice: from two masks of one object."""

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from asem.measure.review_decisions import ACCEPT, REJECT, Review


def find_duplicates(
    centre_nm: npt.NDArray[np.float64],
    size_nm: npt.NDArray[np.float64],
    order: npt.NDArray[np.intp],
    chosen: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Return which objects are the same as another one: within half a size of its centre.

    Of two, the one that is later in `order` is the duplicate.

    Parameters
    ----------
    centre_nm, size_nm
        Of all objects, (n, 3) and (n,); nan for those that were not measured.
    order
        All rows, the most reliable first, (n,).
    chosen
        Objects that are compared, (n,).

    Examples
    --------
    >>> centres = np.array([[0.0, 0, 0], [0, 0, 30], [0, 0, 200]])
    >>> find_duplicates(centres, np.full(3, 90.0), np.array([1, 0, 2]), np.ones(3, bool)).tolist()
    [True, False, False]
    """
    duplicate = np.zeros(len(chosen), np.bool_)
    rows = np.flatnonzero(chosen & np.isfinite(size_nm))
    if len(rows) < 2:
        return duplicate
    sizes = size_nm[rows]
    pairs = cKDTree(centre_nm[rows]).query_pairs(sizes.max() / 2, output_type="ndarray")
    gaps = np.linalg.norm(np.subtract(*centre_nm[rows][pairs.T]), axis=1)
    near = pairs[gaps < sizes[pairs].mean(axis=1) / 2]
    rank = np.argsort(order)[rows]
    for pair in near[np.argsort(rank[near].min(axis=1), kind="stable")]:
        if not duplicate[rows[pair]].any():
            duplicate[rows[pair[np.argmax(rank[pair])]]] = True
    return duplicate


def flag_duplicates(
    flags: list[list[str]],
    centre_nm: npt.NDArray[np.float64],
    size_nm: npt.NDArray[np.float64],
    order: npt.NDArray[np.intp],
    review: Review,
) -> None:
    """Flag duplicates among the objects without a flag; `flags` is changed in place.

    A duplicate of a rejected object is the same object, and counts only where a person accepted it.

    Parameters
    ----------
    flags
        Of each object, (n,).
    centre_nm, size_nm, order
        As in `find_duplicates`.
    review
        Decisions.
    """
    free = np.array([not each for each in flags])
    duplicate = find_duplicates(centre_nm, size_nm, order, free)
    accepted, rejected = (review.is_decided(d, len(flags)) for d in (ACCEPT, REJECT))
    duplicate[accepted] = find_duplicates(centre_nm, size_nm, order, free & ~rejected)[accepted]
    for row in np.flatnonzero(duplicate).tolist():
        flags[row].append("duplicate")
