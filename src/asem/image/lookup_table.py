"""Apply a lookup table to an array in parallel (numba)."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange


def apply_lookup_table(table: npt.NDArray[Any], indices: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``table[indices]``.

    Parameters
    ----------
    table
        One entry for each possible index.
    indices
        Unsigned, any shape.

    Examples
    --------
    >>> apply_lookup_table(np.array([5, 7]), np.array([[0, 1]], np.uint8)).tolist()
    [[5, 7]]
    """
    out = np.empty(indices.shape, table.dtype)
    _fill_parallel(table, np.ascontiguousarray(indices).reshape(-1), out.reshape(-1))
    return out


@njit(cache=True, parallel=True)
def _fill_parallel(table, indices, out):  # type: ignore[no-untyped-def]
    for n in prange(len(indices)):
        out[n] = table[indices[n]]
