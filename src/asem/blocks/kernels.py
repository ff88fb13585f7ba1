"""Compiled kernels in threads: each takes all cores, and numba may not bear two at a time.

Of its threading layers, OpenMP and TBB do; the third, ``workqueue``, ends the process.
"""

import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import numba
import numpy as np
from numba import njit, prange

KERNELS = threading.Lock()
"""Held around the kernels of one block while others are under way in the same work."""
_WORK = threading.Lock()


def work_lock() -> AbstractContextManager[object]:
    """Return what a thread holds during all of a work with kernels, beside the works of others.

    A lock where the threading layer of this machine does not bear two at a time, else nothing.
    """
    with _WORK:
        layer = _layer()
    return _WORK if layer == "workqueue" else nullcontext()


@cache
def _layer() -> str:
    _touch(np.zeros(1))  # it is chosen with the first kernel
    return str(numba.threading_layer())  # type: ignore[attr-defined]


@njit(cache=True, parallel=True)
def _touch(values):  # type: ignore[no-untyped-def]
    for n in prange(len(values)):
        values[n] = n
