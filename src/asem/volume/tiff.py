"""Stacks of TIFF planes: a folder with one file per plane, or one file with many pages."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tifffile

from asem.volume.channels import chosen
from asem.volume.numbering import in_order
from asem.volume.planes import PlaneStack, damage_named, opened, quiet
from asem.volume.tiff_axes import Place, Stated, stated_by
from asem.volume.tiff_faults import page_fault
from asem.volume.tiff_pages import File, Page, read_file
from asem.volume.tiff_stack import AS_STORED, TiffOptions, stack_of

LOG = logging.getLogger(__name__)
SUFFIXES = (".tif", ".tiff")
SOFTWARE = "asem"


def open_planes(folder: Path, options: TiffOptions = AS_STORED) -> PlaneStack:
    """Open a folder of TIFF files, one plane each, in the order that OME-XML or their names state.

    Every header is read, no pixel. Names share one form in which a whole number counts the planes
    without a gap: ``cell_9.tif``, ``cell_10.tif`` (`asem.volume.numbering`). OME-XML that lists all
    files of the folder decides instead.

    Raises
    ------
    ValueError
        No TIFF, a gap in the numbers, unequal planes, colour, or a damaged file; named.
    """
    folder = folder.resolve()  # workers may stand in another folder
    paths = [entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES]
    paths = sorted(path for path in paths if not (path.name.startswith(".") or path.is_dir()))
    if not paths:
        raise ValueError(f"{folder} holds no TIFF file (*.tif, *.tiff)")
    if len(paths) == 1:
        return open_pages(paths[0], options)
    files = {path: read_file(path, described=path == paths[0]) for path in paths}
    for path, file in files.items():
        if len(file.pages) != 1:
            raise ValueError(
                f"{path} has {len(file.pages)} pages; in a folder each file is one plane"
            )
    listed = _listed_by_ome(folder, files)
    if listed is None:
        ordered, stated = in_order(paths, options.channel), _stated(files[paths[0]])
    else:
        stated, places = listed
        ordered = chosen(places, stated, options.channel, str(folder))
        if len(ordered) < stated.sizes["Z"]:
            LOG.warning(
                "%s holds %d of the %d planes along z that OME-XML lists",
                folder,
                len(ordered),
                stated.sizes["Z"],
            )
    _warn_of_pixel_sizes([files[path] for path in ordered], stated)
    if len(ordered) < len(paths):  # what is left is one channel
        options = replace(options, channel=None)
    return stack_of([(files[path], files[path].pages[0]) for path in ordered], options, stated)


def _warn_of_pixel_sizes(files: Sequence[File], stated: Stated | None) -> None:
    """Log a warning where files of ImageJ state other pixel sizes than the first."""
    if stated is None or stated.by != "ImageJ" or stated.voxel_size[2] is None:
        return
    other = next((file for file in files if file.per_unit != files[0].per_unit), None)
    if other is not None:
        LOG.warning(
            "%s states another pixel size than %s, which counts", other.path, files[0].path.name
        )


def _listed_by_ome(
    folder: Path, files: Mapping[Path, File]
) -> tuple[Stated, dict[Place, Path]] | None:
    """Return where the planes of a folder belong, if OME-XML lists all of its files."""
    first = next(iter(files))
    stated = _stated(files[first])
    if stated is None or not stated.planes:
        return None
    if len(stated.planes) == 1:  # each file states its own place
        each = {path: _stated(read_file(path)) for path in files}
        own = {path: one.planes for path, one in each.items() if one is not None and one.planes}
        places = {place: path for path, planes in own.items() for place in planes}
    else:
        named = {name: place for place, (name, _) in stated.planes.items()}
        places = {named[path.name]: path for path in files if path.name in named}
    if len(places) < len(files):
        LOG.info("%s: OME-XML does not list all files; their names order them", folder)
        return None
    return stated, places


def _stated(file: File) -> Stated | None:
    try:
        return stated_by(file)
    except ValueError as error:
        raise ValueError(f"{file.path} {error}") from error


def open_pages(path: Path, options: TiffOptions = AS_STORED) -> PlaneStack:
    """Open one TIFF file with a plane a page, in the order that OME-XML or ImageJ states.

    Raises
    ------
    ValueError
        The file is damaged or has colour, unequal pages, time points, or channels of which none is
        chosen.
    """
    file = read_file(path.resolve())
    if not file.pages or not file.complete:
        raise ValueError(f"{path} is truncated after page {len(file.pages)}; copy it again")
    stated = _stated(file)
    pages = _with_headless(file, stated)
    for number, page in enumerate(pages, 1):
        if fault := page_fault(page, labels=True, channel=True):
            raise ValueError(f"{path}, page {number} of {len(pages)}, {fault}")
    if stated is not None and not _is_page_by_page(stated, len(pages)):
        if options.channel is None:
            stated = stated.with_channels_along_z(str(path))
        several = stated.sizes["C"] > 1
        pages = _in_stated_order(file, pages, stated, options.channel if several else None)
        options = replace(options, channel=None if several else options.channel)
    return stack_of([(file, page) for page in pages], options, stated)


def _with_headless(file: File, stated: Stated | None) -> list[Page]:
    """Return the pages, and the planes that follow ImageJ's only page without headers."""
    first, number = file.pages[0], stated.number if stated is not None else 1
    if file.imagej is None or len(file.pages) != 1 or first.offset is None:
        return list(file.pages)
    if first.offset + number * first.nbytes > file.state[0]:
        return list(file.pages)
    return [replace(first, index=n, offset=first.offset + n * first.nbytes) for n in range(number)]


