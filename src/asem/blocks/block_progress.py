"""Sum the progress of blocks that are computed at the same time; stop them on request."""

import threading
from collections.abc import Callable

from asem.blocks.executors import RunStoppedError
from asem.blocks.run_blocks import Progress
from asem.volume.roi import Roi


class BlockProgress:
    """Progress of blocks that may take minutes each.

    Parameters
    ----------
    progress
        Called with the progress of all blocks together, in the thread that calls `report`.

    Attributes
    ----------
    stop_requested
        Once it is set, the callbacks of `for_block` raise `RunStoppedError`.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.stop_requested = progress, threading.Event()
        self._fractions: dict[Roi, float] = {}
        self._max_done = 0

    def report(self, stage: str, done: int, total: int) -> None:
        """Report finished blocks and the finished parts of others; a `Progress` callback."""
        fractions = dict(self._fractions)
        in_progress = sum(int(fraction * block.size) for block, fraction in fractions.items())
        self._max_done = max(self._max_done, min(total, done + in_progress))
        for block, fraction in fractions.items():
            if fraction == 1:  # counted in `done` now, or in the next call
                self._fractions.pop(block, None)
        self.progress(stage, self._max_done, total)

    def for_block(self, block: Roi) -> Callable[[float], None]:
        """Return a callback that reports the finished fraction of a block, from any thread."""

        def report_fraction(fraction: float) -> None:
            if self.stop_requested.is_set():
                raise RunStoppedError
            self._fractions[block] = fraction

        return report_fraction
