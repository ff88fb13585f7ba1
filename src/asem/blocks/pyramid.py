"""The coarser levels of an image, block by block."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from asem.blocks.journal import Journal
from asem.blocks.run import Progress, run_blocks, silent
from asem.volume.downsample import downsample
from asem.volume.grid import tile
from asem.volume.levels import SHARD, Level
from asem.volume.roi import Roi
from asem.volume.volume import Kind


def build_pyramid(
    arrays: Sequence[Any],
    levels: Sequence[Level],
    *,
    kind: Kind,
    journal: Journal,
    progress: Progress = silent,
) -> None:
    """Fill the levels behind the first, each from the one before.

    ::

        level n        |---- 2 x block ----|     read
        level n + 1    |--- block ---|           written: one shard

    Bins never cross a block, so that the blocks do not show in the result.

    Parameters
    ----------
    arrays
        tensorstore arrays, finest first; the first is filled.
    levels
        Their plan (`asem.volume.levels.pyramid`).
    kind
        Images are averaged, labels take the mode.
    journal, progress
        As for `run_blocks`.
    """
    for fine, coarse, level in zip(arrays, arrays[1:], levels[1:], strict=False):

        def reduce(
            block: Roi, fine: Any = fine, coarse: Any = coarse, level: Level = level
        ) -> None:
            start = [o * f for o, f in zip(block.offset, level.factors, strict=True)]
            stop = [e * f for e, f in zip(block.end, level.factors, strict=True)]
            roi = Roi.between(start, stop).intersect(Roi.whole(fine.shape))
            voxels = downsample(np.asarray(fine[roi.slices]), level.factors, kind)
            coarse[block.slices].write(voxels).result()

        blocks = tile(Roi.whole(level.shape), SHARD)
        run_blocks(reduce, blocks, journal, stage=f"level {level.path}", progress=progress)
