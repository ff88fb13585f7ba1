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
        Told of all blocks together, from whichever thread.

    Attributes
    ----------
    stopped
        Once it is set, whatever tells of a share raises `StoppedError`.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.stopped = progress, threading.Event()
        self._lock = threading.Lock()
        self._within: dict[Roi, float] = {}
        self._stage, self._done, self._total, self._most = "", 0, 0, 0

    def between(self, stage: str, done: int, total: int) -> None:
        """Take note of finished blocks, as `Progress` says."""
        with self._lock:
            self._stage, self._done, self._total = stage, done, total
            self._within = {block: share for block, share in self._within.items() if share < 1}
            self._tell()

    def of(self, block: Roi) -> Callable[[float], None]:
        """Return what is to be told of a block, in shares of 1."""

        def told(share: float) -> None:
            if self.stopped.is_set():
                raise StoppedError
            with self._lock:
                self._within[block] = share
                self._tell()

        return told

    def _tell(self) -> None:
        under_way = sum(int(share * block.size) for block, share in self._within.items())
        self._most = max(self._most, min(self._total, self._done + under_way))
        self.progress(self._stage, self._most, self._total)
