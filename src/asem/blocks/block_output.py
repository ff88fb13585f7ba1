"""An output that blocks compute: its journal, its executor and the results of its blocks."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from asem.blocks.block_results import BlockResults
from asem.blocks.executors import SERIAL_EXECUTOR, BlockFunction, Executor
from asem.blocks.journal import Journal
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.blocks.run_blocks import Progress, no_progress, run_blocks
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi, per_axis
from asem.volume.zarr_arrays import SHARD, ZarrArray, create_scratch


@dataclass(kw_only=True)
class BlockOutput:
    """An output that is being computed block by block.

    Parameters
    ----------
    path
        Its folder.
    roi
        The extent of its blocks, voxels.
    journal
        Journal of its finished blocks.
    executor, progress
        Executor of its blocks, and progress callback.
    provenance
        Further facts stored with it; callers add entries.
    """

    path: Path
    roi: Roi
    journal: Journal
    executor: Executor = SERIAL_EXECUTOR
    progress: Progress = no_progress
    provenance: dict[str, Any] = field(default_factory=dict)

    def run(
        self,
        block_function: BlockFunction,
        blocks: Iterable[Roi],
        *,
        stage: str,
        block_bytes: int = 0,
    ) -> None:
        """Call `block_function` for the blocks that are not done (`run_blocks`)."""
        run_blocks(
            block_function,
            blocks,
            self.journal,
            stage=stage,
            executor=self.executor,
            block_bytes=block_bytes,
            progress=self.progress,
        )

    def store_block_results(
        self,
        measure: Callable[[Roi], Mapping[str, npt.NDArray[Any]]],
        blocks: Iterable[Roi],
        *,
        stage: str,
        block_bytes: int = 0,
    ) -> BlockResults:
        """Store the arrays that `measure` returns for each block that is not done.

        Parameters
        ----------
        measure
            Returns named arrays; runs in other processes, so that it can be pickled.
        blocks
            The order does not matter.
        stage
            Name for the journal and the progress, and of the results.
        block_bytes
            Memory of one block.

        Returns
        -------
        BlockResults
            The arrays of all blocks, also of those that an interrupted run measured.
        """
        results = self.block_results(stage)
        store = partial(_store_result, measure=measure, results=results)
        self.run(store, blocks, stage=stage, block_bytes=block_bytes)
        return results

    def write_blocks(self, shards_per_axis: int = 1) -> list[Roi]:
        """Return the blocks of the output (`write_blocks`)."""
        return write_blocks(self.roi, shards_per_axis)

    def scratch_array(
        self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike, chunk: tuple[int, ...]
    ) -> ZarrArray:
        """Create (or open) a scratch array, deleted when the output is finished."""
        path, check = self.path / JOURNAL_FOLDER / name, self.journal.ownership_check
        return create_scratch(path, shape, dtype, chunk, check_ownership=check)

    def block_results(self, name: str) -> BlockResults:
        """Return a store of block results, deleted when the output is finished."""
        return BlockResults(self.path / JOURNAL_FOLDER / name, self.journal.ownership_check)


def write_blocks(roi: Roi, shards_per_axis: int = 1) -> list[Roi]:
    """Return the blocks of an image, `shards_per_axis` shards along each axis.

    No two blocks share a file.
    """
    return list(split_into_blocks(roi, per_axis(lambda size: shards_per_axis * size, SHARD)))


def _store_result(
    block: Roi,
    *,
    measure: Callable[[Roi], Mapping[str, npt.NDArray[Any]]],
    results: BlockResults,
) -> None:
    results.save(block, **measure(block))
