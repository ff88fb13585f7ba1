"""Import: TIFF and other sources to OME-Zarr."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks import journal
from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import Output, new_image
from asem.blocks.partials import Partials
from asem.blocks.run import Progress, silent
from asem.config import Nm3
from asem.image.labels import unknown_id
from asem.volume import ngff
from asem.volume.arrays import SHARD, Promise, Stored
from asem.volume.contrast import GreyBins, dtype_extremes
from asem.volume.formats import open_source
from asem.volume.grid import tile
from asem.volume.planes import PlaneStack
from asem.volume.roi import Roi, Triple, negative, parse_roi
from asem.volume.volume import Kind, Volume

BAND_BYTES = 2**27
"""What is written at a time, and read at a time where rows can be read alone."""
LAYER_BYTES = 2**30
"""What is kept in memory where planes are decoded whole; more goes through a file."""


def import_volume(
    source: Path,
    destination: Path,
    *,
    voxel_size: Nm3 | None = None,
    offset_nm: Nm3 | None = None,
    kind: Kind | None = None,
    roi: str | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Store a stack as an OME-NGFF image with its pyramid (paper, Data preprocessing, 1 and 2).

    Each plane is read once, whatever its size: the rows of one layer of shards at a time where the
    file allows it, else the whole layer.

    ::

        planes 0..255    rows |-- band --|-- band --|     a band: some rows of shards
        planes 256..511  rows |-- band --|-- band --|     a layer: all rows

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
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished image.

    Raises
    ------
    ValueError, OSError
        The source cannot be read, or its files changed since it was opened or the import begun.
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
        executor=executor,
        progress=progress,
    ) as output:
        copy = _Copy(volume, part.offset, output.array, output.path / journal.NAME)
        blocks = copy.blocks(cropped.roi)
        largest = max(block.size for block in blocks) * volume.dtype.itemsize
        output.run(copy, blocks, stage="import", block_bytes=min(2 * largest, 2 * LAYER_BYTES))
        if volume.kind == "image" and volume.window is None:
            output.volume = replace(output.volume, window=_window(output, volume, part))
    return ngff.open_image(destination)


@dataclass(frozen=True)
class _Copy:
    """Copies blocks of a source to an array; boxes in the voxels of the array."""

    source: Volume
    shift: Triple
    target: Stored
    spool: Path

    def blocks(self, roi: Roi) -> list[Roi]:
        """Cut into bands, or into layers where planes are decoded whole."""
        array = self.source.array
        if isinstance(array, PlaneStack) and not array.reads_rows:
            return list(tile(roi, (SHARD[0], *roi.shape[1:])))
        return list(self._bands(roi))

    def _bands(self, roi: Roi) -> Iterator[Roi]:
        width = roi.shape[2]
        row_of_shards = SHARD[0] * SHARD[1] * width * self.source.dtype.itemsize
        return tile(roi, (SHARD[0], max(1, BAND_BYTES // row_of_shards) * SHARD[1], width))

    def __call__(self, block: Roi) -> Promise:
        """Copy one block."""
        place, array = block.shift(self.shift), self.source.array
        large = block.size * self.source.dtype.itemsize > LAYER_BYTES
        if large and isinstance(array, PlaneStack) and not array.reads_rows:
            with _file(self.spool, block.shape, self.source.dtype) as layer:
                array.read_into(layer, place.slices)
                return self._write(block, layer)
        return self._write(block, self.source.read(place))

    def _write(self, block: Roi, voxels: npt.NDArray[Any]) -> Promise:
        """Write band after band, so that few are encoded at a time; the last one is promised."""
        _check_finite(voxels, self.source.name)
        *bands, last = self._bands(block)
        for band in bands:
            self._write_band(band, block, voxels).result()
        return self._write_band(last, block, voxels)

    def _write_band(self, band: Roi, block: Roi, voxels: npt.NDArray[Any]) -> Promise:
        inside = voxels[band.shift(negative(block.offset)).slices]
        return self.target.write(band.slices, inside)


@contextmanager
def _file(folder: Path, shape: Triple, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    """Make an array in a file that is gone afterwards, for what is too large for memory."""
    path = folder / f"layer-{uuid.uuid4().hex}"
    try:
        yield np.memmap(path, dtype, "w+", shape=shape)
    finally:
        path.unlink(missing_ok=True)


def _check_labels(volume: Volume, part: Roi) -> None:
    """Refuse labels that are no ids, or that name nothing but unknown voxels."""
    if not np.issubdtype(volume.dtype, np.unsignedinteger):
        raise ValueError(
            f"{volume.name} is {volume.dtype}; labels must be unsigned integers (0 background)"
        )
    unknown = unknown_id(volume.dtype)
    only_unknown = False
    for planes in tile(part, (16, *part.shape[1:])):
        voxels = volume.read(planes)
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


def _window(output: Output, source: Volume, part: Roi) -> tuple[float, float]:
    """Measure the contrast window of the whole source: a crop has the contrast of the whole."""
    if source.dtype == np.uint8:
        return 0.0, 255.0
    if part == source.roi:
        whole, blocks = output.volume, output.shards()
    else:
        whole = source
        blocks = _Copy(source, (0, 0, 0), output.array, output.path).blocks(source.roi)
    extremes = dtype_extremes(source.dtype)
    if extremes is None:
        found = output.partials("extremes")
        output.run(partial(_extremes, volume=whole, found=found), blocks, stage="extremes")
        lows, highs = zip(*(found.load(block)["extremes"] for block in blocks), strict=True)
        extremes = float(min(lows)), float(max(highs))
    bins = GreyBins.between(*extremes, integer=np.issubdtype(source.dtype, np.integer))
    counted = output.partials("contrast")
    work = partial(_count, volume=whole, bins=bins, counted=counted)
    output.run(work, blocks, stage="contrast")
    return bins.window(np.sum([counted.load(block)["counts"] for block in blocks], axis=0))


def _extremes(block: Roi, *, volume: Volume, found: Partials) -> None:
    voxels = volume.read(block)
    _check_finite(voxels, volume.name)
    found.save(block, extremes=np.array([voxels.min(), voxels.max()], np.float64))


def _count(block: Roi, *, volume: Volume, bins: GreyBins, counted: Partials) -> None:
    counted.save(block, counts=bins.count(volume.read(block)))
