"""Locks for multithreaded numba kernels.

Numba's threading layer ``workqueue`` aborts the process if two threads run kernels at the same
time; OpenMP and TBB do not.
"""

import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import numba
import numpy as np
from numba import njit, prange

KERNEL_LOCK = threading.Lock()
"""Held around the kernels of a block while the same function processes other blocks."""
_WORKQUEUE_LOCK = threading.Lock()


def workqueue_lock() -> AbstractContextManager[object]:
    """Return the context manager of a computation with kernels, concurrent with other threads.

    A lock if the threading layer of this machine is ``workqueue``, else a null context.
    """
    with _WORKQUEUE_LOCK:
        layer = _threading_layer()
    return _WORKQUEUE_LOCK if layer == "workqueue" else nullcontext()


@cache
def _threading_layer() -> str:
    _touch(np.zeros(1))  # numba selects the layer at the first kernel
    return str(numba.threading_layer())  # type: ignore[attr-defined]


@njit(cache=True, parallel=True)
def _touch(values):  # type: ignore[no-untyped-def]
    for n in prange(len(values)):
        values[n] = n
