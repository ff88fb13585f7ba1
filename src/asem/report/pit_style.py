"""What figures of pits share: marks of the groups, limits of axes, texts."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asem.measure.pits.groups import (
    CAVEOLAE,
    ENDOCYTIC_PITS,
    ENDOCYTIC_VESICLES,
    OTHERS,
    SECRETORY_PITS,
    SECRETORY_VESICLES,
    find_groups,
)
from asem.measure.pits.table import is_used
from asem.report.figures import LABEL_COLOUR, PREDICTION_COLOUR

FloatArray = npt.NDArray[np.float64]
DARK = "0.2"
NO_PITS = "no pit was measured without a flag"
NO_OBJECTS = "no object was measured without a flag"
FENCE = 3.0
"""Values further from the quartiles than this many times their distance are outside of the axes."""


@dataclass(frozen=True)
class Mark:
    """Mark of a group: its shape and filling distinguish it in print without colours.

    Parameters
    ----------
    label
        Name of the group in legends.
    marker, colour
        Of matplotlib.
    filled
        Whether the inside has the colour, or is empty.
    linestyle
        Of the outline of its histogram.
    size
        Of the marker, in points.
    """

    label: str
    marker: str
    colour: str
    filled: bool
    linestyle: str
    size: float = 5.0

    def style(self, count: int) -> dict[str, Any]:
        """Return the style of the marks of a number of objects, for `Axes.plot`."""
        many = count > 200
        return {
            "linestyle": "none",
            "marker": self.marker,
            "markersize": self.size * (0.7 if many else 1.0),
            "markeredgecolor": self.colour,
            "markerfacecolor": self.colour if self.filled else "none",
            "markeredgewidth": 0.0 if self.filled else (0.7 if many else 1.0),
            "alpha": 0.55 if many else 0.8,
        }


MARKS = {
    CAVEOLAE: Mark("caveolae", "s", LABEL_COLOUR, False, "--", 4.6),
    ENDOCYTIC_PITS: Mark("endocytic coated pits", "o", PREDICTION_COLOUR, True, "-"),
    SECRETORY_PITS: Mark("secretory coated pits", "^", DARK, False, "-", 5.4),
    ENDOCYTIC_VESICLES: Mark("endocytic coated vesicles", "D", PREDICTION_COLOUR, True, "-", 4.4),
    SECRETORY_VESICLES: Mark("secretory coated vesicles", "v", DARK, False, "-", 5.4),
    OTHERS: Mark("others, uncoated", "x", "0.35", False, ":", 4.6),
}
"""In the order of figures: caveolae beside coated pits, endocytic objects beside secretory ones."""


MIN_STEPS = 6
"""Of an axis, so that few values do not have a magnified one."""


def split_used(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the used objects of each group, in the order of `MARKS`."""
    used = table[is_used(table)]
    groups = find_groups(used)
    return {name: used[groups[name]] for name in MARKS}


def choose_limits(
    samples: Iterable[FloatArray], step: float, lowest: float = 0.0
) -> tuple[float, float]:
    """Return limits of an axis that no outlier widens: multiples of a step.

    Of each sample, the values count that are within `FENCE` times the distance of the quartiles
    (at least of a step) from these.

    Parameters
    ----------
    samples
        Finite values of each group.
    step
        Round number, about a tenth of the expected range.
    lowest
        Below it there are no values.

    Examples
    --------
    >>> choose_limits([np.array([52.0, 55, 61, 66, 4000])], 10.0)
    (20.0, 90.0)
    """
    ends = []
    for values in samples:
        if len(values) == 0:
            continue
        low, high = np.percentile(values, (25, 75))
        reach = FENCE * max(high - low, step)
        inside = values[(values >= low - reach) & (values <= high + reach)]
        ends += [float(inside.min()), float(inside.max())]
    if not ends:
        return lowest, lowest + 10 * step
    margin = max(0.5 * step, (MIN_STEPS * step - max(ends) + min(ends)) / 2)
    first = step * np.floor((min(ends) - margin) / step)
    return max(lowest, float(first)), float(step * np.ceil((max(ends) + margin) / step))


def is_outside(values: FloatArray, limits: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Return which values are outside of an axis, (n,)."""
    return np.asarray((values < limits[0]) | (values > limits[1]))


def join_remarks(*remarks: tuple[int, str]) -> str:
    """Return remarks that count something, without those of nothing.

    Examples
    --------
    >>> join_remarks((2, "without a neck"), (0, "outside of the axes"))
    '2 without a neck'
    """
    return "; ".join(f"{count} {text}" for count, text in remarks if count)
