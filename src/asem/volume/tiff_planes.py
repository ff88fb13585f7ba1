"""TIFF pages as planes of a stack: read rows of them; open TIFF files without tracebacks."""

import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from asem.system.files import open_regular_file
from asem.volume.plane_stack import PlaneReader, native_dtype
from asem.volume.tiff_decode_limits import limit_decoded_size
from asem.volume.tiff_ifd_chain import check_ifd_chain

TIFF_ERRORS = (
    tifffile.TiffFileError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error, OSError,
)  # fmt: skip
"""Exceptions of tifffile on damaged files (found by truncating and corrupting files)."""


@dataclass(frozen=True)
class TiffPlane:
    """One page of one file.

    Parameters
    ----------
    path, page_index
        File, and number of the page in it.
    shape
        Rows and columns.
    dtype
        Of the pixels, in the byte order of the file.
    byte_offset
        Offset of the pixels in the file, if they are contiguous and uncompressed; else None.
    file_state
        Size and time of change (ns) of the file when it was opened.
    sample_index
        Which of several samples of each pixel is read; None where there is one.
    samples_first
        Whether samples are the first axis of tifffile's array, not the last.
    white_value
        Grey values are this value minus the stored ones; None: the stored ones.
    """

    path: Path
    page_index: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    byte_offset: int | None
    file_state: tuple[int, int]
    sample_index: int | None = None
    samples_first: bool = False
    white_value: int | None = None

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows can be read without decoding the whole plane."""
        return self.byte_offset is not None


def read_tiff_planes(planes: Sequence[TiffPlane], rows: slice) -> Iterator[npt.NDArray[Any]]:
    """Yield rows of pages of one file, one array per page."""
    for plane, pixels in zip(planes, _read_stored_rows(planes, rows), strict=True):
        if plane.white_value is None:
            yield pixels
        else:
            yield np.subtract(plane.white_value, pixels, dtype=native_dtype(plane))


def _read_stored_rows(planes: Sequence[TiffPlane], rows: slice) -> Iterator[npt.NDArray[Any]]:
    path = planes[0].path
    if all(plane.can_read_rows for plane in planes):
        with open_regular_file(path) as raw:
            for plane in planes:
                yield _read_uncompressed_rows(raw.fileno(), plane, rows)
        return
    with open_tiff(path, is_chain_checked=True) as file:
        for plane in planes:
            yield _select_sample(_decode_page(file, plane), plane)[rows]


def _decode_page(file: tifffile.TiffFile, plane: TiffPlane) -> npt.NDArray[Any]:
    with convert_tiff_errors(plane.path):
        page = file.pages[plane.page_index].aspage()
        # `decode` is a cached property: this replaces its cached value.
        page.decode = limit_decoded_size(page)
        return np.asarray(page.asarray())


def _select_sample(pixels: npt.NDArray[Any], plane: TiffPlane) -> npt.NDArray[Any]:
    """Return the sample of a page that belongs to a plane, shape (y, x)."""
    if plane.sample_index is not None:
        pixels = (
            pixels[plane.sample_index] if plane.samples_first else pixels[..., plane.sample_index]
        )
    if pixels.shape != plane.shape:
        raise ValueError(f"{plane.path} has {pixels.shape} pixels, not {plane.shape}")
    return pixels


def _read_uncompressed_rows(file: int, plane: TiffPlane, rows: slice) -> npt.NDArray[Any]:
    """Read rows of a plane that is contiguous and uncompressed."""
    height, width = plane.shape
    start, stop, _ = rows.indices(height)
    pixels = np.empty((stop - start, width), plane.dtype)
    assert plane.byte_offset is not None
    offset = plane.byte_offset + start * width * plane.dtype.itemsize
    remaining = pixels.data.cast("B")
    while remaining:  # one call may read fewer bytes than requested
        count = os.preadv(file, [remaining], offset)
        if count == 0:
            raise ValueError(f"{plane.path} ends within a plane; copy it again")
        remaining, offset = remaining[count:], offset + count
    return pixels


@contextmanager
def silence_tifffile() -> Iterator[None]:
    """Disable tifffile's log: it repeats what the exceptions report."""
    log = logging.getLogger("tifffile")
    was_disabled = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = was_disabled


@contextmanager
def open_tiff(path: Path, *, is_chain_checked: bool = False) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file; ValueError where it is none. Errors of the body are not converted.

    Parameters
    ----------
    path
        The file.
    is_chain_checked
        Whether `check_ifd_chain` was called for the file before.
    """
    with open_regular_file(path) as raw:
        if not is_chain_checked:
            check_ifd_chain(raw, str(path))
            raw.seek(0)
        with convert_tiff_errors(path):
            file = tifffile.TiffFile(raw, name=path.name)
        with file:
            yield file


@contextmanager
def convert_tiff_errors(path: Path) -> Iterator[None]:
    """Convert the exceptions of tifffile on a damaged file to one ValueError.

    Use it only around calls of tifffile: it reports errors of asem's own code as damage, too.
    """
    try:
        yield
    except TIFF_ERRORS as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
            raise  # an error of the system, not of the file
        raise ValueError(
            f"{path} is no readable TIFF file, or damaged ({error}); copy it again"
        ) from error


TIFF_READER = PlaneReader(read_tiff_planes, silence_tifffile)
