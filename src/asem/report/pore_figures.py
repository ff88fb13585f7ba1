"""Figures of the diameters of nuclear pores: distribution, radial profiles, heights."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from asem.measure.pores.table import is_used
from asem.measure.pores.view import VIEW_STEP_NM
from asem.report.figures import GREY, LABEL_COLOUR, PREDICTION_COLOUR

FloatArray = npt.NDArray[np.float64]
DIAMETER_MAP = "viridis"
"""Colours of diameters, in all figures of pores."""
BIN_WIDTHS_NM = (1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 50.0, 100.0)
MIN_RANGE_NM = 30.0
"""Of the axis of diameters."""
MAX_PANELS = 12
"""Cells that have a histogram of their own."""
MAX_LINES = 400
"""Profiles that are drawn; of more, every n-th."""
PROFILE_GROUPS = 4
PORES_OF_POINT = 15
"""Pores of each point of a running median, at least."""
MAX_GROUPS = 12
"""Points of a running median, at most."""
NO_PORES = "no pore was measured without a flag"


def plot_diameters(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the distribution of the diameters of used pores, of one cell or of several.

    Parameters
    ----------
    tables
        Table of pores of each cell (`asem.measure.pores.table.PORE_COLUMNS`), by name. Of several
        cells, the first panel has all of them.
    """
    samples = {name: _read_used(table) for name, table in tables.items()}
    if len(samples) > 1:
        pooled = tuple(np.concatenate(parts) for parts in zip(*samples.values(), strict=True))
        samples = {f"all {len(samples)} cells": (pooled[0], pooled[1]), **samples}
    shown = dict(list(samples.items())[: MAX_PANELS + 1])
    height = 3.4 if len(shown) == 1 else 0.7 + 1.75 * len(shown)
    figure = Figure(figsize=(6.4, height), dpi=120, layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(shown), 1, sharex=True))
    edges = _choose_bins(np.concatenate([diameters for diameters, _ in shown.values()]))
    for axes, (name, (diameters, errors)) in zip(panels, shown.items(), strict=True):
        _draw_diameters(axes, diameters, errors, edges, name)
    panels[-1].set_xlabel("diameter (nm)")
    if edges.size and len(shown[next(iter(shown))][0]):
        panels[0].legend(fontsize=8, frameon=False, loc="upper right")
    if len(samples) > len(shown):
        figure.suptitle(f"the first {MAX_PANELS} of {len(tables)} cells", fontsize=9)
    return figure


