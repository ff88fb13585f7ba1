"""Open the executor that the options --workers and --scheduler select."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.config import shorten
from asem.system.resources import check_free_memory

MAX_UNCHECKED_WORKERS, MAX_WORKERS_PER_CORE = 8, 4
"""Workers that any machine may start, and workers per core above that; they share the cores."""
IDLE_WORKER_BYTES = 2 * 10**8
"""Memory of a worker that has imported all modules and computes nothing yet."""


def _check_worker_count(workers: int) -> None:
    """Raise ValueError for a number of workers that exceeds the cores or memory of this machine."""
    if workers < 1:
        raise ValueError(f"--workers {shorten(workers)}: at least one worker is needed")
    cores = os.cpu_count() or 1
    limit = max(MAX_UNCHECKED_WORKERS, MAX_WORKERS_PER_CORE * cores)
    if workers > limit:
        raise ValueError(
            f"--workers {shorten(workers)}: at most {limit} on this machine of {cores} cores; more "
            "compete for the cores (one per core is fastest)"
        )
    if workers > MAX_UNCHECKED_WORKERS:
        check_free_memory(workers * IDLE_WORKER_BYTES, f"--workers {workers}", "start fewer")


@contextmanager
def open_executor(workers: int | None = None, scheduler: str | None = None) -> Iterator[Executor]:
    """Open the executor of the blocks, until the context exits.

    Parameters
    ----------
    workers
        Number of Dask workers to start on this machine, which share its cores.
    scheduler
        Address of a running Dask scheduler (``tls://host:8786``), or a TOML file that configures
        workers as batch jobs (`asem.blocks.batch_job_config.BatchJobConfig`).

    Yields
    ------
    Executor
        Serial, in this process, if neither is given.

    Raises
    ------
    ValueError
        Both are given, or one is invalid.
    OSError
        The file does not exist, or no scheduler answers.
    """
    if workers is None and scheduler is None:
        yield SERIAL_EXECUTOR
        return
    if workers is not None and scheduler is not None:
        raise ValueError("give --workers (on this machine) or --scheduler (elsewhere), not both")
    if workers is not None:
        _check_worker_count(workers)
    from asem.blocks import dask_workers  # importing Dask takes 0.5 s
    from asem.blocks.batch_job_config import BatchJobConfig

    if workers is not None:
        opened = dask_workers.start_local_workers(workers)
    elif scheduler is not None and scheduler.endswith(".toml"):
        opened = dask_workers.start_batch_jobs(BatchJobConfig.from_toml(Path(scheduler)))
    else:
        opened = dask_workers.connect_to_scheduler(str(scheduler))
    with opened as executor:
        yield executor
