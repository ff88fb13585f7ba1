"""Run a function over blocks: each once, anywhere, recorded when it is done."""

from collections.abc import Callable, Iterable
from contextlib import closing

from asem.blocks.executors import SERIAL, Executor, Work
from asem.blocks.journal import Journal, Journals
from asem.volume.roi import Roi

Progress = Callable[[str, int, int], None]
"""Called with the stage, the voxels done and the voxels in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def run_blocks(
    work: Work,
    blocks: Iterable[Roi],
    journal: Journal | Journals,
    *,
    stage: str,
    executor: Executor = SERIAL,
    block_bytes: int = 0,
    progress: Progress = silent,
) -> None:
    """Call `work` for every block that is not recorded as done.

    ::

        for each block:   read_roi = block + halo  ->  work  ->  write_roi = block  ->  record

    Parameters
    ----------
    work
        Reads what it needs and writes the block; it returns when the data is stored, or a promise
        of that. Called again for a block that fails, so that it must not depend on what it wrote
        before.
    blocks
        No two share a file, so that their order does not matter.
    journal
        Where finished blocks are recorded, under `stage`.
    stage
        What is going on, for the journal and the progress.
    executor
        Who computes.
    block_bytes
        Memory that one block takes, so that no more are in flight than fit.
    progress
        Told as blocks are finished, and now and then.

    Raises
    ------
    ValueError, OSError
        What `work` raised for the third time, with the block named in the message.
    """
    every = list(blocks)
    recorded = journal.done
    todo = [block for block in every if f"{stage} {block}" not in recorded]
    total = sum(block.size for block in every)
    done = total - sum(block.size for block in todo)
    progress(stage, done, total)
    if not todo:
        return
    run = executor.run(work, todo, stage=stage, block_bytes=block_bytes, outputs=journal.paths)
    with closing(run):  # an interruption waits for what is in flight
        for finished in run:
            journal.record(*(f"{stage} {block}" for block in finished))
            done += sum(block.size for block in finished)
            progress(stage, done, total)