def _read_used(table: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Return diameters and standard errors of the used pores."""
    used = table[is_used(table)]
    diameters, errors = (
        used[name].to_numpy(np.float64) for name in ("diameter_nm", "diameter_se_nm")
    )
    return diameters, errors


def _choose_bins(diameters: FloatArray) -> FloatArray:
    """Return the edges of bins of a round width, about as wide as the rule of Freedman-Diaconis."""
    if len(diameters) == 0:
        return np.array([50.0, 150.0])
    spread = float(np.subtract(*np.percentile(diameters, (75, 25))))
    ideal = max(2 * spread / len(diameters) ** (1 / 3), float(np.ptp(diameters)) / 60)
    width = min(BIN_WIDTHS_NM, key=lambda w: abs(np.log(w / max(ideal, BIN_WIDTHS_NM[0]))))
    margin = max(0.0, MIN_RANGE_NM - float(np.ptp(diameters))) / 2
    first = np.floor((diameters.min() - margin) / width) - 1
    last = np.ceil((diameters.max() + margin) / width) + 1
    return np.asarray(width * np.arange(first, last + 1), np.float64)


def _draw_diameters(
    axes: Axes, diameters: FloatArray, errors: FloatArray, edges: FloatArray, name: str
) -> None:
    """Draw a histogram, its median and range, and the distribution of a single size."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel("pores")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_xlim(edges[0], edges[-1])
    title = f"{name}: " if name else ""
    if len(diameters) == 0:
        axes.set_title(title + NO_PORES, fontsize=9, loc="left")
        axes.set_yticks([])
        return
    axes.hist(diameters, edges.tolist(), color=PREDICTION_COLOUR, alpha=0.5)
    tenth, median, ninetieth = np.quantile(diameters, (0.1, 0.5, 0.9))
    axes.axvspan(
        tenth, ninetieth, color=GREY, alpha=0.15, linewidth=0, zorder=0, label="10 to 90 %"
    )
    axes.axvline(median, color="0.2", linewidth=1, label="median")
    near = median + np.linspace(-5, 5, 101) * np.nan_to_num(np.median(errors), nan=1.0)
    at = np.sort(np.concatenate([np.linspace(edges[0], edges[-1], 300), near]))
    axes.plot(
        at,
        len(diameters) * (edges[1] - edges[0]) * single_size_density(at, median, errors),
        color=LABEL_COLOUR,
        linewidth=1.4,
        label="if all had the\nmedian diameter",
    )
    axes.set_ylim(0, _find_top(diameters, edges))
    axes.set_title(
        f"{title}n = {len(diameters)}, median {median:.1f} nm, 10 to 90 %: {tenth:.1f} to "
        f"{ninetieth:.1f} nm",
        fontsize=9,
        loc="left",
    )


def _find_top(diameters: FloatArray, edges: FloatArray) -> float:
    """Return the upper limit of the counts: that of the bars, not of a narrow Gaussian."""
    counts, _ = np.histogram(diameters, edges)
    return 1.6 * float(counts.max())


def single_size_density(at: FloatArray, median: float, errors: FloatArray) -> FloatArray:
    """Return the density of measured diameters if all pores had the median diameter, 1/nm.

    Parameters
    ----------
    at
        Diameters, (m,).
    median
        nm.
    errors
        Standard errors, nm, (n,); those that are not above 0 do not count.
    """
    valid = errors[np.isfinite(errors) & (errors > 0)]
    if len(valid) == 0:
        return np.full(len(at), np.nan)
    quantiles = np.quantile(valid, (np.arange(min(len(valid), 200)) + 0.5) / min(len(valid), 200))
    return np.asarray(stats.norm.pdf(at[:, None], median, quantiles).mean(axis=1))


def plot_profiles(profiles: FloatArray, diameters: FloatArray) -> Figure:
    """Plot the mean grey values around the axis of each pore, and their means by diameter.

    Parameters
    ----------
    profiles
        Grey values at the distances 0, `VIEW_STEP_NM`, ... from the axis, nan outside of the image,
        (n, m).
    diameters
        nm, (n,).
    """
    figure = Figure(figsize=(6.4, 3.8), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlabel="distance from the axis of the pore (nm)", ylabel="mean grey value")
    if len(profiles) == 0:
        axes.set_title(NO_PORES, fontsize=9, loc="left")
        return figure
    distance = VIEW_STEP_NM * np.arange(profiles.shape[1])
    every = -(-len(profiles) // MAX_LINES)
    alpha = float(np.clip(12 / len(profiles), 0.04, 0.5))
    axes.plot(distance, profiles[::every].T, color=GREY, linewidth=0.5, alpha=alpha)
    order = np.argsort(diameters, kind="stable")
    groups = np.array_split(order, min(PROFILE_GROUPS, len(order)))
    means = np.stack([_mean_of(profiles[group]) for group in groups])
    shades = [0.45] if len(groups) == 1 else np.linspace(0, 0.85, len(groups))
    for group, mean, shade in zip(groups, means, shades, strict=True):
        low, high = diameters[group].min(), diameters[group].max()
        text = (
            f"{low:.0f} to {high:.0f} nm (n = {len(group)})" if len(group) > 1 else f"{low:.0f} nm"
        )
        colour = _colour_of(float(shade))
        axes.plot(distance, mean, color=colour, linewidth=1.8, label=text)
        axes.axvline(np.median(diameters[group]) / 2, color=colour, linewidth=0.8, linestyle=":")
    _limit_to_means(axes, means, profiles)
    axes.set_xlim(0, distance[-1])
    axes.legend(title="diameter", title_fontsize=8, fontsize=8, frameon=False, loc="lower right")
    axes.set_title(
        f"n = {len(profiles)}; dotted: half of the median diameter of each group",
        fontsize=9,
        loc="left",
    )
    return figure


def _colour_of(shade: float) -> tuple[float, ...]:
    from matplotlib import colormaps

    return tuple(colormaps[DIAMETER_MAP](shade))


def _mean_of(profiles: FloatArray) -> FloatArray:
    """Return the mean of profiles where at least half of them have a value, else nan."""
    valid = np.isfinite(profiles)
    count = valid.sum(axis=0)
    total = np.where(valid, profiles, 0).sum(axis=0)
    return np.where(2 * count >= len(profiles), total / np.maximum(count, 1), np.nan)


def _limit_to_means(axes: Axes, means: FloatArray, profiles: FloatArray) -> None:
    """Set the limits of the grey values: the means and most of the single profiles."""
    finite = profiles[np.isfinite(profiles)]
    if finite.size and np.isfinite(means).any():
        low, high = np.percentile(finite, (0.5, 99.5))
        low, high = min(low, np.nanmin(means)), max(high, np.nanmax(means))
        margin = 0.05 * max(high - low, 1e-9)
        axes.set_ylim(low - 4 * margin, high + margin)


def plot_heights(table: pd.DataFrame, up: str) -> Figure:
    """Plot diameters over the height above the coverslip.

    Parameters
    ----------
    table
        Of pores.
    up
        Axis away from the coverslip: ``z``, ``-z``, ``y``, ...
    """
    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axis = up.lstrip("-")
    sign = -1.0 if up.startswith("-") else 1.0
    used = table[is_used(table)]
    axes.set(
        xlabel=f"height above the lowest pore, along {'-' if sign < 0 else '+'}{axis} (µm)",
        ylabel="diameter (nm)",
    )
    if len(used) == 0:
        axes.set_title(NO_PORES, fontsize=9, loc="left")
        return figure
    height = sign * used[f"{axis}_nm"].to_numpy(np.float64) / 1000
    height -= height.min()
    diameters, errors = _read_used(table)
    few = len(used) <= 100
    axes.errorbar(
        height,
        diameters,
        yerr=np.nan_to_num(errors) if few else None,
        fmt="o",
        markersize=4 if few else 2.5,
        color=PREDICTION_COLOUR,
        alpha=0.8 if few else 0.5,
        ecolor=GREY,
        elinewidth=0.8,
        markeredgewidth=0,
    )
    _draw_running_median(axes, height, diameters)
    rank = ""
    if len(used) > 2 and np.ptp(height) > 0 and np.ptp(diameters) > 0:
        found = stats.spearmanr(height, diameters)
        rank = f", rank correlation {found.statistic:.2f} (p = {found.pvalue:.2g})"
    axes.set_title(f"n = {len(used)}{rank}", fontsize=9, loc="left")
    return figure


def _draw_running_median(axes: Axes, height: FloatArray, diameters: FloatArray) -> None:
    """Draw the median of groups of pores of about one height; nothing for few pores."""
    count = min(MAX_GROUPS, len(height) // PORES_OF_POINT)
    if count < 2:
        return
    groups = np.array_split(np.argsort(height, kind="stable"), count)
    middle = [np.median(height[group]) for group in groups]
    median = [np.median(diameters[group]) for group in groups]
    text = f"median of {min(map(len, groups))} or more pores"
    axes.plot(middle, median, color="0.2", linewidth=1.2, marker="s", markersize=3, label=text)
    axes.legend(fontsize=8, frameon=False, loc="best")
