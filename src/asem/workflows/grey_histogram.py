"""Measure the histogram of an image block by block: contrast window and padding."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.blocks.output_image import OutputImage
from asem.system.npz import ArraySpec
from asem.volume.contrast import (
    BIN_COUNT,
    NEIGHBOURHOOD_SHARE,
    GreyBins,
    GreyHistogram,
    count_values,
    dtype_range,
    usual_padding_values,
)
from asem.volume.roi import Roi
from asem.volume.volume import Volume

MAX_PASSES = 6
"""Passes with refined bins, which are up to a hundred times finer each time."""
COUNTS_FORMAT, RANGE_FORMAT = ArraySpec("int64", (BIN_COUNT,)), ArraySpec("float64", (2,))
"""Of stored block results."""


def has_exact_histogram(dtype: np.dtype[Any]) -> bool:
    """Whether each grey value of a dtype has a bin of its own."""
    return dtype_range(dtype) is not None


def sum_value_counts(
    value_counts: BlockResults, blocks: Sequence[Roi], dtype: np.dtype[Any]
) -> GreyHistogram:
    """Sum the counts of the grey values of each block (`count_block_values`)."""
    return GreyHistogram.from_value_counts(_sum_counts(value_counts, blocks), dtype)


def _sum_counts(results: BlockResults, blocks: Sequence[Roi]) -> npt.NDArray[np.int64]:
    counts = np.zeros(BIN_COUNT, np.int64)
    for block in blocks:
        counts += results.load(block, counts=COUNTS_FORMAT)["counts"]
    return counts


def count_block_values(block: Roi, *, volume: Volume) -> dict[str, npt.NDArray[np.int64]]:
    """Return the counts of the grey values of a block; integers of up to 16 bits."""
    return {"counts": count_values(volume.read(block))}


def measure_histogram(output: OutputImage, volume: Volume, blocks: Sequence[Roi]) -> GreyHistogram:
    """Measure the histogram of a volume in passes over its blocks.

    Where few outliers extend the range, bins are refined around the measured percentiles until they
    resolve the contrast window.

    Parameters
    ----------
    output
        Runs the blocks and stores their results.
    volume
        The image to measure.
    blocks
        Blocks that cover `volume`.
    """
    block_bytes = max(block.size for block in blocks) * (volume.dtype.itemsize + 2)
    if has_exact_histogram(volume.dtype):
        count = partial(count_block_values, volume=volume)
        value_counts = output.store_block_results(
            count, blocks, stage="grey values", block_bytes=block_bytes
        )
        return sum_value_counts(value_counts, blocks, volume.dtype)
    candidates = usual_padding_values(volume.dtype)
    for stage in ("ends", "extremes"):  # the minimum and maximum are candidates, too
        find = partial(_find_block_range, volume=volume, candidates=candidates)
        ranges = output.store_block_results(find, blocks, stage=stage, block_bytes=block_bytes)
        formats = {"ends": RANGE_FORMAT, "candidates": ArraySpec("int64", (len(candidates),))}
        results = [ranges.load(block, **formats) for block in blocks]
        ends = np.array([result["ends"] for result in results])
        low, high = ends[:, 0].min(), ends[:, 1].max()
        if stage == "ends":
            candidates = tuple(sorted({*candidates, *_round_to_dtype((low, high), volume.dtype)}))
    totals = np.array([result["candidates"] for result in results]).sum(0)
    candidate_counts = {value: int(n) for value, n in zip(candidates, totals, strict=True) if n}
    bins = GreyBins.from_range(
        *_extend_range(float(low), float(high), list(candidate_counts)),
        integer=np.issubdtype(volume.dtype, np.integer),
    )
    usual = usual_padding_values(volume.dtype)
    histogram = GreyHistogram(bins, np.zeros(BIN_COUNT, np.int64), candidate_counts, usual)
    return _refine_bins(output, volume, blocks, histogram, block_bytes)


def _round_to_dtype(ends: tuple[float, float], dtype: np.dtype[Any]) -> list[float]:
    """Return minimum and maximum in the dtype of a volume; none where it has only candidates."""
    if not ends[0] <= ends[1]:
        return []
    return [dtype.type(end).item() for end in ends]


def _extend_range(low: float, high: float, candidates: Sequence[float]) -> tuple[float, float]:
    """Extend a range to the padding candidates near it.

    `low` and `high` are the minimum and maximum of all other grey values; where there are none,
    the range is that of the candidates.
    """
    if not low <= high:
        return min(candidates), max(candidates)
    margin = NEIGHBOURHOOD_SHARE * (high - low) if high > low else np.inf
    near = [value for value in candidates if low - margin <= value <= high + margin]
    return min(low, *near, high), max(low, *near, high)


def _refine_bins(
    output: OutputImage,
    volume: Volume,
    blocks: Sequence[Roi],
    histogram: GreyHistogram,
    block_bytes: int,
) -> GreyHistogram:
    """Count grey values in finer bins until the contrast window has at least a thousand."""
    bins: GreyBins | None = histogram.bins
    for number in range(MAX_PASSES):
        if bins is None:
            break
        candidates = list(histogram.candidate_counts)
        count = partial(_count_block_bins, volume=volume, bins=bins, candidates=candidates)
        bin_counts = output.store_block_results(
            count, blocks, stage=f"contrast {number}", block_bytes=block_bytes
        )
        total = _sum_counts(bin_counts, blocks)
        if not total.any():
            return histogram
        black, white = bins.percentiles(total)
        if white > black or number == 0:
            histogram = replace(histogram, bins=bins, counts=total)
        bins = bins.refine(total)
    return histogram


def _exclude_candidates(
    volume: Volume, block: Roi, candidates: Sequence[float]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return the voxels of a block that are no padding candidates, and the count of each one."""
    voxels = volume.read(block)
    check_finite(voxels, volume.name)
    counts, others = [], np.ones(voxels.shape, np.bool_)
    for value in candidates:
        equal = voxels == np.array(value, volume.dtype)
        counts.append(np.count_nonzero(equal))
        others &= ~equal
    return voxels[others], np.array(counts, np.int64)


def _find_block_range(
    block: Roi, *, volume: Volume, candidates: Sequence[float]
) -> dict[str, npt.NDArray[Any]]:
    others, counts = _exclude_candidates(volume, block, candidates)
    ends = [others.min(), others.max()] if others.size else [np.inf, -np.inf]
    return {"ends": np.array(ends, np.float64), "candidates": counts}


def _count_block_bins(
    block: Roi, *, volume: Volume, bins: GreyBins, candidates: Sequence[float]
) -> dict[str, npt.NDArray[np.int64]]:
    return {"counts": bins.histogram(_exclude_candidates(volume, block, candidates)[0])}


def check_finite(voxels: npt.NDArray[Any], name: str) -> None:
    """Raise ValueError where floats are NaN or infinite."""
    if not np.issubdtype(voxels.dtype, np.integer) and not np.isfinite(voxels).all():
        raise ValueError(f"{name} holds NaN or infinite values; replace them first")
