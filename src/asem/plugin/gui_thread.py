"""Deliver the results of worker threads in the GUI thread."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")
CallInGuiThread = Callable[[Callable[[], None]], None]
"""Schedules a function without arguments in the GUI thread; returns at once."""
LOG = logging.getLogger(__name__)


def first_line_of(error: BaseException) -> str:
    r"""Return the first line of an error message, or the type of an error without one.

    >>> first_line_of(ValueError("chunk 0 is damaged\nread again")), first_line_of(MemoryError())
    ('chunk 0 is damaged', 'MemoryError')
    """
    return str(error).partition("\n")[0] or type(error).__name__


def deliver_result(
    done: "Future[T]", *, on_result: Callable[[T], None], on_error: Callable[[str], None]
) -> None:
    """Pass the result of a finished future, or the line of its error, to a callback.

    Errors other than ValueError and OSError are internal errors; their traceback is logged.
    A cancelled future calls nothing.

    Parameters
    ----------
    done
        Finished or cancelled.
    on_result, on_error
        Called in this thread; one of them.
    """
    if done.cancelled():
        return
    error = done.exception()
    if error is None:
        on_result(done.result())
        return
    if not isinstance(error, ValueError | OSError):
        LOG.error("internal error in a worker thread", exc_info=error)
    on_error(first_line_of(error))
