"""Import and export: TIFF and other sources to OME-Zarr, and back to TIFF planes."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output import new_image
from asem.blocks.run import Progress, run_blocks, silent
from asem.config import Nm3
from asem.image.labels import unknown_id
from asem.volume import ngff, tiff
from asem.volume.contrast import percentile_window
from asem.volume.formats import open_source, open_volume
from asem.volume.grid import tile
from asem.volume.roi import Roi, parse_roi, subtract
from asem.volume.volume import Blank, Kind, Volume


def import_volume(
    source: Path,
    destination: Path,
    *,
    voxel_size: Nm3 | None = None,
    offset_nm: Nm3 | None = None,
    kind: Kind | None = None,
    roi: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Volume:
    """Store a stack as an OME-NGFF image with its pyramid.

    Parameters
    ----------
    source
        A folder of TIFF planes, a TIFF file, or an OME-NGFF image.
    destination
        The image group to write, for instance ``cell.zarr/raw``.
    voxel_size, offset_nm
        nm along (z, y, x); for sources that do not state them.
    kind
        ``"image"`` or ``"labels"``.
    roi
        Import only ``z0:z1,y0:y1,x0:x1``; the original grid is kept, so that an export puts every
        voxel back.
    overwrite
        Replace an image at `destination`.
    progress
        Told of every block.

    Returns
    -------
    Volume
        The finished image.
    """
    volume = open_source(source, voxel_size=voxel_size, offset_nm=offset_nm, kind=kind)
    part = parse_roi(roi, volume.shape) if roi else volume.roi
    if volume.kind == "labels":
        _check_labels(volume, part)
    cropped = replace(
        volume,
        array=Blank(part.shape, volume.dtype),
        offset_nm=volume.position_nm(part.offset),
        original=volume.grid,
    )
    request = {"source": volume.identity, "voxel_size": volume.voxel_size, "roi": str(part),
               "offset_nm": volume.offset_nm, "kind": volume.kind}  # fmt: skip
    with new_image(
        destination,
        cropped,
        command="import",
        request=request,
        sources=[source],
        overwrite=overwrite,
        progress=progress,
    ) as output:
        # A block is one layer of shards: each plane of the source is decoded once.
        layers = tile(cropped.roi, (ngff.SHARD, *part.shape[1:]))

        def copy(block: Roi) -> None:
            output.write(block, volume.read(block.shift(part.offset)))

        run_blocks(copy, layers, output.journal, stage="import", progress=progress)
        if volume.kind == "image" and volume.window is None:
            output.volume = replace(output.volume, window=_window(output.volume))
    return ngff.open_image(destination)


def _check_labels(volume: Volume, part: Roi) -> None:
    """Refuse labels that are no ids, or that name nothing but unknown voxels."""
    if not np.issubdtype(volume.dtype, np.unsignedinteger):
        raise ValueError(
            f"{volume.name} is {volume.dtype}; labels must be unsigned integers (0 background)"
        )
    unknown = unknown_id(volume.dtype)
    only_unknown = False
    for block in tile(part, (16, *part.shape[1:])):
        voxels = volume.read(block)
        if np.any((voxels != 0) & (voxels != unknown)):
            return
        only_unknown = only_unknown or bool(voxels.any())
    if only_unknown:
        raise ValueError(
            f"{volume.name} holds only 0 and {unknown}, and {unknown}, the largest value of "
            f"{volume.dtype}, means unknown; write foreground as 1"
        )


def _window(volume: Volume) -> tuple[float, float]:
    if volume.dtype == np.uint8:
        return 0.0, 255.0

    def blocks() -> Iterator[npt.NDArray[Any]]:
        for block in tile(volume.roi, (ngff.SHARD,) * 3):
            yield volume.read(block)

    low, high = np.inf, -np.inf
    for voxels in blocks():
        low, high = min(low, voxels.min()), max(high, voxels.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(f"{volume.name} holds NaN or infinite values; replace them first")
    return percentile_window(blocks(), float(low), float(high))


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

    The folder appears under its name when it is complete.

    Parameters
    ----------
    source
        The image group to export.
    destination
        The folder to make.
    like
        Take the original grid of this volume instead of the source's own.
    overwrite
        Replace a folder of TIFF planes at `destination`.
    progress
        Told of every layer of planes.

    Returns
    -------
    int
        The number of planes.
    """
    volume = open_volume(source)
    if like is not None:
        frame = open_volume(like)
        volume.place_of(frame)  # refuses another voxel size and a broken shift
        volume = replace(volume, original=frame.grid)
    _make_way_for_planes(destination, overwrite=overwrite)
    partial = destination.with_name(f"{destination.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    grid = Roi.whole(volume.grid.shape)
    place = volume.roi.shift(volume.original_offset)
    digits = max(4, len(str(grid.shape[0] - 1)))
    for layer in tile(grid, (ngff.CHUNK, *grid.shape[1:])):
        planes = np.zeros(layer.shape, volume.dtype)
        common = layer.intersect(place)
        if common.size:
            inside = common.shift(subtract((0, 0, 0), place.offset))
            planes[common.shift(subtract((0, 0, 0), layer.offset)).slices] = volume.read(inside)
        for number, plane in enumerate(planes, layer.offset[0]):
            path = partial / f"{source.name}_{number:0{digits}d}.tif"
            tiff.write_plane(path, plane, volume.voxel_size[1:])
        progress("export", layer.end[0] * grid.shape[1] * grid.shape[2], grid.size)
    if destination.exists():
        shutil.rmtree(destination)
    partial.rename(destination)
    return grid.shape[0]


def _make_way_for_planes(destination: Path, *, overwrite: bool) -> None:
    """Refuse what exists already; with `overwrite`, all but folders of nothing but TIFF files."""
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return
    if not overwrite:
        raise FileExistsError(f"{destination} exists already; give --overwrite to replace it")
    files = list(destination.iterdir()) if destination.is_dir() else [destination]
    if any(file.suffix not in tiff.SUFFIXES or not file.is_file() for file in files):
        raise FileExistsError(f"{destination} holds more than TIFF planes; it is not replaced")
