"""Blocks on Dask workers: on this machine, on a running scheduler, or as SLURM or LSF jobs."""

import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Literal

import cloudpickle
from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.system import MEMORY_LIMIT
from pydantic import Field

from asem.blocks.executors import ATTEMPTS, Work, failure
from asem.config import Config
from asem.volume.roi import Roi

LOG = logging.getLogger(__name__)
AHEAD = 4
"""Blocks handed over for each thread of the workers: one to compute, the others to go on with."""
USABLE = 0.8
"""Share of the memory that blocks may take."""
LOOK_SECONDS = 5.0
"""How often the workers are counted: jobs start late, and may end."""
PATIENCE_SECONDS = 30


class Cluster:
    """Dask workers.

    Parameters
    ----------
    client
        Connected to their scheduler.
    shared_memory
        Bytes that all workers share (they are on one machine); None: each has its own limit.
    """

    def __init__(self, client: Client, *, shared_memory: int | None = None) -> None:
        self.client, self.shared_memory = client, shared_memory

    @property
    def dashboard(self) -> str:
        """Address of the page that shows what the workers do."""
        return str(self.client.dashboard_link)

    def run(
        self, work: Work, blocks: Sequence[Roi], *, stage: str, block_bytes: int
    ) -> Iterator[Sequence[Roi]]:
        """Call `work` for every block on any worker.

        A window of blocks is in flight; as some return, others follow. `work` travels once to each
        worker, as the result of a task, so that it is made again where a worker died. A block whose
        worker died goes to another; the scheduler also repeats one that failed.
        """
        run = uuid.uuid4().hex[:8]
        function = self.client.submit(
            cloudpickle.loads, cloudpickle.dumps(work), key=f"work-{stage}-{run}"
        )
        waiting, failed = enumerate(blocks), None
        flying: dict[str, tuple[Roi, Any]] = {}
        queue, window = as_completed(), _Window(self, block_bytes)
        try:
            while True:
                room = 0 if failed else window.size() - len(flying)
                for number, block in islice(waiting, max(0, room)):
                    key = f"{stage.replace(' ', '_')}-{run}-{number}"
                    future = self.client.submit(
                        _call, function, block, key=key, retries=ATTEMPTS - 1
                    )
                    flying[key] = (block, future)
                    queue.add(future)
                if not flying:
                    break
                finished = next(queue.batches())
                done = [(*flying.pop(future.key), future) for future in finished]
                failed = failed or next((d for d in done if d[1].status != "finished"), None)
                yield [block for block, future, _ in done if future.status == "finished"]
        finally:
            self.client.cancel([future for _, future in flying.values()])
        if failed:
            raise failure(_why(failed[1]), stage, failed[0])


def _call(work: Work, block: Roi) -> None:
    promise = work(block)
    if promise is not None:
        promise.result()


def _why(future: Any) -> BaseException:
    if future.status == "cancelled":
        return OSError("the scheduler was closed or restarted")
    error: BaseException | None = future.exception()
    if isinstance(error, KilledWorker):
        return OSError("each worker that tried it died; it may need more memory than they have")
    assert error is not None
    return error


class _Window:
    """How many blocks may be in flight, looked up anew every few seconds."""

    def __init__(self, cluster: Cluster, block_bytes: int) -> None:
        self.cluster, self.block_bytes = cluster, max(1, block_bytes)
        self.looked, self.found = -LOOK_SECONDS, 1

    def size(self) -> int:
        now = time.monotonic()
        if now - self.looked >= LOOK_SECONDS:
            workers = self.cluster.client.scheduler_info(n_workers=-1)["workers"].values()
            self.found, self.looked = self._measure(list(workers)), now
        return self.found

    def _measure(self, workers: list[dict[str, Any]]) -> int:
        threads = sum(worker["nthreads"] for worker in workers)
        if self.cluster.shared_memory is not None:
            fit = self._fit(self.cluster.shared_memory)
        else:
            fit = sum(min(w["nthreads"], self._fit(w["memory_limit"] or 1e15)) for w in workers)
        # Blocks that only wait take no memory, but which of them wait is not ours to say.
        return max(1, AHEAD * threads if fit >= threads else fit)

    def _fit(self, memory: float) -> int:
        return int(USABLE * memory // self.block_bytes)


@contextmanager
def local(workers: int) -> Iterator[Cluster]:
    """Start workers on this machine for the time of the context; they share cores and memory."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # the window keeps to the limit; a worker need not be killed for it
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
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
        There is no batch system, or no job starts in time.
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
        cluster.scale(jobs=config.jobs)
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
    threads = f"export NUMBA_NUM_THREADS={config.cores} OMP_NUM_THREADS={config.cores}"
    return kind(
        cores=1,  # one block at a time: its kernels use the job's cores
        processes=1,
        memory=config.memory,
        walltime=config.walltime,
        queue=config.queue,
        interface=config.interface,
        job_script_prologue=[*config.before, threads],
        job_extra_directives=list(config.directives),
        **particular,
    )
