"""Read beyond the border of an array by reflection padding (numpy `reflect`).

::

    array        a b c d
    read     c b a b c d c b      (numpy's "reflect", repeated where the axis is thin)
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.roi import Roi


def read_reflected(array: Any, roi: Roi) -> npt.NDArray[Any]:
    """Read a box that extends beyond an array (z, y, x); each voxel of the array is read once.

    Parameters
    ----------
    array
        An `asem.volume.volume.ArrayLike`.
    roi
        In the voxels of `array`, not empty. An axis of one voxel is constant.

    Returns
    -------
    ndarray
        Shape ``roi.shape``, the array's dtype.
    """
    spans = zip(roi.offset, roi.end, array.shape, strict=True)
    indices = [reflect_indices(start, stop, size) for start, stop, size in spans]
    inner = tuple(slice(int(i.min()), int(i.max()) + 1) for i in indices)
    data = np.asarray(array[inner[0], inner[1], inner[2]])
    runs = (_split_runs(i - part.start) for i, part in zip(indices, inner, strict=True))
    out = np.empty(roi.shape, data.dtype)
    for parts in product(*runs):  # box by box, much faster than voxel by voxel
        (z, from_z), (y, from_y), (x, from_x) = parts
        out[z, y, x] = data[from_z, from_y, from_x]
    return out


def reflect_indices(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Return the indices of numpy's ``reflect`` padding for start..stop of an axis of `size`.

    Examples
    --------
    >>> reflect_indices(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    index = np.arange(start, stop)
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index %= period
    return np.minimum(index, period - index)


def _split_runs(index: npt.NDArray[np.intp]) -> Iterator[tuple[slice, slice]]:
    """Split the indices of `reflect_indices` where their direction changes: (target, source).

    Examples
    --------
    >>> list(_split_runs(np.array([1, 0, 1, 2])))
    [(slice(0, 2, None), slice(1, None, -1)), (slice(2, 4, None), slice(1, 3, 1))]
    """
    start = 0
    while start < len(index):
        steps = np.diff(index[start:])
        step = int(steps[0]) if len(steps) else 1
        turns = np.flatnonzero(steps != step)
        stop = start + 1 + int(turns[0] if len(turns) else len(steps))
        first, last = int(index[start]), int(index[stop - 1])
        end = last + step
        # Constant indices read one voxel, which numpy broadcasts.
        source = slice(first, end if end >= 0 else None, step) if step else slice(first, first + 1)
        yield slice(start, stop), source
        start = stop
