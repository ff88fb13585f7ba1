"""Blocks on Dask workers: on this machine, on a running scheduler, or as SLURM or LSF jobs."""

import logging
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import cloudpickle
from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.core import Status
from distributed.system import MEMORY_LIMIT
from pydantic import Field

from asem.blocks.executors import ATTEMPTS, Work, failure
from asem.config import Config
from asem.volume.roi import Roi

LOG = logging.getLogger(__name__)
AHEAD = 4
"""Blocks handed over for each worker: one to compute, the others to go on with."""
USABLE = 0.8
"""Share of the memory that blocks may take."""
LOOK_SECONDS = 5.0
"""How often the workers are counted: jobs start late, and may end."""
LAND_SECONDS = 0.2
PATIENCE_SECONDS = 30
"""For a scheduler to answer."""
LONELY_SECONDS = 300
"""For a worker to come where there is none."""


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
        self, work: Work, blocks: Sequence[Roi], *, stage: str, block_bytes: int, output: Path
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `work` for every block on any worker.

        A window of blocks is in flight; as some return, others follow. `work` travels once to each
        worker, as the result of a task, so that it is made again where a worker died. A block whose
        worker died goes to another; the scheduler also repeats one that failed. Where several
        workers died, the blocks that were with them are tried one by one, to find the one to blame.
        """
        flight = _Flight(self, work, stage, output)
        flight.land()  # a run that was killed may have left blocks on their way
        waiting, suspects = deque(blocks), deque[Roi]()
        window = _Window(self, block_bytes)
        watch = threading.Thread(target=flight.watch, daemon=True)
        watch.start()
        try:
            while waiting or suspects or flight.blocks:
                while waiting and len(flight.blocks) < window.size():
                    flight.send(waiting.popleft())
                alone = not waiting and not flight.blocks
                if alone and suspects:
                    flight.send(suspects.popleft())
                done, failed = flight.next()
                yield done
                for block, error in failed:
                    if isinstance(error, KilledWorker) and not alone:
                        suspects.append(block)
                    else:
                        yield self._settle(flight)
                        raise failure(_told(error), stage, block)
        finally:
            flight.over.set()
            flight.land()

    def _settle(self, flight: "_Flight") -> list[Roi]:
        """Wait for what is in flight and return what arrived."""
        arrived: list[Roi] = []
        while flight.blocks:
            arrived += flight.next()[0]
        return arrived


def _told(error: BaseException) -> BaseException:
    """Return an error that says to a user what happened to a block."""
    if isinstance(error, KilledWorker):
        return OSError("each worker that tried it died; it may need more memory than they have")
    return error


class _Flight:
    """The blocks that are with the workers, and what became of them.

    The names of its tasks tell the output, so that nothing is written to it behind one's back.
    """

    def __init__(self, cluster: Cluster, work: Work, stage: str, output: Path) -> None:
        self.client, self.over = cluster.client, threading.Event()
        self.output = sha256(str(output.resolve()).encode()).hexdigest()[:16]
        self.name = f"{stage.replace(' ', '_')}-{self.output}-{uuid.uuid4().hex[:8]}"
        self.function = self.client.submit(
            cloudpickle.loads, cloudpickle.dumps(work), key=f"work-{self.name}"
        )
        self.blocks: dict[str, tuple[Roi, Any]] = {}
        self.queue, self.number, self.alone = as_completed(), 0, False

    def send(self, block: Roi) -> None:
        """Hand a block to the workers."""
        key = f"{self.name}-{self.number}"
        self.number += 1
        future = self.client.submit(_call, self.function, block, key=key, retries=ATTEMPTS - 1)
        self.blocks[key] = (block, future)
        self.queue.add(future)

    def next(self) -> tuple[list[Roi], list[tuple[Roi, BaseException]]]:
        """Wait for some blocks; return those that are done, and those that failed, and why."""
        done, failed = [], []
        for future in next(self.queue.batches()):
            block, _ = self.blocks.pop(future.key)
            if future.status == "finished":
                done.append(block)
            elif future.status == "error":
                failed.append((block, future.exception()))
            else:
                failed.append((block, OSError("the scheduler was closed, or no worker was left")))
        return done, failed

    def watch(self) -> None:
        """Give up where there is no worker for a long time."""
        without = 0.0
        while not self.over.wait(LOOK_SECONDS):
            if _workers(self.client):
                without = 0.0
                continue
            if not without:
                LOG.warning("no worker is left; waiting %d s for others", LONELY_SECONDS)
            without += LOOK_SECONDS
            if without > LONELY_SECONDS:
                self.client.cancel([future for _, future in self.blocks.values()])

    def land(self) -> None:
        """Drop what waits, and wait for what is being computed, also for an earlier run."""
        if self.blocks:
            self.client.cancel([future for _, future in self.blocks.values()])
            time.sleep(LAND_SECONDS)  # a block may just have been on its way to a worker
        while self.client.status == "running" and _workers(self.client):
            try:
                busy = self.client.run(_executing, self.output, on_error="ignore")
            except OSError:  # the scheduler went meanwhile
                return
            if not any(busy.values()):
                return
            time.sleep(LAND_SECONDS)


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _executing(output: str, dask_worker: Any) -> bool:
    """Whether a worker computes a block of an output."""
    return any(output in str(task.key) for task in dask_worker.state.executing)


_ONE_AT_A_TIME = threading.Lock()
"""A worker may have several threads, but kernels use the cores themselves."""


def _call(work: Work, block: Roi) -> None:
    with _ONE_AT_A_TIME:
        promise = work(block)
        if promise is not None:
            promise.result()


class _Window:
    """How many blocks may be in flight, looked up anew every few seconds."""

    def __init__(self, cluster: Cluster, block_bytes: int) -> None:
        self.cluster, self.block_bytes = cluster, max(1, block_bytes)
        self.looked, self.found = -LOOK_SECONDS, 1

    def size(self) -> int:
        now = time.monotonic()
        if now - self.looked >= LOOK_SECONDS:
            self.found, self.looked = self._measure(_workers(self.cluster.client)), now
        return self.found

    def _measure(self, workers: list[dict[str, Any]]) -> int:
        if self.cluster.shared_memory is not None:
            fit = self._fit(self.cluster.shared_memory)
        else:
            fit = sum(min(1, self._fit(w["memory_limit"] or 1e15)) for w in workers)
        # Blocks that only wait take no memory, but which of them wait is not ours to say.
        return max(1, AHEAD * len(workers) if fit >= len(workers) else fit)

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
            preload="asem.blocks.worker",
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
    threads = f"export NUMBA_NUM_THREADS={config.cores} OMP_NUM_THREADS={config.cores}"
    return kind(
        cores=1,  # one block at a time: its kernels use the job's cores
        processes=1,
        memory=config.memory,
        walltime=config.walltime,
        queue=config.queue,
        interface=config.interface,
        log_directory=config.logs,
        job_script_prologue=[*config.before, threads],
        job_extra_directives=list(config.directives),
        **particular,
    )
