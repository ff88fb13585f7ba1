"""Statistics of samples: median with its interval, mean, standard deviation, percentiles."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

FloatArray = npt.NDArray[np.float64]
Statistics = dict[str, Any]
"""Values of a JSON object; None where a statistic is undefined."""


def describe_sample(values: FloatArray, percentiles: Sequence[int], unit: str = "") -> Statistics:
    """Return median, percentiles, mean and standard deviation; None where they are undefined.

    Parameters
    ----------
    values
        Finite, (n,).
    percentiles
        Which ones.
    unit
        Ending of the names: ``_nm`` for ``median_nm``.

    Examples
    --------
    >>> describe_sample(np.array([1.0, 2.0, 6.0]), (25,), "_nm")["median_nm"]
    2.0
    """
    names = [f"{name}{unit}" for name in ("median", "percentiles", "mean", "sd")]
    result: Statistics = dict.fromkeys(names)
    if len(values) == 0:
        return result
    found = np.percentile(values, percentiles)
    pairs = zip(percentiles, found, strict=True)
    result[names[0]] = float(np.median(values))
    result[names[1]] = {str(percent): float(value) for percent, value in pairs}
    result[names[2]] = float(values.mean())
    if len(values) > 1:
        result[names[3]] = float(values.std(ddof=1))
    return result


def find_median_interval(
    values: FloatArray, confidence: float = 0.95
) -> tuple[float, float] | None:
    r"""Return an interval of the median that assumes no distribution.

    It runs from the k-th smallest to the k-th largest value with the largest k of which

    .. math:: 1 - 2 P(B < k) \geq confidence, \quad B \sim Binomial(n, 1/2)

    (Conover 1999, section 3.2). Its confidence is at least the requested one.

    Parameters
    ----------
    values
        Finite, (n,).
    confidence
        Between 0 and 1.

    Returns
    -------
    tuple or None
        None where no k fulfils this: below 6 values for 95 %.

    Examples
    --------
    >>> find_median_interval(np.arange(1.0, 7.0))
    (1.0, 6.0)
    """
    count = len(values)
    rank = int(stats.binom.ppf((1 - confidence) / 2, count, 0.5)) if count else 0
    if rank < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[count - rank])
