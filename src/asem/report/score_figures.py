"""Figures of scores: over the width of the zone, over the threshold, of objects, of boundaries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from asem.report.figures import GREY, LABEL_COLOUR, PREDICTION_COLOUR, label_log_axis

COLOURS = (LABEL_COLOUR, PREDICTION_COLOUR, "#5b9e3a", "#b04a98", "#7f6a4f", "#444444")
"""Colours of the first predictions; they repeat."""
F1_LINES = (0.2, 0.4, 0.6, 0.8, 0.9)
"""Values of F1 whose lines are drawn in the plane of precision and recall."""
FEW_POINTS = 500
FEW_MARKER_SIZE, MANY_MARKER_SIZE = 10, 4
"""Points of up to so many objects are larger."""
MAX_POINTS = 20_000
"""Objects that are drawn; of more, every n-th."""
MAX_LEGEND = 12


@dataclass(frozen=True)
class ObjectPoints:
    """Objects of the truth to draw: largest IoU with a predicted object, and volume in µm³."""

    iou: npt.NDArray[np.float64]
    volume_um3: npt.NDArray[np.float64]


@dataclass(frozen=True)
class DistancePoints:
    """Distances in nm, and the voxels of each in both directions; the last are beyond the largest.

    Parameters
    ----------
    distance_nm
        Ascending, (n,).
    to_truth, to_prediction
        Voxels, (n,).
    """

    distance_nm: npt.NDArray[np.float64]
    to_truth: npt.NDArray[np.int64]
    to_prediction: npt.NDArray[np.int64]


def plot_zone_curves(
    curves: Mapping[str, Sequence[Mapping[str, Any]]], zone_nm: tuple[float, float] | None
) -> Figure:
    """Plot F1 and IoU outside of exclusion zones over their width.

    Parameters
    ----------
    curves
        Rows of `asem.measure.zone_curve.score_curve` of each prediction.
    zone_nm
        Widths of the zone whose scores are reported, outside and inside; a dashed line.
    """
    figure, (left, right) = _make_panels()
    for (name, rows), colour in _with_colours(curves):
        for axes, key in ((left, "f1"), (right, "iou")):
            points = [(max(r["out_nm"], r["in_nm"]), r[key]) for r in rows if r[key] is not None]
            if points:
                x, y = zip(*points, strict=True)
                axes.plot(x, y, color=colour, marker="o", markersize=3, label=name or None)
    for axes, key in ((left, "F1"), (right, "IoU")):
        _set_axes(axes, "width of the exclusion zone (nm)", f"{key} outside of the zone")
        axes.set_ylim(0, 1.02)
        if zone_nm is not None:
            axes.axvline(max(zone_nm), color=GREY, linewidth=1, linestyle="--", label="zone")
    _add_legend(left, "lower right")
    return figure


def plot_precision_recall(
    curves: Mapping[str, Mapping[str, Mapping[str, npt.NDArray[np.float64]]]],
    titles: Mapping[str, str],
) -> Figure:
    """Plot precision over recall for all thresholds, with a point at 0.5, and lines of equal F1.

    Parameters
    ----------
    curves
        By prediction and region, columns of `asem.measure.precision_recall`.
    titles
        Titles of the regions, in the order of the panels.
    """
    regions = [key for key in titles if any(key in found for found in curves.values())]
    figure = Figure(figsize=(3.6 * len(regions) + 0.4, 3.6), dpi=120, layout="constrained")
    for axes, region in zip(np.atleast_1d(figure.subplots(1, len(regions))), regions, strict=True):
        _draw_f1_lines(axes)
        for (name, found), colour in _with_colours(curves):
            columns = found.get(region)
            if columns is None:
                continue
            axes.plot(columns["recall"], columns["precision"], color=colour, label=name or None)
            at_half = int(np.searchsorted(columns["threshold"], 0.5))
            if at_half < len(columns["threshold"]):
                point = columns["recall"][at_half], columns["precision"][at_half]
                axes.plot(*point, color=colour, marker="o", markersize=5)
        axes.plot([], [], "o", color=GREY, markersize=5, label="threshold 0.5")
        _set_axes(axes, "recall", "precision")
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
        axes.set_title(titles[region], loc="left", fontsize=9)
    _add_legend(figure.axes[0], "lower left")
    return figure


def plot_objects(objects: Mapping[str, ObjectPoints], iou_thresholds: Sequence[float]) -> Figure:
    """Plot the largest IoU of each truth object: their numbers, and over the volume.

    Parameters
    ----------
    objects
        Of each prediction.
    iou_thresholds
        Drawn as dashed lines.
    """
    figure, (left, right) = _make_panels()
    bins = np.linspace(0, 1, 21).tolist()
    for (name, points), colour in _with_colours(objects):
        left.hist(points.iou, bins, color=colour, histtype="step", linewidth=1.5, label=name)
        step = -(-len(points.iou) // MAX_POINTS) or 1
        volume, iou = points.volume_um3[::step], points.iou[::step]
        size = FEW_MARKER_SIZE if len(volume) <= FEW_POINTS else MANY_MARKER_SIZE
        right.plot(volume, iou, ".", color=colour, markersize=size, alpha=0.6, markeredgewidth=0)
    _set_axes(left, "largest IoU with a predicted object", "truth objects")
    _set_axes(right, "volume of the truth object (µm³)", "largest IoU")
    left.set_xlim(0, 1)
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(xscale="log", ylim=(-0.02, 1.02))
    label_log_axis(right)
    for threshold in iou_thresholds:
        left.axvline(threshold, color=GREY, linewidth=1, linestyle="--")
        right.axhline(threshold, color=GREY, linewidth=1, linestyle="--")
    if len(objects) > 1:
        _add_legend(left, "upper left")
    return figure


def plot_distances(distances: Mapping[str, DistancePoints], max_nm: float) -> Figure:
    """Plot which fraction of boundary voxels is within a distance, in both directions.

    Parameters
    ----------
    distances
        Of each prediction.
    max_nm
        Largest distance that is measured, nm.
    """
    figure, panels = _make_panels()
    titles = ("prediction to truth", "truth to prediction")
    for axes, title in zip(panels, titles, strict=True):
        for (name, points), colour in _with_colours(distances):
            voxels = points.to_truth if title == titles[0] else points.to_prediction
            if voxels.sum() == 0:
                continue
            fraction = np.cumsum(voxels)[:-1] / voxels.sum()
            nm = np.append(points.distance_nm[:-1], max_nm)
            axes.step(
                nm, np.append(fraction, fraction[-1:]), where="post", color=colour, label=name
            )
        axes.axhline(0.95, color=GREY, linewidth=1, linestyle="--")
        _set_axes(axes, "distance (nm)", "fraction of boundary voxels")
        axes.set(ylim=(0, 1.02), xlim=(0, max_nm))
        axes.set_title(title, loc="left", fontsize=9)
    if len(distances) > 1:
        _add_legend(panels[0], "lower right")
    return figure


def _make_panels() -> tuple[Figure, tuple[Axes, Axes]]:
    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    return figure, (left, right)


def _with_colours(named: Mapping[str, Any]) -> list[tuple[tuple[str, Any], str]]:
    return [(item, COLOURS[n % len(COLOURS)]) for n, item in enumerate(named.items())]


def _set_axes(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(axes: Axes, location: Literal["lower right", "lower left", "upper left"]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        legend = axes.legend(handles[:MAX_LEGEND], labels[:MAX_LEGEND], loc=location, fontsize=8)
        legend.set_frame_on(False)


def _draw_f1_lines(axes: Axes) -> None:
    """Draw the lines of equal F1: precision = F1 recall / (2 recall - F1)."""
    for f1 in F1_LINES:
        recall = np.linspace(f1 / (2 - f1), 1, 100)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color="0.85", linewidth=0.8, zorder=0)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.text(
            f1,
            f1,
            f"F1 {f1:g}",
            color=GREY,
            fontsize=6,
            ha="center",
            va="center",
            zorder=0,
            bbox=box,
        )
