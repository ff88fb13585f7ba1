"""Read the headers of TIFF files: pixel layout, photometric interpretation, stack metadata.

On damaged files tifffile raises many types of exceptions, which are converted to ValueError.
Functions that access tifffile's objects do nothing else: errors of asem's code are not converted.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from asem.system.files import file_state
from asem.volume.tiff_planes import convert_tiff_errors, open_tiff, silence_tifffile
from asem.volume.tiff_tags import check_tags, parse_segment_offsets, read_palette

WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE = 0, 1, 3
"""Values of the tag PhotometricInterpretation."""
MAX_DESCRIPTION_BYTES = 2**26
"""Longer descriptions are not parsed; OME-XML of 100,000 planes has fewer bytes."""


@dataclass(frozen=True)
class TiffPageInfo:
    """Header of one page.

    Parameters
    ----------
    index
        Number of the page in its file, from 0.
    shape
        (y, x), (y, x, samples), (samples, y, x) or other.
    axes
        A letter for each axis of `shape`: Y, X, S (samples), others.
    dtype
        Of the pixels; None where no dtype fits.
    bits_per_sample
        Bits of a sample.
    photometric
        Value of the tag PhotometricInterpretation; BlackIsZero where the tag is missing.
    has_grey_palette
        Whether the palette maps each index to the grey of that value.
    orientation
        Value of the tag Orientation; 1: the first row is the top, the first column the left.
    byte_offset
        Offset of the pixels in the file where they are contiguous, uncompressed and in the order
        of the rows; else None.
    is_truncated
        Whether the pixels extend beyond the end of the file.
    stored_bytes
        Bytes of the pixels in the file.
    compression
        Value of the tag Compression; 1: none.
    is_sparse
        Whether some strips or tiles are not stored: they are zero.
    segment_bytes
        Bytes of a strip or tile, uncompressed.
    is_reduced
        Whether the page is a thumbnail or a transparency mask of another page.
    """

    index: int
    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any] | None
    bits_per_sample: int
    photometric: int
    has_grey_palette: bool
    orientation: int
    byte_offset: int | None
    is_truncated: bool
    is_reduced: bool
    stored_bytes: int
    compression: int
    is_sparse: bool
    segment_bytes: int

    @property
    def samples_per_pixel(self) -> int:
        """Samples per pixel; 1 for grey values."""
        return self.shape[self.axes.index("S")] if "S" in self.axes else 1

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels, uncompressed."""
        return prod(self.shape) * (self.dtype.itemsize if self.dtype else 0)


@dataclass(frozen=True)
class TiffFileInfo:
    """Headers of a TIFF file.

    Parameters
    ----------
    path, file_state
        The file, and its size and time of change (ns) when it was read.
    big_endian
        Whether the most significant byte of numbers is the first.
    pages
        Without reduced pages and masks.
    is_complete
        Whether the chain of pages has its end: the file is not truncated after a page.
    description
        Of the first page: OME-XML, ImageJ's lines, other text.
    imagej_metadata, tifffile_metadata
        ImageJ's or tifffile's own metadata, if any.
    software
        Tag Software of the first page.
    pixels_per_unit
        Pixels per unit along (y, x) of the first page (tags YResolution, XResolution), if stated.
    """

    path: Path
    file_state: tuple[int, int]
    big_endian: bool
    pages: tuple[TiffPageInfo, ...]
    is_complete: bool
    description: str = ""
    imagej_metadata: dict[str, Any] | None = None
    tifffile_metadata: dict[str, Any] | None = None
    software: str = ""
    pixels_per_unit: tuple[float, float] | None = None


def read_tiff_headers(path: Path, *, with_description: bool = True) -> TiffFileInfo:
    """Read all headers of a TIFF file and no pixels.

    Parameters
    ----------
    path
        The file.
    with_description
        Whether to read the metadata of the stack, too.

    Raises
    ------
    ValueError
        The file is no TIFF file, or damaged; the message names it.
    """
    state = file_state(path)
    pages: list[TiffPageInfo] = []
    with silence_tifffile(), open_tiff(path) as file:
        last = first = None
        for last in _iterate_pages(file, path):
            first = first or last
            with convert_tiff_errors(path):
                tags = _read_page_tags(last)
            pages.append(_make_page_info(tags, len(pages), state[0]))
        with convert_tiff_errors(path):
            if first is None or last is None:
                raise ValueError("it has no page")
            complete, big_endian = _is_last_page(file, last), file.byteorder == ">"
            metadata = _read_stack_tags(first, with_description=with_description)
    return TiffFileInfo(
        path,
        state,
        big_endian,
        tuple(page for page in pages if not page.is_reduced),
        complete,
        **metadata | {"pixels_per_unit": _parse_pixels_per_unit(metadata["pixels_per_unit"])},
    )


