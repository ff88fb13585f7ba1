import gc
import subprocess
import sys
import threading

import pytest

from asem.system.malloc_settings import release_memory

AGAIN = """
import resource
import threading

import numpy as np

from asem.system.malloc_settings import retain_freed_memory

def fill():
    np.ones(200_000_000, np.uint8)

retain_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_a_thread_reuses_the_pages_that_another_freed():
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert second < first / 10


@pytest.mark.parametrize("with_windows", [True, False])
def test_with_windows_only_the_main_thread_collects_garbage(monkeypatch, with_windows):
    monkeypatch.delitem(sys.modules, "qtpy", raising=False)
    if with_windows:
        monkeypatch.setitem(sys.modules, "qtpy", object())

    class Widget:
        def __del__(self):
            deleted_in.append(threading.current_thread())

    deleted_in = []
    gc.disable()
    try:
        widget = Widget()
        widget.itself = widget
        del widget
        thread = threading.Thread(target=release_memory)
        thread.start()
        thread.join()
        assert deleted_in == ([] if with_windows else [thread])
        release_memory()
    finally:
        gc.enable()
    assert deleted_in == [threading.main_thread() if with_windows else thread]
