"""Figures of pits and vesicles by group: shapes (paper, Fig. 8 B), and medians of several cells."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asem.config import shorten
from asem.measure.pits.groups import CAVEOLAE, ENDOCYTIC_PITS, SECRETORY_PITS
from asem.measure.pits.statistics import OPEN_NECK_NM, read_finite
from asem.measure.sample_statistics import find_median_interval
from asem.report.figures import GREY
from asem.report.pit_style import (
    DARK,
    MARKS,
    NO_OBJECTS,
    NO_PITS,
    FloatArray,
    Mark,
    choose_limits,
    is_outside,
    join_remarks,
    split_used,
)

SHAPES = {
    "eccentricity": ("eccentricity (major / minor axis)", 0.05, 1.0),
    "major_nm": ("major axis (nm)", 10.0, 0.0),
    "angle_to_membrane_deg": ("angle of the major axis to the membrane (°)", 10.0, 0.0),
}
"""Columns of the panels; their labels, steps of the axes and lowest values."""
SPREAD = 0.3
"""Half of the width of a group of marks; groups are 1 apart."""
GOLDEN_RATIO = (np.sqrt(5) - 1) / 2
DENSITY_BINS = 24
LENGTHS = {
    "height_nm": "depth (nm)",
    "width_nm": "width at half of the depth (nm)",
    "neck_nm": "neck (nm)",
}
MIN_BOX = 5
"""Values of a group that has a box."""
MIN_RANGE_NM = 40.0
"""Of an axis of medians."""
MAX_CELLS = 20
"""Cells that are drawn."""


def plot_shapes(table: pd.DataFrame) -> Figure:
    """Plot eccentricity, major axis and its angle to the membrane of each group of used objects.

    Boxes: quartiles and median; whiskers: 5 and 95 % of the objects.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`).
    """
    groups = {name: part for name, part in split_used(table).items() if len(part)}
    figure = Figure(figsize=(12.4, 4.9), dpi=120, layout="constrained")
    for axes, column in zip(figure.subplots(1, len(SHAPES)), SHAPES, strict=True):
        _draw_shapes(axes, groups, column)
    if groups:
        figure.suptitle(
            "boxes: quartiles and median; whiskers: 5 and 95 % of the objects", fontsize=9, x=0.01,
            ha="left",
        )  # fmt: skip
    return figure


def _draw_shapes(axes: Axes, groups: Mapping[str, pd.DataFrame], column: str) -> None:
    """Draw the values of a column, beside each other by group."""
    label, step, lowest = SHAPES[column]
    samples = {name: read_finite(part, column) for name, part in groups.items()}
    samples = {name: values for name, values in samples.items() if len(values)}
    is_angle = column.endswith("_deg")
    limits = (0.0, 90.0) if is_angle else choose_limits(samples.values(), step, lowest)
    margin = 0.02 * (limits[1] - limits[0])
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(ylabel=label, ylim=(limits[0] - margin, limits[1] + margin))
    if is_angle:
        axes.set_yticks(range(0, 91, 15))
    if not samples:
        axes.text(0.5, 0.5, NO_OBJECTS, transform=axes.transAxes, ha="center", color=GREY)
        axes.set_xticks([])
        return
    outside, most = 0, max(map(len, samples.values()))
    for place, (name, values) in enumerate(samples.items()):
        mark = MARKS[name]
        outside += int(is_outside(values, limits).sum())
        x = place + SPREAD * spread_marks(values, limits)
        axes.plot(x, values, **(mark.style(most) | {"alpha": 0.55}), zorder=1)
        if len(values) >= MIN_BOX:
            _draw_box(axes, place, values)
    names = [f"{MARKS[name].label}\n(n = {len(values)})" for name, values in samples.items()]
    axes.set_xticks(range(len(samples)), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlim(-0.6, max(len(samples), 2) - 0.4)
    remark = join_remarks((outside, "outside of the axes"))
    axes.set_title(remark, fontsize=8, loc="left", color="0.3")


def spread_marks(values: FloatArray, limits: tuple[float, float]) -> FloatArray:
    """Return sideways places from -1 to 1 that show how many values are alike, (n,).

    They fill a shape that is as wide as the density of the values, in an order without pattern.

    Parameters
    ----------
    values
        (n,).
    limits
        Of the axis; values outside have the places of the ends.
    """
    edges = np.linspace(*limits, DENSITY_BINS + 1)
    counts, _ = np.histogram(values, edges)
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    centres = (edges[1:] + edges[:-1]) / 2
    density = np.interp(values, centres, smooth) / max(smooth.max(), 1.0)
    order = np.empty(len(values))
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return np.asarray(density * (2 * ((order + 0.5) * GOLDEN_RATIO % 1) - 1))


def _draw_box(axes: Axes, place: float, values: FloatArray) -> None:
    """Draw quartiles, median and the range of 90 % of the values."""
    low, first, median, third, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95))
    box = {"label": "", "med": median, "q1": first, "q3": third, "whislo": low, "whishi": high}
    axes.bxp(
        [{**box, "fliers": []}], positions=[place], widths=0.3, showfliers=False, zorder=3,
        manage_ticks=False, boxprops={"color": DARK}, whiskerprops={"color": DARK},
        capprops={"color": DARK}, medianprops={"color": DARK, "linewidth": 2},
    )  # fmt: skip


def plot_cells(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the medians of the lengths of pits in each cell, with their 95 % intervals.

    Endocytic coated pits with open and with narrower necks are two groups, as their depths are.

    Parameters
    ----------
    tables
        Table of each cell (`asem.measure.pits.table.PIT_COLUMNS`), by name. Of several cells, the
        first line has all of them.
    """
    shown = dict(list(tables.items())[:MAX_CELLS])
    if len(tables) > 1:
        pooled = pd.concat(tables.values(), ignore_index=True)
        shown = {f"all {len(tables)} cells": pooled, **shown}
    cells = {name: _split_pits(table) for name, table in shown.items()}
    height = 1.6 + 0.62 * max(2, len(cells))
    figure = Figure(figsize=(10.4, height), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(LENGTHS), sharey=True)
    for axes, (column, label) in zip(panels, LENGTHS.items(), strict=True):
        _draw_medians(axes, cells, column)
        axes.set_xlabel(label)
    counts = [sum(map(len, groups.values())) for groups in cells.values()]
    names = [
        f"{shorten(name, str)}\n({count} pits)" for name, count in zip(cells, counts, strict=True)
    ]
    panels[0].set_yticks(range(len(cells)), names)
    panels[0].set_ylim(len(cells) - 0.5, -0.5)
    if not any(counts):
        figure.suptitle(NO_PITS, fontsize=9)
        return figure
    handles, labels = panels[0].get_legend_handles_labels()
    title = "medians and their 95 % intervals (of 6 or more pits)"
    if len(tables) > MAX_CELLS:
        title += f"; the first {MAX_CELLS} of {len(tables)} cells"
    figure.legend(
        handles, labels, loc="outside upper left", ncols=4, frameon=False, fontsize=8.5,
        title=title, title_fontsize=9, alignment="left", handletextpad=0.2,
    )  # fmt: skip
    return figure


def _split_pits(table: pd.DataFrame) -> dict[Mark, pd.DataFrame]:
    """Return the used pits of each group by its mark."""
    groups = split_used(table)
    coated, mark = groups[ENDOCYTIC_PITS], MARKS[ENDOCYTIC_PITS]
    is_open = coated["neck_nm"].to_numpy(np.float64) > OPEN_NECK_NM
    open_mark = replace(mark, label=f"{mark.label}, neck > {OPEN_NECK_NM:g} nm", filled=False)
    return {
        open_mark: coated[is_open],
        replace(mark, label=f"{mark.label}, others (neck ≤ {OPEN_NECK_NM:g} nm)"): coated[~is_open],
        **{MARKS[name]: groups[name] for name in (SECRETORY_PITS, CAVEOLAE)},
    }


def _draw_medians(
    axes: Axes, cells: Mapping[str, Mapping[Mark, pd.DataFrame]], column: str
) -> None:
    """Draw median and interval of a column, a line for each cell, a mark for each group."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    if len(cells) > 1:
        axes.axhline(0.5, color="0.7", linewidth=0.8)
    marks = list(next(iter(cells.values()), {}))
    for number, mark in enumerate(marks):
        offset = 0.2 * (number - (len(marks) - 1) / 2)
        medians = []
        for place, groups in enumerate(cells.values()):
            values = read_finite(groups[mark], column)
            if len(values) == 0:
                continue
            medians.append((float(np.median(values)), place + offset))
            interval = find_median_interval(values)
            if interval is not None:
                axes.plot(interval, [place + offset] * 2, color=mark.colour, linewidth=1.3)
        if medians:
            style = mark.style(1) | {"alpha": 1.0}
            if not mark.filled:
                style["markerfacecolor"] = "white"
            axes.plot(*np.transpose(medians), label=mark.label, zorder=3, **style)
    low, high = axes.get_xlim()
    if high - low < MIN_RANGE_NM and axes.lines:
        middle = (low + high) / 2
        axes.set_xlim(max(0.0, middle - MIN_RANGE_NM / 2), middle + MIN_RANGE_NM / 2)
