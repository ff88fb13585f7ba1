"""Figures: loss curves, and raw, labels and prediction side by side."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

LABEL_COLOUR, PREDICTION_COLOUR, FIT_COLOUR = "#00a5e3", "#ff7f2a", "#e8f3dc"


def loss_curves(
    rows: Sequence[dict[str, Any]],
    *,
    fit: tuple[int, int] | None = None,
    best: int | None = None,
) -> Figure:
    """Draw training and validation loss and F1 over the iterations.

    Parameters
    ----------
    rows
        The metrics of a run (`metrics.csv`); F1 and validation loss may be None.
    fit
        First and last iteration of the fit regime, which is shaded.
    best
        Iteration of the checkpoint that is used, which is marked.
    """
    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, colour, label in (
        ("train_loss", PREDICTION_COLOUR, "training"),
        ("validation_loss", LABEL_COLOUR, "validation"),
    ):
        _curve(left, rows, key, colour=colour, label=label)
    left.set(xlabel="iteration", ylabel="loss", yscale="log")
    _curve(right, rows, "f1", colour=LABEL_COLOUR, label="validation")
    right.set(xlabel="iteration", ylabel="F1 outside the exclusion zone", ylim=(0, 1))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        if fit is not None:
            axes.axvspan(*fit, color=FIT_COLOUR, zorder=0, label="fit regime")
        if best is not None:
            axes.axvline(best, color="0.4", linewidth=1, linestyle="--", label="best")
    left.legend(frameon=False, fontsize=8)
    return figure


def _curve(
    axes: Axes, rows: Sequence[dict[str, Any]], key: str, *, colour: str, label: str
) -> None:
    points = [(row["iteration"], row[key]) for row in rows if row[key] is not None]
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, label=label, marker="o", markersize=3)


def overlay(
    raw: npt.NDArray[Any],
    labels: npt.NDArray[np.bool_],
    prediction: npt.NDArray[np.bool_],
    *,
    window: tuple[float, float],
    pixel_nm: tuple[float, float],
) -> Figure:
    """Draw one plane three times: raw, the labels' outline on it, the prediction's.

    Parameters
    ----------
    raw, labels, prediction
        Shape (rows, columns).
    window
        Grey values of black and white.
    pixel_nm
        Height and width of a pixel, nm.
    """
    height, width = (n * size for n, size in zip(raw.shape, pixel_nm, strict=True))
    figure = Figure(figsize=(10.5, 0.4 + 3.4 * height / width), dpi=110, layout="constrained")
    panels = (("raw", None, ""), ("labels", labels, LABEL_COLOUR))
    extent = (0, width / 1000, height / 1000, 0)
    last = ("prediction", prediction, PREDICTION_COLOUR)
    for axes, (title, mask, colour) in zip(figure.subplots(1, 3), (*panels, last), strict=True):
        axes.imshow(raw, cmap="gray", vmin=window[0], vmax=window[1], extent=extent)
        if mask is not None and mask.any() and not mask.all():
            y = (np.arange(mask.shape[0]) + 0.5) * pixel_nm[0] / 1000
            x = (np.arange(mask.shape[1]) + 0.5) * pixel_nm[1] / 1000
            axes.contourf(x, y, mask, levels=[0.5, 1], colors=[colour], alpha=0.25)
            axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.2)
        axes.set_title(title, loc="left")
        axes.set(xticks=[], yticks=[])
    _scale_bar(figure.axes[0], width / 1000, height / 1000)
    return figure


def _scale_bar(axes: Axes, width: float, height: float) -> None:
    """Draw a bar of a round length, about a fifth of the width; lengths in micrometres."""
    length = max(n for n in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if n <= max(0.05, width / 4))
    x, y = 0.04 * width, 0.95 * height
    axes.plot([x, x + length], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    text = f"{length:g} µm" if length >= 1 else f"{1000 * length:g} nm"
    axes.text(x, y - 0.02 * height, text, color="white", va="bottom", fontsize=9)


def as_png(figure: Figure) -> str:
    """Return a figure as a PNG data URL, to stand inside a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
