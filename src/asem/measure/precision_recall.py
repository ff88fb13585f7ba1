"""Precision and recall over the threshold of a probability, from counts of its 256 values."""

from typing import Any

import numpy as np
import numpy.typing as npt


def average_precision(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the average precision, the area under the stepwise precision-recall curve.

    AP = sum over thresholds t, descending, of (R(t) - R(t + 1)) P(t), without interpolation, as
    `sklearn.metrics.average_precision_score`.

    Parameters
    ----------
    values
        Voxels by truth (0 background, 1 foreground) and stored value 0 to 255, (..., 2, 256).

    Returns
    -------
    ndarray
        Shape (...); NaN without foreground.

    Examples
    --------
    >>> values = np.zeros((2, 256), int)
    >>> values[1, 200], values[0, 100], values[1, 50] = 3, 1, 1
    >>> float(average_precision(values))
    0.95
    """
    hits, predicted = _cumulative(values)
    found = np.asarray(values[..., 1, ::-1], np.float64)  # foreground of exactly each value
    precision = np.divide(hits, predicted, out=np.zeros(hits.shape), where=predicted > 0)
    positives = hits[..., -1]
    area = (found * precision).sum(axis=-1)
    undefined = np.full(positives.shape, np.nan)
    return np.asarray(np.divide(area, positives, out=undefined, where=positives > 0))


def precision_recall_curve(values: npt.NDArray[Any]) -> dict[str, npt.NDArray[np.float64]]:
    """Return threshold, precision, recall and F1 for each stored value that occurs, ascending.

    Parameters
    ----------
    values
        As for `average_precision`, (2, 256).

    Returns
    -------
    dict
        Columns of equal length. ``threshold``: probability, stored value / 255, at which voxels
        and all above are foreground. Precision and recall: NaN where 0/0.
    """
    hits, predicted = _cumulative(values)
    present = np.asarray(values).sum(axis=0)[::-1] > 0
    positives = hits[-1]
    ratios = {
        "precision": (hits, predicted),
        "recall": (hits, np.full(hits.shape, positives)),
        "f1": (2 * hits, predicted + positives),
    }
    columns = {"threshold": np.arange(255, -1, -1)[present][::-1] / 255}
    for name, (part, whole) in ratios.items():
        ratio = np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
        columns[name] = ratio[present][::-1]
    return columns


def _cumulative(
    values: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return foreground voxels and all voxels of at least each value, from 255 down to 0."""
    counts = np.asarray(values, np.float64)  # exact below 2^53
    hits = np.cumsum(counts[..., 1, ::-1], axis=-1)
    return hits, hits + np.cumsum(counts[..., 0, ::-1], axis=-1)
