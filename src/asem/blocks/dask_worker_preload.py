"""Dask preload module: local workers ignore Ctrl-C and hang-up.

`asem.blocks.dask_workers.start_local_workers` loads it into each worker.
"""

import signal
import threading
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore signals that a terminal sends to all processes; the main process handles them."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C, and a closed terminal
            signal.signal(number, signal.SIG_IGN)
