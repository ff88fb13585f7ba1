"""Confidence intervals of scores: a bootstrap over cubes of the volume.

Voxels and objects near each other are alike, so that whole cubes are drawn with replacement, as
many as there are; each score of the drawn cubes is one replicate. The interval of 95 % ends at the
2.5 and 97.5 percentiles of the replicates (Efron & Tibshirani 1993, ch. 13; blocks: Hall 1985).
It describes other parts of the same sample; not other cells, preparations or annotators.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

MIN_CUBES = 8
"""With fewer cubes there is no interval."""
REPLICATES = 1000
PERCENTILES = (2.5, 97.5)
MAX_PART_NUMBERS = 2**22
"""Numbers of weighted counts that are computed at a time, which limits memory."""
Statistic = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""Takes counts of replicates, (b, ...), returns a score for each, (b,); NaN: not defined."""
Interval = tuple[float, float]


def draw_cubes(
    cubes: int, rng: np.random.Generator, replicates: int = REPLICATES
) -> npt.NDArray[np.float64] | None:
    """Draw for each replicate how often each cube counts, (replicates, cubes).

    Parameters
    ----------
    cubes
        Number of cubes with scored voxels; below `MIN_CUBES` the result is None.
    rng
        Random number generator.
    replicates
        Number of replicates.
    """
    if cubes < MIN_CUBES:
        return None
    return rng.multinomial(cubes, np.full(cubes, 1 / cubes), size=replicates).astype(np.float64)


def bootstrap_interval(
    counts: npt.NDArray[np.int64], weights: npt.NDArray[np.float64] | None, statistic: Statistic
) -> Interval | None:
    """Return the 95 % percentile interval of a score of counts that add up over cubes.

    Parameters
    ----------
    counts
        Counts of each cube, (cubes, ...).
    weights
        From `draw_cubes`; None: no interval.
    statistic
        The score.

    Returns
    -------
    tuple or None
        Lower and upper end. Replicates whose score is not defined (0/0) are left out; None where
        these are more than half.

    Examples
    --------
    >>> weights = draw_cubes(10, np.random.default_rng(0))
    >>> bootstrap_interval(np.full((10, 2), 3), weights, lambda n: n[:, 0] / n[:, 1])
    (1.0, 1.0)
    """
    if weights is None:
        return None
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    part = max(1, MAX_PART_NUMBERS // flat.shape[1])
    scores = np.concatenate(
        [
            statistic((weights[start : start + part] @ flat).reshape(-1, *counts.shape[1:]))
            for start in range(0, len(weights), part)
        ]
    )
    defined = scores[~np.isnan(scores)]
    if 2 * len(defined) < len(scores):
        return None
    low, high = np.percentile(defined, PERCENTILES)
    return float(low), float(high)


def ratio(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divide; NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0))


def f1_of(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return F1 of true positives, false positives and false negatives, (b, 3 or more)."""
    return ratio(2 * counts[:, 0], 2 * counts[:, 0] + counts[:, 1] + counts[:, 2])


def iou_of(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the IoU of true positives, false positives and false negatives, (b, 3 or more)."""
    return ratio(counts[:, 0], counts[:, 0] + counts[:, 1] + counts[:, 2])
