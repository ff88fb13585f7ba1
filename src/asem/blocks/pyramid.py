"""Compute the coarser levels of an image pyramid block by block."""

import operator
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from asem.blocks.executors import BlockFunction
from asem.volume.block_grid import split_into_blocks
from asem.volume.chunk_limits import CHUNK
from asem.volume.downsample import downsample
from asem.volume.pyramid_levels import PyramidLevel
from asem.volume.roi import Roi, negate, per_axis
from asem.volume.volume import VolumeKind
from asem.volume.zarr_arrays import SHARD, WriteFuture, ZarrArray


class RunBlocks(Protocol):
    """Protocol of `asem.blocks.output_image.OutputImage.run`."""

    def __call__(
        self, block_function: BlockFunction, blocks: Sequence[Roi], *, stage: str, block_bytes: int
    ) -> None:
        """Call `block_function` for the blocks that are not done."""


def build_pyramid(
    arrays: Sequence[ZarrArray],
    levels: Sequence[PyramidLevel],
    *,
    kind: VolumeKind,
    run_blocks: RunBlocks,
) -> None:
    """Compute all levels after the first, each from the previous one.

    ::

        level n        |---- 2 x block ----|     read
        level n + 1    |--- block ---|           written: one shard

    Bins never cross a block border, so that the result does not depend on the blocks.

    Parameters
    ----------
    arrays
        Levels, finest first; the first one is already written.
    levels
        Plan of the levels (`asem.volume.pyramid_levels.plan_pyramid`).
    kind
        Images are averaged; labels are reduced to the mode.
    run_blocks
        Calls a function for each block.
    """
    for fine, coarse, level in zip(arrays, arrays[1:], levels[1:], strict=False):
        downsample_block = partial(
            _downsample_block, fine=fine, coarse=coarse, level=level, kind=kind
        )
        blocks = list(split_into_blocks(Roi.of_shape(level.shape), SHARD))
        run_blocks(
            downsample_block,
            blocks,
            stage=f"level {level.path}",
            block_bytes=8 * coarse.dtype.itemsize * int(np.prod(SHARD)),
        )


def _downsample_block(
    block: Roi, *, fine: ZarrArray, coarse: ZarrArray, level: PyramidLevel, kind: VolumeKind
) -> WriteFuture:
    """Write one shard in layers one chunk thick, to keep little of the finer level in memory."""
    voxels = np.empty(block.shape, coarse.dtype)
    for layer in split_into_blocks(block, (CHUNK[0], *SHARD[1:])):
        start = per_axis(operator.mul, layer.offset, level.factors)
        stop = per_axis(operator.mul, layer.end, level.factors)
        roi = Roi.from_bounds(start, stop).intersect(Roi.of_shape(fine.shape))
        inside = layer.shift(negate(block.offset)).slices
        voxels[inside] = downsample(fine[roi.slices], level.factors, kind)
    return coarse.write(block.slices, voxels)
