"""A stack of equal planes, one or more per file, as a lazy array (z, y, x)."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from asem.system.files import file_state
from asem.system.resources import free_memory_bytes
from asem.volume.roi import IntZYX

MAX_READER_THREADS = min(8, 2 * (os.cpu_count() or 1))
"""Files read at a time, so that reading and decoding overlap."""


class Plane(Protocol):
    """One plane of a file."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def page_index(self) -> int:
        """Number of the plane in the file."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, in the byte order of the file."""

    @property
    def file_state(self) -> tuple[int, int]:
        """Size and time of change (ns) of the file when it was opened."""

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows can be read without decoding the whole plane."""


@dataclass(frozen=True)
class PlaneReader:
    """How the planes of one type of files are read.

    Parameters
    ----------
    read_planes
        Yields the given rows of planes of one file, one array per plane.
    context
        Entered while planes are read.
    """

    read_planes: Callable[[Sequence[Any], slice], Iterator[npt.NDArray[Any]]]
    context: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True)
class PlaneStack:
    """Lazy array (z, y, x) of equal planes, read when indexed; it can be pickled.

    Parameters
    ----------
    planes
        Along z.
    reader
        Reads them.
    voxel_size
        Along (z, y, x), nm, from the metadata of the files; None where it is not stated.
    """

    planes: tuple[Plane, ...]
    reader: PlaneReader
    voxel_size: tuple[float | None, float | None, float | None] = (None, None, None)

    @property
    def shape(self) -> IntZYX:
        """Planes, rows, columns."""
        return (len(self.planes), *self.planes[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels, in native byte order; uint8 for 1 bit, float32 for floats of 16 bits."""
        return native_dtype(self.planes[0])

    @property
    def chunk(self) -> IntZYX:
        """One plane, whose rows are read over their whole width."""
        return (1, *self.planes[0].shape)

    @property
    def can_read_rows(self) -> bool:
        """Whether some rows of a plane can be read without decoding the whole plane."""
        return all(plane.can_read_rows for plane in self.planes)

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
            planes = [plane for _, plane in pages]
            check_unchanged(planes[0])
            read_rows = self.reader.read_planes(planes, index[1])
            for (number, _), pixels in zip(pages, read_rows, strict=True):
                out[number] = pixels[:, index[2]]

        with self.reader.context(), ThreadPoolExecutor(self._reader_thread_count()) as pool:
            for _ in pool.map(read, files):
                pass

    def _reader_thread_count(self) -> int:
        """Return how many files to decode at a time: their planes fit into half the free memory."""
        if self.planes[0].can_read_rows:
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


def native_dtype(plane: Plane) -> np.dtype[Any]:
    """Return the dtype of a plane as read: native; uint8 for bool, float32 for 16-bit floats."""
    dtype = plane.dtype.newbyteorder("=")
    wider = {np.dtype(np.bool_): np.uint8, np.dtype(np.float16): np.float32}
    return np.dtype(wider.get(dtype, dtype))


def check_equal_planes(planes: Sequence[Plane]) -> None:
    """Raise ValueError where planes differ in shape or dtype; the message names two files."""
    first = planes[0]
    for plane in planes:
        where = f"{plane.path}" + (f", page {plane.page_index + 1}" if plane.page_index else "")
        if plane.shape != first.shape:
            raise ValueError(
                f"{where} has {plane.shape[0]} x {plane.shape[1]} pixels, but {first.path} has "
                f"{first.shape[0]} x {first.shape[1]}; all planes must have one size"
            )
        if plane.dtype.newbyteorder("=") != first.dtype.newbyteorder("="):
            raise ValueError(
                f"{where} is {plane.dtype}, but {first.path} is {first.dtype}; all planes must "
                "have one dtype"
            )
