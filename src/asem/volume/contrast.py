"""Grey values to [0, 1] through a volume's contrast window."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.volume.volume import Volume

BLACK_PERCENTILE, WHITE_PERCENTILE = 0.1, 99.9
BINS = 65_536


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


def percentile_window(
    blocks: Iterable[npt.NDArray[Any]], low: float, high: float
) -> tuple[float, float]:
    """Return the 0.1 and 99.9 percentile of all voxels, from one histogram of 65,536 bins.

    Exact for integers of up to 16 bits; otherwise to one bin of the range `low` to `high`.

    Parameters
    ----------
    blocks
        The volume in pieces, any real dtype.
    low, high
        Smallest and largest value of the volume.

    Examples
    --------
    >>> percentile_window([np.arange(1001, dtype=np.uint16)], 0, 1000)
    (1.0, 999.0)
    """
    if high <= low:
        return low, low + 1
    counts = np.zeros(BINS, np.int64)
    width = (high - low) / (BINS - 1)
    for block in blocks:
        if np.issubdtype(block.dtype, np.integer):
            width = max(1.0, width)
        bins = np.rint((block.astype(np.float64).ravel() - low) / width).astype(np.int64)
        counts += np.bincount(bins, minlength=BINS)
    below = np.cumsum(counts)
    black, white = (
        low + width * int(np.searchsorted(below, percentile / 100 * below[-1]))
        for percentile in (BLACK_PERCENTILE, WHITE_PERCENTILE)
    )
    return (black, white) if white > black else (low, high)
