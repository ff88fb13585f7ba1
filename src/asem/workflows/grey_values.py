"""What an import measures of grey values: the contrast window and the padding."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from asem.blocks.output import Output
from asem.blocks.partials import Partials
from asem.volume.contrast import (
    BINS,
    GreyBins,
    GreyCounts,
    count_values,
    dtype_extremes,
    padding_candidates,
)
from asem.volume.roi import Roi
from asem.volume.volume import Volume

MOST_COUNTS = 6
"""How often bins are made anew; each time they are up to a hundred times finer."""


def is_counted_by_value(dtype: np.dtype[np.generic]) -> bool:
    """Whether each grey value of a dtype has a bin of its own."""
    return dtype_extremes(dtype) is not None


def values_of(counted: Partials, blocks: Sequence[Roi], dtype: np.dtype[np.generic]) -> GreyCounts:
    """Add up what `count_block` saved for each block."""
    counts = np.zeros(BINS, np.int64)
    for block in blocks:
        counts += counted.load(block)["counts"]
    return GreyCounts.of_values(counts, dtype)


def count_block(block: Roi, *, volume: Volume, counted: Partials) -> None:
    """Count the values of a block; integers of up to 16 bits."""
    counted.save(block, counts=count_values(volume.read(block)))


def measure(output: Output, volume: Volume, blocks: Sequence[Roi]) -> GreyCounts:
    """Count the grey values of a volume in passes of its own.

    Bins that few outliers stretch are made anew around the percentiles they gave, until they
    resolve the window.

    Parameters
    ----------
    output
        It runs the blocks and keeps what they give.
    volume
        What is measured.
    blocks
        Of `volume`, all of it.
    """
    block_bytes = max(block.size for block in blocks) * (volume.dtype.itemsize + 2)
    if is_counted_by_value(volume.dtype):
        counted = output.partials("grey values")
        work = partial(count_block, volume=volume, counted=counted)
        output.run(work, blocks, stage="grey values", block_bytes=block_bytes)
        return values_of(counted, blocks, volume.dtype)
    found = output.partials("extremes")
    search = partial(_extremes, volume=volume, found=found)
    output.run(search, blocks, stage="extremes", block_bytes=block_bytes)
    candidates = padding_candidates(volume.dtype)
    every = [found.load(block) for block in blocks]
    numbers = np.array([part["candidates"] for part in every]).sum(0)
    ends = np.array([part["ends"] for part in every])
    counts = GreyCounts(
        GreyBins.between(
            *_ends_of_all(ends, candidates, numbers),
            integer=np.issubdtype(volume.dtype, np.integer),
        ),
        np.zeros(BINS, np.int64),
        dict(zip(candidates, numbers.tolist(), strict=True)),
    )
    return _refined(output, volume, blocks, counts, block_bytes)


def _ends_of_all(
    ends: npt.NDArray[np.float64], candidates: Sequence[float], numbers: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """Return the least and the largest grey value that is no candidate for padding.

    Of the candidates where there is no other.
    """
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if low <= high:
        return low, high
    there = [value for value, number in zip(candidates, numbers, strict=True) if number]
    return min(there), max(there)


def _refined(
    output: Output, volume: Volume, blocks: Sequence[Roi], counts: GreyCounts, block_bytes: int
) -> GreyCounts:
    """Count in bins of which the window has at least a thousand."""
    bins: GreyBins | None = counts.bins
    for finer in range(MOST_COUNTS):
        if bins is None:
            break
        counted = output.partials(f"contrast {finer}")
        count = partial(_count, volume=volume, bins=bins, counted=counted)
        output.run(count, blocks, stage=f"contrast {finer}", block_bytes=block_bytes)
        total = np.zeros(BINS, np.int64)
        for block in blocks:
            total += counted.load(block)["counts"]
        if not total.any():
            return counts
        black, white = bins.percentiles(total)
        if white > black or finer == 0:
            counts = replace(counts, bins=bins, counts=total)
        bins = bins.finer(total)
    return counts


def _others(volume: Volume, block: Roi) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.int64]]:
    """Return the voxels of a block that are no candidates for padding, and how many of each are."""
    voxels = volume.read(block)
    refuse_not_finite(voxels, volume.name)
    numbers, others = [], np.ones(voxels.shape, np.bool_)
    for value in padding_candidates(volume.dtype):
        same = voxels == np.array(value, volume.dtype)
        numbers.append(np.count_nonzero(same))
        others &= ~same
    return voxels[others], np.array(numbers, np.int64)


def _extremes(block: Roi, *, volume: Volume, found: Partials) -> None:
    others, numbers = _others(volume, block)
    ends = [others.min(), others.max()] if others.size else [np.inf, -np.inf]
    found.save(block, ends=np.array(ends, np.float64), candidates=numbers)


def _count(block: Roi, *, volume: Volume, bins: GreyBins, counted: Partials) -> None:
    counted.save(block, counts=bins.count(_others(volume, block)[0]))


def refuse_not_finite(voxels: npt.NDArray[np.generic], name: str) -> None:
    """Raise ValueError where floats are NaN or infinite."""
    if not np.issubdtype(voxels.dtype, np.integer) and not np.isfinite(voxels).all():
        raise ValueError(f"{name} holds NaN or infinite values; replace them first")
