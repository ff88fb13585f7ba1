"""What an import checks of labels: that pixels are ids, and what looks mistaken."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asem.blocks.run import Progress, silent
from asem.config import excerpt
from asem.image.labels import unknown_id
from asem.volume.arrays import SHARD
from asem.volume.contrast import count_values
from asem.volume.grid import tile
from asem.volume.planes import PlaneStack
from asem.volume.roi import Roi
from asem.volume.volume import Volume

LOG = logging.getLogger(__name__)
Unlabelled = int | Literal["auto", "none"]
LAYER_BYTES = 2**28
"""Read at a time."""
MOST_CLASSES = 16
"""Ids up to this may stand for classes, of which only some are there."""
FEW = 0.01
"""Ids of fewer voxels than this share of the unlabelled ones look like the rim of a mask."""


@dataclass
class LabelCounts:
    """How many voxels of labels are what.

    Parameters
    ----------
    foreground, background, unlabelled
        Voxels.
    largest_id
        0 where there is none.
    ids
        Those that there are; of up to 16 bits only.
    pairs, alike
        Neighbours along x that both have an id, and how many of these pairs have the same.
    """

    foreground: int = 0
    background: int = 0
    unlabelled: int = 0
    largest_id: int = 0
    ids: set[int] = field(default_factory=set)
    pairs: int = 0
    alike: int = 0

    @property
    def looks_grey(self) -> bool:
        """Whether most neighbours differ, as grey values do and the ids of objects do not."""
        return 2 * self.alike < self.pairs

    def shown(self) -> dict[str, int]:
        """Return the three numbers by their names."""
        return {
            "foreground": self.foreground,
            "background": self.background,
            "unlabelled": self.unlabelled,
        }


def stored_dtype(dtype: np.dtype[Any], unlabelled: Unlabelled) -> np.dtype[Any]:
    """Return the unsigned dtype that holds all ids of a dtype.

    Of the same size; of twice the size where the largest value of an unsigned one is to be an id,
    since the largest of the stored dtype is unlabelled.

    Examples
    --------
    >>> [str(stored_dtype(np.dtype(d), "auto")) for d in ("uint8", "int32", "float64")]
    ['uint8', 'uint32', 'uint64']
    >>> [str(stored_dtype(np.dtype("uint8"), value)) for value in ("none", 0, 255)]
    ['uint16', 'uint16', 'uint8']
    """
    size = dtype.itemsize
    if dtype.kind == "u" and size < 8 and unlabelled not in ("auto", unknown_id(dtype)):
        size *= 2
    return np.dtype(f"u{size}")


def unlabelled_in(dtype: np.dtype[Any], unlabelled: Unlabelled) -> int | None:
    """Return which value of the given dtype is unlabelled; None: none, or that of what is stored.

    Examples
    --------
    >>> [unlabelled_in(np.dtype(d), "auto") for d in ("uint8", "int16", "float32")]
    [255, 32767, None]
    >>> [unlabelled_in(np.dtype("int16"), value) for value in ("none", -1)]
    [None, -1]
    """
    if isinstance(unlabelled, int):
        return unlabelled
    return int(np.iinfo(dtype).max) if unlabelled == "auto" and dtype.kind in "ui" else None


def as_ids(
    voxels: npt.NDArray[Any], dtype: np.dtype[Any], unlabelled: Unlabelled
) -> npt.NDArray[Any]:
    """Return pixels as ids of `dtype`, what is unlabelled as its largest value; all fit."""
    ids = voxels.astype(dtype, copy=False)
    value = unlabelled_in(voxels.dtype, unlabelled)
    if value is None or value == unknown_id(dtype):
        return ids
    return np.where(voxels == value, dtype.type(unknown_id(dtype)), ids)


def check_labels(
    volume: Volume, part: Roi, unlabelled: Unlabelled, *, progress: Progress = silent
) -> LabelCounts:
    """Read labels once, count them, refuse what cannot be meant, warn of what may be mistaken.

    Parameters
    ----------
    volume
        Whole numbers of any dtype, from 0 on.
    part
        What is imported.
    unlabelled
        Which value is unlabelled; ``"auto"``: the largest of a dtype of whole
        numbers; ``"none"``: none.
    progress
        Called after each layer that is read.

    Raises
    ------
    ValueError
        A value is no id, or the largest of the dtype looks like the foreground of a mask.
    """
    dtype = stored_dtype(volume.dtype, unlabelled)
    counts = LabelCounts()
    unsigned = isinstance(unlabelled, int) and volume.dtype.kind == "u"
    if unsigned and unlabelled not in range(unknown_id(volume.dtype) + 1):
        raise ValueError(f"--unlabelled {excerpt(unlabelled)} is no value of {volume.dtype}")
    done = 0
    for layer in layers(part, volume):
        voxels = volume.read(layer)
        done += layer.size
        progress("labels", done, part.size)
        _refuse_no_ids(voxels, layer, volume, dtype, unlabelled)
        _count(as_ids(voxels, dtype, unlabelled), counts)
    if unlabelled == "none" and counts.unlabelled:
        raise ValueError(f"{volume.name} holds {unknown_id(dtype)}, for which no dtype has an id")
    _refuse_masks(volume, counts, unlabelled)
    _warn(volume, counts, dtype, unlabelled_in(volume.dtype, unlabelled))
    return counts


def layers(roi: Roi, volume: Volume) -> Iterator[Roi]:
    """Cut into what is read at a time: whole planes of TIFF, whole chunks of arrays on disk."""
    if not isinstance(volume.array, PlaneStack):
        return tile(roi, SHARD)
    plane = roi.shape[1] * roi.shape[2] * volume.dtype.itemsize
    return tile(roi, (max(1, LAYER_BYTES // plane), *roi.shape[1:]))


def _refuse_no_ids(
    voxels: npt.NDArray[Any],
    layer: Roi,
    volume: Volume,
    dtype: np.dtype[Any],
    unlabelled: Unlabelled,
) -> None:
    if voxels.dtype.kind == "u":
        return
    bad = ~(voxels >= 0)  # NaN, too
    if voxels.dtype.kind == "f":
        bad |= (voxels >= 2.0 ** (8 * dtype.itemsize)) | (voxels != np.floor(voxels))
    if isinstance(unlabelled, int):
        bad &= voxels != unlabelled
    if not bad.any():
        return
    first = np.unravel_index(int(np.argmax(bad)), bad.shape)
    value = voxels[first].item()
    where = tuple(int(o + i) for o, i in zip(layer.offset, first, strict=True))
    advice = f"; if {value} is unlabelled, give --unlabelled {value}" if value == -1 else ""
    raise ValueError(
        f"{volume.name} is {volume.dtype} and holds {value} at (z, y, x) = {where}; labels are "
        f"whole numbers from 0 to {unknown_id(dtype) - 1}{advice}"
    )


def _count(ids: npt.NDArray[Any], counts: LabelCounts) -> None:
    unknown = unknown_id(ids.dtype)
    if ids.dtype.itemsize > 2:
        background, unlabelled = (int(np.count_nonzero(ids == n)) for n in (0, unknown))
        largest = int(ids.max(initial=0, where=ids != unknown))
    else:
        values = count_values(ids)
        background, unlabelled = int(values[0]), int(values[unknown])
        counts.ids.update((np.flatnonzero(values[1:unknown]) + 1).tolist())
        largest = max(counts.ids, default=0)
    counts.largest_id = max(counts.largest_id, largest)
    pairs, alike = neighbours(ids, unknown)
    counts.pairs += pairs
    counts.alike += alike
    counts.background += background
    counts.unlabelled += unlabelled
    counts.foreground += ids.size - background - unlabelled


def neighbours(values: npt.NDArray[Any], largest: int) -> tuple[int, int]:
    """Count the pairs of neighbours along x that are neither 0 nor `largest`, and the equal ones.

    Examples
    --------
    >>> neighbours(np.array([[[0, 3, 3, 4, 255]]], np.uint8), 255)
    (2, 1)
    """
    inner = (values != 0) & (values != largest)
    both = inner[..., 1:] & inner[..., :-1]
    equal = values[..., 1:] == values[..., :-1]
    return int(np.count_nonzero(both)), int(np.count_nonzero(both & equal))


def _refuse_masks(volume: Volume, counts: LabelCounts, unlabelled: Unlabelled) -> None:
    """Refuse masks of 0 and the largest value, also if their rims were interpolated.

    Ids count objects or classes, from 1 on; grey values of a rim are few among the possible ones,
    or have few voxels.
    """
    if unlabelled != "auto" or not counts.unlabelled or volume.dtype.kind not in "ui":
        return
    largest = int(np.iinfo(volume.dtype).max)
    decide = (
        "write foreground as 1, or give --unlabelled none where it is foreground and --unlabelled "
        f"{largest} where it is not labelled"
    )
    if not counts.foreground:
        raise ValueError(
            f"{volume.name} holds only {_zero(counts)}{largest}, the largest value of "
            f"{volume.dtype}, which means unlabelled; {decide}"
        )
    top = counts.largest_id
    sparse = bool(counts.ids) and 2 * len(counts.ids) < top and top > MOST_CLASSES
    few = not counts.ids or counts.foreground < FEW * counts.unlabelled
    if sparse or counts.looks_grey or (few and 2 * top > largest):
        raise ValueError(
            f"{volume.name} holds {counts.unlabelled} voxels of {largest}, the largest value of "
            f"{volume.dtype}, which means unlabelled, beside {counts.foreground} of ids up to "
            f"{top}: it looks like a mask of 0 and {largest}; {decide}"
        )


def _zero(counts: LabelCounts) -> str:
    return "0 and " if counts.background else ""


def _warn(
    volume: Volume, counts: LabelCounts, dtype: np.dtype[Any], unlabelled: int | None
) -> None:
    name, unknown = volume.name, unknown_id(dtype)
    given = unknown if unlabelled is None else unlabelled
    is_largest = volume.dtype.kind == "f" or given == np.iinfo(volume.dtype).max
    LOG.info("%s: %s", name, counts.shown())
    if dtype != volume.dtype:
        LOG.info(
            "%s: %s is stored as %s, in which %d means unlabelled",
            name,
            volume.dtype,
            dtype,
            unknown,
        )
    if not counts.foreground:
        LOG.warning("%s has no foreground: all of it is background or unlabelled", name)
    elif not counts.background:
        LOG.warning(
            "%s has no background (no voxel is 0): nothing but foreground%s. If an id stands for "
            "the background (ilastik writes 1 and 2), set it to 0 first",
            name,
            " and unlabelled voxels" if counts.unlabelled else "",
        )
    if counts.looks_grey:
        LOG.warning("%s: most neighbouring voxels differ; are these grey values, not ids?", name)
    if counts.unlabelled and is_largest and counts.largest_id == given - 1:
        LOG.warning(
            "%s holds %d beside %d, and %d means unlabelled. Where it is one more object, give "
            "--unlabelled none; where the values are the soft border of a mask, write foreground "
            "as 1",
            name,
            given,
            given - 1,
            given,
        )
    elif counts.unlabelled > counts.foreground / FEW:
        LOG.warning(
            "%s: %d voxels are unlabelled (%d), only %d foreground; if %d is meant as foreground, "
            "write it as 1",
            name,
            counts.unlabelled,
            given,
            counts.foreground,
            given,
        )
