"""Import: TIFF and other sources to OME-Zarr."""

import os
import tempfile
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
from asem.volume.contrast import BINS, GreyBins, dtype_extremes
from asem.volume.formats import open_source
from asem.volume.grid import tile
from asem.volume.planes import PlaneStack
from asem.volume.roi import Roi, Triple, negative, parse_roi
from asem.volume.volume import Kind, Volume

BAND_BYTES = 2**27
"""What is written at a time, and read at a time where rows can be read alone."""
LAYER_BYTES = 2**30
"""What is kept in memory where planes are decoded whole; more goes through a file."""

MOST_COUNTS = 6
"""How often bins are made anew; each time they are up to a hundred times finer."""


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
    file allows it, else the whole layer. (Besides, labels are looked through up to the first id,
    and a crop of more than 8 bits gets its contrast window from all planes.)

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
        *bands, last = self._bands(block)
        for band in bands:
            self._write_band(band, block, voxels).result()
        return self._write_band(last, block, voxels)

    def _write_band(self, band: Roi, block: Roi, voxels: npt.NDArray[Any]) -> Promise:
        inside = voxels[band.shift(negative(block.offset)).slices]
        _check_finite(inside, self.source.name)
        return self.target.write(band.slices, inside)


@contextmanager
def _file(folder: Path, shape: Triple, dtype: np.dtype[Any]) -> Iterator[npt.NDArray[Any]]:
    """Make an array in a file for what is too large for memory; the file has no name."""
    with tempfile.TemporaryFile(dir=folder) as file:
        # A page that finds no space later would kill the process.
        os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * dtype.itemsize)
        yield np.memmap(file, dtype, "r+", shape=shape)


def _check_labels(volume: Volume, part: Roi) -> None:
    """Refuse labels that are no ids, or that name nothing but unknown voxels."""
    if not np.issubdtype(volume.dtype, np.unsignedinteger):
        raise ValueError(
            f"{volume.name} is {volume.dtype}; labels must be unsigned integers (0 background)"
        )
    unknown = unknown_id(volume.dtype)
    only_unknown = False
    for planes in _layers(part, volume.dtype):
        voxels = volume.read(planes)
        if np.any((voxels != 0) & (voxels != unknown)):
            return
        only_unknown = only_unknown or bool(voxels.any())
    if only_unknown:
        raise ValueError(
            f"{volume.name} holds only 0 and {unknown}, and {unknown}, the largest value of "
            f"{volume.dtype}, means unknown; write foreground as 1"
        )


def _layers(roi: Roi, dtype: np.dtype[Any]) -> Iterator[Roi]:
    """Cut into layers of as many whole planes as are read at a time."""
    plane = roi.shape[1] * roi.shape[2] * dtype.itemsize
    return tile(roi, (min(16, max(1, BAND_BYTES // plane)), *roi.shape[1:]))


def _check_finite(voxels: npt.NDArray[Any], name: str) -> None:
    if not np.issubdtype(voxels.dtype, np.integer) and not np.isfinite(voxels).all():
        raise ValueError(f"{name} holds NaN or infinite values; replace them first")


def _window(output: Output, source: Volume, part: Roi) -> tuple[float, float]:
    """Measure the contrast window of the whole source: a crop has the contrast of the whole.

    Bins that few outliers stretch are made anew around the percentiles they gave, until they
    resolve the window.
    """
    if source.dtype == np.uint8:
        return 0.0, 255.0
    if part == source.roi:
        whole, blocks = output.volume, output.shards()
    else:
        whole, blocks = source, list(_layers(source.roi, source.dtype))
    block_bytes = max(block.size for block in blocks) * (source.dtype.itemsize + 2)
    extremes = dtype_extremes(source.dtype)
    if extremes is None:
        found = output.partials("extremes")
        work = partial(_extremes, volume=whole, found=found)
        output.run(work, blocks, stage="extremes", block_bytes=block_bytes)
        lows, highs = zip(*(found.load(block)["extremes"] for block in blocks), strict=True)
        extremes = float(min(lows)), float(max(highs))
    integer = np.issubdtype(source.dtype, np.integer)
    bins: GreyBins | None = GreyBins.between(*extremes, integer=integer)
    window: tuple[float, float] | None = None
    finer = 0
    while bins is not None and finer < MOST_COUNTS:
        counted = output.partials(f"contrast {finer}")
        count = partial(_count, volume=whole, bins=bins, counted=counted)
        output.run(count, blocks, stage=f"contrast {finer}", block_bytes=block_bytes)
        counts = np.zeros(BINS, np.int64)
        for block in blocks:
            counts += counted.load(block)["counts"]
        black, white = bins.percentiles(counts)
        if white > black:
            window = black, white
        elif window is None:
            window = bins.window(counts)
        bins, finer = bins.finer(counts), finer + 1
    assert window is not None
    return window


def _extremes(block: Roi, *, volume: Volume, found: Partials) -> None:
    voxels = volume.read(block)
    _check_finite(voxels, volume.name)
    found.save(block, extremes=np.array([voxels.min(), voxels.max()], np.float64))


def _count(block: Roi, *, volume: Volume, bins: GreyBins, counted: Partials) -> None:
    counted.save(block, counts=bins.count(volume.read(block)))
