"""Signals that end a command: the first one in good order, the second one at once.

::

    Ctrl-C, SIGTERM, SIGHUP  ->  KeyboardInterrupt or `Terminated`  ->  temporary files are deleted,
                                                                        Dask workers are ended
    another one, later       ->  what the system does (the process is ended)

One that was ignored when the process was started (``nohup``, ``&`` in a script) stays ignored, and
one that the calling program handles stays its own.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import FrameType
from typing import Any, TypeVar

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_REQUEST_S = 1.0
"""Signals within this time are one request: a terminal that is closed sends SIGHUP twice, and
`timeout` and batch systems send SIGTERM to a process and to its group."""
Made = TypeVar("Made")
OWN = (signal.SIG_DFL, signal.default_int_handler)
"""What Python and the system do, where the calling program handles a signal in no other way."""


class Terminated(KeyboardInterrupt):
    """An interruption by a signal.

    Parameters
    ----------
    number
        Of the signal.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_code(error: KeyboardInterrupt) -> int:
    """Return the exit code of a command that was interrupted, as shells write it.

    Examples
    --------
    >>> exit_code(KeyboardInterrupt()), exit_code(Terminated(signal.SIGTERM))
    (130, 143)
    """
    return 128 + (error.number if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def handled_as_interrupt() -> Iterator[None]:
    """Give SIGTERM and SIGHUP, where `raised_signals` handles them, to what handles Ctrl-C.

    For a loop of events that lets Python run at Ctrl-C only.
    """
    ours = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    ours = {number: handler for number, handler in ours.items() if callable(handler)}

    def act(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            handler(number, frame)

    ours = ours if callable(signal.getsignal(signal.SIGINT)) else {}
    for number in ours:
        signal.signal(number, act)
    try:
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


@contextmanager
def raised_signals() -> Iterator[None]:
    """Raise `Terminated` in the block at the first signal of `ENDING`; the second ends the process.

    Whatever the block raises after the first one becomes `Terminated`: a library that is just being
    imported may raise ImportError instead. Outside of the main thread, which alone gets signals,
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: list[tuple[int, float]] = []
    finished = False

    def act(number: int, _frame: FrameType | None) -> None:
        if not first:
            first.append((number, time.monotonic()))
            raise Terminated(number)
        if time.monotonic() - first[0][1] >= SAME_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        for number, handler in before.items():
            if handler in OWN:
                signal.signal(number, act)
        yield
        finished = True
    finally:
        for number, handler in before.items():
            if handler in OWN:
                signal.signal(number, handler)
        if first and not finished:
            raise Terminated(first[0][0])


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Set the handlers again that the block may have replaced, such as an import."""
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                if signal.getsignal(number) is not handler and handler is not None:
                    signal.signal(number, handler)


@contextmanager
def deferred_signals() -> Iterator[None]:
    """Keep the first signal of `ENDING` until the block has ended, then let it act as ever.

    For steps that leave something behind when they are interrupted, and end soon. A second signal
    acts at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept: list[tuple[int, float]] = []
    before = {number: signal.getsignal(number) for number in ENDING}

    def keep(number: int, _frame: FrameType | None) -> None:
        if not kept:
            kept.append((number, time.monotonic()))
        elif time.monotonic() - kept[0][1] >= SAME_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    try:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, keep)
        yield
    finally:
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
    if kept:
        signal.raise_signal(kept[0][0])


@contextmanager
def undisturbed(
    make: Callable[..., AbstractContextManager[Made]], **options: Any
) -> Iterator[Made]:
    """Open ``make(**options)`` for the time of the context; no signal interrupts the opening."""
    with ExitStack() as stack:
        with deferred_signals():
            made = stack.enter_context(make(**options))
        yield made
