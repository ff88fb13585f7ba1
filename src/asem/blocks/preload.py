"""What Dask loads into each worker that `asem.blocks.workers.local` starts."""

import signal
import threading
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave what reaches all processes of a terminal to the one that was started."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGHUP):  # Ctrl-C, and the end of the terminal
            signal.signal(number, signal.SIG_IGN)
