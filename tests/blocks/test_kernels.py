"""Works in two threads, on the threading layer that bears one."""

import os
import subprocess
import sys
from contextlib import nullcontext

from asem.blocks import kernels

TWO = """
from threading import Thread

import numba
import numpy as np
from asem.blocks.kernels import work_lock
from asem.volume.downsample import downsample


def work():
    for _ in range(20):
        with work_lock():
            downsample(np.zeros((64, 64, 64), np.uint8), (2, 2, 2), "image")


threads = [Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(numba.threading_layer())
"""


def test_works_take_turns_where_the_layer_bears_one():
    environ = os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", TWO], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "workqueue"


def test_else_they_go_on_together(monkeypatch):
    monkeypatch.setattr(kernels, "_layer", lambda: "omp")
    assert isinstance(kernels.work_lock(), nullcontext)