def _iterate_pages(file: tifffile.TiffFile, path: Path) -> Iterator[tifffile.TiffPage]:
    """Yield the pages of a file, with at most one of them in memory."""
    pages = iter(file.pages)
    while True:
        with convert_tiff_errors(path):
            page = next(pages, None)
            if page is None:
                return
            page = page.aspage()
        yield page


def _read_stack_tags(page: tifffile.TiffPage, *, with_description: bool) -> dict[str, Any]:
    """Return the stack metadata of a page as fields of `TiffFileInfo`; resolutions as stored.

    Only accesses tifffile, since the caller converts every error to "damaged file".
    """
    tags: dict[str, Any] = {
        "software": page.software,
        "pixels_per_unit": [
            tag and tag.value for tag in (page.tags.get(code) for code in (283, 282))
        ],
    }
    text = page.tags.get(270)
    if text is None or text.count > MAX_DESCRIPTION_BYTES or not with_description:
        return tags
    imagej, shaped = page.imagej_description, page.shaped_description
    return tags | {
        "description": page.description or "",
        "imagej_metadata": tifffile.tifffile.imagej_description_metadata(imagej)
        if imagej
        else None,
        "tifffile_metadata": tifffile.tifffile.shaped_description_metadata(shaped)
        if shaped
        else None,
    }


def _read_page_tags(page: tifffile.TiffPage) -> dict[str, Any]:
    """Return the tags of a page that `_make_page_info` uses; only accesses tifffile."""
    check_tags(page)
    photometric, orientation = (page.tags.get(code) for code in (262, 274))
    return {
        "shape": tuple(page.shape),
        "axes": page.axes,
        "dtype": page.dtype,
        "bits": int(np.max(page.bitspersample)),
        "photometric": int(photometric.value) if photometric is not None else BLACK_IS_ZERO,
        "palette": read_palette(page) if page.photometric == PALETTE else None,
        "orientation": int(orientation.value) if orientation is not None else 1,
        "in_rows": page.is_final and not page.is_tiled,
        "segments": np.stack(
            [parse_segment_offsets(page.dataoffsets), parse_segment_offsets(page.databytecounts)]
        ),
        "compression": int(page.compression),
        "segment": prod(
            (page.tiledepth, page.tilelength, page.tilewidth)
            if page.is_tiled
            else (1, page.rowsperstrip, page.imagewidth)
        ),
        "reduced": page.is_reduced or page.is_mask,
    }


def _make_page_info(tags: dict[str, Any], index: int, file_size: int) -> TiffPageInfo:
    """Make a `TiffPageInfo` from the result of `_read_page_tags`."""
    (offsets, counts), palette = tags["segments"], tags["palette"]
    beyond = (counts > file_size) | (offsets > file_size - np.minimum(counts, file_size))
    in_rows = tags["in_rows"] and tags["dtype"] != np.bool_
    bits = tags["bits"]
    return TiffPageInfo(
        index,
        tags["shape"],
        tags["axes"],
        tags["dtype"],
        bits,
        tags["photometric"],
        palette is not None and _is_grey_ramp(palette),
        tags["orientation"],
        int(offsets[0]) if len(offsets) and in_rows else None,
        not len(offsets) or bool(beyond.any()),
        bool(tags["reduced"]),
        int(counts.sum(dtype=np.float64)),
        tags["compression"],
        not counts.all(),
        tags["segment"] * -(-bits // 8),
    )


def _is_grey_ramp(palette: npt.NDArray[Any]) -> bool:
    """Whether entry i of a palette (3, n) of 16 bits is the grey value i.

    Examples
    --------
    >>> _is_grey_ramp(np.tile(np.arange(256) * 257, (3, 1)))
    True
    """
    grey = np.arange(palette.shape[1]) * (65_535 // max(1, palette.shape[1] - 1))
    return bool((np.abs(palette.astype(np.int64) - grey) <= 256).all())


def _is_last_page(file: tifffile.TiffFile, last: tifffile.TiffPage) -> bool:
    """Whether the offset of the next page is 0 in the last page."""
    tiff, handle = file.tiff, file.filehandle
    handle.seek(last.offset)
    (tag_count,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(last.offset + tiff.tagnosize + tag_count * tiff.tagsize)
    (next_offset,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    return bool(next_offset == 0)


def _parse_pixels_per_unit(stored: Sequence[Any]) -> tuple[float, float] | None:
    """Return pixels per unit along (y, x) of two tags, each a number or a fraction.

    Examples
    --------
    >>> _parse_pixels_per_unit([(1, 4), 250]), _parse_pixels_per_unit([None, 72])
    ((0.25, 250.0), None)
    >>> _parse_pixels_per_unit([(1, 0), (1, 4)])
    (0.0, 0.25)
    """
    numbers = []
    for value in stored:
        numerator, denominator = (*value, 1)[:2] if isinstance(value, tuple) else (value, 1)
        if not isinstance(numerator, int | float) or not isinstance(denominator, int | float):
            return None
        numbers.append(float(numerator) / float(denominator) if denominator else 0.0)
    return numbers[0], numbers[1]
