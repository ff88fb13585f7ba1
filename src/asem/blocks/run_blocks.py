"""Run a function on each block that is not done, and record finished blocks in the journal."""

from collections.abc import Callable, Iterable
from contextlib import closing

from asem.blocks.executors import SERIAL_EXECUTOR, BlockFunction, Executor
from asem.blocks.journal import Journal, JournalGroup
from asem.volume.roi import Roi

Progress = Callable[[str, int, int], None]
"""Progress callback: called with the stage, the voxels done and the total number of voxels."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def run_blocks(
    block_function: BlockFunction,
    blocks: Iterable[Roi],
    journal: Journal | JournalGroup,
    *,
    stage: str,
    executor: Executor = SERIAL_EXECUTOR,
    block_bytes: int = 0,
    progress: Progress = no_progress,
) -> None:
    """Call `block_function` for every block that is not recorded as done.

    ::

        for each block:   read_roi = block + halo  ->  function  ->  write_roi = block  ->  record

    Parameters
    ----------
    block_function
        Reads its input and writes the block; returns None if the data is stored, or a future that
        is done when it is. Called again for a block that fails, so that it must not depend on its
        earlier output.
    blocks
        No two share a file, so that their order does not matter.
    journal
        Records finished blocks, under `stage`.
    stage
        Name of the processing step, for the journal and the progress.
    executor
        Executor of the blocks.
    block_bytes
        Memory of one block, which limits the number of blocks in flight.
    progress
        Called when blocks finish, and from time to time.

    Raises
    ------
    ValueError, OSError
        `block_function` failed in all attempts; the message names the block.
    """
    blocks, recorded = list(blocks), journal.done_blocks
    todo = [block for block in blocks if f"{stage} {block}" not in recorded]
    total = sum(block.size for block in blocks)
    done = total - sum(block.size for block in todo)
    progress(stage, done, total)
    if not todo:
        return
    run = executor.run(
        block_function, todo, stage=stage, block_bytes=block_bytes, outputs=journal.paths
    )
    with closing(run):  # on an interruption, waits for blocks in flight
        for finished in run:
            journal.record(*(f"{stage} {block}" for block in finished))
            done += sum(block.size for block in finished)
            progress(stage, done, total)
