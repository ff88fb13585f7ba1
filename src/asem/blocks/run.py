"""Run a function over blocks: each once, in order, recorded when it is done."""

from collections.abc import Callable, Iterable

from asem.blocks.journal import Journal
from asem.volume.roi import Roi

Progress = Callable[[str, int, int], None]
"""Called with the stage, the voxels done and the voxels in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Report no progress."""


def run_blocks(
    work: Callable[[Roi], None],
    blocks: Iterable[Roi],
    journal: Journal,
    *,
    stage: str,
    progress: Progress = silent,
) -> None:
    """Call `work` for every block that is not recorded as done.

    ::

        for each block:   read_roi = block + halo  ->  work  ->  write_roi = block  ->  record

    Parameters
    ----------
    work
        Reads what it needs and writes the block; it returns when the data is stored.
    blocks
        No two share a file, so that their order does not matter.
    journal
        Where finished blocks are recorded, under `stage`.
    stage
        What is going on, for the journal and the progress.
    progress
        Told of every block.

    Raises
    ------
    ValueError, OSError
        What `work` raised, with the block named in the message.
    """
    every = list(blocks)
    todo = [block for block in every if f"{stage} {block}" not in journal.done]
    total = sum(block.size for block in every)
    done = total - sum(block.size for block in todo)
    progress(stage, done, total)
    for block in todo:
        try:
            work(block)
        except (ValueError, OSError) as error:
            plain = OSError if isinstance(error, OSError) else ValueError
            raise plain(f"{stage}, block {block}: {error}") from error
        journal.record(f"{stage} {block}")
        done += block.size
        progress(stage, done, total)
