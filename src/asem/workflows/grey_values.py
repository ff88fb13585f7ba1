"""What an import measures of grey values: the contrast window and the padding."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output import Output
from asem.blocks.partials import Partials
from asem.system.npz import Form
from asem.volume.contrast import (
    BINS,
    NEAR,
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
COUNTS, ENDS = Form("int64", (BINS,)), Form("float64", (2,))
"""Of what blocks keep."""


def is_counted_by_value(dtype: np.dtype[Any]) -> bool:
    """Whether each grey value of a dtype has a bin of its own."""
    return dtype_extremes(dtype) is not None


def values_of(counted: Partials, blocks: Sequence[Roi], dtype: np.dtype[Any]) -> GreyCounts:
    """Add up what `count_block` saved for each block."""
    counts = np.zeros(BINS, np.int64)
    for block in blocks:
        counts += counted.load(block, counts=COUNTS)["counts"]
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
    candidates = padding_candidates(volume.dtype)
    for stage in ("ends", "extremes"):  # the ends of what there is are candidates, too
        found = output.partials(stage)
        search = partial(_extremes, volume=volume, candidates=candidates, found=found)
        output.run(search, blocks, stage=stage, block_bytes=block_bytes)
        forms = {"ends": ENDS, "candidates": Form("int64", (len(candidates),))}
        every = [found.load(block, **forms) for block in blocks]
        ends = np.array([part["ends"] for part in every])
        low, high = ends[:, 0].min(), ends[:, 1].max()
        if stage == "ends":
            candidates = tuple(sorted({*candidates, *_exact((low, high), volume.dtype)}))
    numbers = np.array([part["candidates"] for part in every]).sum(0)
    there = {value: int(n) for value, n in zip(candidates, numbers, strict=True) if n}
    bins = GreyBins.between(
        *_with_candidates(float(low), float(high), list(there)),
        integer=np.issubdtype(volume.dtype, np.integer),
    )
    usual = padding_candidates(volume.dtype)
    counts = GreyCounts(bins, np.zeros(BINS, np.int64), there, usual)
    return _refined(output, volume, blocks, counts, block_bytes)


def _exact(ends: tuple[float, float], dtype: np.dtype[Any]) -> list[float]:
    """Return the ends of a volume as numbers of its dtype; none where there is no other value."""
    if not ends[0] <= ends[1]:
        return []
    return [dtype.type(end).item() for end in ends]


def _with_candidates(low: float, high: float, there: Sequence[float]) -> tuple[float, float]:
    """Return ends that hold the candidates for padding which are near, or all where no others are.

    `low` and `high` are the ends of all other grey values.
    """
    if not low <= high:
        return min(there), max(there)
    reach = NEAR * (high - low) if high > low else np.inf
    near = [value for value in there if low - reach <= value <= high + reach]
    return min(low, *near, high), max(low, *near, high)


def _refined(
    output: Output, volume: Volume, blocks: Sequence[Roi], counts: GreyCounts, block_bytes: int
) -> GreyCounts:
    """Count in bins of which the window has at least a thousand."""
    bins: GreyBins | None = counts.bins
    for finer in range(MOST_COUNTS):
        if bins is None:
            break
        counted = output.partials(f"contrast {finer}")
        count = partial(
            _count, volume=volume, bins=bins, candidates=list(counts.candidates), counted=counted
        )
        output.run(count, blocks, stage=f"contrast {finer}", block_bytes=block_bytes)
        total = np.zeros(BINS, np.int64)
        for block in blocks:
            total += counted.load(block, counts=COUNTS)["counts"]
        if not total.any():
            return counts
        black, white = bins.percentiles(total)
        if white > black or finer == 0:
            counts = replace(counts, bins=bins, counts=total)
        bins = bins.finer(total)
    return counts


def _others(
    volume: Volume, block: Roi, candidates: Sequence[float]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the voxels of a block that are no candidates for padding, and how many of each are."""
    voxels = volume.read(block)
    refuse_not_finite(voxels, volume.name)
    numbers, others = [], np.ones(voxels.shape, np.bool_)
    for value in candidates:
        same = voxels == np.array(value, volume.dtype)
        numbers.append(np.count_nonzero(same))
        others &= ~same
    return voxels[others], np.array(numbers, np.int64)


def _extremes(block: Roi, *, volume: Volume, candidates: Sequence[float], found: Partials) -> None:
    others, numbers = _others(volume, block, candidates)
    ends = [others.min(), others.max()] if others.size else [np.inf, -np.inf]
    found.save(block, ends=np.array(ends, np.float64), candidates=numbers)


def _count(
    block: Roi, *, volume: Volume, bins: GreyBins, candidates: Sequence[float], counted: Partials
) -> None:
    counted.save(block, counts=bins.count(_others(volume, block, candidates)[0]))


def refuse_not_finite(voxels: npt.NDArray[Any], name: str) -> None:
    """Raise ValueError where floats are NaN or infinite."""
    if not np.issubdtype(voxels.dtype, np.integer) and not np.isfinite(voxels).all():
        raise ValueError(f"{name} holds NaN or infinite values; replace them first")
