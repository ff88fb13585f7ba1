"""Check imported labels: integer ids, the unlabelled value, and signs of masks or grey values."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.run_blocks import Progress, no_progress
from asem.config import shorten
from asem.volume.band_reading import chunk_of
from asem.volume.block_grid import split_into_blocks
from asem.volume.contrast import count_values
from asem.volume.id_selection import IdSelection
from asem.volume.label_views import check_are_ids, merge_selected, unlabelled_id
from asem.volume.roi import Roi, per_axis
from asem.volume.value_checks import count_equal_neighbours
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD
from asem.workflows.label_ids import (
    LabelConversion,
    UnlabelledOption,
    stored_dtype,
    unlabelled_value_of,
)

LOG = logging.getLogger(__name__)
MAX_SLAB_BYTES = 2**28
"""Bytes that are read at a time, where chunks are not larger."""
MAX_CLASSES = 16
"""Ids up to this may be classes, of which only some occur."""
MIN_FOREGROUND_FRACTION = 0.01
"""Foreground of a smaller fraction of the unlabelled voxels is probably the rim of a mask."""


@dataclass
class LabelCounts:
    """Counts of voxels, ids and neighbours in labels.

    Parameters
    ----------
    foreground, background, unlabelled
        Numbers of voxels.
    largest_id
        0 where there is none.
    ids
        Ids that occur; only for dtypes of up to 16 bits.
    neighbour_pairs, equal_pairs
        Pairs of neighbours along x that both have an id, and those that have the same id.
    """

    foreground: int = 0
    background: int = 0
    unlabelled: int = 0
    largest_id: int = 0
    ids: set[int] = field(default_factory=set)
    neighbour_pairs: int = 0
    equal_pairs: int = 0

    @property
    def has_mostly_unequal_neighbours(self) -> bool:
        """Whether most neighbours differ, as in grey values but not in ids of objects."""
        return 2 * self.equal_pairs < self.neighbour_pairs

    def to_dict(self) -> dict[str, int]:
        """Return the numbers of foreground, background and unlabelled voxels."""
        return {
            "foreground": self.foreground,
            "background": self.background,
            "unlabelled": self.unlabelled,
        }


def inspect_labels(
    volume: Volume,
    roi: Roi,
    unlabelled: UnlabelledOption,
    *,
    ids: IdSelection | None = None,
    progress: Progress = no_progress,
) -> LabelCounts:
    """Read labels once, count and check them, and log warnings of probable mistakes.

    Parameters
    ----------
    volume
        Integers from 0 on, of any dtype.
    roi
        The box to import.
    unlabelled
        The value that means unlabelled; ``"auto"``: the maximum of an integer dtype; ``"none"``:
        none.
    ids
        The ids that are foreground; None: all.
    progress
        Called after each slab.

    Raises
    ------
    ValueError
        A value is no id, the largest of the dtype looks like the foreground of a mask, or one of
        `ids` does not occur.
    """
    dtype = stored_dtype(volume.dtype, unlabelled)
    counts = LabelCounts()
    is_present = np.zeros(len(ids.ranges) if ids is not None else 0, np.bool_)
    unsigned = isinstance(unlabelled, int) and volume.dtype.kind == "u"
    if unsigned and unlabelled not in range(unlabelled_id(volume.dtype) + 1):
        raise ValueError(f"--unlabelled {shorten(unlabelled)} is no value of {volume.dtype}")
    others = (unlabelled,) if isinstance(unlabelled, int) else ()
    convert = LabelConversion(dtype, unlabelled, ids)
    done = 0
    for slab in split_into_slabs(roi, volume):
        voxels = volume.read(slab)
        done += slab.size
        progress("labels", done, roi.size)
        check_are_ids(voxels, slab.offset, volume.name, dtype=dtype, other_values=others)
        stored = convert.to_ids(voxels)
        if ids is not None:
            is_present |= ids.find_present(stored)
            stored = merge_selected(stored, ids)
        _add_counts(stored, counts)
    if ids is not None:
        ids.check_present(is_present, volume.name)
    if unlabelled == "none" and counts.unlabelled:
        largest = unlabelled_id(dtype)
        raise ValueError(f"{volume.name} holds {largest}; the largest allowed id is {largest - 1}")
    _check_no_mask(volume, counts, unlabelled)
    _warn_of_suspect_labels(volume, counts, dtype, unlabelled_value_of(volume.dtype, unlabelled))
    return counts


def split_into_slabs(roi: Roi, volume: Volume) -> Iterator[Roi]:
    """Split a box into parts to read at a time, so that each chunk of the array is decoded once.

    These are shards, extended to whole chunks; where chunks are whole planes, slabs of some planes.
    """
    chunk = chunk_of(volume.array)
    _, rows, columns = per_axis(lambda shard, size: -(-shard // size) * size, SHARD, chunk)
    section = min(rows, roi.shape[1]) * min(columns, roi.shape[2]) * volume.dtype.itemsize
    depth = max(1, min(SHARD[0], MAX_SLAB_BYTES // section) // chunk[0]) * chunk[0]
    return split_into_blocks(roi, (depth, rows, columns))


def _add_counts(ids: npt.NDArray[Any], counts: LabelCounts) -> None:
    ignored = unlabelled_id(ids.dtype)
    if ids.dtype.itemsize > 2:
        background, unlabelled = (int(np.count_nonzero(ids == n)) for n in (0, ignored))
        largest = int(ids.max(initial=0, where=ids != ignored))
    else:
        value_counts = count_values(ids)
        background, unlabelled = int(value_counts[0]), int(value_counts[ignored])
        counts.ids.update((np.flatnonzero(value_counts[1:ignored]) + 1).tolist())
        largest = max(counts.ids, default=0)
    counts.largest_id = max(counts.largest_id, largest)
    pairs, equal_pairs = count_equal_neighbours(ids, ignored)
    counts.neighbour_pairs += pairs
    counts.equal_pairs += equal_pairs
    counts.background += background
    counts.unlabelled += unlabelled
    counts.foreground += ids.size - background - unlabelled


def _check_no_mask(volume: Volume, counts: LabelCounts, unlabelled: UnlabelledOption) -> None:
    """Raise ValueError for masks of 0 and the largest value, also with interpolated rims.

    Ids number objects or classes from 1 on. Grey values of a rim are a small part of the possible
    values, or have few voxels.
    """
    if unlabelled != "auto" or not counts.unlabelled or volume.dtype.kind not in "ui":
        return
    largest = int(np.iinfo(volume.dtype).max)
    advice = (
        "write foreground as 1, or give --unlabelled none where it is foreground and --unlabelled "
        f"{largest} where it is not labelled"
    )
    if not counts.foreground:
        raise ValueError(
            f"{volume.name} holds only {_zero_text(counts)}{largest}, the largest value of "
            f"{volume.dtype}, which means unlabelled; {advice}"
        )
    top = counts.largest_id
    sparse = bool(counts.ids) and 2 * len(counts.ids) < top and top > MAX_CLASSES
    few = not counts.ids or counts.foreground < MIN_FOREGROUND_FRACTION * counts.unlabelled
    if sparse or counts.has_mostly_unequal_neighbours or (few and 2 * top > largest):
        raise ValueError(
            f"{volume.name} holds {counts.unlabelled} voxels of {largest}, the largest value of "
            f"{volume.dtype}, which means unlabelled, and {counts.foreground} of ids up to "
            f"{top}: it looks like a mask of 0 and {largest}; {advice}"
        )


def _zero_text(counts: LabelCounts) -> str:
    return "0 and " if counts.background else ""


def _warn_of_suspect_labels(
    volume: Volume, counts: LabelCounts, dtype: np.dtype[Any], unlabelled: int | None
) -> None:
    name, stored = volume.name, unlabelled_id(dtype)
    value = stored if unlabelled is None else unlabelled
    is_largest = volume.dtype.kind == "f" or value == np.iinfo(volume.dtype).max
    LOG.info("%s: %s", name, counts.to_dict())
    if dtype != volume.dtype:
        LOG.info(
            "%s: %s is stored as %s, in which %d means unlabelled",
            name,
            volume.dtype,
            dtype,
            stored,
        )
    if not counts.foreground:
        LOG.warning("%s has no foreground: all of it is background or unlabelled", name)
    elif not counts.background:
        LOG.warning(
            "%s has no background (no voxel is 0): only foreground%s. If an id means background "
            "(ilastik writes 1 and 2), set it to 0 first",
            name,
            " and unlabelled voxels" if counts.unlabelled else "",
        )
    if counts.has_mostly_unequal_neighbours:
        LOG.warning("%s: most neighbouring voxels differ; are these grey values, not ids?", name)
    if counts.unlabelled and is_largest and counts.largest_id == value - 1:
        LOG.warning(
            "%s holds both %d and %d, and %d means unlabelled. Where it is one more object, give "
            "--unlabelled none; where the values are the soft border of a mask, write foreground "
            "as 1",
            name,
            value,
            value - 1,
            value,
        )
    elif counts.unlabelled > counts.foreground / MIN_FOREGROUND_FRACTION:
        LOG.warning(
            "%s: %d voxels are unlabelled (%d), only %d foreground; if %d is meant as foreground, "
            "write it as 1",
            name,
            counts.unlabelled,
            value,
            counts.foreground,
            value,
        )
