"""Cleaning labels and masks: small holes filled, small objects dropped, counted across blocks.

Each step takes a function that reads a block and returns one that reads it cleaned; a step that has
nothing to do returns what it got.
"""

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.blocks.output import Output
from asem.blocks.partials import Partials
from asem.config import Nm3, excerpt
from asem.image.components import Read, find_objects, recode
from asem.image.labels import is_foreground, unknown_id
from asem.image.morphology import near
from asem.volume.roi import Roi, negative
from asem.volume.volume import Volume

MOST_VOXELS = 2**62
"""Of an image: half of what 64 bits count."""


def voxels_of(volume_nm3: float, voxel_size: Nm3) -> int:
    """Return the least number of voxels that make up a volume.

    Examples
    --------
    >>> voxels_of(3375, (5, 5, 5))
    27
    """
    return int(np.ceil(min(volume_nm3 / prod(voxel_size), MOST_VOXELS) - 1e-6))


def check_smallest(voxels: int) -> None:
    """Raise ValueError where a number of voxels cannot be the least size of an object."""
    if not 0 <= voxels <= MOST_VOXELS:
        raise ValueError(
            f"the smallest size {excerpt(voxels)} must not be negative, and at most 2^62 voxels: "
            "no image has more"
        )


def cleaned(
    output: Output,
    source: Volume,
    *,
    largest_hole_nm3: float,
    smallest_nm3: float,
    keep_cut: bool = False,
) -> Read:
    """Fill small holes, then drop small objects.

    Parameters
    ----------
    output
        It runs the blocks and keeps their records.
    source
        Labels on disk, of the shape of the output.
    largest_hole_nm3, smallest_nm3
        Holes and objects of less are small.
    keep_cut
        Keep small objects whose true size is not known (`drop_objects`). For annotations, which
        cover a part of what there is; not for masks and segmentations.

    Returns
    -------
    Read
        Reads one of the output's shards, cleaned.
    """
    size = source.voxel_size
    filled = fill_holes(output, source, smaller=voxels_of(largest_hole_nm3, size))
    smaller = voxels_of(smallest_nm3, size)
    return drop_objects(output, filled, smaller=smaller, cut_in=source if keep_cut else None)


def fill_holes(output: Output, source: Volume, *, smaller: int) -> Read:
    """Fill holes of fewer than `smaller` voxels with the smallest id that borders on them.

    A hole is a connected part of the background (6 neighbours), as for scikit-image's
    ``remove_small_holes``: also one that the border of the volume cuts. One that borders on unknown
    voxels may be larger than it seems, and stays.

    ::

        1 1 1 1        1 1 1 1
        1 . . 2   ->   1 1 1 2        smaller: 3
        1 1 1 2        1 1 1 2

    Parameters
    ----------
    output
        It runs the blocks and keeps their records.
    source
        Labels: 0 background, the dtype's maximum unknown; on disk.
    smaller
        In voxels.
    """
    if smaller <= 1:
        return source.read
    objects = find_objects(
        output,
        partial(_background, source=source),
        stage="holes",
        more=partial(_borders, source=source),
    )
    records = output.partials("holes")
    least = objects.least(objects.gather(records, "borders", "uint64"))
    enclosed = least != np.iinfo(least.dtype).max  # else it is all there is
    filling = output.partials("fillings")
    objects.save(filling, np.where((objects.sizes < smaller) & enclosed, least, 0))
    return _Filled(source, filling)


def _background(block: Roi, *, source: Volume) -> npt.NDArray[Any]:
    return np.asarray(source.read(block) == 0, np.uint8)


@dataclass(frozen=True)
class _Filled:
    """Reads a block with its holes filled."""

    source: Volume
    filling: Partials

    def __call__(self, block: Roi) -> npt.NDArray[Any]:
        labels = self.source.read(block)
        fillings = recode(labels == 0, block, self.filling)
        return np.asarray(np.where(labels == 0, fillings.astype(labels.dtype), labels))


def _borders(
    block: Roi, components: npt.NDArray[Any], *, source: Volume
) -> dict[str, npt.NDArray[Any]]:
    """Return for each hole of a block the smallest id beside it, also in the next blocks."""
    read = block.grow((1, 1, 1)).intersect(source.roi)
    labels = source.read(read)
    start = np.array(block.offset) - np.array(read.offset)
    number, unknown = int(components.max(initial=0)), unknown_id(labels.dtype)
    return {"borders": _smallest_beside(components, labels, start, number, unknown)}


