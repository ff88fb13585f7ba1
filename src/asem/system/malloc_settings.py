"""Settings of glibc's malloc: retain freed memory in the process, or return it to the system."""

import ctypes
import gc
import sys
import threading
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MAX_INT = 2**31 - 1


def retain_freed_memory() -> None:
    """Retain freed memory in this process, on Linux with glibc.

    Training and prediction repeatedly allocate and free large tensors of the same sizes. If they
    are returned to the system, their pages are cleared each time, which takes a third of the time
    of an iteration on a CPU. In threads, see `use_single_heap`.
    """
    use_single_heap()
    mallopt = _glibc_function("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, MAX_INT)


def use_single_heap() -> None:
    """Use one heap for all threads, if only the main thread allocated memory before.

    glibc gives each thread its own heap; large tensors in it are returned to the system in spite of
    `retain_freed_memory`. Threads that start later reuse the heaps of earlier threads;
    ``MALLOC_ARENA_MAX=1`` in the environment applies from the start.
    """
    mallopt = _glibc_function("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def release_memory() -> None:
    """Return retained memory to the system, for instance before free memory is measured.

    In a process with windows, garbage is collected in the main thread only: it may contain widgets,
    and Qt aborts a process that deletes them in another thread.
    """
    if "qtpy" not in sys.modules or threading.current_thread() is threading.main_thread():
        gc.collect()
    trim = _glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc_function(name: str) -> Any:
    """Return a function of glibc; None on other systems."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
