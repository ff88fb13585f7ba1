"""Fill small holes and remove small objects in labels and masks, block-wise.

Sizes are counted across blocks. Each step takes a function that reads a block and returns one that
reads the cleaned block; a step without effect returns the function unchanged.
"""

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from asem.blocks.block_results import BlockResults
from asem.blocks.output_image import OutputImage
from asem.config import NmZYX, shorten
from asem.image.components import BlockReader, find_connected_objects, relabel_block
from asem.image.labels import is_foreground, unlabelled_id
from asem.image.map_overlap import read_with_halo
from asem.image.morphology import binary_dilation
from asem.volume.roi import Roi
from asem.volume.volume import Volume

MAX_VOXELS = 2**62
"""Of an image: less than the largest 64-bit integer."""


def min_voxels_of(volume_nm3: float, voxel_size: NmZYX) -> int:
    """Return the smallest number of voxels that fill a volume.

    Examples
    --------
    >>> min_voxels_of(3375, (5, 5, 5))
    27
    """
    return int(np.ceil(min(volume_nm3 / prod(voxel_size), MAX_VOXELS) - 1e-6))


def check_min_size(voxels: int) -> None:
    """Raise ValueError where a number of voxels is not allowed as a minimum size of objects."""
    if not 0 <= voxels <= MAX_VOXELS:
        raise ValueError(
            f"the minimum size {shorten(voxels)} must be at least 0 and at most 2^62 voxels"
        )


def clean_labels(
    output: OutputImage,
    source: Volume,
    *,
    largest_hole_nm3: float,
    smallest_nm3: float,
    keep_truncated: bool = False,
) -> BlockReader:
    """Fill small holes, then remove small objects.

    Parameters
    ----------
    output
        Runs the blocks and stores their records.
    source
        Labels on disk, of the shape of the output.
    largest_hole_nm3, smallest_nm3
        Smaller holes are filled, smaller objects removed.
    keep_truncated
        Keep small objects that may be truncated (`remove_small_objects`): for annotations, which
        cover a part of the objects; not for masks and segmentations.

    Returns
    -------
    BlockReader
        Reads one cleaned shard of the output.
    """
    voxel_size = source.voxel_size
    size_threshold = min_voxels_of(largest_hole_nm3, voxel_size)
    return remove_small_objects(
        output,
        fill_small_holes(output, source, size_threshold=size_threshold),
        min_size=min_voxels_of(smallest_nm3, voxel_size),
        keep_truncated_in=source if keep_truncated else None,
    )


def fill_small_holes(output: OutputImage, source: Volume, *, size_threshold: int) -> BlockReader:
    """Fill holes of fewer than `size_threshold` voxels with the smallest adjacent id.

    A hole is a connected part of the background (6 neighbours), as for scikit-image's
    ``remove_small_holes``; the border of the volume may cut it. A hole next to unlabelled voxels is
    not filled: it may be larger than it seems.

    ::

        1 1 1 1        1 1 1 1
        1 . . 2   ->   1 1 1 2        size_threshold: 3
        1 1 1 2        1 1 1 2

    Parameters
    ----------
    output
        Runs the blocks and stores their records.
    source
        Labels: 0 background, the maximum of the dtype unlabelled; on disk.
    size_threshold
        In voxels.
    """
    if size_threshold <= 1:
        return source.read
    objects = find_connected_objects(
        output,
        partial(_read_background, source=source),
        stage="holes",
        features=partial(_find_adjacent_ids, source=source),
    )
    records = output.block_results("holes")
    adjacent_id = objects.min_per_object(objects.load_feature(records, "borders", "uint64"))
    has_adjacent = adjacent_id != np.iinfo(adjacent_id.dtype).max  # False if all is background
    filled = (objects.sizes < size_threshold) & has_adjacent
    fill_ids = output.block_results("fillings")
    objects.save_relabelling(fill_ids, np.where(filled, adjacent_id, 0))
    return _HoleFillingReader(source, fill_ids)


def _read_background(block: Roi, *, source: Volume) -> npt.NDArray[Any]:
    return np.asarray(source.read(block) == 0, np.uint8)


@dataclass(frozen=True)
class _HoleFillingReader:
    """Reads a block with its holes filled."""

    source: Volume
    fill_ids: BlockResults

    def __call__(self, block: Roi) -> npt.NDArray[Any]:
        labels = self.source.read(block)
        fill_ids = relabel_block(labels == 0, block, self.fill_ids)
        return np.asarray(np.where(labels == 0, fill_ids.astype(labels.dtype), labels))


def _find_adjacent_ids(
    block: Roi, components: npt.NDArray[Any], *, source: Volume
) -> dict[str, npt.NDArray[Any]]:
    """Return the smallest id adjacent to each hole of a block, also in the next blocks."""
    labels, core = read_with_halo(source, block, (1, 1, 1))
    start = np.array([part.start for part in core])
    count, unlabelled = int(components.max(initial=0)), unlabelled_id(labels.dtype)
    return {"borders": _smallest_adjacent_ids(components, labels, start, count, unlabelled)}


