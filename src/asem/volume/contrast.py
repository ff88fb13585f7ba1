"""Grey values to [0, 1] through a volume's contrast window; how a window is measured.

A window runs from the 0.1 to the 99.9 percentile of the sample. What was padded, as around planes
that were shifted to fit, is no sample: a lone peak of one exact value, at zero, at an end of the
dtype or of what there is, far from all other grey values::

    voxels |                                       _
           |                                     _| |_
           |  |                                _|     |_
           +--+------------------------------_|---------|_--> grey
              0: padding                      sample
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.volume.volume import Volume

BLACK_PERCENTILE, WHITE_PERCENTILE = 0.1, 99.9
BINS = 65_536
FEWEST_BINS = 1_000
"""Within a contrast window."""
NEAR = 0.02
"""Share of the window within which other voxels are near a peak."""
MOST_NEAR, LEAST_TIMES = 0.01, 10
"""A lone peak has at most this share of the others near it, and so many times as many voxels."""
LEAST_PADDING, LEAST_END = 1e-4, 1e-3
"""Share of all voxels that padding has, with a usual value and with an end of what there is; fewer
are dead or hot pixels, which percentiles bear."""
EXACT_BITS = 24
"""Whole numbers of up to so many bits are exact in float32."""


def window_of(volume: Volume) -> tuple[float, float]:
    """Return the grey values that mean black and white: 0 and 255 for uint8, else its window.

    Raises
    ------
    ValueError
        The volume is neither uint8 nor has it a window.
    """
    if volume.dtype == np.uint8:
        return 0.0, 255.0
    if volume.window is not None:
        return volume.window
    raise ValueError(
        f"{volume.name} is {volume.dtype} and has no contrast window; import it (again) with "
        "`asem import`, which measures one"
    )


def to_unit(grey: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Map black to 0 and white to 1, clipped.

    Grey values that float32 does not tell apart are shifted to black in float64.

    Examples
    --------
    >>> to_unit(np.array([0, 51, 255], np.uint8), (0, 255)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    >>> to_unit(np.array([2_000_000_001], np.uint32), (2e9, 2e9 + 4)).tolist()
    [0.25]
    """
    black, white = window
    with np.errstate(over="ignore"):  # far beyond a narrow window is black or white
        if fits_float32(grey.dtype):
            unit = (grey.astype(np.float32) - np.float32(black)) / np.float32(white - black)
            return np.clip(unit, 0, 1, out=unit)
        unit = np.empty(grey.shape, np.float32)
        for plane, out in zip(np.atleast_2d(grey), np.atleast_2d(unit), strict=True):
            out[...] = (plane.astype(np.float64) - black) / (white - black)
    return np.clip(unit, 0, 1, out=unit)


def fits_float32(dtype: np.dtype[Any]) -> bool:
    """Whether float32 holds all values of a dtype."""
    if dtype.kind == "f":
        return dtype.itemsize <= 4
    return 8 * dtype.itemsize <= EXACT_BITS


