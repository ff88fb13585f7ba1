"""What is read beyond the border of an array: its reflection.

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
    """Read a box that reaches beyond an array (z, y, x); every voxel of it is read once.

    Parameters
    ----------
    array
        As `asem.volume.volume.Lazy` has it.
    roi
        In its voxels, not empty. An axis of one voxel is constant.

    Returns
    -------
    ndarray
        Shape ``roi.shape``, the array's dtype.
    """
    spans = zip(roi.offset, roi.end, array.shape, strict=True)
    indices = [reflected(start, stop, size) for start, stop, size in spans]
    inner = tuple(slice(int(i.min()), int(i.max()) + 1) for i in indices)
    data = np.asarray(array[inner[0], inner[1], inner[2]])
    runs = (_runs(i - part.start) for i, part in zip(indices, inner, strict=True))
    out = np.empty(roi.shape, data.dtype)
    for parts in product(*runs):  # whole boxes: much faster than voxel by voxel
        (z, from_z), (y, from_y), (x, from_x) = parts
        out[z, y, x] = data[from_z, from_y, from_x]
    return out


def reflected(start: int, stop: int, size: int) -> npt.NDArray[np.intp]:
    """Return the indices that numpy's ``reflect`` padding reads for start..stop of `size` voxels.

    Examples
    --------
    >>> reflected(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    index = np.arange(start, stop)
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    index %= period
    return np.minimum(index, period - index)


def _runs(index: npt.NDArray[np.intp]) -> Iterator[tuple[slice, slice]]:
    """Split indices that `reflected` gives where they turn: (where it goes, what is read).

    Examples
    --------
    >>> list(_runs(np.array([1, 0, 1, 2])))
    [(slice(0, 2, None), slice(1, None, -1)), (slice(2, 4, None), slice(1, 3, 1))]
    """
    start = 0
    while start < len(index):
        steps = np.diff(index[start:])
        step = int(steps[0]) if len(steps) else 1
        turns = np.flatnonzero(steps != step)
        stop = start + 1 + int(turns[0] if len(turns) else len(steps))
        first, last = int(index[start]), int(index[stop - 1])
        beyond = last + step
        # A voxel that is repeated is read once.
        source = (
            slice(first, beyond if beyond >= 0 else None, step) if step else slice(first, first + 1)
        )
        yield slice(start, stop), source
        start = stop
