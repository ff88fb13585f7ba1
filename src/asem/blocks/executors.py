"""Who computes the blocks: this process, or Dask workers (`asem.blocks.cluster`)."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from asem.config import excerpt
from asem.system.resources import refuse_without_memory
from asem.volume.arrays import Promise
from asem.volume.roi import Roi

LOG = logging.getLogger(__name__)
Work = Callable[[Roi], Promise | None]
"""Reads what it needs and writes the block; returns when the data is stored, or its promise."""
FAULTS = (ValueError, OSError, RuntimeError, MemoryError)
"""What may go better the next time; anything else is a mistake in the program."""
ATTEMPTS = 3
"""How often a block is tried before the run stops."""
Answer = TypeVar("Answer")
Done = TypeVar("Done")
PAUSE_SECONDS = 0.2
"""Before the second attempt in this process; twice that before the third."""

FEW_WORKERS, WORKERS_OF_CORE = 8, 4
"""So many workers may be started anywhere, and so many for each core: they share the cores."""
WORKER_BYTES = 2 * 10**8
"""Of a worker that has loaded all and computes nothing yet."""
LOOK_SECONDS = 0.5
"""How often it is asked how far blocks are that threads work at."""


class StoppedError(Exception):
    """What work raises that notices that the run ends early; it is not tried again."""


class Executor(Protocol):
    """Computes blocks in any order."""

    def run(
        self,
        work: Work,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `work` for every block; yield blocks as they are finished.

        Parameters
        ----------
        work
            Called up to three times for a block that fails. Dask pickles it: it may hold paths,
            numpy arrays, tensorstore arrays and volumes, but no open file. A Dask worker with
            several threads calls it for several blocks at a time if it has ``overlaps``, True.
        blocks
            In no order that matters.
        stage
            What is going on, for messages and the dashboard.
        block_bytes
            Memory that one block takes; no more are in flight than fit.
        outputs
            What is written, so that no block of an earlier run is on its way there.

        Raises
        ------
        ValueError, OSError
            A block failed for good; the message names it. Other blocks in flight have been yielded.

        Yields
        ------
        sequence of Roi
            Now and then an empty one, where blocks take long.
        """

    def ask(self, function: Callable[[], Answer]) -> list[Answer]:
        """Call a function once wherever blocks are computed; it can be pickled."""


