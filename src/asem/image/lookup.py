"""Look up every voxel in a table, on all cores."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange


def look_up(table: npt.NDArray[Any], numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return ``table[numbers]``.

    Parameters
    ----------
    table
        One entry for each number there can be.
    numbers
        Unsigned, any shape.

    Examples
    --------
    >>> look_up(np.array([5, 7]), np.array([[0, 1]], np.uint8)).tolist()
    [[5, 7]]
    """
    out = np.empty(numbers.shape, table.dtype)
    _fill(table, np.ascontiguousarray(numbers).reshape(-1), out.reshape(-1))
    return out


@njit(cache=True, parallel=True)
def _fill(table, numbers, out):  # type: ignore[no-untyped-def]
    for n in prange(len(numbers)):
        out[n] = table[numbers[n]]
