"""Import TIFF stacks and other sources as OME-Zarr images."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.destination import check_destination
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.output_image import create_image
from asem.blocks.run_blocks import Progress, no_progress
from asem.config import NmZYX, check_numbers, shorten
from asem.volume import ngff
from asem.volume.address import Address, AddressLike, local_paths
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.source_image import (
    DEFAULT_SOURCE_OPTIONS,
    SourceImage,
    SourceOptions,
)
from asem.volume.id_selection import IdSelection
from asem.volume.label_views import check_ids, unlabelled_id
from asem.volume.roi import Roi, parse_roi
from asem.volume.sources import make_source_volume
from asem.volume.value_checks import warn_of_ids
from asem.volume.volume import Volume, VolumeKind, check_geometry
from asem.volume.zarr_arrays import DTYPES
from asem.workflows.import_copy import copy_voxels
from asem.workflows.label_checks import inspect_labels
from asem.workflows.label_ids import LabelConversion, UnlabelledOption, stored_dtype
from asem.workflows.slab_buffer import check_slab_fits


@dataclass(frozen=True)
class ImportOptions:
    """Options of the conversion of pixels to grey values or ids.

    Parameters
    ----------
    source_options
        Channel, inversion, override of the voxel size.
    window
        Grey values of black and white; None: measured. For images of more than 8 bits.
    unlabelled
        Value that means unlabelled (`asem.workflows.label_checks.inspect_labels`).
    ids
        Ids of labels that are foreground, stored as 1, all others as 0; None: all are stored.
    """

    source_options: SourceOptions = DEFAULT_SOURCE_OPTIONS
    window: tuple[float, float] | None = None
    unlabelled: UnlabelledOption = "auto"
    ids: IdSelection | None = None


DEFAULT_IMPORT_OPTIONS = ImportOptions()


def import_volume(
    source: AddressLike,
    destination: Path,
    *,
    voxel_size: NmZYX | None = None,
    offset_nm: NmZYX | None = None,
    kind: VolumeKind | None = None,
    roi: str | None = None,
    options: ImportOptions = DEFAULT_IMPORT_OPTIONS,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Store a stack as an OME-NGFF image with its pyramid (paper, Data preprocessing, 1 and 2).

    Each plane is read once for the copy: band by band where the file allows it, else slab by slab.
    Labels are read and checked once more before anything is written. For a crop of a local image,
    contrast window and padding are measured from all planes of the source; for a crop of a URL, or
    with a given window, from the voxels of the crop.

    ::

        planes 0..255    rows |-- band --|-- band --|     a band: some rows of shards
        planes 256..511  rows |-- band --|-- band --|     a slab: all rows

    Parameters
    ----------
    source
        Path or URL of an image in any format (docs/formats.md).
    destination
        The image group to write, for instance ``cell.zarr/raw``.
    voxel_size, offset_nm
        nm along (z, y, x); for sources that do not state them.
    kind
        ``"image"`` or ``"labels"``.
    roi
        Import only ``z0:z1,y0:y1,x0:x1``; the original grid is stored, so that an export writes
        each voxel to its original position.
    options
        Further options.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Executor of the blocks, and progress callback.

    Returns
    -------
    Volume
        The finished image.

    Raises
    ------
    ValueError, OSError
        The source cannot be read, or its files changed after they were opened.
    """
    _check_options(options)
    check_geometry(voxel_size, offset_nm, kind)
    source = Address.parse(source)
    image = replace(open_source_image(source, options.source_options, kind), address=source)
    volume = make_source_volume(
        image,
        voxel_size=voxel_size,
        offset_nm=offset_nm,
        kind=kind,
        options=options.source_options,
    )
    part = parse_roi(roi, volume.shape) if roi else volume.roi
    dtype, counts, unlabelled = volume.dtype, None, options.unlabelled
    check_slab_fits(volume, part, destination)
    if volume.kind == "labels":
        unlabelled = _resolve_unlabelled(image, volume, options)
        dtype = stored_dtype(volume.dtype, unlabelled)
        check_no_window(options.window, volume)
        check_destination(destination, local_paths(source), overwrite=overwrite)
        if options.ids is not None:
            check_ids(options.ids, volume.name, dtype)
        counts = inspect_labels(volume, part, unlabelled, ids=options.ids, progress=progress)
    else:
        _check_image(volume, options)
    written_dtype = dtype if options.ids is None else np.dtype(np.uint8)
    cropped = volume.zeros(part, dtype=written_dtype, padding=volume.padding)
    with create_image(
        destination,
        cropped,
        command="import",
        request=_request(volume, part, options),
        sources=local_paths(source),
        inputs=[volume],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        if counts is not None:
            output.provenance["voxels"] = counts.to_dict()
        convert = LabelConversion(dtype, unlabelled, options.ids)
        is_cheap = not source.is_remote and options.window is None
        copy_voxels(output, volume, part, convert, measures_source=is_cheap and part != volume.roi)
        if kind is None and image.kind is None:
            warn_of_ids(replace(output.volume, name=volume.name))
        if options.window is not None:
            output.volume = replace(output.volume, window=options.window)
    return ngff.open_image(destination)


def _check_options(options: ImportOptions) -> None:
    """Check the types of options; the command line parses them, other callers may be wrong."""
    if options.window is not None:
        check_numbers("window", options.window, 2, "the grey values of black and white")
    if not isinstance(options.unlabelled, int) and options.unlabelled not in ("auto", "none"):
        value = shorten(options.unlabelled)
        raise ValueError(f"unlabelled {value}: give an integer, 'auto' or 'none'")


def _resolve_unlabelled(
    image: SourceImage, volume: Volume, options: ImportOptions
) -> UnlabelledOption:
    """Replace ``"auto"`` by the largest value where the metadata state that it means unlabelled.

    `inspect_labels` then does not check for a mask.
    """
    if options.unlabelled == "auto":
        is_stated = image.is_label_image or image.label_values is not None
        return unlabelled_id(volume.dtype) if is_stated else "auto"
    if image.label_values is not None:
        raise ValueError(f"{image.address} states its unlabelled value; leave out --unlabelled")
    return options.unlabelled


def _request(volume: Volume, part: Roi, options: ImportOptions) -> dict[str, Any]:
    """Return everything that determines the content of an import."""
    return {
        "source": volume.identity,
        "voxel_size": volume.voxel_size,
        "roi": str(part),
        "offset_nm": volume.offset_nm,
        "kind": volume.kind,
        "channel": options.source_options.channel,
        "invert": options.source_options.invert,
        "window": options.window,
        "unlabelled": options.unlabelled,
        **({} if options.ids is None else {"ids": str(options.ids)}),
    }


def _check_image(volume: Volume, options: ImportOptions) -> None:
    """Raise ValueError for options of labels, a wrong window, and a dtype that is not allowed."""
    if options.unlabelled != "auto" or options.ids is not None:
        option = "--ids" if options.ids is not None else "--unlabelled"
        raise ValueError(
            f"{volume.name} is imported as an image; {option} is for labels (--kind labels)"
        )
    if volume.dtype.name not in DTYPES:
        raise ValueError(f"{volume.name} is {volume.dtype}; images are {', '.join(DTYPES)}")
    if volume.dtype == np.uint8:
        check_no_window(options.window, volume)
    if options.window is not None:
        black, white = options.window
        if not np.isfinite(options.window).all() or black >= white:
            raise ValueError(f"--window {black:g},{white:g}: give black,white, black first")


def check_no_window(window: tuple[float, float] | None, volume: Volume) -> None:
    """Raise ValueError where a window is given for labels or an 8-bit image."""
    if window is not None:
        what = "labels" if volume.kind == "labels" else "8-bit, which is always 0 to 255"
        raise ValueError(f"{volume.name} is {what}; --window is for 16-bit and float images")
