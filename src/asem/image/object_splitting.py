"""Separate touching objects of a segmentation, block by block (`asem instances --split`).

1. Each block and its halo is read once: its landscape (`distance_landscape`), the basins of the
   peaks (`basins`), and a record of a few numbers per basin and contact. Basins are stored as a
   scratch volume.
2. One process merges the records (`basin_records`), and basins into objects (`basin_merging`).
3. Each basin is replaced by the id of its object.

Two voxels of one object are connected within it (6 neighbours) and have one label, so that objects
are parts of those without ``--split``. All arrays are those of the whole volume at once.
"""

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.blocks.output_image import OutputImage
from asem.image.basin_merging import merge_basins
from asem.image.basin_records import make_record, merge_records
from asem.image.basins import find_basins
from asem.image.components import MergedObjects
from asem.image.distance_landscape import (
    LANDSCAPE_VOXEL_BYTES,
    LandscapeSource,
    landscape_halo,
)
from asem.image.lookup_table import apply_lookup_table
from asem.system.npz import ArraySpec
from asem.volume.roi import IntZYX, Roi
from asem.volume.zarr_arrays import WriteFuture, ZarrArray

SPLIT_BLOCK_VOXEL_BYTES = 40
"""Memory of each voxel of a block for its basins and contacts, bytes."""


def split_objects(
    output: OutputImage, source: LandscapeSource, *, stage: str
) -> tuple[MergedObjects, ZarrArray]:
    """Find the objects of a segmentation, touching ones separately.

    Parameters
    ----------
    output
        Runs the blocks and stores their records; of the shape of the segmentation.
    source
        Segmentation and settings.
    stage
        Name in the journal, the progress and the records.

    Returns
    -------
    objects
        Whose components are the basins of each block.
    basins
        Local label of each voxel, from 1 in each block: the order of the components.
    """
    blocks, shape = output.write_blocks(), output.volume.shape
    basins_array = output.scratch_volume("basin labels", np.uint32)
    records = output.block_results(stage)
    measure = partial(
        _store_block_basins, source=source, target=basins_array, records=records, shape=shape
    )
    output.run(measure, blocks, stage=stage, block_bytes=split_block_bytes(source, blocks))
    basins = merge_records(records, blocks, shape)
    object_of_basin = merge_basins(
        basins.sizes,
        basins.moments,
        basins.peaks,
        basins.contacts,
        voxel_size=source.segmentation.voxel_size,
        min_strength=source.config.min_contact_strength,
    )
    roots, object_of = np.unique(object_of_basin, return_inverse=True)
    sizes = np.zeros(len(roots), np.int64)
    first_voxels = np.full(len(roots), np.iinfo(np.int64).max)
    np.add.at(sizes, object_of, basins.sizes)
    np.minimum.at(first_voxels, object_of, basins.first_voxels)
    objects = MergedObjects(
        basins.label_slices, object_of[basins.basin_of_label], sizes, first_voxels
    )
    return objects, basins_array


def split_block_bytes(source: LandscapeSource, blocks: list[Roi]) -> int:
    """Return the memory of the largest block, with its halo, bytes."""
    halo = landscape_halo(source.segmentation.voxel_size, source.config)
    roi = source.segmentation.roi
    largest = max(block.grow(halo).intersect(roi).size for block in blocks)
    return LANDSCAPE_VOXEL_BYTES * largest + SPLIT_BLOCK_VOXEL_BYTES * max(b.size for b in blocks)


def _store_block_basins(
    block: Roi,
    *,
    source: LandscapeSource,
    target: ZarrArray,
    records: BlockResults,
    shape: IntZYX,
) -> WriteFuture:
    """Store the basins of a block and their record."""
    labels, landscape, core = source.read(block)
    basins = find_basins(labels, landscape, core)
    record = make_record(basins, labels[core], landscape[core], block, shape)
    records.save(block, **record)
    return target.write(block.slices, basins.labels)


def read_split_block(
    block: Roi, *, basins: ZarrArray, block_results: BlockResults
) -> npt.NDArray[Any]:
    """Replace the basins of a block by the values that `MergedObjects.save_relabelling` stored.

    Raises
    ------
    OSError
        The values of the block are damaged.
    """
    new_values = block_results.load(block, becomes=ArraySpec("u", (None,)))["becomes"]
    labels = basins[block.slices]
    if labels.max(initial=0) >= len(new_values):
        raise block_results.make_damage_error(block)
    return apply_lookup_table(new_values, labels)
