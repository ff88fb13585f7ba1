"""What all figures share: colours, encoding as PNG, labels of logarithmic axes."""

import base64
import io
import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

LABEL_COLOUR, PREDICTION_COLOUR, GREY = "#00a5e3", "#ff7f2a", "0.55"


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
