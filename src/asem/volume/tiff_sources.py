"""Open a folder of TIFF planes, or a TIFF file of many pages, as a `PlaneStack`; write planes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tifffile

from asem.system.files import write_new_file
from asem.volume.channel_selection import select_channel_planes
from asem.volume.plane_order import list_plane_files, sort_planes
from asem.volume.plane_stack import PlaneStack
from asem.volume.tiff_headers import TiffFileInfo, TiffPageInfo, read_tiff_headers
from asem.volume.tiff_metadata import PlaneIndex, StackMetadata, read_stack_metadata
from asem.volume.tiff_page_checks import find_page_error
from asem.volume.tiff_planes import convert_tiff_errors, open_tiff, silence_tifffile
from asem.volume.tiff_stack import DEFAULT_TIFF_OPTIONS, TiffOptions, make_plane_stack

LOG = logging.getLogger(__name__)
TIFF_SUFFIXES = (".tif", ".tiff")
SOFTWARE_TAG = "asem"


def open_tiff_folder(folder: Path, options: TiffOptions = DEFAULT_TIFF_OPTIONS) -> PlaneStack:
    """Open a folder of TIFF files with one plane each, sorted by OME-XML or by their names.

    All headers are read, no pixels. File names have the same form, in which an integer numbers the
    planes without a gap: ``cell_9.tif``, ``cell_10.tif`` (`asem.volume.plane_order`). OME-XML that
    lists all files of the folder takes precedence.

    Raises
    ------
    ValueError
        There is no TIFF file, a gap in the numbers, unequal planes, colour, or a damaged file; the
        message names the file.
    """
    folder = folder.resolve()  # workers may have another working directory
    paths = list_plane_files(folder, TIFF_SUFFIXES)
    if len(paths) == 1:
        return open_tiff_file(paths[0], options)
    files = {path: read_tiff_headers(path, with_description=path == paths[0]) for path in paths}
    for path, file in files.items():
        if len(file.pages) != 1:
            raise ValueError(
                f"{path} has {len(file.pages)} pages; in a folder each file is one plane"
            )
    ome_planes = _find_ome_planes(folder, files)
    if ome_planes is None:
        ordered = sort_planes(paths, options.channel)
        metadata = _read_stack_metadata(files[paths[0]])
    else:
        metadata, plane_paths = ome_planes
        ordered = select_channel_planes(plane_paths, metadata, options.channel, str(folder))
        if len(ordered) < metadata.sizes["Z"]:
            LOG.warning(
                "%s holds %d of the %d planes along z that OME-XML lists",
                folder,
                len(ordered),
                metadata.sizes["Z"],
            )
    _warn_of_unequal_pixel_sizes([files[path] for path in ordered], metadata)
    if len(ordered) < len(paths):  # the channel is selected already
        options = replace(options, channel=None)
    return make_plane_stack(
        [(files[path], files[path].pages[0]) for path in ordered], options, metadata
    )


def _warn_of_unequal_pixel_sizes(
    files: Sequence[TiffFileInfo], metadata: StackMetadata | None
) -> None:
    """Log a warning where ImageJ files have other pixel sizes than the first."""
    if metadata is None or metadata.metadata_format != "ImageJ" or metadata.voxel_size[2] is None:
        return
    other = next((file for file in files if file.pixels_per_unit != files[0].pixels_per_unit), None)
    if other is not None:
        LOG.warning(
            "%s states another pixel size than %s, which is used", other.path, files[0].path.name
        )


def _find_ome_planes(
    folder: Path, files: Mapping[Path, TiffFileInfo]
) -> tuple[StackMetadata, dict[PlaneIndex, Path]] | None:
    """Return the file of each plane (c, z, t), if OME-XML lists all files of a folder."""
    first = next(iter(files))
    metadata = _read_stack_metadata(files[first])
    if metadata is None or not metadata.plane_locations:
        return None
    if len(metadata.plane_locations) == 1:  # each file states the index of its own plane
        by_path = {path: _read_stack_metadata(read_tiff_headers(path)) for path in files}
        plane_paths = {
            index: path
            for path, file_metadata in by_path.items()
            if file_metadata is not None and file_metadata.plane_locations
            for index in file_metadata.plane_locations
        }
    else:
        index_of = {name: index for index, (name, _) in metadata.plane_locations.items()}
        plane_paths = {index_of[path.name]: path for path in files if path.name in index_of}
    if len(plane_paths) < len(files):
        LOG.info("%s: OME-XML does not list all files; they are sorted by name", folder)
        return None
    return metadata, plane_paths


def _read_stack_metadata(file: TiffFileInfo) -> StackMetadata | None:
    try:
        return read_stack_metadata(file)
    except ValueError as error:
        raise ValueError(f"{file.path} {error}") from error


def open_tiff_file(path: Path, options: TiffOptions = DEFAULT_TIFF_OPTIONS) -> PlaneStack:
    """Open one TIFF file with one plane per page, sorted by OME-XML or ImageJ metadata.

    Raises
    ------
    ValueError
        The file is damaged, or has colour, unequal pages, time points, or several channels and none
        is selected.
    """
    file = read_tiff_headers(path.resolve())
    if not file.pages or not file.is_complete:
        raise ValueError(f"{path} is truncated after page {len(file.pages)}; copy it again")
    metadata = _read_stack_metadata(file)
    pages = _add_headerless_planes(file, metadata)
    for number, page in enumerate(pages, 1):
        if error := find_page_error(page, as_labels=True, has_selected_channel=True):
            raise ValueError(f"{path}, page {number} of {len(pages)}, {error}")
    if metadata is not None and not _is_appended_page_by_page(metadata, len(pages)):
        if options.channel is None:
            metadata = metadata.with_channels_along_z(str(path))
        several = metadata.sizes["C"] > 1
        pages = _order_pages(file, pages, metadata, options.channel if several else None)
        options = replace(options, channel=None if several else options.channel)
    return make_plane_stack([(file, page) for page in pages], options, metadata)


def _add_headerless_planes(
    file: TiffFileInfo, metadata: StackMetadata | None
) -> list[TiffPageInfo]:
    """Return the pages, and the planes without headers that follow the only page of ImageJ."""
    first, count = file.pages[0], metadata.plane_count if metadata is not None else 1
    if file.imagej_metadata is None or len(file.pages) != 1 or first.byte_offset is None:
        return list(file.pages)
    if first.byte_offset + count * first.nbytes > file.file_state[0]:
        return list(file.pages)
    return [
        replace(first, index=n, byte_offset=first.byte_offset + n * first.nbytes)
        for n in range(count)
    ]


def _is_appended_page_by_page(metadata: StackMetadata, pages: int) -> bool:
    """Whether pages were appended one by one, so that the first does not describe the others."""
    return (
        metadata.metadata_format != "OME-XML"
        and metadata.plane_count < pages
        and metadata.sizes["C"] == 1
    )


def _order_pages(
    file: TiffFileInfo, pages: Sequence[TiffPageInfo], metadata: StackMetadata, channel: str | None
) -> list[TiffPageInfo]:
    """Select the pages of a channel and sort them by the metadata of the file."""
    page_by_number, own_names = {page.index: page for page in pages}, (None, file.path.name)
    if metadata.plane_locations is None and metadata.plane_count != len(pages):
        raise ValueError(_incomplete_message(file, metadata.plane_count, len(pages)))
    declared: dict[PlaneIndex, TiffPageInfo | None]
    if metadata.plane_locations is None:
        declared = {
            index: pages[n] if n < len(pages) else None
            for n, index in enumerate(metadata.plane_indices())
        }
    else:
        declared = {
            index: page_by_number.get(number)
            for index, (name, number) in metadata.plane_locations.items()
            if name in own_names
        }
    existing = {index: page for index, page in declared.items() if page is not None}
    if not declared:
        raise ValueError(
            f"{file.path}: its OME-XML places all planes in other files; name their folder, or "
            "save it as plain TIFF"
        )
    if len(existing) != len(declared) or len(existing) != len(pages):
        raise ValueError(_incomplete_message(file, len(declared), len(pages)))
    ordered = select_channel_planes(existing, metadata, channel, str(file.path))
    _check_no_missing_planes(file, len(ordered), metadata)
    return ordered


def _check_no_missing_planes(file: TiffFileInfo, planes: int, metadata: StackMetadata) -> None:
    """Raise ValueError where a file lacks declared planes; warn where they are in other files."""
    declared = metadata.sizes["Z"] * metadata.sizes["T"]
    names = {name for name, _ in (metadata.plane_locations or {}).values()}
    if planes == declared:
        return
    if planes > 1 and names <= {None}:
        raise ValueError(_incomplete_message(file, declared, planes))
    LOG.warning("%s holds %d of the %d planes that it declares", file.path, planes, declared)


def _incomplete_message(file: TiffFileInfo, declared: int, pages: int) -> str:
    s = "" if pages == 1 else "s"
    return (
        f"{file.path} declares {declared} planes and holds {pages} page{s}: it is truncated, or "
        "needs to be saved as plain TIFF pages"
    )


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
        For instance, the disk is full. The message names the file, which is deleted.
    """
    per_cm = tuple(1e7 / size for size in reversed(voxel_size_yx))
    encoded = BytesIO()  # tifffile hides errors of the system when it writes arrays to a file
    tifffile.imwrite(
        encoded,
        plane,
        photometric="minisblack",
        resolution=(per_cm[0], per_cm[1]),
        resolutionunit="CENTIMETER",
        software=SOFTWARE_TAG,
        metadata=None,
    )
    write_new_file(path, encoded.getbuffer())


def is_exported_plane(path: Path) -> bool:
    """Whether a file is a plane that `write_plane` wrote."""
    if path.suffix != ".tif" or not path.is_file():
        return False
    try:
        with silence_tifffile(), open_tiff(path) as file, convert_tiff_errors(path):
            return file.pages.first.software == SOFTWARE_TAG
    except ValueError:
        return False