def dtype_extremes(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the range of an integer dtype that 65,536 bins resolve; None for others."""
    if not np.issubdtype(dtype, np.integer) or dtype.itemsize > 2:
        return None
    info = np.iinfo(dtype)
    return float(info.min), float(info.max)


@dataclass(frozen=True)
class GreyBins:
    """65,536 bins of equal width: exact for integers of up to 16 bits.

    Parameters
    ----------
    low
        Grey value at the centre of the first bin.
    width
        Grey values of a bin.
    integer
        Whether values are whole numbers, so that no bin is narrower than 1.

    Examples
    --------
    >>> bins = GreyBins.between(0, 1000, integer=True)
    >>> bins.window(bins.count(np.arange(1001, dtype=np.uint16)))
    (1.0, 999.0)
    """

    low: float
    width: float
    integer: bool

    @classmethod
    def between(cls, low: float, high: float, *, integer: bool) -> Self:
        """Cut the range of the values of a volume."""
        width = (high - low) / (BINS - 1)
        smallest = 1.0 if integer else max(1e-9 * max(abs(low), abs(high)), 1e-300)
        return cls(low, max(width, smallest), integer)

    def count(self, voxels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the number of voxels in each bin; the end bins hold what lies beyond, too."""
        counts, flat = np.zeros(BINS, np.int64), voxels.reshape(-1)
        for start in range(0, len(flat), BINS):  # as floats, all would take eight times the memory
            part = flat[start : start + BINS].astype(np.float64)
            counts += np.bincount(self._bins(part), minlength=BINS)
        return counts

    def add(self, counts: npt.NDArray[np.int64], value: float, number: int) -> None:
        """Add `number` voxels of one grey value to counts."""
        counts[self._bins(np.array([value]))[0]] += number

    def near(self, counts: npt.NDArray[np.int64], value: float, reach: float) -> int:
        """Return the number of voxels within `reach` of a grey value, to one bin."""
        with np.errstate(over="ignore"):  # infinitely far is far
            edges = np.floor(
                (np.array([value - reach, value + reach]) - self.low) / self.width + 0.5
            )
        first, last = np.clip(edges, -1, BINS).astype(np.int64)
        return int(counts[max(0, first) : last + 1].sum())

    def _bins(self, grey: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return np.clip(np.rint((grey - self.low) / self.width), 0, BINS - 1).astype(np.int64)

    def window(self, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return the 0.1 and 99.9 percentile of the voxels that were counted.

        The whole range where both are one value, and a width of 1 where there is only one value.
        """
        black, white = self.percentiles(counts)
        if white <= black:
            filled = np.flatnonzero(counts)
            black, white = self._grey(filled[0]), self._grey(filled[-1])
        return (black, white) if white > black else (black, black + max(1, 1e-6 * abs(black)))

    def percentiles(self, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return the 0.1 and 99.9 percentile to one bin; they may be equal."""
        below = np.cumsum(counts)
        ranks = [p / 100 * below[-1] for p in (BLACK_PERCENTILE, WHITE_PERCENTILE)]
        black, white = (self._grey(np.searchsorted(below, rank)) for rank in ranks)
        return black, white

    def finer(self, counts: npt.NDArray[np.int64]) -> Self | None:
        """Return finer bins around the percentiles; None where these tell 1,000 values in between.

        A few outliers stretch the bins so far that the others share some of them.
        """
        black, white = self.percentiles(counts)
        if white - black >= FEWEST_BINS * self.width:
            return None
        bins = self.between(black - self.width, white + self.width, integer=self.integer)
        return bins if bins.width < self.width / 2 else None

    def _grey(self, number: np.intp) -> float:
        return self.low + self.width * int(number)


def padding_candidates(dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return the grey values that planes are padded with: zero and the ends of the dtype.

    Examples
    --------
    >>> padding_candidates(np.dtype(np.uint16))
    (0, 65535)
    """
    if dtype.kind in "iu":
        whole = np.iinfo(dtype)
        return tuple(sorted({int(whole.min), 0, int(whole.max)}))
    real = np.finfo(dtype)
    return float(real.min), 0.0, float(real.max)


@dataclass(frozen=True)
class GreyCounts:
    """How many voxels of a volume have which grey value.

    Parameters
    ----------
    bins
        Of all grey values but `padding_candidates`.
    counts
        Voxels in each of them.
    candidates
        Voxels of each value that may be padding.
    usual
        Those of them that planes are usually padded with (`padding_candidates`).
    """

    bins: GreyBins
    counts: npt.NDArray[np.int64]
    candidates: dict[float, int]
    usual: tuple[float, ...]

    @classmethod
    def of_values(cls, counts: npt.NDArray[np.int64], dtype: np.dtype[Any]) -> Self:
        """Take the counts of `count_values`, of an integer dtype of up to 16 bits."""
        extremes = dtype_extremes(dtype)
        assert extremes is not None
        bins, others = GreyBins.between(*extremes, integer=True), counts.copy()
        places = np.flatnonzero(counts)
        ends = (places[[0, -1]] + int(bins.low)).tolist() if places.size else []
        candidates = {}
        for value in sorted({*padding_candidates(dtype), *ends}):
            place = int(value - bins.low)
            candidates[value], others[place] = int(counts[place]), 0
        return cls(bins, others, candidates, padding_candidates(dtype))

    def padding(self) -> tuple[float, ...]:
        """Return the candidates that are lone peaks (the drawing above)."""
        total = int(self.counts.sum())
        black, white = self.bins.window(self.counts) if total else (0.0, 0.0)
        if np.count_nonzero(self.counts) < 2:
            return ()
        reach = max(self.bins.width, NEAR * (white - black))
        found = []
        for value, number in self.candidates.items():
            if not number:
                continue
            near = self.bins.near(self.counts, value, reach)
            share = LEAST_PADDING if value in self.usual else LEAST_END
            peak = number > max(LEAST_TIMES * near, share * (total + number))
            if peak and near <= MOST_NEAR * total:
                found.append(value)
        return tuple(found)

    def window(self) -> tuple[float, float]:
        """Return the contrast window of the sample: of all voxels but the padding."""
        counts, padding = self.counts.copy(), self.padding()
        for value, number in self.candidates.items():
            if number and value not in padding:
                self.bins.add(counts, value, number)
        return self.bins.window(counts)


def count_values(voxels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Count the values of integers of up to 16 bits, the smallest of the dtype first.

    Parameters
    ----------
    voxels
        Shape (z, y, x).

    Returns
    -------
    ndarray
        Shape (65536,).

    Examples
    --------
    >>> np.flatnonzero(count_values(np.array([[[-128, 3]]], np.int8))).tolist()
    [0, 131]
    """
    values = np.ascontiguousarray(voxels).ravel()
    counts = _count_unsigned(values.view(f"u{values.dtype.itemsize}"))
    if values.dtype.kind == "i":  # -1 is stored as the largest unsigned value
        used = 1 << 8 * values.dtype.itemsize
        counts[:used] = np.roll(counts[:used], used // 2)
    return np.asarray(counts)


@njit(cache=True, parallel=True)
def _count_unsigned(values):  # type: ignore[no-untyped-def]
    parts = 8
    counts = np.zeros((parts, BINS), np.int64)
    step = -(-len(values) // parts)
    for n in prange(parts):
        for i in range(n * step, min((n + 1) * step, len(values))):
            counts[n, values[i]] += 1
    return counts.sum(0)
