"""The coarser levels of an image, block by block."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from asem.blocks.executors import Work
from asem.volume.arrays import CHUNK, SHARD, Promise, Stored
from asem.volume.downsample import downsample
from asem.volume.grid import tile
from asem.volume.levels import Level
from asem.volume.roi import Roi, negative
from asem.volume.volume import Kind


class Run(Protocol):
    """`Output.run`."""

    def __call__(self, work: Work, blocks: Sequence[Roi], *, stage: str, block_bytes: int) -> None:
        """Call `work` for the blocks that are not done."""


def build_pyramid(
    arrays: Sequence[Stored], levels: Sequence[Level], *, kind: Kind, run: Run
) -> None:
    """Fill the levels behind the first, each from the one before.

    ::

        level n        |---- 2 x block ----|     read
        level n + 1    |--- block ---|           written: one shard

    Bins never cross a block, so that the blocks do not show in the result.

    Parameters
    ----------
    arrays
        Finest first; the first is filled.
    levels
        Their plan (`asem.volume.levels.pyramid`).
    kind
        Images are averaged, labels take the mode.
    run
        Calls the work for each block.
    """
    for fine, coarse, level in zip(arrays, arrays[1:], levels[1:], strict=False):
        work = partial(_reduce, fine=fine, coarse=coarse, level=level, kind=kind)
        blocks = list(tile(Roi.whole(level.shape), SHARD))
        block_bytes = 8 * coarse.dtype.itemsize * int(np.prod(SHARD))
        run(work, blocks, stage=f"level {level.path}", block_bytes=block_bytes)


def _reduce(block: Roi, *, fine: Stored, coarse: Stored, level: Level, kind: Kind) -> Promise:
    """Fill one shard, in layers of a chunk, so that little of the finer level is in memory."""
    voxels = np.empty(block.shape, coarse.dtype)
    for layer in tile(block, (CHUNK[0], *SHARD[1:])):
        start = [o * f for o, f in zip(layer.offset, level.factors, strict=True)]
        stop = [e * f for e, f in zip(layer.end, level.factors, strict=True)]
        roi = Roi.between(start, stop).intersect(Roi.whole(fine.shape))
        inside = layer.shift(negative(block.offset)).slices
        voxels[inside] = downsample(fine[roi.slices], level.factors, kind)
    return coarse.write(block.slices, voxels)
