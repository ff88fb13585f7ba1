"""Check the values of TIFF tags before anything is computed with them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

MAX_TAG_VALUE = 2**64 - 1
"""BigTIFF has integers of 64 bits."""
MAX_EDGE = 2**31 - 1
"""Rows or columns of a page, a strip or a tile."""


@dataclass(frozen=True)
class TagRange:
    """Allowed values of a tag.

    Parameters
    ----------
    name
        Of the tag.
    min_value, max_value
        Allowed range.
    is_per_sample
        Whether the tag may have one value per sample.
    """

    name: str
    min_value: int
    max_value: int
    is_per_sample: bool = False


TAG_RANGES = {
    256: TagRange("ImageWidth", 0, MAX_EDGE),
    257: TagRange("ImageLength", 0, MAX_EDGE),
    258: TagRange("BitsPerSample", 1, 1024, is_per_sample=True),
    259: TagRange("Compression", 0, MAX_TAG_VALUE),
    262: TagRange("PhotometricInterpretation", 0, MAX_TAG_VALUE),
    266: TagRange("FillOrder", 0, MAX_TAG_VALUE),
    274: TagRange("Orientation", 0, MAX_TAG_VALUE),
    277: TagRange("SamplesPerPixel", 1, MAX_EDGE),
    278: TagRange("RowsPerStrip", 0, MAX_TAG_VALUE, is_per_sample=True),
    284: TagRange("PlanarConfiguration", 0, MAX_TAG_VALUE),
    317: TagRange("Predictor", 0, MAX_TAG_VALUE),
    322: TagRange("TileWidth", 0, MAX_EDGE),
    323: TagRange("TileLength", 0, MAX_EDGE),
    339: TagRange("SampleFormat", 0, MAX_TAG_VALUE, is_per_sample=True),
    32997: TagRange("ImageDepth", 0, MAX_EDGE),
    32998: TagRange("TileDepth", 0, MAX_EDGE),
}
"""Allowed values, by tag code, of the tags that determine how pixels are read."""


def check_tags(page: tifffile.TiffPage) -> None:
    """Raise ValueError where a tag of a page is no integer, or out of its range."""
    for code, tag_range in TAG_RANGES.items():
        tag = page.tags.get(code)
        if tag is None:
            continue
        values = tag.value
        if not (tag_range.is_per_sample and isinstance(values, tuple) and values):
            values = (values,)
        for value in values:
            check_tag_value(value, tag_range)


def check_tag_value(value: Any, tag_range: TagRange) -> None:
    """Raise ValueError where the value of a tag is not one integer in its range.

    Examples
    --------
    >>> check_tag_value(5, TAG_RANGES[256])
    >>> check_tag_value((1, 2), TAG_RANGES[274])
    Traceback (most recent call last):
    ValueError: Orientation is (1, 2); it must be an integer from 0 to 18446744073709551615
    """
    if not isinstance(value, int) or not tag_range.min_value <= value <= tag_range.max_value:
        raise ValueError(
            f"{tag_range.name} is {value!r:.40}; it must be an integer from "
            f"{tag_range.min_value} to {tag_range.max_value}"
        )


def parse_segment_offsets(values: Any) -> npt.NDArray[np.uint64]:
    """Return the offsets or byte counts of a tag, uint64 (n,); ValueError where not integers."""
    numbers = np.array(values)
    if numbers.size == 0:
        return np.zeros(0, np.uint64)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers < 0).any():
        raise ValueError("offsets or byte counts of strips or tiles are not integers from 0 on")
    return numbers.astype(np.uint64)


def read_palette(page: tifffile.TiffPage) -> npt.NDArray[Any] | None:
    """Return the palette of a page, (3, n); None without one; ValueError where it is invalid."""
    palette = page.colormap
    if palette is None:
        return None
    colours = np.asarray(palette)
    if colours.ndim != 2 or len(colours) != 3 or colours.dtype.kind not in "iu":
        raise ValueError("ColorMap is no table of three colours")
    return colours