def _is_page_by_page(stated: Stated, pages: int) -> bool:
    """Whether pages were added one by one, so that the first states nothing about the others."""
    return stated.by != "OME-XML" and stated.number < pages and stated.sizes["C"] == 1


def _in_stated_order(
    file: File, pages: Sequence[Page], stated: Stated, channel: str | None
) -> list[Page]:
    """Choose the pages of a channel and order them as the file states."""
    by_index, own = {page.index: page for page in pages}, (None, file.path.name)
    if stated.planes is None and stated.number != len(pages):
        raise ValueError(_incomplete(file, stated.number, len(pages)))
    places: dict[Place, Page | None]
    if stated.planes is None:
        places = {
            place: pages[n] if n < len(pages) else None for n, place in enumerate(stated.places())
        }
    else:
        places = {
            place: by_index.get(index)
            for place, (name, index) in stated.planes.items()
            if name in own
        }
    found = {place: page for place, page in places.items() if page is not None}
    if not places:
        raise ValueError(
            f"{file.path}: its OME-XML places all planes in other files; name their folder, or "
            "save it as plain TIFF"
        )
    if len(found) != len(places) or len(found) != len(pages):
        raise ValueError(_incomplete(file, len(places), len(pages)))
    ordered = chosen(found, stated, channel, str(file.path))
    _refuse_missing(file, len(ordered), stated)
    return ordered


def _refuse_missing(file: File, planes: int, stated: Stated) -> None:
    """Refuse a file with fewer planes than it declares; warn where the others are other files'."""
    declared = stated.sizes["Z"] * stated.sizes["T"]
    names = {name for name, _ in (stated.planes or {}).values()}
    if planes == declared:
        return
    if planes > 1 and names <= {None}:
        raise ValueError(_incomplete(file, declared, planes))
    LOG.warning("%s holds %d of the %d planes that it declares", file.path, planes, declared)


def _incomplete(file: File, declared: int, pages: int) -> str:
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
    file = path.open("wb")
    try:
        with file:
            file.write(encoded.getbuffer())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def is_own_plane(path: Path) -> bool:
    """Whether a file is a plane that `write_plane` wrote."""
    if path.suffix != ".tif" or not path.is_file():
        return False
    try:
        with quiet(), opened(path) as file, damage_named(path):
            return file.pages.first.software == SOFTWARE
    except ValueError:
        return False
