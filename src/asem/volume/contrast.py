"""Contrast windows: find padding in a histogram, take percentiles of the rest, scale to [0, 1].

A window extends from the 0.1 to the 99.9 percentile of all voxels but padding. Padding, as around
planes that were shifted for alignment, is an isolated peak of one exact value: zero, or an end of
the dtype or of the existing values, far from all other grey values::

    voxels |                                       _
           |                                     _| |_
           |  |                                _|     |_
           +--+------------------------------_|---------|_--> grey
              0: padding                      imaged
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.volume.volume import Volume

BLACK_PERCENTILE, WHITE_PERCENTILE = 0.1, 99.9
BIN_COUNT = 65_536
MIN_WINDOW_BINS = 1_000
"""Fewest bins within a contrast window."""
NEIGHBOURHOOD_SHARE = 0.02
"""Neighbourhood of a peak, as a fraction of the window."""
MAX_NEIGHBOUR_FRACTION, MIN_PEAK_RATIO = 0.01, 10
"""A peak is isolated if its neighbourhood contains at most MAX_NEIGHBOUR_FRACTION of the other
voxels, and the peak more than MIN_PEAK_RATIO times as many voxels as its neighbourhood."""
MIN_PADDING_FRACTION, MIN_EXTREME_FRACTION = 1e-4, 1e-3
"""Smallest fraction of all voxels that is padding, for a usual padding value and for an end of the
existing values; fewer are dead or hot pixels, to which percentiles are robust."""
FLOAT32_EXACT_BITS = 24
"""Integers of up to this many bits are exact in float32."""


def contrast_window_of(volume: Volume) -> tuple[float, float]:
    """Return the grey values of black and white: 0 and 255 for uint8, else the volume's window.

    Raises
    ------
    ValueError
        The volume is not uint8 and has no window.
    """
    if volume.dtype == np.uint8:
        return 0.0, 255.0
    if volume.window is not None:
        return volume.window
    raise ValueError(
        f"{volume.name} is {volume.dtype} and has no contrast window; import it (again) with "
        "`asem import`, which measures one"
    )


def scale_to_unit(grey: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Map black to 0 and white to 1, clipped.

    For dtypes that float32 does not represent exactly, black is subtracted in float64.

    Examples
    --------
    >>> scale_to_unit(np.array([0, 51, 255], np.uint8), (0, 255)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    >>> scale_to_unit(np.array([2_000_000_001], np.uint32), (2e9, 2e9 + 4)).tolist()
    [0.25]
    """
    black, white = window
    with np.errstate(over="ignore"):  # overflow far beyond a narrow window is clipped
        if fits_float32(grey.dtype):
            unit = (grey.astype(np.float32) - np.float32(black)) / np.float32(white - black)
            return np.clip(unit, 0, 1, out=unit)
        unit = np.empty(grey.shape, np.float32)
        for plane, out in zip(np.atleast_2d(grey), np.atleast_2d(unit), strict=True):
            out[...] = (plane.astype(np.float64) - black) / (white - black)
    return np.clip(unit, 0, 1, out=unit)


def fits_float32(dtype: np.dtype[Any]) -> bool:
    """Return whether float32 represents all values of a dtype exactly."""
    if dtype.kind == "f":
        return dtype.itemsize <= 4
    return 8 * dtype.itemsize <= FLOAT32_EXACT_BITS


