"""Distances between the boundaries of a prediction and of the truth, as histograms.

::

    truth        . . # # # # . .        boundary voxels: of the object, beside the background
    prediction   . # # # # . . .
    boundaries   . p t . p t . .        p to t: 1, 1 voxel; t to p: 1, 1

Distances are rounded to bins of a hundredth of the finest edge of a voxel. Distances above a
maximum count as that maximum, and their fraction is stated: only voxels within the maximum around
a block are read. Histograms add up over blocks.
"""

from dataclasses import dataclass
from typing import Any

import edt
import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.volume.roi import IntZYX, per_axis

BINS_PER_VOXEL = 100
"""Bins of the finest edge of a voxel."""
DEFAULT_MAX_NM = 200.0
"""Largest distance that is measured, nm."""
MAX_BINS = 2**20
BOUNDARY_VOXEL_BYTES = 24
"""Memory in bytes of each voxel of a block, with its halo, in `count_distances`."""


@dataclass(frozen=True)
class DistanceBins:
    """Bins of distances: 0, 1, 2, ... times a width, and one more for larger distances.

    Parameters
    ----------
    voxel_size
        nm.
    max_nm
        Largest distance that is measured, nm.
    """

    voxel_size: NmZYX
    max_nm: float = DEFAULT_MAX_NM

    def __post_init__(self) -> None:
        if not 0 < self.max_nm < np.inf or self.max_nm > MAX_BINS * self.width_nm:
            raise ValueError(
                f"a largest distance of {self.max_nm:g} nm; it must be above 0 and at most "
                f"{MAX_BINS * self.width_nm:g} nm"
            )

    @property
    def width_nm(self) -> float:
        """Width of a bin, nm."""
        return min(self.voxel_size) / BINS_PER_VOXEL

    @property
    def count(self) -> int:
        """Number of bins, with that of larger distances."""
        return int(self.max_nm / self.width_nm + 0.5) + 2

    @property
    def halo(self) -> IntZYX:
        """Voxels to read around a block: within the largest distance, and their neighbours."""
        return per_axis(lambda size: int(self.max_nm / size) + 2, self.voxel_size)


def find_boundary(
    foreground: npt.NDArray[np.bool_], background: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Return the voxels of the foreground beside the background (6 neighbours).

    Neither the border of the array nor voxels that are in none of both make a boundary.

    Examples
    --------
    >>> foreground = np.array([[[1, 1, 1, 1, 0, 0, 1]]], bool)
    >>> find_boundary(foreground, ~foreground).astype(int).tolist()
    [[[0, 0, 0, 1, 0, 0, 1]]]
    """
    beside = np.zeros(foreground.shape, np.bool_)
    for axis in range(3):
        before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        beside[before] |= background[after]
        beside[after] |= background[before]
    return beside & foreground


def count_distances(
    from_voxels: npt.NDArray[np.bool_], to_voxels: npt.NDArray[np.bool_], bins: DistanceBins
) -> npt.NDArray[np.int64]:
    """Count the distances from each voxel of one set to the nearest voxel of another.

    Parameters
    ----------
    from_voxels
        Voxels that count, shape (z, y, x); those within the block of a larger box.
    to_voxels
        Voxels to which distances are measured.
    bins
        Bins of the distances between the centres of voxels.

    Returns
    -------
    ndarray
        Number of voxels in each bin, (bins.count,).
    """
    counts = np.zeros(bins.count, np.int64)
    if not from_voxels.any():
        return counts
    if not to_voxels.any():
        counts[-1] = np.count_nonzero(from_voxels)
        return counts
    # Distances in voxels are exact where these are isotropic.
    finest = min(bins.voxel_size)
    anisotropy = per_axis(lambda size: size / finest, bins.voxel_size)
    distance = edt.edt(~to_voxels, anisotropy=anisotropy, parallel=1)[from_voxels]
    index = np.floor(distance.astype(np.float64) * BINS_PER_VOXEL + 0.5)
    index[distance * finest > bins.max_nm * (1 + 1e-6)] = bins.count - 1
    counts += np.bincount(np.minimum(index, bins.count - 1).astype(np.int64), minlength=bins.count)
    return counts


def summarize_distances(
    to_truth: npt.NDArray[np.int64], to_prediction: npt.NDArray[np.int64], bins: DistanceBins
) -> dict[str, Any]:
    """Return mean, median and 95th percentile of distances in both directions, and of both.

    Parameters
    ----------
    to_truth, to_prediction
        Histograms of the distances of boundary voxels of the prediction to the truth, and back.
    bins
        Their bins.

    Returns
    -------
    dict
        ``prediction_to_truth`` and ``truth_to_prediction`` (`_summarize`); ``mean_nm`` and
        ``median_nm`` of both directions together (the average symmetric surface distance);
        ``hausdorff_95_nm``, the larger of the two 95th percentiles; ``max_nm``, the largest
        distance that is measured.
    """
    parts = {
        "prediction_to_truth": _summarize(to_truth, bins),
        "truth_to_prediction": _summarize(to_prediction, bins),
    }
    both = _summarize(to_truth + to_prediction, bins)
    ends = [part["percentile_95_nm"] for part in parts.values()]
    return {
        "mean_nm": both["mean_nm"],
        "median_nm": both["median_nm"],
        "hausdorff_95_nm": None if None in ends else max(ends),
        "beyond_max": both["beyond_max"],
        "max_nm": bins.max_nm,
        **parts,
    }


def _summarize(counts: npt.NDArray[np.int64], bins: DistanceBins) -> dict[str, Any]:
    """Return statistics of one histogram.

    Distances beyond the maximum count as the maximum in the mean; a percentile among them is None.
    """
    total = int(counts.sum())
    if total == 0:
        return {
            "voxels": 0,
            "mean_nm": None,
            "median_nm": None,
            "percentile_95_nm": None,
            "beyond_max": None,
        }
    distances = np.append(np.arange(len(counts) - 1) * bins.width_nm, bins.max_nm)
    return {
        "voxels": total,
        "mean_nm": float((counts * distances).sum() / total),
        "median_nm": find_percentile(counts, 50, bins),
        "percentile_95_nm": find_percentile(counts, 95, bins),
        "beyond_max": int(counts[-1]) / total,
    }


def find_percentile(
    counts: npt.NDArray[np.int64], percent: float, bins: DistanceBins
) -> float | None:
    """Return a percentile of a histogram of distances, nm: the smallest of at least this share.

    As `numpy.percentile` with the method ``"inverted_cdf"``. None where it is beyond the largest
    distance, or nothing is counted.
    """
    total = int(counts.sum())
    if total == 0:
        return None
    rank = max(1, int(np.ceil(percent * total / 100)))
    index = int(np.searchsorted(np.cumsum(counts), rank))
    return None if index == len(counts) - 1 else index * bins.width_nm
