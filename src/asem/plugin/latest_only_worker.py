"""Worker thread that computes only the newest request and drops outdated results.

::

    submit 1    submit 2   submit 3
    |-- 1 -----------------|-- 3 ---------|
    2 is replaced by 3; the result of 1 is outdated; only result 3 is delivered
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from asem.plugin.gui_thread import CallInGuiThread, deliver_result

T = TypeVar("T")


class LatestOnlyWorker:
    """One worker thread; the result of the newest request is delivered in the GUI thread.

    All methods are called in the GUI thread, so that no lock is needed.

    Parameters
    ----------
    name
        Prefix of the thread's name.
    call_in_gui_thread
        Schedules a function in the GUI thread.

    Examples
    --------
    >>> from queue import Queue
    >>> gui_calls = Queue()
    >>> worker = LatestOnlyWorker("example", gui_calls.put)
    >>> worker.submit(lambda: len("four"), print, print)
    >>> gui_calls.get()()
    4
    >>> worker.close(wait=True)
    """

    def __init__(self, name: str, call_in_gui_thread: CallInGuiThread) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._call_in_gui_thread = call_in_gui_thread
        self._latest: Future[Any] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a result is still to be delivered."""
        return self._latest is not None

    def submit(
        self,
        function: Callable[[], T],
        on_result: Callable[[T], None],
        on_error: Callable[[str], None],
    ) -> None:
        """Replace the current request by a new one.

        Parameters
        ----------
        function
            Computes the result in the worker thread.
        on_result, on_error
            Called in the GUI thread with the result, or with an error message of one line;
            neither is called if the request is replaced or cancelled.
        """
        self.cancel()
        future = self._latest = self._executor.submit(function)
        deliver = partial(self._deliver, future, on_result, on_error)

        def call_deliver(done: "Future[T]") -> None:
            if done is self._latest:  # checked again in the GUI thread
                self._call_in_gui_thread(deliver)

        future.add_done_callback(call_deliver)

    def cancel(self) -> None:
        """Drop the current request; a function that has started runs to its end, unused."""
        outdated, self._latest = self._latest, None
        if outdated is not None:
            outdated.cancel()

    def close(self, *, wait: bool = False) -> None:
        """Cancel, and end the thread; with `wait` a function that has started ends first."""
        self.cancel()
        self._executor.shutdown(wait=wait, cancel_futures=True)

    def _deliver(
        self, done: "Future[T]", on_result: Callable[[T], None], on_error: Callable[[str], None]
    ) -> None:
        if done is self._latest:
            self._latest = None
            deliver_result(done, on_result=on_result, on_error=on_error)
