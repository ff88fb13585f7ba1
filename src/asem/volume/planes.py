"""Equal planes in TIFF files as one array, each read once and only where it is wanted."""

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

from asem.system.files import open_regular
from asem.system.resources import free_memory
from asem.volume.roi import Triple
from asem.volume.tiff_chain import refuse_endless
from asem.volume.tiff_streams import bounded

DAMAGE = (
    tifffile.TiffFileError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error, OSError,
)  # fmt: skip
"""What the library raises on damaged files (found by cutting and corrupting them)."""
READERS = min(8, 2 * (os.cpu_count() or 1))
"""Files read at a time, so that disks and decoders overlap."""


@dataclass(frozen=True)
class Plane:
    """One page of one file.

    Parameters
    ----------
    path, page
        Where it lies.
    shape
        Rows and columns.
    dtype
        Of its pixels, in the byte order of the file.
    offset
        Place of its pixels in the file, if they lie there in one piece, uncompressed; else None.
    state
        Size and time of change (ns) of the file when it was opened.
    sample
        Which of several samples of a pixel it is; None where there is one.
    samples_first
        Whether samples are the first axis of what the library returns, not the last.
    inverted_from
        The plane is this value minus the stored one; None: it is as stored.
    """

    path: Path
    page: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None
    state: tuple[int, int]
    sample: int | None = None
    samples_first: bool = False
    inverted_from: int | None = None


@dataclass(frozen=True)
class PlaneStack:
    """Equal planes as an array (z, y, x), read when indexed; it can be pickled.

    Parameters
    ----------
    planes
        Along z.
    voxel_size
        Along (z, y, x), nm, as the files state it; None where they do not.
    """

    planes: tuple[Plane, ...]
    voxel_size: tuple[float | None, float | None, float | None] = (None, None, None)

    @property
    def shape(self) -> Triple:
        """Planes, rows, columns."""
        return (len(self.planes), *self.planes[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, native; files of one bit give uint8, floats of 16 bits float32."""
        dtype = self.planes[0].dtype.newbyteorder("=")
        wider = {np.dtype(np.bool_): np.uint8, np.dtype(np.float16): np.float32}
        return np.dtype(wider.get(dtype, dtype))

    @property
    def reads_rows(self) -> bool:
        """Whether some rows of a plane can be read without decoding all of it."""
        return all(plane.offset is not None for plane in self.planes)

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box; each plane it touches is read once, several files at a time.

        Raises
        ------
        ValueError
            A file is damaged, or is not the one that was opened; named.
        """
        shape = [len(range(*s.indices(n))) for s, n in zip(index, self.shape, strict=True)]
        out = np.empty(shape, self.dtype)
        self.read_into(out, index)
        return out

    def read_into(self, out: npt.NDArray[Any], index: tuple[slice, slice, slice]) -> None:
        """Read a box into an array of its shape."""
        numbered = groupby(enumerate(self.planes[index[0]]), key=lambda pair: pair[1].path)
        files = [list(pages) for _, pages in numbered]

        def read(pages: list[tuple[int, Plane]]) -> None:
            refuse_changed(pages[0][1])
            for (number, plane), pixels in zip(pages, _pixels(pages, index[1]), strict=True):
                out[number] = pixels[:, index[2]]
                if plane.inverted_from is not None:
                    np.subtract(plane.inverted_from, out[number], out=out[number])

        with quiet(), ThreadPoolExecutor(self._readers()) as pool:
            for _ in pool.map(read, files):
                pass

    def _readers(self) -> int:
        """Return how many files to decode at a time: no more planes than half the memory holds."""
        if self.planes[0].offset is not None:
            return READERS
        height, width = self.planes[0].shape
        plane = height * width * self.dtype.itemsize
        return max(1, min(READERS, free_memory() // max(1, 2 * plane)))


def state(path: Path) -> tuple[int, int]:
    """Return size and time of change (ns) of a file."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def refuse_changed(plane: Plane) -> None:
    """Raise ValueError if the file is not as it was when it was opened."""
    now = state(plane.path)
    if now != plane.state:
        what = "size" if now[0] != plane.state[0] else "time of change"
        raise ValueError(
            f"{plane.path} changed while it was read (its {what}); once the stack is complete, "
            "begin again with --overwrite"
        )


def _pixels(pages: list[tuple[int, Plane]], rows: slice) -> Iterator[npt.NDArray[Any]]:
    """Yield some rows of each of some pages of one file."""
    path = pages[0][1].path
    if all(plane.offset is not None for _, plane in pages):
        with open_regular(path) as raw:
            for _, plane in pages:
                yield _rows(raw.fileno(), plane, rows)
        return
    with opened(path, walked=True) as file:
        for _, plane in pages:
            yield _grey(_decoded(file, plane), plane)[rows]


def _decoded(file: tifffile.TiffFile, plane: Plane) -> npt.NDArray[Any]:
    with damage_named(plane.path):
        page = file.pages[plane.page].aspage()
        page.decode = bounded(page)  # in place of the property, whose value the library keeps there
        return np.asarray(page.asarray())


def _grey(pixels: npt.NDArray[Any], plane: Plane) -> npt.NDArray[Any]:
    """Return the sample of the pixels that is the plane."""
    if plane.sample is not None:
        pixels = pixels[plane.sample] if plane.samples_first else pixels[..., plane.sample]
    if pixels.shape != plane.shape:
        raise ValueError(f"{plane.path} gives {pixels.shape} pixels, not {plane.shape}")
    return pixels


def _rows(file: int, plane: Plane, rows: slice) -> npt.NDArray[Any]:
    """Read rows of a plane that lies in one piece."""
    height, width = plane.shape
    start, stop, _ = rows.indices(height)
    pixels = np.empty((stop - start, width), plane.dtype)
    assert plane.offset is not None
    place = plane.offset + start * width * plane.dtype.itemsize
    left = pixels.data.cast("B")
    while left:  # one call may read less than it is asked for
        number = os.preadv(file, [left], place)
        if number == 0:
            raise ValueError(f"{plane.path} ends within a plane; copy it again")
        left, place = left[number:], place + number
    return pixels


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the library from logging each fault that an error reports already."""
    log = logging.getLogger("tifffile")
    heard = log.disabled
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = heard


@contextmanager
def opened(path: Path, *, walked: bool = False) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file; ValueError where it is none. Errors of the body stay what they are.

    Parameters
    ----------
    path
        The file.
    walked
        Whether its pages are known to have an end (`refuse_endless`).
    """
    with open_regular(path) as raw:
        if not walked:
            refuse_endless(raw, str(path))
            raw.seek(0)
        with damage_named(path):
            file = tifffile.TiffFile(raw, name=path.name)
        with file:
            yield file


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn whatever the library raises on a damaged file into one ValueError.

    For calls of the library alone: a fault of our own code would be called damage, too.
    """
    try:
        yield
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
            raise  # of the system: the file is not to blame
        raise ValueError(
            f"{path} is no readable TIFF file, or damaged ({error}); copy it again"
        ) from error
