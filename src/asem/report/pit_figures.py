"""Figures of pits after the paper's Fig. 8: depth against width, neck against depth.

Pits of the plasma membrane (coated pits and caveolae) are beside those of internal membranes; both
panels have the same axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from asem.measure.pits.groups import CAVEOLAE, ENDOCYTIC_PITS, SECRETORY_PITS
from asem.measure.pits.statistics import NARROWEST_NECK_NM, OPEN_NECK_NM, describe_necks
from asem.measure.sample_statistics import Statistics
from asem.report.figures import GREY
from asem.report.pit_style import (
    MARKS,
    NO_PITS,
    FloatArray,
    choose_limits,
    is_outside,
    join_remarks,
    split_used,
)

PANELS = {
    "plasma membrane": (ENDOCYTIC_PITS, CAVEOLAE),
    "internal membranes": (SECRETORY_PITS,),
}
"""Groups of each panel."""
STEP_NM = 10.0
BIN_NM = 5.0
LINE_POINTS = 11.0
"""From a line of small text to the next."""
MAX_ERROR_BARS = 150
"""Of more pits in a panel, their median standard errors are drawn once."""


@dataclass(frozen=True)
class _Length:
    """A column of lengths on an axis."""

    column: str
    name: str
    label: str

    def read(self, table: pd.DataFrame) -> FloatArray:
        return table[self.column].to_numpy(np.float64)

    def read_errors(self, table: pd.DataFrame) -> FloatArray:
        """Return standard errors, 0 where they are not defined."""
        errors = table[self.column.replace("_nm", "_se_nm")].to_numpy(np.float64)
        return np.where(np.isfinite(errors) & (errors > 0), errors, 0.0)


HEIGHT = _Length("height_nm", "depth", "depth (nm)")
WIDTH = _Length("width_nm", "width", "width at half of the depth (nm)")
NECK = _Length("neck_nm", "neck", "neck (nm)")


@dataclass(frozen=True)
class _Panel:
    """Axes of a panel, and what is written above it.

    Parameters
    ----------
    pits, top
        Axes of the pits, and of the histogram above.
    remark
        How many pits are not in sight.
    lines
        Of text between the legend and the histogram, at most.
    """

    pits: Axes
    top: Axes
    remark: str
    lines: int

    def write(self, texts: Sequence[str]) -> None:
        """Write lines of text below the legend."""
        self.top.annotate(
            "\n".join(filter(None, texts)), (0, 1), (0, 5 + LINE_POINTS * self.lines),
            xycoords="axes fraction", textcoords="offset points", va="top", fontsize=8,
            color="0.3",
        )  # fmt: skip

    def write_title(self, title: str) -> None:
        """Write the title and the legend."""
        up = 7 + LINE_POINTS * self.lines
        shift = ScaledTranslation(0, up / 72, self.top.figure.dpi_scale_trans)
        self.top.legend(
            *self.pits.get_legend_handles_labels(), fontsize=9, frameon=False, loc="lower left",
            ncols=2, bbox_to_anchor=(-0.02, 1.0), bbox_transform=self.top.transAxes + shift,
            handletextpad=0.1, borderpad=0, borderaxespad=0, columnspacing=1.2,
        )  # fmt: skip
        self.top.annotate(
            title, (0, 1), (0, up + 17), xycoords="axes fraction", textcoords="offset points",
            fontsize=11,
        )  # fmt: skip


def plot_depth_and_width(table: pd.DataFrame) -> Figure:
    """Plot the depth of each used pit against its width at half of the depth.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`).
    """
    figure, panels = _plot_lengths(table, WIDTH, HEIGHT, lines=1)
    for panel in panels:
        panel.write([panel.remark])
    return figure


def plot_neck_and_depth(table: pd.DataFrame) -> Figure:
    """Plot the neck of each used pit against its depth, with the ranges of the paper.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`).
    """
    figure, panels = _plot_lengths(table, HEIGHT, NECK, lines=3)
    groups = split_used(table)
    for panel, coated in zip(panels, (ENDOCYTIC_PITS, SECRETORY_PITS), strict=True):
        panel.pits.axhspan(
            NARROWEST_NECK_NM, OPEN_NECK_NM, color=GREY, alpha=0.13, linewidth=0, zorder=0
        )
        texts = _draw_clusters(panel.pits, describe_necks(groups[coated]))
        panel.write([*texts, panel.remark])
    return figure


def _draw_clusters(axes: Axes, statistics: Statistics) -> list[str]:
    """Draw the median depths of open and narrow necks; return texts of them and their shares."""
    ranges = {
        "open": (f"necks above {OPEN_NECK_NM:g} nm", OPEN_NECK_NM, axes.get_ylim()[1]),
        "narrow": (
            f"necks of {NARROWEST_NECK_NM:g} to {OPEN_NECK_NM:g} nm (grey)",
            NARROWEST_NECK_NM,
            OPEN_NECK_NM,
        ),
    }
    texts = []
    for name, (text, low, high) in ranges.items():
        cluster = statistics[name]
        if cluster["n"]:
            median = cluster["height_nm"]["median_nm"]
            axes.plot([median] * 2, [low, high], color="0.3", linewidth=1, linestyle=":", zorder=3)
            share = f"{100 * cluster['share']:.0f} % of coated pits"
            texts.append(f"{text}: {share}, median depth {median:.0f} nm (dotted)")
    return texts


def _plot_lengths(
    table: pd.DataFrame, x: _Length, y: _Length, lines: int
) -> tuple[Figure, list[_Panel]]:
    """Plot two lengths of pits, with histograms, below space for lines of text."""
    groups = {
        name: part[np.isfinite(x.read(part)) | np.isfinite(y.read(part))]
        for name, part in split_used(table).items()
    }
    shown = [groups[name] for names in PANELS.values() for name in names]
    limits = [
        choose_limits([_finite(length.read(part)) for part in shown], STEP_NM) for length in (x, y)
    ]
    text_inch = (44 + LINE_POINTS * lines) / 72
    height = 5.1 + text_inch
    figure = Figure(figsize=(10.4, height), dpi=120)
    outer = figure.add_gridspec(
        1, 2, left=0.065, right=0.985, bottom=0.55 / height, top=1 - text_inch / height, wspace=0.14
    )
    panels = []
    for number, (title, names) in enumerate(PANELS.items()):
        grid = outer[number].subgridspec(
            2, 2, width_ratios=(5, 1), height_ratios=(1, 5), wspace=0.06, hspace=0.06
        )
        axes = figure.add_subplot(grid[1, 0])
        axes.set(xlim=limits[0], ylim=limits[1], xlabel=x.label, ylabel=y.label)
        axes.spines[["top", "right"]].set_visible(False)
        parts = {name: groups[name] for name in names}
        remark = _draw_pits(axes, parts, x, y)
        top = figure.add_subplot(grid[0, 0], sharex=axes)
        right = figure.add_subplot(grid[1, 1], sharey=axes)
        _draw_histograms(top, parts, x, limits[0], vertical=False)
        _draw_histograms(right, parts, y, limits[1], vertical=True)
        panels.append(_Panel(axes, top, remark, lines))
        panels[-1].write_title(title)
    return figure, panels


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _draw_pits(axes: Axes, parts: dict[str, pd.DataFrame], x: _Length, y: _Length) -> str:
    """Draw the pits that have both lengths; return how many are not in sight."""
    complete = {
        name: part[np.isfinite(x.read(part)) & np.isfinite(y.read(part))]
        for name, part in parts.items()
    }
    total = sum(map(len, complete.values()))
    missing = sum(map(len, parts.values())) - total
    outside = 0
    for name, pits in complete.items():
        if len(pits) == 0:
            continue
        at, up, mark = x.read(pits), y.read(pits), MARKS[name]
        outside += int((is_outside(at, axes.get_xlim()) | is_outside(up, axes.get_ylim())).sum())
        if total <= MAX_ERROR_BARS:
            axes.errorbar(
                at, up, xerr=x.read_errors(pits), yerr=y.read_errors(pits), fmt="none",
                ecolor=mark.colour, elinewidth=0.7, alpha=0.3, zorder=1,
            )  # fmt: skip
        label = f"{mark.label} (n = {len(pits)})"
        axes.plot(at, up, label=label, zorder=2, **mark.style(total))
    if total == 0:
        axes.text(0.5, 0.5, NO_PITS, transform=axes.transAxes, ha="center", fontsize=9, color=GREY)
    elif total > MAX_ERROR_BARS:
        _draw_median_error(axes, pd.concat(complete.values()), x, y)
    remarks = (missing, f"without {x.name} or {y.name}"), (outside, "outside of the axes")
    return join_remarks(*remarks)


def _draw_median_error(axes: Axes, pits: pd.DataFrame, x: _Length, y: _Length) -> None:
    """Draw the median standard errors of many pits as one cross, in the emptiest corner."""
    at = np.stack(
        [_to_axes(x.read(pits), axes.get_xlim()), _to_axes(y.read(pits), axes.get_ylim())]
    )
    corners = [(right, up) for up in (0.0, 1.0) for right in (1.0, 0.0)]
    counts = [
        np.count_nonzero((np.abs(at[0] - right) < 0.4) & (np.abs(at[1] - up) < 0.12))
        for right, up in corners
    ]
    right, up = corners[int(np.argmin(counts))]
    place = right + (0.05 if right == 0 else -0.05), up + (0.06 if up == 0 else -0.06)
    half = [float(np.median(length.read_errors(pits))) for length in (x, y)]
    (left, end), (low, high) = axes.get_xlim(), axes.get_ylim()
    centre = left + place[0] * (end - left), low + place[1] * (high - low)
    axes.errorbar(
        *centre, xerr=half[0], yerr=half[1], fmt="none", ecolor="0.35", elinewidth=1, zorder=3
    )
    end_of_cross = centre[0] + (half[0] if right == 0 else -half[0]), centre[1]
    axes.annotate(
        "median standard error", end_of_cross, (4 if right == 0 else -4, 0),
        textcoords="offset points",
        ha="left" if right == 0 else "right", va="center", fontsize=7.5, color="0.35",
    )  # fmt: skip


def _to_axes(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """Return the places of values on an axis from 0 to 1."""
    return (values - limits[0]) / (limits[1] - limits[0])


def _draw_histograms(
    axes: Axes,
    parts: dict[str, pd.DataFrame],
    length: _Length,
    limits: tuple[float, float],
    *,
    vertical: bool,
) -> None:
    """Draw the histogram of a length of each group, along the axis of a panel."""
    edges = np.arange(limits[0], limits[1] + BIN_NM / 2, BIN_NM)
    orientation = "horizontal" if vertical else "vertical"
    for name, part in parts.items():
        counts, _ = np.histogram(_finite(length.read(part)), edges)
        if not counts.any():
            continue
        first, last = np.flatnonzero(counts)[[0, -1]]
        counts, bins = counts[first : last + 1], edges[first : last + 2]
        mark = MARKS[name]
        style: dict[str, Any] = {"orientation": orientation, "color": mark.colour}
        if mark.filled:
            axes.stairs(counts, bins, fill=True, alpha=0.35, **style)
        axes.stairs(counts, bins, linewidth=1.1, linestyle=mark.linestyle, **style)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelbottom=vertical, labelleft=not vertical, labelsize=7.5)
    counted = axes.xaxis if vertical else axes.yaxis
    counted.set_major_locator(
        MaxNLocator(integer=True, nbins=2, prune="lower" if vertical else None)
    )
    (axes.set_xlabel if vertical else axes.set_ylabel)("pits", fontsize=8)
    if vertical:
        axes.set_xlim(left=0)
    else:
        axes.set_ylim(bottom=0)
