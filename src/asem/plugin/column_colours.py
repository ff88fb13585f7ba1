"""Colours of objects by a column of their table: numbers by a colourmap, texts by categories.

Without Qt and napari, so that a test compares colours with values.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

COLOURS = 256
"""Of a colourmap; napari draws few distinct colours fast, for any number of objects."""
PERCENTILES = (1, 99)
"""Limits of a colourmap: outliers do not make all others equal."""
MISSING = (0.5, 0.5, 0.5, 1.0)
"""Colour of objects without a value, RGBA."""
CATEGORIES = "tab10"


def is_number(values: pd.Series) -> bool:
    """Return whether a column is numeric: it is not of texts or of true and false."""
    return is_numeric_dtype(values) and not is_bool_dtype(values)


def choose_limits(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return limits of a colourmap that outliers do not widen.

    Parameters
    ----------
    values
        (n,); those that are not finite do not count.

    Examples
    --------
    >>> choose_limits(np.array([1.0, 2.0, np.nan, 3.0]))
    (1.02, 2.98)
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(finite, PERCENTILES))
    return (low, high) if high > low else (low, low + 1.0)


def colour_values(values: pd.Series, colourmap: str = "viridis") -> npt.NDArray[np.float64]:
    """Return a colour for each value, RGBA from 0 to 1, (n, 4).

    Parameters
    ----------
    values
        Numbers between `choose_limits` have the colours of the colourmap, others those of its
        ends. Texts, and true and false, have the colours of categories, in their sorted order; an
        empty text has none.
    colourmap
        Of matplotlib, for numbers.
    """
    if is_number(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        low, high = choose_limits(numbers)
        steps = np.rint((COLOURS - 1) * (np.clip(numbers, low, high) - low) / (high - low))
        colours = mpl.colormaps[colourmap](np.nan_to_num(steps) / (COLOURS - 1))
        missing = ~np.isfinite(numbers)
    else:
        codes, _ = pd.factorize(values.replace("", None), sort=True)
        palette = mpl.colormaps[CATEGORIES]
        colours = palette(codes % palette.N)
        missing = codes < 0
    colours = np.asarray(colours, np.float64).reshape(-1, 4)
    colours[missing] = MISSING
    return colours


def colour_labels(
    features: pd.DataFrame, column: str, colourmap: str = "viridis"
) -> Mapping[int | None, Any]:
    """Return the colour of each label, as `napari.utils.DirectLabelColormap` takes them.

    Labels without a row are grey, the background is transparent.

    Parameters
    ----------
    features
        With ids in the column ``index``.
    column, colourmap
        As in `colour_values`.
    """
    colours = colour_values(features[column], colourmap)
    by_id: dict[int | None, Any] = dict(zip(features["index"].tolist(), colours, strict=True))
    return by_id | {None: np.array(MISSING), 0: np.zeros(4)}
