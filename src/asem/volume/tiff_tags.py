"""The numbers that tags of TIFF pages state, each checked before anything is computed with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

LARGEST = 2**64 - 1
"""Of a tag; BigTIFF has numbers of 64 bits."""
EDGE = 2**31 - 1
"""Rows or columns of a page, a strip or a tile."""


@dataclass(frozen=True)
class Allowed:
    """What a tag may state.

    Parameters
    ----------
    name
        Of the tag.
    least, most
        Its range.
    many
        Whether it may state a number for each sample.
    """

    name: str
    least: int
    most: int
    many: bool = False


TAGS = {
    256: Allowed("ImageWidth", 0, EDGE),
    257: Allowed("ImageLength", 0, EDGE),
    258: Allowed("BitsPerSample", 1, 1024, many=True),
    259: Allowed("Compression", 0, LARGEST),
    262: Allowed("PhotometricInterpretation", 0, LARGEST),
    266: Allowed("FillOrder", 0, LARGEST),
    274: Allowed("Orientation", 0, LARGEST),
    277: Allowed("SamplesPerPixel", 1, EDGE),
    278: Allowed("RowsPerStrip", 0, LARGEST, many=True),
    284: Allowed("PlanarConfiguration", 0, LARGEST),
    317: Allowed("Predictor", 0, LARGEST),
    322: Allowed("TileWidth", 0, EDGE),
    323: Allowed("TileLength", 0, EDGE),
    339: Allowed("SampleFormat", 0, LARGEST, many=True),
    32997: Allowed("ImageDepth", 0, EDGE),
    32998: Allowed("TileDepth", 0, EDGE),
}
"""Those that decide how pixels are read, or that something is computed with, by their code."""


def refuse_bad_tags(page: tifffile.TiffPage) -> None:
    """Raise ValueError where a tag of a page states no whole number in its range."""
    for code, allowed in TAGS.items():
        tag = page.tags.get(code)
        if tag is None:
            continue
        stated = tag.value
        if not (allowed.many and isinstance(stated, tuple) and stated):
            stated = (stated,)
        for value in stated:
            whole_number(value, allowed)


def whole_number(value: Any, allowed: Allowed) -> int:
    """Return a number that a tag states.

    Raises
    ------
    ValueError
        It is none, several, no whole one, or out of its range.

    Examples
    --------
    >>> whole_number(5, TAGS[256])
    5
    >>> whole_number((1, 2), TAGS[274])
    Traceback (most recent call last):
    ValueError: Orientation is (1, 2); it must be a whole number from 0 to 18446744073709551615
    """
    if not isinstance(value, int) or not allowed.least <= value <= allowed.most:
        raise ValueError(
            f"{allowed.name} is {value!r:.40}; it must be a whole number from {allowed.least} to "
            f"{allowed.most}"
        )
    return int(value)


def whole_numbers(values: Any) -> npt.NDArray[np.uint64]:
    """Return the offsets or byte counts that a tag lists, uint64 (n,); ValueError if not whole."""
    numbers = np.array(values)
    if numbers.size == 0:
        return np.zeros(0, np.uint64)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers < 0).any():
        raise ValueError("places of strips or tiles are no whole numbers from 0 on")
    return numbers.astype(np.uint64)


def palette_of(page: tifffile.TiffPage) -> npt.NDArray[Any] | None:
    """Return the palette of a page, (3, n); ValueError where it is none; None without one."""
    palette = page.colormap
    if palette is None:
        return None
    colours = np.asarray(palette)
    if colours.ndim != 2 or len(colours) != 3 or colours.dtype.kind not in "iu":
        raise ValueError("ColorMap is no table of three colours")
    return colours
