"""What becomes of the memory that this process frees."""

import ctypes
import gc
import sys
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
NEVER = 2**31 - 1


def keep_memory() -> None:
    """Keep freed memory in this process, on Linux with glibc.

    Training and prediction free and take large tensors of the same sizes again and again. Given
    back to the system each time, their pages are cleared each time: a third of the time of an
    iteration on a CPU. In threads it holds as far as `one_heap` does.
    """
    one_heap()
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def one_heap() -> None:
    """Let all threads take their memory from one heap, if none but the main one took any yet.

    From a heap of its own, which glibc gives to a thread, large tensors go back to the system
    whatever `keep_memory` says. Heaps that other threads opened before are shared with threads that
    begin later; ``MALLOC_ARENA_MAX=1`` in the environment holds from the start.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def release_memory() -> None:
    """Give back what `keep_memory` kept, for instance before free memory is measured."""
    gc.collect()
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc(name: str) -> Any:
    """Return a function of glibc; None on other systems."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
