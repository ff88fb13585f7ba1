"""Termination signals: the first raises an interrupt, the second ends the process.

::

    Ctrl-C, SIGTERM, SIGHUP  ->  KeyboardInterrupt or `Terminated`  ->  temporary files are deleted,
                                                                        Dask workers are ended
    a second one, later      ->  default action of the system (the process ends)

Signals that were ignored when the process was started (``nohup``, ``&`` in a script) stay ignored,
and signals that the calling program handles stay with its handlers.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType
from typing import Any, TypeVar

TERMINATION_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SIGNAL_INTERVAL_S = 1.0
"""Signals within this time count as one: a closed terminal sends SIGHUP twice, and `timeout` and
batch systems send SIGTERM to a process and to its group."""
Resource = TypeVar("Resource")
DEFAULT_HANDLERS = (signal.SIG_DFL, signal.default_int_handler)
"""Handlers of Python and of the system: the calling program has set no other."""


class Terminated(KeyboardInterrupt):
    """Interruption by a signal.

    Parameters
    ----------
    signal_number
        Number of the signal.
    """

    def __init__(self, signal_number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of an interrupted command as shells define it, 128 + signal.

    Examples
    --------
    >>> exit_code(KeyboardInterrupt()), exit_code(Terminated(signal.SIGTERM))
    (130, 143)
    """
    return 128 + (error.signal_number if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def forward_to_sigint_handler() -> Iterator[None]:
    """Forward SIGTERM and SIGHUP, where `raise_on_signals` handles them, to the SIGINT handler.

    For an event loop that runs Python code at Ctrl-C only.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers = {number: handler for number, handler in handlers.items() if callable(handler)}

    def forward(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            handler(number, frame)

    handlers = handlers if callable(signal.getsignal(signal.SIGINT)) else {}
    for number in handlers:
        signal.signal(number, forward)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` in the block at the first termination signal; the second ends the process.

    Any exception of the block after the first signal becomes `Terminated`: a library that is being
    imported may raise ImportError instead. Does nothing outside the main thread, which alone
    receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[tuple[int, float]] = []
    finished = False

    def terminate(number: int, _frame: FrameType | None) -> None:
        if not first:
            first.append((number, time.monotonic()))
            raise Terminated(number)
        if time.monotonic() - first[0][1] >= SAME_SIGNAL_INTERVAL_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
    try:
        for number, handler in before.items():
            if handler in DEFAULT_HANDLERS:
                signal.signal(number, terminate)
        yield
        finished = True
    finally:
        for number, handler in before.items():
            if handler in DEFAULT_HANDLERS:
                signal.signal(number, handler)
        if first and not finished:
            raise Terminated(first[0][0])


@contextmanager
def restore_handlers_after() -> Iterator[None]:
    """Restore the signal handlers that the block, for instance an import, has replaced."""
    before = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if signal.getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Defer the first of `TERMINATION_SIGNALS` until the end of the block.

    For short steps that must not be interrupted. A second signal acts immediately.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    deferred: list[tuple[int, float]] = []
    before = {number: signal.getsignal(number) for number in TERMINATION_SIGNALS}

    def defer(number: int, _frame: FrameType | None) -> None:
        if not deferred:
            deferred.append((number, time.monotonic()))
        elif time.monotonic() - deferred[0][1] >= SAME_SIGNAL_INTERVAL_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    try:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, defer)
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
    if deferred:
        signal.raise_signal(deferred[0][0])


@contextmanager
def open_uninterrupted(
    factory: Callable[..., AbstractContextManager[Resource]], **options: Any
) -> Iterator[Resource]:
    """Enter the context ``factory(**options)``; no signal interrupts entering it."""
    with ExitStack() as stack:
        with defer_signals():
            resource = stack.enter_context(factory(**options))
        yield resource
