"""A stack of equal TIFF planes as a lazy array (z, y, x)."""

import errno
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from asem.system.files import file_state, open_regular_file
from asem.system.resources import free_memory_bytes
from asem.volume.roi import IntZYX
from asem.volume.tiff_decode_limits import limit_decoded_size
from asem.volume.tiff_ifd_chain import check_ifd_chain

TIFF_ERRORS = (
    tifffile.TiffFileError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error, OSError,
)  # fmt: skip
"""Exceptions of tifffile on damaged files (found by truncating and corrupting files)."""
MAX_READER_THREADS = min(8, 2 * (os.cpu_count() or 1))
"""Files read at a time, so that reading and decoding overlap."""


@dataclass(frozen=True)
class Plane:
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


@dataclass(frozen=True)
class PlaneStack:
    """Lazy array (z, y, x) of equal planes, read when indexed; it can be pickled.

    Parameters
    ----------
    planes
        Along z.
    voxel_size
        Along (z, y, x), nm, from the metadata of the files; None where it is not stated.
    """

    planes: tuple[Plane, ...]
    voxel_size: tuple[float | None, float | None, float | None] = (None, None, None)

    @property
    def shape(self) -> IntZYX:
        """Planes, rows, columns."""
        return (len(self.planes), *self.planes[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, in native byte order; uint8 for 1 bit, float32 for floats of 16 bits."""
        dtype = self.planes[0].dtype.newbyteorder("=")
        wider = {np.dtype(np.bool_): np.uint8, np.dtype(np.float16): np.float32}
        return np.dtype(wider.get(dtype, dtype))

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows of a plane can be read without decoding the whole plane."""
        return all(plane.byte_offset is not None for plane in self.planes)

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box; each of its planes is read once, several files at a time.

        Raises
        ------
        ValueError
            A file is damaged, or changed since it was opened; the message names it.
        """
        shape = [len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True)]
        out = np.empty(shape, self.dtype)
        self.read_into(out, index)
        return out

    def read_into(self, out: npt.NDArray[Any], index: tuple[slice, slice, slice]) -> None:
        """Read a box into an array of its shape."""
        by_path = groupby(enumerate(self.planes[index[0]]), key=lambda pair: pair[1].path)
        files = [list(pages) for _, pages in by_path]

        def read(pages: list[tuple[int, Plane]]) -> None:
            check_unchanged(pages[0][1])
            for (number, plane), pixels in zip(pages, _read_pages(pages, index[1]), strict=True):
                out[number] = pixels[:, index[2]]
                if plane.white_value is not None:
                    np.subtract(plane.white_value, out[number], out=out[number])

        with silence_tifffile(), ThreadPoolExecutor(self._reader_thread_count()) as pool:
            for _ in pool.map(read, files):
                pass

    def _reader_thread_count(self) -> int:
        """Return how many files to decode at a time: their planes fit into half the free memory."""
        if self.planes[0].byte_offset is not None:
            return MAX_READER_THREADS
        height, width = self.planes[0].shape
        plane_bytes = height * width * self.dtype.itemsize
        return max(1, min(MAX_READER_THREADS, free_memory_bytes() // max(1, 2 * plane_bytes)))


def check_unchanged(plane: Plane) -> None:
    """Raise ValueError if the size or the time of change of a file differs from when it was opened.

    Parameters
    ----------
    plane
        A plane of the file.
    """
    state = file_state(plane.path)
    if state != plane.file_state:
        changed = "size" if state[0] != plane.file_state[0] else "time of change"
        raise ValueError(
            f"{plane.path} changed while it was read (its {changed}); once the stack is complete, "
            "restart with --overwrite"
        )


def _read_pages(pages: list[tuple[int, Plane]], rows: slice) -> Iterator[npt.NDArray[Any]]:
    """Yield rows of pages of one file, one array per page."""
    path = pages[0][1].path
    if all(plane.byte_offset is not None for _, plane in pages):
        with open_regular_file(path) as raw:
            for _, plane in pages:
                yield _read_uncompressed_rows(raw.fileno(), plane, rows)
        return
    with open_tiff(path, is_chain_checked=True) as file:
        for _, plane in pages:
            yield _select_sample(_decode_page(file, plane), plane)[rows]


def _decode_page(file: tifffile.TiffFile, plane: Plane) -> npt.NDArray[Any]:
    with convert_tiff_errors(plane.path):
        page = file.pages[plane.page_index].aspage()
        # `decode` is a cached property: this replaces its cached value.
        page.decode = limit_decoded_size(page)
        return np.asarray(page.asarray())


def _select_sample(pixels: npt.NDArray[Any], plane: Plane) -> npt.NDArray[Any]:
    """Return the sample of a page that belongs to a plane, shape (y, x)."""
    if plane.sample_index is not None:
        pixels = (
            pixels[plane.sample_index] if plane.samples_first else pixels[..., plane.sample_index]
        )
    if pixels.shape != plane.shape:
        raise ValueError(f"{plane.path} has {pixels.shape} pixels, not {plane.shape}")
    return pixels


def _read_uncompressed_rows(file: int, plane: Plane, rows: slice) -> npt.NDArray[Any]:
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
