"""Export an image as TIFF planes on its original grid."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from asem.blocks.output_nesting import check_not_within_output
from asem.blocks.run_blocks import Progress, no_progress
from asem.system.files import check_utf8_path
from asem.system.folder_replacement import replace_folder
from asem.system.resources import check_free_disk, check_free_memory
from asem.volume import tiff_sources
from asem.volume.address import Address, AddressLike
from asem.volume.block_grid import split_into_blocks
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.sources import open_volume
from asem.volume.volume import Volume, ZeroArray
from asem.volume.zarr_arrays import CHUNK

MAX_SLAB_BYTES = 2**29
"""Bytes read at a time: some planes, at most those of one chunk."""
PLANES_IN_MEMORY = 3
"""Read, placed on the original grid, and encoded."""
PLANE_OVERHEAD_BYTES = 4096
"""Header of a plane, and the unused end of its last block on disk."""


def export_volume(
    source: AddressLike,
    destination: Path,
    *,
    like: AddressLike | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> int:
    """Write an image as one TIFF file per plane, on the grid from which it was cropped.

    ::

        original grid   0 0 0 0 0 0 0        same pixels and dtype,
                        0 0 # # # 0 0        zero outside the volume
                        0 0 # # # 0 0

    The folder gets its name when it is complete; an interrupted export leaves no folder.

    Parameters
    ----------
    source
        The image to export.
    destination
        The folder to create.
    like
        Volume whose original grid is used instead of that of `source`.
    overwrite
        Replace a folder of planes at `destination` that asem exported.
    progress
        Called after each slab of planes.

    Returns
    -------
    int
        The number of planes.

    Raises
    ------
    FileExistsError
        `destination` exists and may not be replaced, or was created meanwhile.
    """
    volume = open_volume(source)
    if like is not None:
        reference = open_volume(like)
        volume.roi_of(reference)  # raises for another voxel size or a shift by part of a voxel
        volume = replace(volume, stated_grid=reference.original_grid)
    canvas = volume.with_array(
        ZeroArray(volume.original_grid.shape, volume.dtype),
        offset_nm=volume.original_grid.origin_nm,
        stated_grid=None,
        name=f"the original grid of {like or source}",
    )
    canvas.overlap_with(volume)  # raises where the grid has no voxel of the volume
    _check_free_space(canvas, destination)
    check_utf8_path(destination)
    check_not_within_output(destination)
    with replace_folder(destination, partial(_check_destination, overwrite=overwrite)) as folder:
        _write_planes(folder, _plane_name(source), canvas, volume, progress)
        check_not_replaced([volume])
    return canvas.shape[0]


def _plane_name(source: AddressLike) -> str:
    """Return the start of the file names of planes."""
    address = Address.parse(source)
    is_folder = not address.is_remote and not address.dataset
    return address.path.resolve().name if is_folder else address.name


def _check_free_space(canvas: Volume, destination: Path) -> None:
    """Raise ValueError where memory or disk cannot hold the planes, which are not compressed."""
    depth, height, width = canvas.shape
    plane_bytes = height * width * canvas.dtype.itemsize
    check_free_memory(PLANES_IN_MEMORY * plane_bytes, f"a plane of {height} x {width} pixels")
    total_bytes = depth * (plane_bytes + PLANE_OVERHEAD_BYTES)
    what = f"writing {depth} planes of {height} x {width} pixels"
    check_free_disk(destination.absolute().parent, total_bytes, what)


def _write_planes(
    folder: Path, name: str, canvas: Volume, volume: Volume, progress: Progress
) -> None:
    """Write the planes of `canvas`, which contain `volume`, one slab at a time."""
    depth, height, width = canvas.shape
    digits = max(4, len(str(depth - 1)))
    thickness = MAX_SLAB_BYTES // (height * width * canvas.dtype.itemsize)
    for slab in split_into_blocks(canvas.roi, (max(1, min(CHUNK[0], thickness)), height, width)):
        for z, plane in enumerate(canvas.read_aligned(volume, slab), slab.offset[0]):
            path = folder / f"{name}_{z:0{digits}d}.tif"
            tiff_sources.write_plane(path, plane, canvas.voxel_size[1:])
        progress("export", slab.end[0] * height * width, canvas.roi.size)


def _check_destination(destination: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError unless `overwrite`, and for a folder with other files than planes."""
    if not destination.is_dir():
        raise FileExistsError(f"{destination} is a file; name a folder to make")
    if not overwrite:
        raise FileExistsError(f"{destination} exists already; give --overwrite to replace it")
    others = [
        entry.name
        for entry in destination.iterdir()
        if entry.is_symlink() or not tiff_sources.is_exported_plane(entry)
    ]
    if others:
        raise FileExistsError(
            f"{destination} holds more than planes that asem exported ({others[0]}); it is not "
            "replaced"
        )
