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


def plot_loss_curves(
    rows: Sequence[dict[str, Any]],
    *,
    fit_regime: tuple[int, int] | None = None,
    best_iteration: int | None = None,
) -> Figure:
    """Plot training and validation loss, and F1, over the iterations.

    Parameters
    ----------
    rows
        The metrics of a run (`metrics.csv`); F1 and validation loss may be None.
    fit_regime
        First and last iteration of the fit regime, shaded in the plot.
    best_iteration
        Iteration of the best checkpoint, a dashed line in the plot.
    """
    figure = Figure(figsize=(7, 3.2), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2)
    for key, colour, label in (
        ("train_loss", PREDICTION_COLOUR, "training"),
        ("validation_loss", LABEL_COLOUR, "validation"),
    ):
        _plot_curve(left, rows, key, colour=colour, label=label)
    left.set(xlabel="iteration", ylabel="loss", yscale="log")
    _plot_curve(right, rows, "f1", colour=LABEL_COLOUR, label="validation")
    right.set(xlabel="iteration", ylabel="F1 outside the exclusion zone", ylim=(0, 1))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        if fit_regime is not None:
            axes.axvspan(*fit_regime, color=FIT_COLOUR, zorder=0, label="fit regime")
        if best_iteration is not None:
            axes.axvline(best_iteration, color="0.4", linewidth=1, linestyle="--", label="best")
    left.legend(frameon=False, fontsize=8)
    return figure


def _plot_curve(
    axes: Axes, rows: Sequence[dict[str, Any]], key: str, *, colour: str, label: str
) -> None:
    points = [(row["iteration"], row[key]) for row in rows if row[key] is not None]
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(x, y, color=colour, label=label, marker="o", markersize=3)


def plot_overlay(
    raw: npt.NDArray[Any],
    labels: npt.NDArray[np.bool_],
    prediction: npt.NDArray[np.bool_],
    *,
    window: tuple[float, float],
    pixel_nm: tuple[float, float],
) -> Figure:
    """Plot one plane three times: raw, raw with labels, raw with the prediction.

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
    panels: tuple[tuple[str, npt.NDArray[np.bool_] | None, str], ...] = (
        ("raw", None, ""),
        ("labels", labels, LABEL_COLOUR),
        ("prediction", prediction, PREDICTION_COLOUR),
    )
    extent = (0, width / 1000, height / 1000, 0)
    for axes, (title, mask, colour) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.imshow(raw, cmap="gray", vmin=window[0], vmax=window[1], extent=extent)
        if mask is not None and mask.any() and not mask.all():
            y = (np.arange(mask.shape[0]) + 0.5) * pixel_nm[0] / 1000
            x = (np.arange(mask.shape[1]) + 0.5) * pixel_nm[1] / 1000
            axes.contourf(x, y, mask, levels=[0.5, 1], colors=[colour], alpha=0.25)
            axes.contour(x, y, mask, levels=[0.5], colors=[colour], linewidths=1.2)
        axes.set_title(title, loc="left")
        axes.set(xticks=[], yticks=[])
    _draw_scale_bar(figure.axes[0], width / 1000, height / 1000)
    return figure


def _draw_scale_bar(axes: Axes, width: float, height: float) -> None:
    """Draw a scale bar of a round length, at most a quarter of the width; lengths in µm."""
    length = max(n for n in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if n <= max(0.05, width / 4))
    x, y = 0.04 * width, 0.95 * height
    axes.plot([x, x + length], [y, y], color="white", linewidth=3, solid_capstyle="butt")
    text = f"{length:g} µm" if length >= 1 else f"{1000 * length:g} nm"
    axes.text(x, y - 0.02 * height, text, color="white", va="bottom", fontsize=9)


def encode_png_data_url(figure: Figure) -> str:
    """Encode a figure as a PNG data URL, to embed in HTML."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
