"""Find the Dask worker that runs the calling function: its address and memory limit."""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from asem.blocks.executors import Result


@dataclass(frozen=True)
class WorkerInfo:
    """A Dask worker.

    Parameters
    ----------
    address
        Its address, as registered at the scheduler.
    memory_limit_bytes
        Its memory limit in bytes; None: no limit.
    """

    address: str
    memory_limit_bytes: int | None


_CALLING_WORKER = ContextVar[Any]("calling_worker", default=None)
"""The worker during `call_with_worker`."""


def current_worker() -> WorkerInfo | None:
    """Return the worker that runs the calling function; None outside of workers."""
    if "distributed" not in sys.modules:  # slow to import, and loaded in each worker
        return None
    from distributed import get_worker

    try:
        worker = _CALLING_WORKER.get() or get_worker()
    except ValueError:
        return None
    return WorkerInfo(str(worker.address), worker.memory_manager.memory_limit)


def call_with_worker(
    function: Callable[[], Result], dask_worker: Any
) -> tuple[Result | None, Exception | None]:
    """Call a function outside of a task, where `distributed.get_worker` does not work.

    An error is returned, so that Dask does not report an OSError as a lost connection.
    """
    token = _CALLING_WORKER.set(dask_worker)
    try:
        return function(), None
    except (ValueError, OSError) as error:
        return None, error
    finally:
        _CALLING_WORKER.reset(token)


def unwrap_result(outcome: Any) -> Any:
    """Return the result of `call_with_worker`, or raise its error."""
    result, error = (None, outcome) if isinstance(outcome, Exception) else outcome
    if error is not None:
        raise error
    return result
