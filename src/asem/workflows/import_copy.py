"""Copy the voxels of a source to an output; measure contrast window and padding of an image."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.blocks.output_image import OutputImage
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.volume.band_reading import BandArray, decodes_whole_planes
from asem.volume.block_grid import split_into_blocks
from asem.volume.contrast import count_values
from asem.volume.roi import IntZYX, Roi, negate
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD, WriteFuture, ZarrArray
from asem.workflows.grey_histogram import (
    check_finite,
    has_exact_histogram,
    measure_histogram,
    sum_value_counts,
)
from asem.workflows.label_checks import split_into_slabs
from asem.workflows.label_ids import LabelConversion
from asem.workflows.slab_buffer import in_memory_bytes, open_slab_buffer

LOG = logging.getLogger(__name__)
MAX_BAND_BYTES = 2**27
"""Written at a time, and read at a time where some rows of planes can be read."""


def copy_voxels(
    output: OutputImage,
    volume: Volume,
    part: Roi,
    convert: LabelConversion,
    *,
    measures_source: bool,
) -> None:
    """Copy a box of a volume to an output; measure contrast window and padding of an image.

    Parameters
    ----------
    output, volume, part
        Copy the box `part` of `volume` to `output`.
    convert
        Conversion of labels.
    measures_source
        Whether window and padding of a crop are those of all planes of the source, which are read
        once more or several times; else those of the copied voxels.
    """
    value_counts = None if measures_source else _make_copy_counts(output, volume)
    folder = output.path / JOURNAL_FOLDER
    copy = _CopyBlock(volume, part.offset, output.array, folder, value_counts, convert)
    blocks = copy.split_into_blocks(output.volume.roi)
    largest = max(block.size for block in blocks) * volume.dtype.itemsize
    output.run(copy, blocks, stage="import", block_bytes=2 * in_memory_bytes(largest))
    if volume.kind == "image" and volume.window is None:
        if value_counts is not None:
            histogram = sum_value_counts(value_counts, blocks, volume.dtype)
        elif measures_source:
            slabs = list(split_into_slabs(volume.roi, volume))
            histogram = measure_histogram(output, volume, slabs)
        else:
            histogram = measure_histogram(output, output.volume, output.write_blocks())
        if histogram.constant is not None:
            LOG.warning(
                "%s: all voxels are %g; are chunks or planes missing?",
                volume.name,
                histogram.constant,
            )
        window = (0.0, 255.0) if volume.dtype == np.uint8 else histogram.window()
        padding = histogram.find_padding()
        output.volume = replace(output.volume, window=window, padding=padding)


def _make_copy_counts(output: OutputImage, source: Volume) -> BlockResults | None:
    """Return block results for grey values counted during the copy; None where that is too little.

    That is: for labels, a known window, or bins wider than one grey value.
    """
    needs_window = source.kind == "image" and source.window is None
    is_exact = has_exact_histogram(source.dtype)
    return output.block_results("copied") if needs_window and is_exact else None


@dataclass(frozen=True)
class _CopyBlock:
    """Copy blocks of a source to an array; boxes are in voxels of the array."""

    source: Volume
    offset: IntZYX
    target: ZarrArray
    buffer_folder: Path
    value_counts: BlockResults | None
    convert: LabelConversion

    def split_into_blocks(self, roi: Roi) -> list[Roi]:
        """Split into bands, or into slabs where planes are decoded as a whole."""
        if decodes_whole_planes(self.source.array):
            return list(split_into_blocks(roi, (SHARD[0], *roi.shape[1:])))
        return list(self._split_into_bands(roi))

    def _split_into_bands(self, roi: Roi) -> Iterator[Roi]:
        width = roi.shape[2]
        shard_row_bytes = SHARD[0] * SHARD[1] * width * self.source.dtype.itemsize
        return split_into_blocks(
            roi, (SHARD[0], max(1, MAX_BAND_BYTES // shard_row_bytes) * SHARD[1], width)
        )

    def __call__(self, block: Roi) -> WriteFuture:
        """Copy one block."""
        box, array = block.shift(self.offset), self.source.array
        size = block.size * self.source.dtype.itemsize
        fits = in_memory_bytes(size) == size
        if not fits and isinstance(array, BandArray) and decodes_whole_planes(array):
            with open_slab_buffer(self.buffer_folder, block.shape, self.source.dtype) as slab:
                array.read_into(slab, box.slices)
                return self._write(block, slab)
        return self._write(block, self.source.read(box))

    def _write(self, block: Roi, voxels: npt.NDArray[Any]) -> WriteFuture:
        """Write band by band, which limits memory for encoding; return the future of the last."""
        if self.value_counts is not None:
            self.value_counts.save(block, counts=count_values(voxels))
        *bands, last = self._split_into_bands(block)
        for band in bands:
            self._write_band(band, block, voxels).result()
        return self._write_band(last, block, voxels)

    def _write_band(self, band: Roi, block: Roi, voxels: npt.NDArray[Any]) -> WriteFuture:
        band_voxels = voxels[band.shift(negate(block.offset)).slices]
        check_finite(band_voxels, self.source.name)
        if self.source.kind == "labels":
            band_voxels = self.convert(band_voxels)
        return self.target.write(band.slices, band_voxels)
