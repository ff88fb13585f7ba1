r"""Find the fit regime, between under-fitting and over-fitting, to choose a checkpoint.

The paper reads it by eye from the curves (Training: Model and hyperparameter selection): both
losses fall (under-fit), the validation loss is flat (fit), it rises (over-fit). Here::

    loss  \
           \                  _ _
            \__            _/        tolerance above the lowest point of the smoothed curve
               ----__---___/
          under |    fit    | over
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.model.run_metrics import MetricsRow

SIGNIFICANT_STANDARD_ERRORS = 2.0
"""A fall of more standard errors is significant."""
MEDIAN_WINDOW = 5
"""Validations in the running median that smooths the curve."""
MIN_FIT_VALIDATIONS = 3
"""Minimum number of validations in the fit regime."""
MIN_FIT_SHARE, MIN_FIT_SHARE_AT_END = 0.1, 0.2
"""Minimum fraction of all validations; larger if it reaches the end: a slow fall looks flat."""
FLAT_SHARE_OF_FALL = 0.05
"""Upper limit of a change that counts as flat, as a fraction of the whole fall of the loss."""
FLAT_SHARE_OF_MINIMUM = 0.2
"""Another upper limit, as a fraction of the lowest loss, because the first loss is random."""
NOISE_SIGMAS = 4.0
"""Changes of up to this many standard deviations of the noise of single validations are flat, too,
even above both limits."""


@dataclass(frozen=True)
class FitRegime:
    """The fit regime of a training, all in iterations.

    Parameters
    ----------
    first
        Its start: the checkpoint to start fine-tuning from.
    middle
        The validation nearest to its middle: the checkpoint to use.
    last
        Its end: over-fitting starts, or the training ends.
    """

    first: int
    middle: int
    last: int


def find_fit_regime(iterations: Sequence[int], losses: Sequence[float]) -> FitRegime | None:
    """Find the fit regime.

    It is the contiguous range of validations around the minimum of the smoothed validation loss in
    which the smoothed loss stays within a tolerance of the minimum. A change of 5 % of the fall
    from the first loss, but at most 20 % of the minimum, counts as flat; the tolerance is this, or
    four times the noise of single validations, whichever is larger. While a line through the range
    falls by more than that and significantly, the range starts one validation later.

    Parameters
    ----------
    iterations
        Of the validations, ascending.
    losses
        The validation loss at each.

    Returns
    -------
    FitRegime or None
        None if there is none: the curve never fell by more than its noise, or it still falls at
        the end, so that few validations are flat.

    Examples
    --------
    >>> find_fit_regime(range(1, 11), [9, 5, 3, 1, 1, 1, 1, 1, 3, 6])
    FitRegime(first=4, middle=6, last=8)
    """
    loss = np.asarray(losses, float)
    if len(loss) < 2 * MIN_FIT_VALIDATIONS:
        return None
    smooth = _median_filter(loss)
    lowest = int(smooth.argmin())
    fall, noise = smooth[0] - smooth[lowest], _estimate_noise(loss)
    allowed = min(
        FLAT_SHARE_OF_FALL * fall, FLAT_SHARE_OF_MINIMUM * max(0.0, float(smooth[lowest]))
    )
    tolerance = max(allowed, NOISE_SIGMAS * noise)
    if fall <= 2 * tolerance:
        return None
    # Majority of five neighbours: a single outlier neither ends a range nor makes one.
    flat = _median_filter((smooth <= smooth[lowest] + tolerance).astype(float)) > 0
    first = last = lowest
    while first > 0 and flat[first - 1]:
        first -= 1
    while last + 1 < len(loss) and flat[last + 1]:
        last += 1
    while last - first + 1 > MIN_FIT_VALIDATIONS and _is_falling(
        loss[first : last + 1], noise, allowed
    ):
        first += 1
    fraction = MIN_FIT_SHARE if last + 1 < len(loss) else MIN_FIT_SHARE_AT_END
    if last - first + 1 < max(MIN_FIT_VALIDATIONS, fraction * len(loss)):
        return None
    half = (iterations[first] + iterations[last]) / 2
    middle = min(range(first, last + 1), key=lambda n: abs(iterations[n] - half))
    return FitRegime(int(iterations[first]), int(iterations[middle]), int(iterations[last]))


def find_fit_regime_of_run(metrics: Iterable[MetricsRow]) -> FitRegime | None:
    """Find the fit regime of a run, from the pooled validation losses; None if there is none."""
    losses = {row.iteration: row.validation_loss for row in metrics}
    known = {iteration: loss for iteration, loss in losses.items() if loss is not None}
    return find_fit_regime(list(known), list(known.values()))


def _is_falling(loss: npt.NDArray[np.float64], noise: float, allowed: float) -> bool:
    """Return whether a line through the losses falls by more than `allowed`, and significantly.

    The fall of a line through n values of standard deviation s over even steps has a standard error
    of about s sqrt(12 / n).
    """
    number = len(loss)
    fall = -float(np.polyfit(np.arange(number), loss, 1)[0]) * (number - 1)
    return fall > max(allowed, SIGNIFICANT_STANDARD_ERRORS * noise * math.sqrt(12 / number))


def _estimate_noise(loss: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation of single values about a line through their neighbours."""
    return 1.4826 * float(np.median(np.abs(np.diff(loss, 2)))) / math.sqrt(6)


def _median_filter(loss: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return running medians of `MEDIAN_WINDOW` values; symmetric, shorter windows at the ends."""
    half = MEDIAN_WINDOW // 2
    reach = [min(half, n, len(loss) - 1 - n) for n in range(len(loss))]
    return np.array([np.median(loss[n - r : n + r + 1]) for n, r in enumerate(reach)])
