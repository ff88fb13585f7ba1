r"""Which checkpoint to take: under-fit, fit and over-fit, read from the validation loss.

The paper looks at the curves (Training: Model and hyperparameter selection): both losses fall
(under-fit), the validation loss is flat (fit), it rises (over-fit). This is what we do instead of
looking::

    loss  \
           \                  _ _
            \__            _/        tolerance above the lowest point of the smoothed curve
               ----__---___/
          under |    fit    | over
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CHANCE = 2.0
"""A fall of more standard errors is not by chance."""
WINDOW = 5
"""Validations whose median makes a point of the smoothed curve."""
FEWEST = 3
"""Validations in the fit regime, at least."""
SHARE, SHARE_AT_END = 0.1, 0.2
"""Of all validations, at least; more where it reaches the end, for what falls slowly looks flat."""
FLAT = 0.05
"""Share of the whole fall of the loss that still counts as flat,"""
FLAT_LEVEL = 0.2
"""but no more than this share of the lowest loss: how the first validation went is chance."""
NOISE = 4.0
"""So do this many standard deviations of the noise of single validations."""


@dataclass(frozen=True)
class Fit:
    """The fit regime of a training, all in iterations.

    Parameters
    ----------
    first
        Where it begins: the place to start fine-tuning from.
    middle
        The validation nearest to its middle: the checkpoint to use.
    last
        Where it ends: where over-fitting begins, or the training does.
    """

    first: int
    middle: int
    last: int


def find_fit(iterations: Sequence[int], losses: Sequence[float]) -> Fit | None:
    """Find the fit regime.

    It is the unbroken stretch of validations around the lowest point of the smoothed validation
    loss in which the smoothed loss stays within a tolerance of that point. What counts as flat is
    5 % of the fall from the first loss, but at most 20 % of the lowest; the tolerance is this, or
    four times the noise of single validations, whichever is larger. As long as a line through the
    stretch falls by more than is flat and more than by chance, it begins later.

    Parameters
    ----------
    iterations
        Of the validations, rising.
    losses
        The validation loss at each.

    Returns
    -------
    Fit or None
        None where the curve has no such regime: it never fell by more than its noise, or it still
        falls at the end, so that few validations are flat.

    Examples
    --------
    >>> find_fit(range(1, 11), [9, 5, 3, 1, 1, 1, 1, 1, 3, 6])
    Fit(first=4, middle=6, last=8)
    """
    loss = np.asarray(losses, float)
    if len(loss) < 2 * FEWEST:
        return None
    smooth = _smoothed(loss)
    lowest = int(smooth.argmin())
    fall, noise = smooth[0] - smooth[lowest], _noise(loss)
    allowed = min(FLAT * fall, FLAT_LEVEL * max(0.0, float(smooth[lowest])))
    tolerance = max(allowed, NOISE * noise)
    if fall <= 2 * tolerance:
        return None
    # Of five neighbours most decide: a single outlier neither ends a stretch nor makes one.
    flat = _smoothed((smooth <= smooth[lowest] + tolerance).astype(float)) > 0
    first = last = lowest
    while first > 0 and flat[first - 1]:
        first -= 1
    while last + 1 < len(loss) and flat[last + 1]:
        last += 1
    while last - first + 1 > FEWEST and _falls(loss[first : last + 1], noise, allowed):
        first += 1
    share = SHARE if last + 1 < len(loss) else SHARE_AT_END
    if last - first + 1 < max(FEWEST, share * len(loss)):
        return None
    half = (iterations[first] + iterations[last]) / 2
    middle = min(range(first, last + 1), key=lambda n: abs(iterations[n] - half))
    return Fit(int(iterations[first]), int(iterations[middle]), int(iterations[last]))


def _falls(loss: npt.NDArray[np.float64], noise: float, allowed: float) -> bool:
    """Whether a line through a stretch falls by more than is allowed, and more than by chance.

    The fall of a line through n values of standard deviation s over even steps has a standard error
    of about s sqrt(12 / n).
    """
    number = len(loss)
    fall = -float(np.polyfit(np.arange(number), loss, 1)[0]) * (number - 1)
    return fall > max(allowed, CHANCE * noise * math.sqrt(12 / number))


def _noise(loss: npt.NDArray[np.float64]) -> float:
    """Return the standard deviation of single values about a line through their neighbours."""
    return 1.4826 * float(np.median(np.abs(np.diff(loss, 2)))) / math.sqrt(6)


def _smoothed(loss: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return medians over `WINDOW` neighbours, over fewer near the ends, alike on both sides."""
    half = WINDOW // 2
    reach = [min(half, n, len(loss) - 1 - n) for n in range(len(loss))]
    return np.array([np.median(loss[n - r : n + r + 1]) for n, r in enumerate(reach)])
