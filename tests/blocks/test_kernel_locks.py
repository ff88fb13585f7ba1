"""Kernels in two threads, on a threading layer that cannot run them concurrently."""

import os
import subprocess
import sys
from contextlib import nullcontext

from asem.blocks import kernel_locks

TWO = """
from threading import Thread

import numba
import numpy as np
from asem.blocks.kernel_locks import workqueue_lock
from asem.volume.downsample import downsample


def work():
    for _ in range(20):
        with workqueue_lock():
            downsample(np.zeros((64, 64, 64), np.uint8), (2, 2, 2), "image")


threads = [Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(numba.threading_layer())
"""


def test_the_lock_serializes_kernels_of_the_workqueue_layer():
    environ = os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", TWO], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "workqueue"


def test_other_layers_need_no_lock(monkeypatch):
    monkeypatch.setattr(kernel_locks, "_threading_layer", lambda: "omp")
    assert isinstance(kernel_locks.workqueue_lock(), nullcontext)