class Serial:
    """Computes in this process, one block after the other; kernels and codecs use the cores.

    While one block is stored, the next one is computed: a disk that is waited for costs nothing. So
    two blocks are in flight; `block_bytes` cannot make them fewer.
    """

    def run(
        self,
        work: Work,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `work` for every block in order."""
        stored: deque[tuple[Roi, Promise | None]] = deque()
        failed: Exception | None = None
        try:
            for block in blocks:
                try:
                    stored.append((block, _persist(partial(work, block), stage, block)))
                except (ValueError, OSError) as error:
                    failed = error
                    break
                while len(stored) > 1 or (stored and stored[0][1] is None):
                    yield (self._keep(work, stage, *stored.popleft()),)
            while stored:
                yield (self._keep(work, stage, *stored.popleft()),)
            if failed:
                raise failed
        finally:
            for _, promise in stored:  # interrupted: nothing is written behind one's back
                if promise is not None:
                    with suppress(*FAULTS):
                        promise.result()

    def _keep(self, work: Work, stage: str, block: Roi, promise: Promise | None) -> Roi:
        """Wait for a promise; where it is broken, work again and wait at once."""
        try:
            if promise is not None:
                promise.result()
        except FAULTS as error:
            LOG.info("%s, block %s was not stored and is tried again: %s", stage, block, error)
            _persist(partial(finish, work, block), stage, block, attempts=ATTEMPTS - 1)
        return block

    def ask(self, function: Callable[[], Answer]) -> list[Answer]:
        """Call a function here."""
        return [function()]


class Threads:
    """Computes in threads of this process, a few blocks at a time.

    For work that uses the processor in one step only, or a GPU: while one block is computed, others
    are read and stored. `block_bytes` cannot make them fewer.

    Parameters
    ----------
    number
        Of blocks at a time.
    stop
        Called where the run ends early: work that is going on had better raise something.
    """

    def __init__(self, number: int, stop: Callable[[], None]) -> None:
        self.number, self.stop = number, stop

    def run(
        self,
        work: Work,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `work` for every block, begun in order."""
        waiting, flying = deque(blocks), dict[Future[None], Roi]()
        failed: BaseException | None = None
        with ThreadPoolExecutor(self.number, thread_name_prefix=stage) as pool:
            try:
                while flying or (waiting and not failed):
                    while waiting and not failed and len(flying) < self.number:
                        block = waiting.popleft()
                        act = partial(finish, work, block)
                        flying[pool.submit(_persist, act, stage, block)] = block
                    done, _ = wait(flying, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                    faults = {flying.pop(future): future.exception() for future in done}
                    yield [block for block, fault in faults.items() if fault is None]
                    failed = failed or next((fault for fault in faults.values() if fault), None)
                if failed:
                    raise failed
            finally:
                if flying:
                    self.stop()

    def ask(self, function: Callable[[], Answer]) -> list[Answer]:
        """Call a function here."""
        return [function()]


def _persist(act: Callable[[], Done], stage: str, block: Roi, attempts: int = ATTEMPTS) -> Done:
    """Do something to a block, again where it fails."""
    for attempt in range(1, attempts):
        try:
            return act()
        except FAULTS as error:
            LOG.info("%s, block %s failed and is tried again: %s", stage, block, error)
            time.sleep(PAUSE_SECONDS * attempt)
    try:
        return act()
    except FAULTS as error:
        raise failure(error, stage, block) from error


def finish(work: Work, block: Roi) -> None:
    """Do a block and wait until it is stored."""
    promise = work(block)
    if promise is not None:
        promise.result()


SERIAL = Serial()


def failure(error: BaseException, stage: str, block: Roi) -> Exception:
    """Return what to raise for a block that failed for good, its place in the message."""
    plain = OSError if isinstance(error, OSError) else ValueError
    reason = str(error) or type(error).__name__
    if not isinstance(error, (ValueError, OSError)):
        reason = f"{type(error).__name__}: {reason}"
    return plain(f"{stage}, block {block}: {reason} (tried {ATTEMPTS} times)")


def _check_workers(workers: int) -> None:
    """Refuse numbers of workers for which this machine has no cores or no memory."""
    if workers < 1:
        raise ValueError(f"--workers {excerpt(workers)}: at least one worker is needed")
    cores = os.cpu_count() or 1
    most = max(FEW_WORKERS, WORKERS_OF_CORE * cores)
    if workers > most:
        raise ValueError(
            f"--workers {excerpt(workers)}: at most {most} on this machine of {cores} cores; more "
            "would wait for each other (one a core is as fast as it gets)"
        )
    if workers > FEW_WORKERS:
        refuse_without_memory(workers * WORKER_BYTES, f"--workers {workers}", "take fewer")


@contextmanager
def open_executor(workers: int | None = None, scheduler: str | None = None) -> Iterator[Executor]:
    """Choose who computes the blocks.

    Parameters
    ----------
    workers
        So many Dask workers on this machine, which share its cores.
    scheduler
        The address of a running Dask scheduler (``tls://host:8786``), or a TOML file that says how
        to start workers as jobs (`asem.blocks.jobs.JobConfig`).

    Yields
    ------
    Executor
        This process where neither is given.

    Raises
    ------
    ValueError
        Both are given, or one makes no sense.
    OSError
        There is no such file or scheduler.
    """
    if workers is None and scheduler is None:
        yield SERIAL
        return
    if workers is not None and scheduler is not None:
        raise ValueError("give --workers (on this machine) or --scheduler (elsewhere), not both")
    if workers is not None:
        _check_workers(workers)
    from asem.blocks import workers as dask  # it takes half a second to load
    from asem.blocks.jobs import JobConfig

    if workers is not None:
        opened = dask.local(workers)
    elif scheduler is not None and scheduler.endswith(".toml"):
        opened = dask.jobs(JobConfig.from_toml(Path(scheduler)))
    else:
        opened = dask.running(str(scheduler))
    with opened as executor:
        yield executor
