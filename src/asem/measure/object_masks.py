"""Read one object as a mask, sampled where its box is large.

::

    voxels    . # # . | . # . . | . . . .        step 4: a sample is object if any of its voxels is,
    samples      #    |    #    |    .           so that thin parts stay connected

Samples are on a lattice that starts at the origin of the original grid: the mask of an object does
not depend on how the volume is divided into blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import log2
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.volume.roi import IntZYX, Roi, add, per_axis

MAX_BOX_SAMPLES = 2**24
"""Largest box of a mask, samples: 256 along each axis."""


@dataclass(frozen=True)
class Sampling:
    """How an object is sampled.

    Parameters
    ----------
    steps
        Voxels of a sample along (z, y, x).
    voxel_size
        Distances of samples, nm.
    """

    steps: IntZYX
    voxel_size: NmZYX


def choose_sampling(shape: IntZYX, voxel_size: NmZYX) -> Sampling:
    """Return the finest sampling at which a box has at most `MAX_BOX_SAMPLES`.

    Along each axis the step is 1, 2, 4, ...: those of fine axes grow first, until samples are
    isotropic within a factor of the square root of 2 (as for `asem.volume.pyramid_levels`).

    Parameters
    ----------
    shape
        Voxels of the box.
    voxel_size
        nm.

    Examples
    --------
    >>> choose_sampling((40, 900, 900), (50.0, 5.0, 5.0))
    Sampling(steps=(1, 2, 2), voxel_size=(50.0, 10.0, 10.0))
    """
    edge = min(voxel_size)
    while True:
        steps = per_axis(partial(_choose_step, edge), voxel_size)
        if count_samples(shape, steps) <= MAX_BOX_SAMPLES:
            return Sampling(steps, per_axis(lambda size, step: size * step, voxel_size, steps))
        edge *= 2


def _choose_step(edge: float, size: float) -> int:
    """Return the power of 2, at least 1, that makes voxels of `size` nm about as long as `edge`."""
    return int(2 ** max(0, round(log2(edge / size))))


def count_samples(shape: IntZYX, steps: IntZYX) -> int:
    """Return the largest number of samples that a box of voxels can touch."""
    z, y, x = per_axis(lambda length, step: (length + step - 2) // step + 1, shape, steps)
    return z * y * x


def read_mask(
    read: Callable[[Roi], npt.NDArray[Any]],
    object_id: int,
    parts: Sequence[Roi],
    sampling: Sampling,
    *,
    origin: IntZYX = (0, 0, 0),
) -> npt.NDArray[np.bool_]:
    """Read an object part by part.

    Memory: the largest part, and the mask.

    Parameters
    ----------
    read
        Returns the labels of a box of voxels.
    object_id
        Its id.
    parts
        Boxes that contain all of its voxels.
    sampling
        How to sample it.
    origin
        Index of the first voxel of the volume on its original grid.

    Returns
    -------
    ndarray
        The samples of the box around `parts`, bool.
    """
    steps = sampling.steps
    sampled = [_to_samples(part, steps, origin) for part in parts]
    start = per_axis(min, *(box.offset for box in sampled)) if len(parts) > 1 else sampled[0].offset
    stop = per_axis(max, *(box.end for box in sampled)) if len(parts) > 1 else sampled[0].end
    mask = np.zeros(Roi.from_bounds(start, stop).shape, np.bool_)
    for part, box in zip(parts, sampled, strict=True):
        labels = read(part)
        found = labels == labels.dtype.type(object_id)
        for axis, step in enumerate(steps):
            if step > 1:
                phase = (part.offset[axis] + origin[axis]) % step
                edges = np.arange(-phase, found.shape[axis], step)
                found = np.logical_or.reduceat(found, np.maximum(edges, 0), axis=axis)
        place = box.shift(per_axis(lambda n: -n, start))
        mask[place.slices] |= found
    return mask


def _to_samples(part: Roi, steps: IntZYX, origin: IntZYX) -> Roi:
    """Return the samples that a box of voxels touches."""
    start = per_axis(lambda n, step: n // step, add(part.offset, origin), steps)
    stop = per_axis(lambda n, step: -(-n // step), add(part.end, origin), steps)
    return Roi.from_bounds(start, stop)
