"""Measure blocks in this process and merge at once, or store the results of each in an output."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.run_blocks import Progress, no_progress
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi

Arrays = Mapping[str, npt.NDArray[Any]]


def no_check(arrays: Arrays) -> bool:
    """Accept all arrays of the specified dtypes and shapes."""
    return True


def measure_blocks(
    measure: Callable[[Roi], Arrays],
    blocks: Sequence[Roi],
    output: BlockOutput | None,
    *,
    stage: str,
    specs: Callable[[Roi], Mapping[str, ArraySpec]],
    is_consistent: Callable[[Arrays], bool] = no_check,
    block_bytes: int = 0,
    progress: Progress = no_progress,
) -> Iterator[tuple[Roi, Arrays]]:
    """Yield the blocks, in their order, and the arrays that `measure` returns for each.

    Parameters
    ----------
    measure
        Returns named arrays; can be pickled.
    blocks
        No two have the same offset.
    output
        Runs the blocks that are not done, and stores their arrays; None: each block is measured in
        this process when it is requested, and nothing is stored.
    stage
        Name for the journal and the progress, and of the stored arrays.
    specs, is_consistent
        Dtypes and shapes of the arrays of a block, and a check of arrays that were stored.
    block_bytes
        Memory of one block.
    progress
        Progress callback, where `output` is None.

    Raises
    ------
    OSError
        Stored arrays are damaged.
    """
    if output is None:
        done, total = 0, sum(block.size for block in blocks)
        for block in blocks:
            yield block, measure(block)
            done += block.size
            progress(stage, done, total)
        return
    results = output.store_block_results(measure, blocks, stage=stage, block_bytes=block_bytes)
    for block in blocks:
        arrays = results.load(block, **specs(block))
        if not is_consistent(arrays):
            raise results.make_damage_error(block)
        yield block, arrays
