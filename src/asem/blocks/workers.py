"""Where Dask workers come from: this machine, a running scheduler, SLURM or LSF jobs."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import dask
from distributed import Client, LocalCluster
from distributed.core import Status
from distributed.system import MEMORY_LIMIT
from pydantic import Field

from asem.blocks.cluster import Cluster
from asem.config import Config
from asem.signals import undisturbed

PATIENCE_SECONDS = 30
"""For a scheduler to answer."""
BEFORE_START = "distributed.nanny.pre-spawn-environ"
"""Of Dask's settings, the environment that a worker's process starts in; ``env`` comes later."""
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""As `asem.blocks.memory.one_heap` has it in this process; it must hold from the first moment."""


@contextmanager
def local(workers: int) -> Iterator[Cluster]:
    """Start workers on this machine for the time of the context; they share cores and memory."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    with (
        dask.config.set({f"{BEFORE_START}.{name}": value for name, value in ONE_HEAP.items()}),
        undisturbed(
            LocalCluster,
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # the window keeps to the limit; a worker need not be killed for it
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            preload="asem.blocks.preload",
            env={"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Cluster(client, shared_memory=MEMORY_LIMIT)


@contextmanager
def running(address: str) -> Iterator[Cluster]:
    """Use a scheduler that runs already; it goes on afterwards.

    Raises
    ------
    OSError
        No scheduler answers, or it has no worker.
    """
    try:
        client = Client(address, timeout=f"{PATIENCE_SECONDS}s")
    except (OSError, ValueError, TimeoutError) as error:
        raise OSError(
            f"no Dask scheduler answers at {address}; start one with `dask scheduler`, or name a "
            "TOML file of jobs"
        ) from error
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise OSError(
                f"the scheduler at {address} has no worker; start `dask worker {address}`"
            )
        yield Cluster(client)


class JobConfig(Config):
    """Workers as jobs of a batch system."""

    system: Literal["slurm", "lsf"]
    """Whose jobs."""
    jobs: int = Field(gt=0)
    """How many run at a time; each is one worker."""
    cores: int = Field(gt=0)
    """Of a job; kernels use all of them for its block."""
    overlap: int = Field(default=1, gt=0)
    """Blocks that a worker has under way in `asem predict`: with 3, a GPU computes while other
    blocks are read and stored."""
    memory: str
    """Of a job, for instance ``"32GB"``."""
    walltime: str | None = None
    """Of a job, as the batch system writes it; None: its default. A worker whose time is over is
    lost like any other: its block goes to another."""
    queue: str | None = None
    """Queue (LSF) or partition (SLURM)."""
    account: str | None = None
    """Account (SLURM) or project (LSF)."""
    interface: str | None = None
    """Network interface of the workers, for instance ``"ib0"``."""
    before: tuple[str, ...] = ()
    """Shell lines ahead of the worker: load modules, activate the environment."""
    logs: str | None = None
    """Folder for what the jobs print; None: where the batch system puts it."""
    directives: tuple[str, ...] = ()
    """Further lines for the batch system, for instance ``"--constraint=avx512"``."""
    wait_minutes: float = Field(default=60, gt=0)
    """How long to wait for the first job to start."""


@contextmanager
def jobs(config: JobConfig) -> Iterator[Cluster]:
    """Start workers as jobs for the time of the context.

    Raises
    ------
    ValueError
        dask-jobqueue is not installed.
    OSError
        There is no batch system, it refuses the job, or none starts in time.
    """
    submit = {"slurm": "sbatch", "lsf": "bsub"}[config.system]
    if shutil.which(submit) is None:
        raise OSError(
            f"there is no `{submit}` on this machine; start asem where jobs are submitted"
        )
    try:
        cluster = job_cluster(config)
    except ImportError as error:
        raise ValueError(
            "workers as jobs need dask-jobqueue; pip install 'asem[cluster]'"
        ) from error
    with cluster, Client(cluster) as client:

        async def submitted() -> None:
            # Not `scale`, which submits later and only logs that a job was refused.
            for _ in range(config.jobs):
                cluster.worker_spec.update(cluster.new_worker_spec())
            await cluster

        try:
            cluster.sync(submitted)
        except RuntimeError as error:
            for job in cluster.workers.values():
                if job.job_id is None:  # it never ran, and need not be ended
                    job.status = Status.closed
            reason = " ".join(str(error).split("stderr:")[-1].split())
            raise OSError(f"{config.system} refuses the job: {reason}") from error
        # Jobs whose time is over are followed by others.
        cluster.adapt(minimum_jobs=config.jobs, maximum_jobs=config.jobs)
        try:
            client.wait_for_workers(1, timeout=60 * config.wait_minutes)
        except TimeoutError as error:
            raise OSError(
                f"no job started within {config.wait_minutes} minutes (wait_minutes)"
            ) from error
        yield Cluster(client)


def job_cluster(config: JobConfig) -> Any:
    """Return dask-jobqueue's cluster, without a job yet."""
    from dask_jobqueue import LSFCluster, SLURMCluster

    kinds: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "slurm": (SLURMCluster, {"account": config.account, "job_cpu": config.cores}),
        "lsf": (LSFCluster, {"project": config.account, "ncpus": config.cores}),
    }
    kind, particular = kinds[config.system]
    threads = {"NUMBA_NUM_THREADS": config.cores, "OMP_NUM_THREADS": config.cores}
    exported = " ".join(f"{name}={value}" for name, value in {**threads, **ONE_HEAP}.items())
    return kind(
        cores=config.overlap,  # threads of the worker; kernels use all cores of the job
        processes=1,
        memory=config.memory,
        walltime=config.walltime,
        queue=config.queue,
        interface=config.interface,
        log_directory=config.logs,
        job_script_prologue=[*config.before, f"export {exported}"],
        job_extra_directives=list(config.directives),
        **particular,
    )
