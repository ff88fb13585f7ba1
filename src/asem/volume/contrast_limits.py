"""Check the grey values of black and white of a contrast window."""

from typing import Any

import numpy as np

MAX_WINDOW_FACTOR = 255
"""Widest contrast window in ranges of an integer dtype; a wider one maps all values to one of 255
grey values."""


def find_window_error(window: tuple[float, float], dtype: np.dtype[Any]) -> str:
    """Return why grey values of black and white are invalid, as text; empty where they are valid.

    Where their difference overflows, vanishes or far exceeds the range of the dtype, the window
    maps all voxels to black.

    Examples
    --------
    >>> find_window_error((0, 1e308), np.dtype(np.uint16))
    'is far wider than the values of uint16, 0 to 65535'
    """
    black, white = window
    width = white - black
    if not np.isfinite([black, white, width]).all():
        return "is not finite"
    if not black < white:
        return "must start below its end"
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = int(info.min), int(info.max)
        if white <= low or black > high:  # the window of a constant image may start at the highest
            return f"holds no value of {dtype.name}, {low} to {high}"
        if width > MAX_WINDOW_FACTOR * (high - low):
            return f"is far wider than the values of {dtype.name}, {low} to {high}"
    float_info = np.finfo(dtype if dtype.kind == "f" else np.float32)
    if max(abs(black), abs(white), width) > float(float_info.max) or width < float(float_info.tiny):
        return f"is too wide or too narrow for {dtype.name}"
    return ""