@njit(cache=True)
def _smallest_adjacent_ids(components, labels, start, count, unlabelled):  # type: ignore[no-untyped-def]
    """Return the smallest id adjacent to each component; 0 next to unlabelled voxels.

    Parameters
    ----------
    components
        Shape (z, y, x).
    labels
        The same box with a margin on some sides; the box starts at `start`.
    """
    smallest = np.full(count, np.iinfo(np.uint64).max, np.uint64)
    steps = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
    depth, height, width = labels.shape
    for i in range(components.shape[0]):
        for j in range(components.shape[1]):
            for k in range(components.shape[2]):
                component = components[i, j, k]
                if component == 0:
                    continue
                for dz, dy, dx in steps:
                    z, y, x = i + start[0] + dz, j + start[1] + dy, k + start[2] + dx
                    if 0 <= z < depth and 0 <= y < height and 0 <= x < width:
                        neighbour = labels[z, y, x]
                        if neighbour != 0:
                            # Mixed with signed integers, large ids would become floats.
                            value = np.uint64(neighbour)
                            if neighbour == unlabelled:
                                value = np.uint64(0)
                            smallest[component - 1] = min(smallest[component - 1], value)
    return smallest


def remove_small_objects(
    output: OutputImage,
    read_block: BlockReader,
    *,
    min_size: int,
    keep_truncated_in: Volume | None = None,
) -> BlockReader:
    """Remove objects of fewer than `min_size` voxels.

    An object is a connected part of one label (6 neighbours). Unlabelled voxels stay. With
    `keep_truncated_in`, so does an object with a voxel that shares a face with an unlabelled one or
    is at the border of the volume: it may be truncated.

    ::

        1 . . . .        1 . . . .
        . . 2 . .   ->   . . . . .        min_size: 2; ? is unlabelled
        . . . . 3        . . . . 3
        . 4 ? . .        . 4 ? . .

    Parameters
    ----------
    output
        Runs the blocks and stores their records.
    read_block
        Returns the labels of a block.
    min_size
        In voxels.
    keep_truncated_in
        The labels with the unlabelled voxels; on disk, of the shape of the output. None: truncated
        objects are removed as any other.
    """
    if min_size <= 1:
        return read_block
    read_objects = partial(read_unlabelled_as_background, read_block=read_block)
    features, stage = None, "objects"
    if keep_truncated_in is not None:
        features = partial(_find_truncated, source=keep_truncated_in)
        stage = "objects and borders"
    objects = find_connected_objects(output, read_objects, stage=stage, features=features)
    retained = objects.sizes >= min_size
    if keep_truncated_in is not None:
        truncated = objects.load_feature(output.block_results(stage), "cut", "bool")
        retained[objects.object_of_component[truncated]] = True
    retained_flags = output.block_results("kept objects")
    objects.save_relabelling(retained_flags, retained.astype(np.uint8))
    return _SmallObjectRemovingReader(read_block, retained_flags)


def _find_truncated(
    block: Roi, components: npt.NDArray[Any], *, source: Volume
) -> dict[str, npt.NDArray[Any]]:
    """Return which components of a block may be truncated: at the border, or next to unlabelled."""
    labels, core = read_with_halo(source, block, (1, 1, 1))
    unlabelled = labels == unlabelled_id(source.dtype)
    del labels  # the dilation needs the memory
    truncating = binary_dilation(unlabelled, (1, 1, 1))[core]
    for axis, (first, stop, size) in enumerate(
        zip(block.offset, block.end, source.shape, strict=True)
    ):
        planes = np.moveaxis(truncating, axis, 0)
        planes[0] |= first == 0
        planes[-1] |= stop == size
    truncated = np.zeros(int(components.max(initial=0)) + 1, bool)
    truncated[components[truncating]] = True
    return {"cut": truncated[1:]}


def read_unlabelled_as_background(block: Roi, *, read_block: BlockReader) -> npt.NDArray[Any]:
    """Read a block with 0 in place of unlabelled voxels."""
    return unlabelled_to_background(read_block(block))


def unlabelled_to_background(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels with 0 in place of unlabelled voxels."""
    return np.where(is_foreground(labels), labels, 0)


@dataclass(frozen=True)
class _SmallObjectRemovingReader:
    """Reads a block without its small objects."""

    read: BlockReader
    retained_flags: BlockResults

    def __call__(self, block: Roi) -> npt.NDArray[Any]:
        labels = self.read(block)
        objects = unlabelled_to_background(labels)
        retained = relabel_block(objects, block, self.retained_flags)
        return np.where((objects != 0) & (retained == 0), 0, labels)
