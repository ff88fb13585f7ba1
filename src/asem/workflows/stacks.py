"""Import and export: TIFF and other sources to OME-Zarr, and back to TIFF planes."""

import shutil
import tempfile
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
from asem.volume.levels import CHUNK, SHARD
from asem.volume.roi import Roi, parse_roi
from asem.volume.volume import Blank, Kind, Volume

SLAB_BYTES = 2**30
"""What is read at a time: 256 planes of 2,000 x 2,000 voxels of 8 bits."""


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
    cropped = volume.blank(part)
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

        def copy(block: Roi) -> None:
            voxels = volume.read(block.shift(part.offset))
            _check_finite(voxels, volume.name)
            output.write(block, voxels)

        blocks = _slabs(cropped, SHARD[0], multiple=SHARD[1])
        run_blocks(copy, blocks, output.journal, stage="import", progress=progress)
        if volume.kind == "image" and volume.window is None:
            # A crop has the contrast of the whole.
            whole = output.volume if part == volume.roi else volume
            output.volume = replace(output.volume, window=_window(whole))
    return ngff.open_image(destination)


def _slabs(volume: Volume, planes: int, *, multiple: int = 1) -> Iterator[Roi]:
    """Cut into slabs of `planes`, of whole planes if that fits the budget, else of rows.

    Each plane of a stack is decoded once per slab: mostly once. The rows of a slab are a multiple
    of `multiple`, so that no two slabs write one file.
    """
    _, height, width = volume.shape
    rows = int(SLAB_BYTES / (planes * width * volume.dtype.itemsize)) // multiple * multiple
    return tile(volume.roi, (planes, min(height, max(multiple, rows)), width))


def _check_labels(volume: Volume, part: Roi) -> None:
    """Refuse labels that are no ids, or that name nothing but unknown voxels."""
    if not np.issubdtype(volume.dtype, np.unsignedinteger):
        raise ValueError(
            f"{volume.name} is {volume.dtype}; labels must be unsigned integers (0 background)"
        )
    unknown = unknown_id(volume.dtype)
    only_unknown = False
    for slab in _slabs(volume, 16):
        voxels = volume.read(slab.intersect(part))
        if np.any((voxels != 0) & (voxels != unknown)):
            return
        only_unknown = only_unknown or bool(voxels.any())
    if only_unknown:
        raise ValueError(
            f"{volume.name} holds only 0 and {unknown}, and {unknown}, the largest value of "
            f"{volume.dtype}, means unknown; write foreground as 1"
        )


def _check_finite(voxels: npt.NDArray[Any], name: str) -> None:
    if not np.issubdtype(voxels.dtype, np.integer) and not np.isfinite(voxels).all():
        raise ValueError(f"{name} holds NaN or infinite values; replace them first")


def _window(volume: Volume) -> tuple[float, float]:
    """Measure the contrast window, reading the volume twice."""
    if volume.dtype == np.uint8:
        return 0.0, 255.0

    def blocks() -> Iterator[npt.NDArray[Any]]:
        for slab in _slabs(volume, SHARD[0]):
            voxels = volume.read(slab)
            _check_finite(voxels, volume.name)
            yield voxels

    extremes = [(float(voxels.min()), float(voxels.max())) for voxels in blocks()]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    return percentile_window(blocks(), low, high)


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
    _make_way_for_planes(destination, overwrite=overwrite)
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    try:
        _write_planes(partial, source.resolve().name, canvas, volume, progress)
        if destination.exists():
            shutil.rmtree(destination)
        partial.chmod(0o755)
        partial.rename(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return canvas.shape[0]


def _write_planes(
    folder: Path, name: str, canvas: Volume, volume: Volume, progress: Progress
) -> None:
    """Write the planes of `canvas` with `volume` in its place, a few at a time."""
    total, height, width = canvas.shape
    digits = max(4, len(str(total - 1)))
    thickness = int(SLAB_BYTES / (2 * height * width * canvas.dtype.itemsize))
    for layer in tile(canvas.roi, (max(1, min(CHUNK[0], thickness)), height, width)):
        for number, plane in enumerate(canvas.read_placed(volume, layer), layer.offset[0]):
            path = folder / f"{name}_{number:0{digits}d}.tif"
            tiff.write_plane(path, plane, canvas.voxel_size[1:])
        progress("export", layer.end[0] * height * width, canvas.roi.size)


def _make_way_for_planes(destination: Path, *, overwrite: bool) -> None:
    """Refuse what exists already; with `overwrite`, all but folders of planes that asem wrote."""
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise FileExistsError(f"{destination} is a file or a link; name a folder to make")
    if not destination.exists() or not any(destination.iterdir()):
        return
    if not overwrite:
        raise FileExistsError(f"{destination} exists already; give --overwrite to replace it")
    others = [entry.name for entry in destination.iterdir() if not tiff.is_own_plane(entry)]
    if others:
        raise FileExistsError(
            f"{destination} holds more than planes that asem exported ({others[0]}); it is not "
            "replaced"
        )
