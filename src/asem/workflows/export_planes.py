"""Export planes: one TIFF or PNG file each, or one BigTIFF file.

::

    folder/raw_0000.tif, raw_0001.tif, ...      one file per plane; pixel size along y and x
    raw.tif                                     BigTIFF; voxel size in OME-XML
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tifffile

from asem.config import NmZYX
from asem.system.files import name_path_in_errors
from asem.volume import png_planes, tiff_sources
from asem.workflows.export_request import (
    ExportFormat,
    ExportRequest,
    check_dtype,
    create_file,
    create_folder,
)

WritePlane = Callable[[Path, npt.NDArray[Any], tuple[float, float]], None]


def write_planes(
    folder: Path, request: ExportRequest, *, suffix: str, write_plane: WritePlane
) -> None:
    """Write the planes of the canvas, one file each."""
    digits = max(4, len(str(request.canvas.shape[0] - 1)))
    for z, plane in enumerate(request.iterate_planes()):
        path = folder / f"{request.name}_{z:0{digits}d}{suffix}"
        write_plane(path, plane, request.canvas.voxel_size[1:])


def write_tiff_planes(folder: Path, request: ExportRequest) -> None:
    """Write one TIFF file per plane."""
    write_planes(folder, request, suffix=".tif", write_plane=tiff_sources.write_plane)


def write_png_planes(folder: Path, request: ExportRequest) -> None:
    """Write one PNG file per plane."""
    write_planes(folder, request, suffix=".png", write_plane=png_planes.write_png_plane)


def write_bigtiff(path: Path, request: ExportRequest) -> None:
    """Write one BigTIFF file, uncompressed, a plane at a time.

    OME-XML has no integers of 64 bits: the voxel size of these is stored as ImageJ does.
    """
    canvas = request.canvas
    is_ome = canvas.dtype.name not in ("int64", "uint64")
    metadata = _ome_metadata(canvas.voxel_size) if is_ome else None
    description = None if is_ome else _imagej_description(canvas.shape[0], canvas.voxel_size)
    with (
        name_path_in_errors(path, path),
        _PlainFile(path, "w+b") as file,
        tifffile.TiffWriter(file, bigtiff=True, ome=is_ome) as writer,
    ):
        writer.write(
            request.iterate_planes(),
            shape=canvas.shape,
            dtype=canvas.dtype,
            photometric="minisblack",
            software=tiff_sources.SOFTWARE_TAG,
            metadata=metadata,
            description=description,
            resolution=(1 / canvas.voxel_size[2], 1 / canvas.voxel_size[1]),
            resolutionunit="NONE",
        )


class _PlainFile(io.FileIO):
    """File whose descriptor tifffile does not use: numpy hides errors of the system there."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation


def _ome_metadata(voxel_size: NmZYX) -> dict[str, Any]:
    sizes = zip("ZYX", voxel_size, strict=True)
    fields = {f"PhysicalSize{axis}": size for axis, size in sizes}
    return {"axes": "ZYX", **fields, **{f"{key}Unit": "nm" for key in fields}}


def _imagej_description(planes: int, voxel_size: NmZYX) -> str:
    lines = {"ImageJ": "1.11a", "images": planes, "slices": planes, "unit": "nm"}
    return "".join(f"{key}={value}\n" for key, value in lines.items()) + (
        f"spacing={voxel_size[0]!r}\n"
    )


def _find_foreign_plane(folder: Path, is_exported: Callable[[Path], bool]) -> Path | None:
    """Return an entry that is not an exported plane; ``Path()`` if no entry is one."""
    entries = list(folder.iterdir()) if folder.is_dir() else []
    foreign = [
        Path(entry.name) for entry in entries if entry.is_symlink() or not is_exported(entry)
    ]
    return Path() if len(foreign) == len(entries) else next(iter(foreign), None)


def _find_foreign_tiff(folder: Path) -> Path | None:
    return _find_foreign_plane(folder, tiff_sources.is_exported_plane)


def _find_foreign_png(folder: Path) -> Path | None:
    return _find_foreign_plane(folder, png_planes.is_exported_png)


def _find_foreign_bigtiff(path: Path) -> Path | None:
    is_own = not path.is_symlink() and tiff_sources.is_exported_plane(path)
    return None if is_own else Path()


def _check_png(request: ExportRequest) -> None:
    check_dtype(request, "PNG", ("uint8", "uint16"))


TIFF_PLANES = ExportFormat(
    "tiff", (), create_folder("a TIFF export", write_tiff_planes, _find_foreign_tiff)
)
PNG_PLANES = ExportFormat(
    "png",
    (),
    create_folder("a PNG export", write_png_planes, _find_foreign_png),
    check=_check_png,
    is_compressed=True,
)
BIGTIFF = ExportFormat(
    "bigtiff",
    (".tif", ".tiff"),
    create_file("a BigTIFF export", write_bigtiff, _find_foreign_bigtiff),
)
