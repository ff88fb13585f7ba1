"""Stacks of TIFF planes: a folder with one file per plane, or one file with many pages."""

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from asem.volume.numbering import in_order
from asem.volume.roi import Triple

SUFFIXES = (".tif", ".tiff")
DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int16", "float32", "float64",
))  # fmt: skip


DAMAGE = (
    tifffile.TiffFileError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ArithmeticError, AssertionError, RuntimeError, struct.error, zlib.error, OSError,
)  # fmt: skip
"""What the library raises on damaged files (found by cutting and corrupting them)."""
SOFTWARE = "asem"
Kind = tuple[tuple[int, ...], np.dtype[Any] | None, int | None]
"""Shape, dtype and (for a plane without header) offset of a plane."""


@dataclass(frozen=True)
class Plane:
    """One page of one file.

    Parameters
    ----------
    path, page
        Where it lies.
    offset
        Place of its pixels in the file, where the page has no header of its own (ImageJ's stacks of
        more than 4 GB); else None.
    shape
        Rows and columns.
    dtype
        Of its pixels.
    """

    path: Path
    page: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None = None


@dataclass(frozen=True)
class PlaneStack:
    """Equal planes as an array (z, y, x), read when indexed; one file is open at a time."""

    planes: tuple[Plane, ...]

    @property
    def shape(self) -> Triple:
        """Planes, rows, columns."""
        return (len(self.planes), *self.planes[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels; files of one bit give uint8."""
        dtype = self.planes[0].dtype
        return np.dtype(np.uint8) if dtype == np.bool_ else dtype

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        """Read a box; each plane it touches is decoded once."""
        planes = self.planes[index[0]]
        height, width = (
            len(range(*s.indices(n))) for s, n in zip(index[1:], self.shape[1:], strict=True)
        )
        out = np.empty((len(planes), height, width), self.dtype)
        for path, pages in groupby(enumerate(planes), key=lambda numbered: numbered[1].path):
            with _reading(path) as file:
                for row, plane in pages:
                    out[row] = _pixels(file, plane)[index[1], index[2]]
        return out


def open_planes(folder: Path) -> PlaneStack:
    """Open a folder of TIFF files, one plane each, ordered by number.

    Every header is read, no pixel. Names must share one form in which a single number counts the
    planes without a gap: ``cell_9.tif``, ``cell_10.tif``.

    Raises
    ------
    ValueError
        No TIFF, a gap in the numbers, unequal planes, colour, or a damaged file; named.
    """
    files = [entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES]
    files = [entry for entry in files if not entry.name.startswith(".")]
    if not files:
        raise ValueError(f"{folder} holds no TIFF file (*.tif, *.tiff)")
    planes = []
    for path in in_order(files):
        pages = _planes(path)
        if len(pages) != 1 and len(files) > 1:
            raise ValueError(f"{path} has {len(pages)} pages; in a folder each file is one plane")
        planes += pages
    return PlaneStack(_equal(planes))


def open_pages(path: Path) -> PlaneStack:
    """Open one TIFF file with a plane a page.

    Raises
    ------
    ValueError
        The file is damaged or has colour, channels or unequal pages.
    """
    return PlaneStack(_equal(_planes(path)))


@contextmanager
def _reading(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a file; whatever a damaged one makes the library raise becomes one ValueError.

    The library also writes to its log about each fault; the ValueError says it once.
    """
    log = logging.getLogger("tifffile")
    heard = log.disabled
    log.disabled = True
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except DAMAGE as error:
        raise ValueError(
            f"{path} is no readable TIFF file, or damaged ({error}); copy it again"
        ) from error
    finally:
        log.disabled = heard


def _planes(path: Path) -> list[Plane]:
    with _reading(path) as file:
        pages = [page.aspage() for page in file.pages]
        faults = (_page_fault(page, path.stat().st_size) for page in pages)
        fault = next(((n, f) for n, f in enumerate(faults, 1) if f), None)
        where = f", page {fault[0]} of {len(pages)}," if fault else ""
        problem = fault[1] if fault else _stack_fault(file, pages)
        kinds: list[Kind] = [(page.shape, page.dtype, None) for page in pages]
        if problem is None:
            kinds += _headless(file, pages)
    if problem is not None:
        raise ValueError(f"{path}{where} {problem}")
    return [
        Plane(path, n, (shape[0], shape[1]), _native(dtype, path), offset)
        for n, (shape, dtype, offset) in enumerate(kinds)
    ]


def _page_fault(page: tifffile.TiffPage, file_size: int) -> str | None:
    """Return what makes a page no grey plane, if anything."""
    if len(page.shape) != 2 or page.samplesperpixel != 1:
        return f"has colour or channels (shape {page.shape}); convert it to one grey channel"
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        return "has a colour palette; convert it to one grey channel"
    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    if not page.dataoffsets or any(start + length > file_size for start, length in segments):
        return "is truncated: its pixels end behind the file's; copy it again"
    return None


def _stack_fault(file: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> str | None:
    """Return what makes pages no whole stack of planes, if anything."""
    if not pages or not _chain_ends(file, pages[-1]):
        return f"is truncated behind page {len(pages)}; copy it again"
    declared = _declared_pages(file)
    if declared > len(pages) + len(_headless(file, pages)):
        return (
            f"declares {declared} planes and holds {len(pages)} pages: it is truncated, or needs "
            "to be saved as plain TIFF pages"
        )
    for series in file.series:
        if sum(size > 1 for size in series.shape) > 3:
            return (
                f"has the axes {series.axes} of {series.shape}; save one channel and one time point"
            )
    return None


def _headless(file: tifffile.TiffFile, pages: list[tifffile.TiffPage]) -> list[Kind]:
    """Return the planes that follow the only page without headers of their own."""
    start, page = file.series[0].dataoffset, pages[0]
    number = _declared_pages(file)
    if not file.is_imagej or len(pages) != 1 or start is None:
        return []
    if start + number * page.nbytes > file.filehandle.size:
        return []
    return [(page.shape, page.dtype, start + n * page.nbytes) for n in range(1, number)]


def _pixels(file: tifffile.TiffFile, plane: Plane) -> npt.NDArray[Any]:
    """Decode one plane."""
    if plane.offset is None:
        return np.asarray(file.pages[plane.page].aspage().asarray())
    file.filehandle.seek(plane.offset)
    dtype = plane.dtype.newbyteorder(file.byteorder)
    data = file.filehandle.read(dtype.itemsize * plane.shape[0] * plane.shape[1])
    return np.frombuffer(data, dtype).reshape(plane.shape)


def _chain_ends(file: tifffile.TiffFile, last: tifffile.TiffPage) -> bool:
    """Whether the last page says that none follows, as it does in a whole file."""
    tiff, handle = file.tiff, file.filehandle
    handle.seek(last.offset)
    (tags,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(last.offset + tiff.tagnosize + tags * tiff.tagsize)
    (following,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
    return bool(following == 0)


def _declared_pages(file: tifffile.TiffFile) -> int:
    """Return the number of planes that ImageJ's or tifffile's own description declares."""
    if file.is_imagej and file.imagej_metadata:
        return int(file.imagej_metadata.get("images", 1))
    if file.is_shaped and file.shaped_metadata:
        return int(np.prod(file.shaped_metadata[0].get("shape", ())[:-2]))
    return 1


def _native(dtype: np.dtype[Any] | None, path: Path) -> np.dtype[Any]:
    if dtype is None or dtype not in DTYPES:
        allowed = ", ".join(known.name for known in DTYPES)
        raise ValueError(f"{path} has pixels of {dtype}; allowed: {allowed}")
    return dtype.newbyteorder("=")


def _equal(planes: list[Plane]) -> tuple[Plane, ...]:
    first = planes[0]
    for plane in planes:
        where = f"{plane.path}" + (f", page {plane.page + 1}" if plane.page else "")
        if plane.shape != first.shape:
            raise ValueError(
                f"{where} has {plane.shape[0]} x {plane.shape[1]} pixels, but {first.path} has "
                f"{first.shape[0]} x {first.shape[1]}; all planes must have one size"
            )
        if plane.dtype != first.dtype:
            raise ValueError(
                f"{where} is {plane.dtype}, but {first.path} is {first.dtype}; all planes must "
                "have one dtype"
            )
    return tuple(planes)


def write_plane(path: Path, plane: npt.NDArray[Any], voxel_size_yx: tuple[float, float]) -> None:
    """Write one plane, uncompressed, with its pixel size.

    Parameters
    ----------
    path
        The file.
    plane
        Shape (y, x).
    voxel_size_yx
        nm.
    """
    per_cm = tuple(1e7 / size for size in reversed(voxel_size_yx))
    tifffile.imwrite(
        path,
        plane,
        photometric="minisblack",
        resolution=(per_cm[0], per_cm[1]),
        resolutionunit="CENTIMETER",
        software=SOFTWARE,
        metadata=None,
    )


def is_own_plane(path: Path) -> bool:
    """Whether a file is a plane that `write_plane` wrote."""
    if path.suffix != ".tif" or not path.is_file():
        return False
    try:
        with _reading(path) as file:
            return file.pages.first.software == SOFTWARE
    except ValueError:
        return False