@njit(cache=True)
def _smallest_beside(components, labels, start, number, unknown):  # type: ignore[no-untyped-def]
    """Return the smallest id beside each component; 0 if it borders on unknown voxels.

    Parameters
    ----------
    components
        Shape (z, y, x).
    labels
        The same box with a margin on some sides; the box begins at `start`.
    """
    found = np.full(number, np.iinfo(np.uint64).max, np.uint64)
    steps = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
    depth, height, width = labels.shape
    for i in range(components.shape[0]):
        for j in range(components.shape[1]):
            for k in range(components.shape[2]):
                one = components[i, j, k]
                if one == 0:
                    continue
                for dz, dy, dx in steps:
                    z, y, x = i + start[0] + dz, j + start[1] + dy, k + start[2] + dx
                    if 0 <= z < depth and 0 <= y < height and 0 <= x < width:
                        beside = labels[z, y, x]
                        if beside != 0:
                            # Mixed with signed numbers, large ids would become floats.
                            value = np.uint64(beside)
                            if beside == unknown:
                                value = np.uint64(0)
                            found[one - 1] = min(found[one - 1], value)
    return found


def drop_objects(output: Output, read: Read, *, smaller: int, cut_in: Volume | None = None) -> Read:
    """Drop objects of fewer than `smaller` voxels.

    An object is a connected part of one label (6 neighbours). Unlabelled voxels stay. With `cut_in`
    so does an object of which a voxel shares a face with an unlabelled one or lies at the border of
    the volume: it may be larger than it seems.

    ::

        1 . . . .        1 . . . .
        . . 2 . .   ->   . . . . .        smaller: 2; ? is unlabelled
        . . . . 3        . . . . 3
        . 4 ? . .        . 4 ? . .

    Parameters
    ----------
    output
        It runs the blocks and keeps their records.
    read
        The labels of a block.
    smaller
        In voxels.
    cut_in
        The labels, with the unlabelled voxels of what is read; on disk, of the shape of the output.
        None: objects that are cut off are dropped as any other.
    """
    if smaller <= 1:
        return read
    known = partial(read_known, read=read)
    more = None if cut_in is None else partial(_cut_off, source=cut_in)
    stage = "objects" if cut_in is None else "objects and borders"
    objects = find_objects(output, known, stage=stage, more=more)
    keep = objects.sizes >= smaller
    if cut_in is not None:
        records = output.partials(stage)
        cut = objects.gather(records, "cut", "bool")
        keep[objects.of[cut]] = True
    kept = output.partials("kept objects")
    objects.save(kept, keep.astype(np.uint8))
    return _Dropped(read, kept)


def _cut_off(
    block: Roi, components: npt.NDArray[Any], *, source: Volume
) -> dict[str, npt.NDArray[Any]]:
    """Return for each component of a block whether it is cut off there, also by the next blocks."""
    read = block.grow((1, 1, 1)).intersect(source.roi)
    unlabelled = source.read(read) == unknown_id(source.dtype)
    ends = near(unlabelled, (1, 1, 1))[block.shift(negative(read.offset)).slices]
    for axis, (first, stop, size) in enumerate(
        zip(block.offset, block.end, source.shape, strict=True)
    ):
        planes = np.moveaxis(ends, axis, 0)
        planes[0] |= first == 0
        planes[-1] |= stop == size
    cut = np.zeros(int(components.max(initial=0)) + 1, bool)
    cut[components[ends]] = True
    return {"cut": cut[1:]}


def read_known(block: Roi, *, read: Read) -> npt.NDArray[Any]:
    """Read a block with 0 where nobody knows."""
    return known_labels(read(block))


def known_labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels with 0 where nobody knows."""
    return np.where(is_foreground(labels), labels, 0)


@dataclass(frozen=True)
class _Dropped:
    """Reads a block without its small objects."""

    read: Read
    kept: Partials

    def __call__(self, block: Roi) -> npt.NDArray[Any]:
        labels = self.read(block)
        known = known_labels(labels)
        keep = recode(known, block, self.kept)
        return np.where((known != 0) & (keep == 0), 0, labels)
