"""Stacks of TIFF planes: a folder with one file per plane, or one file with many pages."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tifffile

from asem.volume.numbering import in_order
from asem.volume.planes import Plane, PlaneStack, quiet, reading, state

SUFFIXES = (".tif", ".tiff")
DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int16", "float32", "float64",
))  # fmt: skip
SOFTWARE = "asem"
Kind = tuple[tuple[int, ...], np.dtype[Any] | None, int | None]
"""Shape, dtype and (where its pixels lie in one piece) offset of a plane."""


def open_planes(folder: Path) -> PlaneStack:
    """Open a folder of TIFF files, one plane each, ordered by number.

    Every header is read, no pixel. Names must share one form in which a single number counts the
    planes without a gap: ``cell_9.tif``, ``cell_10.tif``.

    Raises
    ------
    ValueError
        No TIFF, a gap in the numbers, unequal planes, colour, or a damaged file; named.
    """
    folder = folder.resolve()  # workers may stand in another folder
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
    return PlaneStack(_equal(_planes(path.resolve())))


def _planes(path: Path) -> list[Plane]:
    before = state(path)
    with quiet(), reading(path) as file:
        pages = [page.aspage() for page in file.pages]
        faults = (_page_fault(page, path.stat().st_size) for page in pages)
        fault = next(((n, f) for n, f in enumerate(faults, 1) if f), None)
        where = f", page {fault[0]} of {len(pages)}," if fault else ""
        problem = fault[1] if fault else _stack_fault(file, pages)
        kinds: list[Kind] = [(page.shape, page.dtype, _offset(page)) for page in pages]
        order: Literal["<", ">"] = ">" if file.byteorder == ">" else "<"
        if problem is None:
            kinds += _headless(file, pages)
    if problem is not None:
        raise ValueError(f"{path}{where} {problem}")
    return [
        Plane(path, n, (shape[0], shape[1]), _allowed(dtype, order, path), offset, before)
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


def _offset(page: tifffile.TiffPage) -> int | None:
    """Return where the pixels lie in one piece, in the order of the rows, if they do."""
    in_rows = page.is_contiguous and not page.is_tiled and page.dtype != np.bool_
    return page.dataoffsets[0] if in_rows else None


def _allowed(dtype: np.dtype[Any] | None, order: Literal["<", ">"], path: Path) -> np.dtype[Any]:
    if dtype is None or dtype not in DTYPES:
        allowed = ", ".join(known.name for known in DTYPES)
        raise ValueError(f"{path} has pixels of {dtype}; allowed: {allowed}")
    return dtype.newbyteorder(order)


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

    Raises
    ------
    OSError
        The disk is full, for instance; names the file, of which nothing is left.
    """
    per_cm = tuple(1e7 / size for size in reversed(voxel_size_yx))
    encoded = BytesIO()  # the library writes arrays to files in a way that hides the system's error
    tifffile.imwrite(
        encoded,
        plane,
        photometric="minisblack",
        resolution=(per_cm[0], per_cm[1]),
        resolutionunit="CENTIMETER",
        software=SOFTWARE,
        metadata=None,
    )
    try:
        with path.open("wb") as file:
            file.write(encoded.getbuffer())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_own_plane(path: Path) -> bool:
    """Whether a file is a plane that `write_plane` wrote."""
    if path.suffix != ".tif" or not path.is_file():
        return False
    try:
        with quiet(), reading(path) as file:
            return file.pages.first.software == SOFTWARE
    except ValueError:
        return False
