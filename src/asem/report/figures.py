"""Figures of planes: raw, labels and prediction side by side; what all figures share."""

import base64
import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

LABEL_COLOUR, PREDICTION_COLOUR, GREY = "#00a5e3", "#ff7f2a", "0.55"


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


def encode_png(figure: Figure) -> bytes:
    """Encode a figure as PNG; equal figures have equal bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names in other scripts
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def encode_png_data_url(figure: Figure) -> str:
    """Encode a figure as a PNG data URL, to embed in HTML."""
    return "data:image/png;base64," + base64.b64encode(encode_png(figure)).decode()


def label_log_axis(axes: Axes) -> None:
    """Label the powers of ten of the x axis, or 1, 2, 5 of each where it has less than two."""
    low, high = axes.get_xlim()
    if np.floor(np.log10(high)) - np.ceil(np.log10(low)) >= 1:
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_minor_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(
            LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf))
        )
