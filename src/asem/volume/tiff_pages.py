"""What TIFF files state about their pages: pixels, photometric meaning, metadata of whole stacks.

All access to the library's page objects is here. Damaged files make it raise almost anything, which
becomes one ValueError; errors of the code that works on the facts afterwards stay what they are.
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

from asem.volume.planes import damage_named, opened, quiet, state
from asem.volume.tiff_tags import palette_of, refuse_bad_tags, whole_numbers

WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE = 0, 1, 3
"""Values of the tag PhotometricInterpretation."""
MOST_METADATA = 2**26
"""Bytes of a description that are parsed; OME-XML of 100,000 planes has fewer."""


@dataclass(frozen=True)
class Page:
    """What one page states about its pixels.

    Parameters
    ----------
    index
        Number of the page in its file, from 0.
    shape
        (y, x), or (y, x, samples), or (samples, y, x), or what else it is.
    axes
        A letter for each axis of `shape`: Y, X, S (samples), others.
    dtype
        Of its pixels; None where no dtype fits.
    bits
        Bits of a sample.
    photometric
        Value of the tag PhotometricInterpretation; BlackIsZero where there is none.
    grey_palette
        Whether its palette maps each index to the grey of that value.
    orientation
        Value of the tag Orientation; 1: the first row is the top, the first column the left.
    offset
        Where its pixels lie in one piece, uncompressed, in the order of the rows; else None.
    truncated
        Whether pixels end after the file.
    stored
        Bytes of its pixels in the file.
    compression
        Value of the tag Compression; 1: none.
    sparse
        Whether some of its strips or tiles are not stored: they are zero.
    segment
        Bytes of a strip or tile, uncompressed.
    reduced
        Whether it is a thumbnail or a transparency mask of another page.
    """

    index: int
    shape: tuple[int, ...]
    axes: str
    dtype: np.dtype[Any] | None
    bits: int
    photometric: int
    grey_palette: bool
    orientation: int
    offset: int | None
    truncated: bool
    reduced: bool
    stored: int
    compression: int
    sparse: bool
    segment: int

    @property
    def samples(self) -> int:
        """Samples of a pixel; 1 for grey values."""
        return self.shape[self.axes.index("S")] if "S" in self.axes else 1

    @property
    def nbytes(self) -> int:
        """Bytes of its pixels, uncompressed."""
        return prod(self.shape) * (self.dtype.itemsize if self.dtype else 0)


@dataclass(frozen=True)
class File:
    """What a TIFF file states.

    Parameters
    ----------
    path, state
        The file, and its size and time of change when it was read.
    big_endian
        Whether its numbers begin with the most significant byte.
    pages
        Without reduced ones and masks.
    complete
        Whether the last page states that none follows, as in a whole file.
    description
        Of the first page: OME-XML, ImageJ's lines, other text.
    imagej, shaped
        ImageJ's or tifffile's own metadata, if there are any.
    software
        That wrote the first page.
    per_unit
        Pixels per unit along (y, x) of the first page (tags YResolution, XResolution), if stated.
    """

    path: Path
    state: tuple[int, int]
    big_endian: bool
    pages: tuple[Page, ...]
    complete: bool
    description: str = ""
    imagej: dict[str, Any] | None = None
    shaped: dict[str, Any] | None = None
    software: str = ""
    per_unit: tuple[float, float] | None = None


def read_file(path: Path, *, described: bool = True) -> File:
    """Read all headers of a TIFF file and no pixel.

    Parameters
    ----------
    path
        The file.
    described
        Whether to read what it states about the whole stack, too.

    Raises
    ------
    ValueError
        It is no TIFF file, or damaged; named.
    """
    before = state(path)
    every: list[Page] = []
    with quiet(), opened(path) as file:
        last = first = None
        for last in _pages(file, path):
            first = first or last
            with damage_named(path):
                facts = _raw_page(last)
            every.append(_page(facts, len(every), before[0]))
        with damage_named(path):
            if first is None or last is None:
                raise ValueError("it has no page")
            complete, big_endian = _chain_ends(file, last), file.byteorder == ">"
            metadata = _raw_metadata(first, described=described)
    return File(
        path,
        before,
        big_endian,
        tuple(page for page in every if not page.reduced),
        complete,
        **metadata | {"per_unit": _per_unit(metadata["per_unit"])},
    )


def _pages(file: tifffile.TiffFile, path: Path) -> Iterator[tifffile.TiffPage]:
    """Yield the pages of a file, of which no more than one is in memory."""
    pages = iter(file.pages)
    while True:
        with damage_named(path):
            page = next(pages, None)
            if page is None:
                return
            page = page.aspage()
        yield page


def _raw_metadata(page: tifffile.TiffPage, *, described: bool) -> dict[str, Any]:
    """Return what a page states about the whole stack, as fields of `File`; resolutions as stored.

    Called where every error is taken for damage: it accesses the library and does nothing else.
    """
    found: dict[str, Any] = {
        "software": page.software,
        "per_unit": [tag and tag.value for tag in (page.tags.get(code) for code in (283, 282))],
    }
    text = page.tags.get(270)
    if text is None or text.count > MOST_METADATA or not described:
        return found
    imagej, shaped = page.imagej_description, page.shaped_description
    return found | {
        "description": page.description or "",
        "imagej": tifffile.tifffile.imagej_description_metadata(imagej) if imagej else None,
        "shaped": tifffile.tifffile.shaped_description_metadata(shaped) if shaped else None,
    }


def _raw_page(page: tifffile.TiffPage) -> dict[str, Any]:
    """Return what a page stores, as the library gives it; called as `_raw_metadata` is."""
    refuse_bad_tags(page)
    photometric, orientation = (page.tags.get(code) for code in (262, 274))
    return {
        "shape": tuple(page.shape),
        "axes": page.axes,
        "dtype": page.dtype,
        "bits": int(np.max(page.bitspersample)),
        "photometric": int(photometric.value) if photometric is not None else BLACK_IS_ZERO,
        "palette": palette_of(page) if page.photometric == PALETTE else None,
        "orientation": int(orientation.value) if orientation is not None else 1,
        "in_rows": page.is_final and not page.is_tiled,
        "segments": np.stack([whole_numbers(page.dataoffsets), whole_numbers(page.databytecounts)]),
        "compression": int(page.compression),
        "segment": prod(
            (page.tiledepth, page.tilelength, page.tilewidth)
            if page.is_tiled
            else (1, page.rowsperstrip, page.imagewidth)
        ),
        "reduced": page.is_reduced or page.is_mask,
    }


def _page(facts: dict[str, Any], index: int, file_size: int) -> Page:
    """Make a page of what `_raw_page` returned."""
    (offsets, counts), palette = facts["segments"], facts["palette"]
    beyond = (counts > file_size) | (offsets > file_size - np.minimum(counts, file_size))
    in_rows = facts["in_rows"] and facts["dtype"] != np.bool_
    bits = facts["bits"]
    return Page(
        index,
        facts["shape"],
        facts["axes"],
        facts["dtype"],
        bits,
        facts["photometric"],
        palette is not None and _is_grey_ramp(palette),
        facts["orientation"],
        int(offsets[0]) if len(offsets) and in_rows else None,
        not len(offsets) or bool(beyond.any()),
        bool(facts["reduced"]),
        int(counts.sum(dtype=np.float64)),
        facts["compression"],
        not counts.all(),
        facts["segment"] * -(-bits // 8),
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


def _chain_ends(file: tifffile.TiffFile, last: tifffile.TiffPage) -> bool:
    """Whether the last page states that none follows."""
    tiff, handle = file.tiff, file.filehandle
    handle.seek(last.offset)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(last.offset + tiff.tagnosize + tags * tiff.tagsize)
    (following,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    return bool(following == 0)


def _per_unit(stored: Sequence[Any]) -> tuple[float, float] | None:
    """Return pixels per unit along (y, x) of tags that hold a number or a fraction each.

    Examples
    --------
    >>> _per_unit([(1, 4), 250]), _per_unit([None, 72]), _per_unit([(1, 0), (1, 4)])
    ((0.25, 250.0), None, (0.0, 0.25))
    """
    found = []
    for value in stored:
        over, under = (*value, 1)[:2] if isinstance(value, tuple) else (value, 1)
        if not isinstance(over, int | float) or not isinstance(under, int | float):
            return None
        found.append(float(over) / float(under) if under else 0.0)
    return found[0], found[1]
