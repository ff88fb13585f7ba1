"""Export: an image to TIFF planes on the grid of the microscope."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from asem.blocks.enclosing import refuse_within_output
from asem.blocks.run import Progress, silent
from asem.system.files import refuse_undecodable
from asem.system.folders import replaced_folder
from asem.system.resources import refuse_without_disk, refuse_without_memory
from asem.volume import tiff
from asem.volume.arrays import CHUNK
from asem.volume.formats import open_volume
from asem.volume.grid import tile
from asem.volume.replaced import refuse_replaced
from asem.volume.volume import Blank, Volume

LAYER_BYTES = 2**29
"""What is read at a time: a layer of chunks."""
PLANES_IN_MEMORY = 3
"""Read, placed, and encoded."""
BYTES_AROUND = 4096
"""Of the header of a plane, and of its last block on disk."""


def export_volume(
    source: Path,
    destination: Path,
    *,
    like: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> int:
    """Write an image as one TIFF file a plane, on the grid it was cut from.

    ::

        original grid   0 0 0 0 0 0 0        same pixels and dtype,
                        0 0 # # # 0 0        zero where the volume is not
                        0 0 # # # 0 0

    The folder appears under its name when it is complete; whatever stops the export leaves none.

    Parameters
    ----------
    source
        The image group to export.
    destination
        The folder to make.
    like
        Take the original grid of this volume instead of the source's own.
    overwrite
        Replace a folder of planes at `destination` that asem exported.
    progress
        Told of every layer of planes.

    Returns
    -------
    int
        The number of planes.

    Raises
    ------
    FileExistsError
        Something lies at `destination` that may not be replaced, or appeared there meanwhile.
    """
    volume = open_volume(source)
    if like is not None:
        frame = open_volume(like)
        volume.place_of(frame)  # refuses another voxel size and a broken shift
        volume = replace(volume, original=frame.grid)
    canvas = volume.like(
        Blank(volume.grid.shape, volume.dtype),
        offset_nm=volume.grid.origin_nm,
        original=None,
        name=f"the original grid of {like or source}",
    )
    canvas.common(volume)  # refuses a grid that misses
    _refuse_large(canvas, destination)
    refuse_undecodable(destination)
    refuse_within_output(destination)
    with replaced_folder(destination, partial(_check_old, overwrite=overwrite)) as folder:
        _write_planes(folder, source.resolve().name, canvas, volume, progress)
        refuse_replaced([volume])
    return canvas.shape[0]


def _refuse_large(canvas: Volume, destination: Path) -> None:
    """Refuse planes that memory or disk cannot hold; they are written without compression."""
    depth, height, width = canvas.shape
    plane = height * width * canvas.dtype.itemsize
    refuse_without_memory(PLANES_IN_MEMORY * plane, f"a plane of {height} x {width} pixels")
    what = f"writing {depth} planes of {height} x {width} pixels"
    refuse_without_disk(destination.absolute().parent, depth * (plane + BYTES_AROUND), what)


def _write_planes(
    folder: Path, name: str, canvas: Volume, volume: Volume, progress: Progress
) -> None:
    """Write the planes of `canvas` with `volume` in its place, a few at a time."""
    total, height, width = canvas.shape
    digits = max(4, len(str(total - 1)))
    thickness = LAYER_BYTES // (height * width * canvas.dtype.itemsize)
    for layer in tile(canvas.roi, (max(1, min(CHUNK[0], thickness)), height, width)):
        for number, plane in enumerate(canvas.read_placed(volume, layer), layer.offset[0]):
            path = folder / f"{name}_{number:0{digits}d}.tif"
            tiff.write_plane(path, plane, canvas.voxel_size[1:])
        progress("export", layer.end[0] * height * width, canvas.roi.size)


def _check_old(destination: Path, *, overwrite: bool) -> None:
    """Refuse to replace what exists; with `overwrite`, all but planes that asem wrote."""
    if not destination.is_dir():
        raise FileExistsError(f"{destination} is a file; name a folder to make")
    if not overwrite:
        raise FileExistsError(f"{destination} exists already; give --overwrite to replace it")
    others = [
        entry.name
        for entry in destination.iterdir()
        if entry.is_symlink() or not tiff.is_own_plane(entry)
    ]
    if others:
        raise FileExistsError(
            f"{destination} holds more than planes that asem exported ({others[0]}); it is not "
            "replaced"
        )