def dtype_range(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Return the range of an integer dtype of up to 16 bits; None for other dtypes."""
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
        Width of a bin in grey values.
    integer
        Whether grey values are integers, so that no bin is narrower than 1.

    Examples
    --------
    >>> bins = GreyBins.from_range(0, 1000, integer=True)
    >>> bins.window(bins.histogram(np.arange(1001, dtype=np.uint16)))
    (1.0, 999.0)
    """

    low: float
    width: float
    integer: bool

    @classmethod
    def from_range(cls, low: float, high: float, *, integer: bool) -> Self:
        """Return bins over the range of the values of a volume."""
        width = (high - low) / (BIN_COUNT - 1)
        min_width = 1.0 if integer else max(1e-9 * max(abs(low), abs(high)), 1e-300)
        return cls(low, max(width, min_width), integer)

    def histogram(self, voxels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return the number of voxels in each bin; the end bins include all values beyond."""
        counts, flat = np.zeros(BIN_COUNT, np.int64), voxels.reshape(-1)
        for start in range(0, len(flat), BIN_COUNT):  # float64 of all needs 8 times the memory
            part = flat[start : start + BIN_COUNT].astype(np.float64)
            counts += np.bincount(self._bins(part), minlength=BIN_COUNT)
        return counts

    def add(self, counts: npt.NDArray[np.int64], value: float, count: int) -> None:
        """Add `count` voxels of one grey value to `counts`."""
        counts[self._bins(np.array([value]))[0]] += count

    def count_near(self, counts: npt.NDArray[np.int64], value: float, radius: float) -> int:
        """Return the number of voxels within `radius` of a grey value, to within one bin."""
        with np.errstate(over="ignore"):  # infinite edges are clipped below
            edges = np.floor(
                (np.array([value - radius, value + radius]) - self.low) / self.width + 0.5
            )
        first, last = np.clip(edges, -1, BIN_COUNT).astype(np.int64)
        return int(counts[max(0, first) : last + 1].sum())

    def _bins(self, grey: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        return np.clip(np.rint((grey - self.low) / self.width), 0, BIN_COUNT - 1).astype(np.int64)

    def window(self, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return the 0.1 and 99.9 percentiles of the counted voxels.

        The whole range where both are equal, and a width of 1 where there is only one value.
        """
        black, white = self.percentiles(counts)
        if white <= black:
            filled = np.flatnonzero(counts)
            black, white = self._grey_value(filled[0]), self._grey_value(filled[-1])
        return (black, white) if white > black else (black, black + max(1, 1e-6 * abs(black)))

    def percentiles(self, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return the 0.1 and 99.9 percentiles to within one bin; they may be equal."""
        cumulative = np.cumsum(counts)
        ranks = [p / 100 * cumulative[-1] for p in (BLACK_PERCENTILE, WHITE_PERCENTILE)]
        black, white = (self._grey_value(np.searchsorted(cumulative, rank)) for rank in ranks)
        return black, white

    def refine(self, counts: npt.NDArray[np.int64]) -> Self | None:
        """Return finer bins around the percentiles; None where 1,000 bins are between these.

        A few outliers widen the bins so much that all other voxels fall into a few bins.
        """
        black, white = self.percentiles(counts)
        if white - black >= MIN_WINDOW_BINS * self.width:
            return None
        bins = self.from_range(black - self.width, white + self.width, integer=self.integer)
        return bins if bins.width < self.width / 2 else None

    def _grey_value(self, bin_index: np.intp) -> float:
        return self.low + self.width * int(bin_index)


def usual_padding_values(dtype: np.dtype[Any]) -> tuple[float, ...]:
    """Return the usual grey values of padding: zero and the ends of the dtype.

    Examples
    --------
    >>> usual_padding_values(np.dtype(np.uint16))
    (0, 65535)
    """
    if dtype.kind in "iu":
        integers = np.iinfo(dtype)
        return tuple(sorted({int(integers.min), 0, int(integers.max)}))
    floats = np.finfo(dtype)
    return float(floats.min), 0.0, float(floats.max)


@dataclass(frozen=True)
class GreyHistogram:
    """Histogram of the grey values of a volume.

    Parameters
    ----------
    bins
        Bins of all grey values except those in `candidate_counts`.
    counts
        Voxels in each bin.
    candidate_counts
        Voxels of each grey value that may be padding.
    usual_values
        The usual values of padding among them (`usual_padding_values`).
    """

    bins: GreyBins
    counts: npt.NDArray[np.int64]
    candidate_counts: dict[float, int]
    usual_values: tuple[float, ...]

    @classmethod
    def from_value_counts(cls, counts: npt.NDArray[np.int64], dtype: np.dtype[Any]) -> Self:
        """Return the histogram from `count_values` of an integer dtype of up to 16 bits."""
        limits = dtype_range(dtype)
        assert limits is not None
        bins, others = GreyBins.from_range(*limits, integer=True), counts.copy()
        filled = np.flatnonzero(counts)
        ends = (filled[[0, -1]] + int(bins.low)).tolist() if filled.size else []
        candidates = {}
        for value in sorted({*usual_padding_values(dtype), *ends}):
            index = int(value - bins.low)
            candidates[value], others[index] = int(counts[index]), 0
        return cls(bins, others, candidates, usual_padding_values(dtype))

    def find_padding(self) -> tuple[float, ...]:
        """Return the candidates that are isolated peaks (see the drawing above)."""
        total = int(self.counts.sum())
        black, white = self.bins.window(self.counts) if total else (0.0, 0.0)
        if np.count_nonzero(self.counts) < 2:
            return ()
        radius = max(self.bins.width, NEIGHBOURHOOD_SHARE * (white - black))
        padding = []
        for value, count in self.candidate_counts.items():
            if not count:
                continue
            near = self.bins.count_near(self.counts, value, radius)
            usual = value in self.usual_values
            min_fraction = MIN_PADDING_FRACTION if usual else MIN_EXTREME_FRACTION
            is_peak = count > max(MIN_PEAK_RATIO * near, min_fraction * (total + count))
            if is_peak and near <= MAX_NEIGHBOUR_FRACTION * total:
                padding.append(value)
        return tuple(padding)

    @property
    def constant(self) -> float | None:
        """The grey value of all voxels; None where there are several."""
        values = [value for value, count in self.candidate_counts.items() if count]
        return values[0] if len(values) == 1 and not self.counts.any() else None

    def window(self) -> tuple[float, float]:
        """Return the contrast window of all voxels but padding."""
        counts, padding = self.counts.copy(), self.find_padding()
        for value, count in self.candidate_counts.items():
            if count and value not in padding:
                self.bins.add(counts, value, count)
        return self.bins.window(counts)


def count_values(voxels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Count each value of an integer dtype of up to 16 bits, the smallest value first.

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
        value_count = 1 << 8 * values.dtype.itemsize
        counts[:value_count] = np.roll(counts[:value_count], value_count // 2)
    return np.asarray(counts)


@njit(cache=True, parallel=True)
def _count_unsigned(values):  # type: ignore[no-untyped-def]
    parts = 8
    counts = np.zeros((parts, BIN_COUNT), np.int64)
    step = -(-len(values) // parts)
    for n in prange(parts):
        for i in range(n * step, min((n + 1) * step, len(values))):
            counts[n, values[i]] += 1
    return counts.sum(0)
