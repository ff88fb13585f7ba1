"""Figure of the sizes of objects: how many have which volume, and which length."""

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from asem.report.figures import GREY, PREDICTION_COLOUR, label_log_axis
from asem.report.page.numbers import format_float

MAX_BINS = 40


def plot_sizes(volume_um3: npt.NDArray[np.float64], length_nm: npt.NDArray[np.float64]) -> Figure:
    """Plot the distributions of volumes and longest axes, with median and 10 to 90 % of objects.

    Parameters
    ----------
    volume_um3
        Volume of each object, µm³, above 0, (n,).
    length_nm
        Longest axis of each object, nm, above 0, (n,).
    """
    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_histogram(left, volume_um3, "volume (µm³)")
    _draw_histogram(right, length_nm, "longest axis (nm)")
    return figure


def _draw_histogram(axes: Axes, values: npt.NDArray[np.float64], label: str) -> None:
    """Draw a histogram with bins of equal ratios."""
    bins = min(MAX_BINS, 4 + int(np.sqrt(len(values))))
    low, high = values.min() / 1.1, values.max() * 1.1
    edges = np.geomspace(low, high, bins + 1)
    axes.hist(values, edges.tolist(), color=PREDICTION_COLOUR, alpha=0.5)
    tenth, median, ninetieth = np.quantile(values, (0.1, 0.5, 0.9))
    axes.axvspan(tenth, ninetieth, color=GREY, alpha=0.15, linewidth=0, zorder=0)
    axes.axvline(median, color="0.2", linewidth=1)
    axes.set(xscale="log", xlabel=label, ylabel="objects")
    low, middle, high = (format_float(float(one), 3) for one in (tenth, median, ninetieth))
    axes.set_title(f"median {middle}, 10 to 90 %: {low} to {high}", fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    label_log_axis(axes)
    axes.spines[["top", "right"]].set_visible(False)
