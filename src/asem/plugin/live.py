"""Cutting again while one draws: in a thread, only the newest request, only its answer.

::

    submit 1    submit 2   submit 3
    |-- 1 -----------------|-- 3 ---------|
    2 is replaced by 3; 1 is stale when it ends; what arrives is 3
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class LiveCutter(Generic[Request, Answer]):
    """One worker thread that answers the newest request.

    `done` and `failed` are called in that thread, in the order of the requests, and not after
    `stop`. What they are given was the newest request a moment ago: who submits from another
    thread compares the number once more.

    Parameters
    ----------
    solve
        Makes an answer of a request, which nobody changes meanwhile.
    done
        Is given the number of a request and its answer.
    failed
        Is given the number of a request and what went wrong.

    Examples
    --------
    >>> answers = []
    >>> cutter = LiveCutter(len, lambda *done: answers.append(done), print)
    >>> cutter.submit("four", 1)
    >>> cutter.stop(wait=True)
    >>> answers
    [(1, 4)]
    """

    def __init__(
        self,
        solve: Callable[[Request], Answer],
        done: Callable[[int, Answer], None],
        failed: Callable[[int, str], None],
    ) -> None:
        self._solve, self._done, self._failed = solve, done, failed
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="asem-cut")
        self._lock = Lock()
        self._newest = 0
        self._stopped = False
        self._waiting: Future[Answer] | None = None

    def submit(self, request: Request, number: int) -> None:
        """Ask for an answer, instead of any that was asked for before.

        Raises
        ------
        ValueError
            The number is not above that of each request before, or the cutter was stopped.
        """
        with self._lock:
            if self._stopped:
                raise ValueError(f"request {number} comes after the end; make a new LiveCutter")
            if number <= self._newest:
                raise ValueError(f"request {number} comes after {self._newest}; count upwards")
            self._newest = number
            before = self._waiting
            self._waiting = self._worker.submit(self._solve, request)
            asked = self._waiting
        if before is not None:
            before.cancel()  # does nothing to what has begun
        asked.add_done_callback(partial(self._answer, number))

    def forget(self, number: int) -> None:
        """Drop what was asked for; `number` counts as a request."""
        with self._lock:
            self._newest = max(self._newest, number)

    def stop(self, *, wait: bool = False) -> None:
        """Take no more requests; what is under way is dropped unless one waits for it."""
        if wait:
            self._worker.shutdown(wait=True)
        with self._lock:
            self._stopped = True
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _answer(self, number: int, asked: "Future[Answer]") -> None:
        with self._lock:
            stale = self._stopped or number != self._newest
        if stale or asked.cancelled():
            return
        fault = asked.exception()
        if fault is None:
            self._done(number, asked.result())
            return
        if not isinstance(fault, ValueError | OSError):
            logger.error("cut %d failed", number, exc_info=fault)
        self._failed(number, str(fault) or type(fault).__name__)
