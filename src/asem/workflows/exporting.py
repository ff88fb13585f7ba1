"""Export an image in another format: planes, one file, or a pyramid of chunks.

::

    tiff, png, bigtiff             store no position: on the original grid, zero outside the image
    mrc                            the image, or the grid of another (`like`)
    n5, precomputed, ome-zarr-...  the image with its pyramid
"""

import logging
from dataclasses import replace
from pathlib import Path

from asem.blocks.run_blocks import Progress, no_progress
from asem.system.resources import check_free_disk, check_free_memory
from asem.volume.address import Address, AddressLike
from asem.volume.sources import open_levels, open_volume
from asem.volume.volume import Volume, format_nm
from asem.volume.zero_array import ZeroArray
from asem.workflows.export_image import OME_ZARR
from asem.workflows.export_mrc import MRC
from asem.workflows.export_n5 import N5
from asem.workflows.export_planes import BIGTIFF, PNG_PLANES, TIFF_PLANES
from asem.workflows.export_precomputed import PRECOMPUTED
from asem.workflows.export_request import ExportFormat, ExportRequest
from asem.workflows.export_zarr2 import ZARR2

LOG = logging.getLogger(__name__)
PLANES_IN_MEMORY = 3
"""Read, placed on the original grid, and encoded."""
PLANE_OVERHEAD_BYTES = 4096
"""Header of a plane, and the unused end of its last block on disk."""
OTHER_SUFFIXES = (
    ".h5", ".hdf5", ".hdf", ".ims", ".nii", ".gz", ".bz2", ".zip", ".png", ".jpg", ".jpeg", ".npy",
)  # fmt: skip
"""Suffixes of files, of which `asem export` would otherwise create a folder of TIFF planes."""
MAX_COMPRESSION_RATIO = 1000
"""Maximum expected ratio of the size of the voxels of an image to its size on disk."""


def export_volume(
    source: AddressLike,
    destination: Path,
    *,
    format_name: str | None = None,
    like: AddressLike | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write an image in another format; formats without positions on the original grid.

    ::

        original grid   0 0 0 0 0 0 0        same pixels and dtype,
                        0 0 # # # 0 0        zero outside the volume
                        0 0 # # # 0 0

    The output gets its name when it is complete; an interrupted export leaves none. An OME-NGFF 0.5
    image is resumed.

    Parameters
    ----------
    source
        The image to export, in any format.
    destination
        The folder or file to create.
    format_name
        A name of `FORMATS`; None: by the suffix of `destination`, else TIFF planes.
    like
        Volume whose original grid is used instead of that of `source`; for formats without a
        pyramid.
    overwrite
        Replace an export in the same format at `destination`.
    progress
        Called after each slab or block.

    Returns
    -------
    int
        The number of planes.

    Raises
    ------
    FileExistsError
        `destination` exists and may not be replaced, or was created meanwhile.
    ValueError
        The format cannot store the image.
    """
    chosen = choose_format(destination, format_name)
    request = _make_request(source, chosen, like, progress)
    chosen.check(request)
    _warn_of_lost_position(chosen, request.canvas)
    _check_free_space(chosen, request, destination)
    chosen.create(destination, request, overwrite)
    return request.canvas.shape[0]


def choose_format(destination: Path, format_name: str | None) -> ExportFormat:
    """Return the format of an export, by its name or by the suffix of the destination.

    Raises
    ------
    ValueError
        There is no format of this name, or the suffix is that of a format that is not written.
    """
    suffix = destination.suffix.lower()
    if format_name is None:
        if suffix in OTHER_SUFFIXES:
            names = ", ".join(form.name for form in FORMATS)
            raise ValueError(
                f"{destination}: no file with the suffix {suffix} is written; give --format "
                f"({names}), or a folder without suffix for TIFF planes"
            )
        return next((form for form in FORMATS if suffix in form.suffixes), TIFF_PLANES)
    by_name = {form.name: form for form in FORMATS}
    if format_name not in by_name:
        raise ValueError(f"there is no format {format_name}; allowed: {', '.join(by_name)}")
    return by_name[format_name]


def _make_request(
    source: AddressLike, form: ExportFormat, like: AddressLike | None, progress: Progress
) -> ExportRequest:
    """Open an image and choose the grid to be written."""
    if like is not None and form.pyramid is not None:
        raise ValueError(
            "--like is for planes, bigtiff and mrc; other formats store the position of the image"
        )
    levels = open_levels(source) if form.pyramid == "copied" else (open_volume(source),)
    volume, address = levels[0], Address.parse(source)
    request = ExportRequest(address, _name_of(address), volume, volume, levels, progress)
    if like is not None:
        reference = open_volume(like)
        volume.roi_of(reference)  # raises for another voxel size or a shift by part of a voxel
        volume = replace(volume, stated_grid=reference.original_grid)
    elif form.stores_position:
        return request
    canvas = volume.with_array(
        ZeroArray(volume.original_grid.shape, volume.dtype),
        offset_nm=volume.original_grid.origin_nm,
        stated_grid=None,
        name=f"the original grid of {like or source}",
    )
    canvas.overlap_with(volume)  # raises where the grid has no voxel of the volume
    return replace(request, volume=volume, canvas=canvas)


def _name_of(address: Address) -> str:
    """Return the start of the file names of planes."""
    is_folder = not address.is_remote and not address.dataset
    return address.path.resolve().name if is_folder else address.name


def _warn_of_lost_position(form: ExportFormat, canvas: Volume) -> None:
    if not form.stores_position and any(canvas.offset_nm):
        position = ",".join(f"{nm:.10g}" for nm in canvas.offset_nm)
        LOG.warning(
            "%s planes store no position: the first voxel is at %s nm (z, y, x); import them with "
            "--offset-nm %s",
            form.name,
            format_nm(canvas.offset_nm),
            position,
        )


def _check_free_space(form: ExportFormat, request: ExportRequest, destination: Path) -> None:
    """Raise ValueError where memory or disk cannot hold the output."""
    canvas, folder = request.canvas, destination.absolute().parent
    depth, height, width = canvas.shape
    plane_bytes = height * width * canvas.dtype.itemsize
    if form.pyramid is None:
        check_free_memory(PLANES_IN_MEMORY * plane_bytes, f"a plane of {height} x {width} pixels")
    total_bytes = depth * (plane_bytes + PLANE_OVERHEAD_BYTES)
    if form.is_compressed:
        total_bytes = depth * plane_bytes // MAX_COMPRESSION_RATIO
    what = f"writing {depth} planes of {height} x {width} pixels"
    check_free_disk(folder, total_bytes, what)


FORMATS = (TIFF_PLANES, PNG_PLANES, BIGTIFF, ZARR2, N5, PRECOMPUTED, MRC, OME_ZARR)
