"""Executors that run a function on blocks in this process: serial, or in threads.

Dask workers: `asem.blocks.dask_executor`; choice by options: `asem.blocks.open_executor`.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from asem.volume.roi import Roi
from asem.volume.zarr_arrays import WriteFuture

LOG = logging.getLogger(__name__)
BlockFunction = Callable[[Roi], WriteFuture | None]
"""Reads its input and writes a block; returns None if the data is stored, or a future that is done
when it is."""
RETRYABLE_ERRORS = (ValueError, OSError, RuntimeError, MemoryError)
"""Errors after which a block is retried; any other one is a bug in the program."""
MAX_ATTEMPTS = 3
"""Attempts per block before the run stops."""
Result = TypeVar("Result")
RETRY_INTERVAL_S = 0.2
"""Delay before the second attempt in this process; doubled before the third."""
POLL_INTERVAL_S = 0.5
"""Maximum time between two yields of `ThreadExecutor.run`."""


class RunStoppedError(Exception):
    """Raised by a block function after a request to stop the run; the block is not retried."""


class Executor(Protocol):
    """Runs a function on blocks, in any order."""

    def run(
        self,
        block_function: BlockFunction,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `block_function` for every block; yield blocks as they finish.

        Parameters
        ----------
        block_function
            Called up to three times for a block that fails. Dask pickles it: it may contain paths,
            numpy arrays, tensorstore arrays and volumes, but no open file. If its attribute
            ``runs_concurrently`` is True, a Dask worker with several threads calls it for several
            blocks at a time.
        blocks
            The order does not matter.
        stage
            Name of the processing step, for messages and the dashboard.
        block_bytes
            Memory of one block, which limits the number of blocks in flight.
        outputs
            Written paths, to wait for blocks of an earlier run that still write there.

        Raises
        ------
        ValueError, OSError
            A block failed in all attempts; the message names it. Other blocks in flight have been
            yielded.

        Yields
        ------
        sequence of Roi
            Empty from time to time, if blocks take long.
        """

    def run_on_workers(self, function: Callable[[], Result]) -> list[Result]:
        """Call a function, which can be pickled, once on each worker; return the results."""


def _run_in_this_process(self: Executor, function: Callable[[], Result]) -> list[Result]:
    """Call a function once, in this process."""
    return [function()]


class SerialExecutor:
    """Computes blocks in this process, one after the other; kernels and codecs use all cores.

    The next block is computed while the previous one is stored, so that disk and processor work at
    the same time. Two blocks are therefore in flight, whatever `block_bytes` is.
    """

    run_on_workers = _run_in_this_process

    def run(
        self,
        block_function: BlockFunction,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `block_function` for every block in order."""
        storing: deque[tuple[Roi, WriteFuture | None]] = deque()
        failure: Exception | None = None
        try:
            for block in blocks:
                try:
                    storing.append((block, _retry(partial(block_function, block), stage, block)))
                except (ValueError, OSError) as error:
                    failure = error
                    break
                while len(storing) > 1 or (storing and storing[0][1] is None):
                    yield (self._wait_until_stored(block_function, stage, *storing.popleft()),)
            while storing:
                yield (self._wait_until_stored(block_function, stage, *storing.popleft()),)
            if failure:
                raise failure
        finally:
            for _, future in storing:  # interrupted: no write may continue after this returns
                if future is not None:
                    with suppress(*RETRYABLE_ERRORS):
                        future.result()

    def _wait_until_stored(
        self, block_function: BlockFunction, stage: str, block: Roi, future: WriteFuture | None
    ) -> Roi:
        """Wait until a block is stored; if that fails, compute and store it again."""
        try:
            if future is not None:
                future.result()
        except RETRYABLE_ERRORS as error:
            LOG.info("%s, block %s was not stored and is tried again: %s", stage, block, error)
            again = partial(run_and_wait, block_function, block)
            _retry(again, stage, block, attempts=MAX_ATTEMPTS - 1)
        return block


class ThreadExecutor:
    """Computes a few blocks at a time in threads of this process.

    For block functions that use the processor in one step only, or a GPU: other blocks are read and
    stored while one is computed. `block_bytes` does not limit the number of blocks in flight.

    Parameters
    ----------
    max_threads
        Maximum number of threads, and of blocks at a time.
    request_stop
        Called if the run ends early; running block functions should then raise an error.
    """

    run_on_workers = _run_in_this_process

    def __init__(self, max_threads: int, request_stop: Callable[[], None]) -> None:
        self.max_threads, self.request_stop = max_threads, request_stop

    def run(
        self,
        block_function: BlockFunction,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `block_function` for every block, started in order."""
        waiting, in_flight = deque(blocks), dict[Future[None], Roi]()
        failure: BaseException | None = None
        with ThreadPoolExecutor(self.max_threads, thread_name_prefix=stage) as pool:
            try:
                while in_flight or (waiting and not failure):
                    while waiting and not failure and len(in_flight) < self.max_threads:
                        block = waiting.popleft()
                        function = partial(run_and_wait, block_function, block)
                        in_flight[pool.submit(_retry, function, stage, block)] = block
                    done, _ = wait(in_flight, POLL_INTERVAL_S, return_when=FIRST_COMPLETED)
                    errors = {in_flight.pop(future): future.exception() for future in done}
                    yield [block for block, error in errors.items() if error is None]
                    failure = failure or next((error for error in errors.values() if error), None)
                if failure:
                    raise failure
            finally:
                if in_flight:
                    self.request_stop()


def _retry(
    function: Callable[[], Result], stage: str, block: Roi, attempts: int = MAX_ATTEMPTS
) -> Result:
    """Call a function for a block, again if it fails."""
    for attempt in range(1, attempts):
        try:
            return function()
        except RETRYABLE_ERRORS as error:
            LOG.info("%s, block %s failed and is tried again: %s", stage, block, error)
            time.sleep(RETRY_INTERVAL_S * attempt)
    try:
        return function()
    except RETRYABLE_ERRORS as error:
        raise make_block_error(error, stage, block) from error


def run_and_wait(block_function: BlockFunction, block: Roi) -> None:
    """Compute a block and wait until it is stored."""
    future = block_function(block)
    if future is not None:
        future.result()


SERIAL_EXECUTOR = SerialExecutor()


def make_block_error(error: BaseException, stage: str, block: Roi) -> Exception:
    """Return the error of a block that failed in all attempts; its message names the block."""
    plain = OSError if isinstance(error, OSError) else ValueError
    reason = str(error) or type(error).__name__
    if not isinstance(error, (ValueError, OSError)):
        reason = f"{type(error).__name__}: {reason}"
    return plain(f"{stage}, block {block}: {reason} (tried {MAX_ATTEMPTS} times)")
