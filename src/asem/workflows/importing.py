"""Import: TIFF and other sources to OME-Zarr."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks import journal
from asem.blocks.destination import check_way
from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import Output, new_image
from asem.blocks.partials import Partials
from asem.blocks.run import Progress, silent
from asem.config import Nm3, excerpt, refuse_no_numbers
from asem.image.labels import unknown_id
from asem.volume import ngff
from asem.volume.arrays import DTYPES, SHARD, Promise, Stored
from asem.volume.contrast import count_values
from asem.volume.formats import AS_STATED, SourceOptions, is_tiff, open_source, open_volume
from asem.volume.grid import tile
from asem.volume.planes import PlaneStack
from asem.volume.roi import Roi, Triple, negative, parse_roi
from asem.volume.volume import Kind, Volume
from asem.workflows.grey_values import is_counted_by_value, measure, refuse_not_finite, values_of
from asem.workflows.import_layers import layer_file, refuse_large_layers
from asem.workflows.label_values import (
    Unlabelled,
    as_ids,
    check_labels,
    layers,
    stored_dtype,
)

BAND_BYTES = 2**27
"""What is written at a time, and read at a time where rows can be read alone."""
LAYER_BYTES = 2**30
"""What is kept in memory where planes are decoded whole; more goes through a file."""


@dataclass(frozen=True)
class ImportOptions:
    """How pixels become grey values or ids, where that is not as the source states.

    Parameters
    ----------
    source
        Channel, inversion, which voxel size counts.
    window
        Grey values of black and white; None: measured. For images of more than 8 bits.
    unlabelled
        Value of labels that is unlabelled (`asem.workflows.label_values.check_labels`).
    """

    source: SourceOptions = AS_STATED
    window: tuple[float, float] | None = None
    unlabelled: Unlabelled = "auto"


AS_IT_IS = ImportOptions()


def import_volume(
    source: Path,
    destination: Path,
    *,
    voxel_size: Nm3 | None = None,
    offset_nm: Nm3 | None = None,
    kind: Kind | None = None,
    roi: str | None = None,
    options: ImportOptions = AS_IT_IS,
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Store a stack as an OME-NGFF image with its pyramid (paper, Data preprocessing, 1 and 2).

    Each plane is read once, whatever its size: the rows of one layer of shards at a time where the
    file allows it, else the whole layer. (Besides, labels are read and checked as a whole before
    anything is written, and an image's crop gets its contrast window and padding from all planes.)

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
    options
        What the source leaves open.
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
    _refuse_bad_options(options)
    volume = open_source(
        source, voxel_size=voxel_size, offset_nm=offset_nm, kind=kind, options=options.source
    )
    part = parse_roi(roi, volume.shape) if roi else volume.roi
    dtype, counts, unlabelled = volume.dtype, None, options.unlabelled
    refuse_large_layers(volume, part, destination, in_memory=LAYER_BYTES)
    if volume.kind == "labels":
        unlabelled = _unlabelled(source, volume, options)
        dtype = stored_dtype(volume.dtype, unlabelled)
        refuse_window(options.window, volume)
        check_way(destination, [source], overwrite=overwrite)
        counts = check_labels(volume, part, unlabelled, progress=progress)
    else:
        _check_image(volume, options)
    cropped = volume.blank(part, dtype=dtype, padding=volume.padding)
    with new_image(
        destination,
        cropped,
        command="import",
        request=_request(volume, part, options),
        sources=[source],
        inputs=[volume],
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        if counts is not None:
            output.facts["voxels"] = counts.shown()
        _copy(output, volume, part, unlabelled)
        if options.window is not None:
            output.volume = replace(output.volume, window=options.window)
    return ngff.open_image(destination)


def _refuse_bad_options(options: ImportOptions) -> None:
    """Raise ValueError where a caller gives what the command line cannot."""
    if options.window is not None:
        refuse_no_numbers("window", options.window, 2, "the grey values of black and white")
    if not isinstance(options.unlabelled, int) and options.unlabelled not in ("auto", "none"):
        given = excerpt(options.unlabelled)
        raise ValueError(f"unlabelled {given}: give a whole number, 'auto' or 'none'")


def _unlabelled(source: Path, volume: Volume, options: ImportOptions) -> Unlabelled:
    """Return which value of labels is unlabelled: the largest of an image that states labels."""
    if options.unlabelled != "auto" or is_tiff(source) or open_volume(source).kind != "labels":
        return options.unlabelled
    return unknown_id(volume.dtype)


def _copy(output: Output, volume: Volume, part: Roi, unlabelled: Unlabelled) -> None:
    """Copy a part of a volume to an output, and measure what an image lacks."""
    counted = _counted_copies(output, volume, part)
    folder = output.path / journal.NAME
    copy = _Copy(volume, part.offset, output.array, folder, counted, unlabelled)
    blocks = copy.blocks(output.volume.roi)
    largest = max(block.size for block in blocks) * volume.dtype.itemsize
    output.run(copy, blocks, stage="import", block_bytes=min(2 * largest, 2 * LAYER_BYTES))
    if volume.kind == "image" and volume.window is None:
        window, padding = _grey_values(output, volume, part, counted, blocks)
        output.volume = replace(output.volume, window=window, padding=padding)


def _request(volume: Volume, part: Roi, options: ImportOptions) -> dict[str, Any]:
    """Return what decides the content of an import."""
    return {
        "source": volume.identity,
        "voxel_size": volume.voxel_size,
        "roi": str(part),
        "offset_nm": volume.offset_nm,
        "kind": volume.kind,
        "channel": options.source.channel,
        "invert": options.source.invert,
        "window": options.window,
        "unlabelled": options.unlabelled,
    }


def _check_image(volume: Volume, options: ImportOptions) -> None:
    """Refuse what is for labels, and a dtype that no image has."""
    if options.unlabelled != "auto":
        raise ValueError(f"{volume.name} is imported as an image; --unlabelled is for labels")
    if volume.dtype.name not in DTYPES:
        raise ValueError(f"{volume.name} is {volume.dtype}; images are {', '.join(DTYPES)}")
    if volume.dtype == np.uint8:
        refuse_window(options.window, volume)
    if options.window is not None:
        black, white = options.window
        if not np.isfinite(options.window).all() or black >= white:
            raise ValueError(f"--window {black:g},{white:g}: give black,white, black first")


def refuse_window(window: tuple[float, float] | None, volume: Volume) -> None:
    """Raise ValueError where a window is given for what has none."""
    if window is not None:
        what = "labels" if volume.kind == "labels" else "8-bit, which is always 0 to 255"
        raise ValueError(f"{volume.name} is {what}; --window is for 16-bit and float images")


def _counted_copies(output: Output, source: Volume, part: Roi) -> Partials | None:
    """Return where to count grey values as they are copied, if that is all there is to measure."""
    measured = source.kind == "image" and source.window is None
    by_value = is_counted_by_value(source.dtype)
    return output.partials("copied") if measured and by_value and part == source.roi else None


def _grey_values(
    output: Output,
    source: Volume,
    part: Roi,
    counted: Partials | None,
    copied: Sequence[Roi],
) -> tuple[tuple[float, float], tuple[float, ...]]:
    """Measure contrast window and padding: of the whole source, which a crop shares."""
    if counted is not None:
        counts = values_of(counted, copied, source.dtype)
    elif part == source.roi:
        counts = measure(output, output.volume, output.shards())
    else:
        counts = measure(output, source, list(layers(source.roi, source)))
    window = (0.0, 255.0) if source.dtype == np.uint8 else counts.window()
    return window, counts.padding()


@dataclass(frozen=True)
class _Copy:
    """Copies blocks of a source to an array; boxes in the voxels of the array."""

    source: Volume
    shift: Triple
    target: Stored
    spool: Path
    counted: Partials | None
    unlabelled: Unlabelled

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
            with layer_file(self.spool, block.shape, self.source.dtype) as layer:
                array.read_into(layer, place.slices)
                return self._write(block, layer)
        return self._write(block, self.source.read(place))

    def _write(self, block: Roi, voxels: npt.NDArray[Any]) -> Promise:
        """Write band after band, so that few are encoded at a time; the last one is promised."""
        if self.counted is not None:
            self.counted.save(block, counts=count_values(voxels))
        *bands, last = self._bands(block)
        for band in bands:
            self._write_band(band, block, voxels).result()
        return self._write_band(last, block, voxels)

    def _write_band(self, band: Roi, block: Roi, voxels: npt.NDArray[Any]) -> Promise:
        inside = voxels[band.shift(negative(block.offset)).slices]
        refuse_not_finite(inside, self.source.name)
        if self.source.kind == "labels":
            inside = as_ids(inside, self.target.dtype, self.unlabelled)
        return self.target.write(band.slices, inside)
