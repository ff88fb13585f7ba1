import subprocess
import sys

import pytest

AGAIN = """
import resource
import threading

import numpy as np

from asem.blocks.memory import keep_memory

def fill():
    np.ones(200_000_000, np.uint8)

keep_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a promise for glibc")
def test_a_thread_gets_the_pages_again_that_another_freed():
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert second < first / 10
