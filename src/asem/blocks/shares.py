"""Progress within blocks, of several at a time; and their early end."""

import threading
from collections.abc import Callable

from asem.blocks.executors import StoppedError
from asem.blocks.run import Progress
from asem.volume.roi import Roi


class Shares:
    """What is done of blocks that may take minutes each.

    Parameters
    ----------
    progress
        Told of all blocks together, by the thread that calls `between`.

    Attributes
    ----------
    stopped
        Once it is set, whatever tells of a share raises `StoppedError`.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.stopped = progress, threading.Event()
        self._within: dict[Roi, float] = {}
        self._most = 0

    def between(self, stage: str, done: int, total: int) -> None:
        """Tell of the blocks that are finished and of the parts of others, as `Progress` says."""
        within = dict(self._within)
        under_way = sum(int(share * block.size) for block, share in within.items())
        self._most = max(self._most, min(total, done + under_way))
        for block, share in within.items():
            if share == 1:  # finished by now, or by the next time
                self._within.pop(block, None)
        self.progress(stage, self._most, total)

    def of(self, block: Roi) -> Callable[[float], None]:
        """Return what is to be told of a block, in shares of 1, by any thread."""

        def told(share: float) -> None:
            if self.stopped.is_set():
                raise StoppedError
            self._within[block] = share

        return told
