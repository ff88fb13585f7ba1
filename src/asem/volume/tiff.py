"""Stacks of TIFF planes: a folder with one file per plane, or one file with many pages."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from asem.volume.roi import Triple

SUFFIXES = (".tif", ".tiff")
DTYPES = tuple(np.dtype(name) for name in (
    "bool", "uint8", "uint16", "uint32", "uint64", "int16", "float32", "float64",
))  # fmt: skip


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
        Of its pixels.
    """

    path: Path
    page: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]


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
        file: tifffile.TiffFile | None = None
        name: Path | None = None
        try:
            for row, plane in enumerate(planes):
                if plane.path != name:
                    if file is not None:
                        file.close()
                    file, name = _opened(plane.path), plane.path
                assert file is not None
                out[row] = _decoded(file, plane)[index[1], index[2]]
        finally:
            if file is not None:
                file.close()
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
    for path in _in_order(files):
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


def _opened(path: Path) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(path)
    except (tifffile.TiffFileError, ValueError) as error:
        raise ValueError(f"{path} is no readable TIFF file: {error}") from error


def _planes(path: Path) -> list[Plane]:
    with _opened(path) as file:
        size = path.stat().st_size
        try:
            pages = [page.aspage() for page in file.pages]
        except (tifffile.TiffFileError, ValueError, IndexError, KeyError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if not pages:
            raise ValueError(f"{path} holds no page; it is damaged or empty")
        for number, page in enumerate(pages):
            _check_page(page, f"{path}, page {number + 1} of {len(pages)}", size)
        declared = _declared_pages(file)
        if declared > len(pages):
            raise ValueError(
                f"{path} is truncated: it declares {declared} planes and holds {len(pages)}; "
                "copy it again, or save it as plain TIFF pages"
            )
        return [
            Plane(path, n, (page.shape[0], page.shape[1]), _dtype(page, path))
            for n, page in enumerate(pages)
        ]


def _declared_pages(file: tifffile.TiffFile) -> int:
    """Return the number of planes that ImageJ's or tifffile's own description declares."""
    if file.is_imagej and file.imagej_metadata:
        return int(file.imagej_metadata.get("images", 1))
    if file.is_shaped and file.shaped_metadata:
        return int(np.prod(file.shaped_metadata[0].get("shape", ())[:-2]))
    return 1


def _check_page(page: tifffile.TiffPage, where: str, file_size: int) -> None:
    if len(page.shape) != 2 or page.samplesperpixel != 1:
        raise ValueError(
            f"{where} has colour or channels (shape {page.shape}); convert it to one grey channel"
        )
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        raise ValueError(f"{where} has a colour palette; convert it to one grey channel")
    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    if not page.dataoffsets or any(start + length > file_size for start, length in segments):
        raise ValueError(f"{where} is truncated: its pixels end behind the file's; copy it again")


def _dtype(page: tifffile.TiffPage, path: Path) -> np.dtype[Any]:
    if page.dtype is None or page.dtype not in DTYPES:
        allowed = ", ".join(dtype.name for dtype in DTYPES)
        raise ValueError(f"{path} has pixels of {page.dtype}; allowed: {allowed}")
    return page.dtype.newbyteorder("=")


def _decoded(file: tifffile.TiffFile, plane: Plane) -> npt.NDArray[Any]:
    try:
        return np.asarray(file.pages[plane.page].aspage().asarray())
    except (tifffile.TiffFileError, ValueError, RuntimeError, IndexError, OSError) as error:
        raise ValueError(
            f"{plane.path}, page {plane.page + 1} cannot be decoded: {error}; copy it again"
        ) from error


def _in_order(files: list[Path]) -> list[Path]:
    """Sort files by the one number that counts them; refuse gaps."""
    if len(files) == 1:
        return files
    split = {path: re.split(r"(\d+)", path.name) for path in files}
    first = files[0]
    for path in files:
        if split[path][0::2] != split[first][0::2]:
            raise ValueError(
                f"{first.name} and {path.name} in {first.parent} are named differently; keep "
                "nothing but the planes of one stack in the folder"
            )
    numbers = {path: [int(n) for n in parts[1::2]] for path, parts in split.items()}
    places = range(len(numbers[first]))
    counting = [place for place in places if len({n[place] for n in numbers.values()}) > 1]
    if len(counting) != 1:
        raise ValueError(
            f"the planes in {first.parent} differ in {len(counting)} numbers of their names "
            f"({first.name}); exactly one must count them"
        )
    by_number: dict[int, Path] = {}
    for path in files:
        number = numbers[path][counting[0]]
        if number in by_number:
            raise ValueError(
                f"{by_number[number].name} and {path.name} are the same plane {number}"
            )
        by_number[number] = path
    _refuse_gaps(sorted(by_number), by_number, first.parent)
    return [by_number[number] for number in sorted(by_number)]


def _refuse_gaps(numbers: list[int], by_number: dict[int, Path], folder: Path) -> None:
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - by_number.keys())
    if missing:
        before = by_number[max(n for n in numbers if n < missing[0])].name
        listed = ", ".join(str(n) for n in missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise ValueError(
            f"{folder} lacks {len(missing)} of its planes: number {listed} (the first after "
            f"{before}); add them, or rename the planes without a gap"
        )


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
        metadata=None,
    )
