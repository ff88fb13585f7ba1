"""Grey values to [0, 1] through a volume's contrast window."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from asem.volume.volume import Volume

BLACK_PERCENTILE, WHITE_PERCENTILE = 0.1, 99.9
BINS = 65_536
FEWEST_BINS = 1_000
"""Within a contrast window."""


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
        f"{volume.name} is {volume.dtype} and has no contrast window; import it with "
        "`asem import`, which measures one"
    )


def to_unit(grey: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Map black to 0 and white to 1, clipped.

    Examples
    --------
    >>> to_unit(np.array([0, 51, 255], np.uint8), (0, 255)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    black, white = window
    unit = (grey.astype(np.float32) - np.float32(black)) / np.float32(white - black)
    return np.clip(unit, 0, 1, out=unit)


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
        counts = np.zeros(BINS, np.int64)
        for plane in voxels:  # as floats, all of it would take eight times the memory
            bins = np.rint((plane.astype(np.float64).ravel() - self.low) / self.width)
            counts += np.bincount(np.clip(bins, 0, BINS - 1).astype(np.int64), minlength=BINS)
        return counts

    def window(self, counts: npt.NDArray[np.int64]) -> tuple[float, float]:
        """Return the 0.1 and 99.9 percentile of the voxels that were counted.

        The whole range where both are one value, and a width of 1 where there is only one value.
        """
        black, white = self.percentiles(counts)
        if white <= black:
            filled = np.flatnonzero(counts)
            black, white = self._grey(filled[0]), self._grey(filled[-1])
        return (black, white) if white > black else (black, black + 1)

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
