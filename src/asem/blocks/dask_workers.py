"""Start Dask workers on this machine or as SLURM/LSF jobs, or connect to a running scheduler.

Any client of a scheduler or worker can run code as its user. Those started here therefore use TLS,
with a separate certificate for each run, and serve their web pages on this machine only.
"""

import gc
import logging
import os
import shlex
import shutil
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, LocalCluster
from distributed.comm import parse_address
from distributed.core import Status
from distributed.security import Security
from distributed.system import MEMORY_LIMIT

from asem.blocks.batch_job_config import BatchJobConfig
from asem.blocks.dask_executor import DaskExecutor
from asem.blocks.scheduler_address import (
    check_scheduler_address,
    check_scheduler_answers,
    is_loopback,
)
from asem.blocks.tls_credentials import temporary_credentials
from asem.system.child_processes import SAFE_PATH_ENV, safe_child_imports
from asem.system.compiler_caches import make_private_folder
from asem.system.files import write_private_file
from asem.system.signals import open_uninterrupted, restore_handlers_after

LOG = logging.getLogger(__name__)
SCHEDULER_TIMEOUT_S = 30
"""Time in which a scheduler must answer."""
NANNY_ENVIRONMENT_SETTING = "distributed.nanny.pre-spawn-environ"
"""Dask setting of the environment in which a worker process starts; ``env`` is applied later."""
SINGLE_HEAP_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
"""The setting of `asem.system.malloc_settings.use_single_heap`, from the start of a process."""
LOOPBACK_ADDRESS, ENCRYPTED_SCHEMES = "127.0.0.1", ("tls", "wss", "inproc")
SCRATCH_SETTING = "temporary-directory"
"""Dask setting. Its default is ``/tmp/dask-scratch-space``, which may belong to another user, and
from which schedulers and workers also import modules."""
PRIVATE_SCRATCH_LINES = [
    'DASK_TEMPORARY_DIRECTORY="$(mktemp -d)" || exit 1',
    "export DASK_TEMPORARY_DIRECTORY",
    "trap 'rm -rf \"$DASK_TEMPORARY_DIRECTORY\"' EXIT",
]
"""Shell lines with the same purpose on the machine of a job."""
HTTP_ROUTES = {
    "distributed.scheduler.http.routes": [
        "distributed.http.scheduler.info",
        "distributed.http.scheduler.json",
        "distributed.http.health",
        "distributed.http.statics",
    ],
    "distributed.worker.http.routes": ["distributed.http.health"],
}
"""Routes served without a certificate: read-only ones. Dask's settings may add others, which stop
workers (``api``) or forward requests (``proxy``)."""
NO_DASHBOARD_OPTIONS = ["--no-dashboard", "--dashboard-address", f"{LOOPBACK_ADDRESS}:0"]
"""Options of the command that starts a worker."""
TLS_SETTINGS = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__CLIENT__CERT and ...__CLIENT__KEY"


def _private_dask_settings() -> dict[str, Any]:
    """Return Dask settings that prevent access of other users of this machine to its processes."""
    folder = make_private_folder()
    if folder is None:
        raise OSError(
            "Dask needs a temporary folder in which only you can write; set TMPDIR to one"
        )
    return {**HTTP_ROUTES, SCRATCH_SETTING: str(folder)}


@contextmanager
def start_local_workers(workers: int) -> Iterator[DaskExecutor]:
    """Start workers on this machine, which share cores and memory, until the context exits."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    with (
        safe_child_imports(),
        dask.config.set(
            {
                f"{NANNY_ENVIRONMENT_SETTING}.{name}": value
                for name, value in SINGLE_HEAP_ENVIRONMENT.items()
            }
        ),
        dask.config.set(_private_dask_settings()),
        open_uninterrupted(
            _start_local_cluster,
            host=LOOPBACK_ADDRESS,
            security=Security.temporary(),
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # blocks in flight are limited instead; no worker is killed
            dashboard_address=f"{LOOPBACK_ADDRESS}:0",
            silence_logs=logging.CRITICAL,
            preload="asem.blocks.dask_worker_preload",
            env={"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield DaskExecutor(client, shared_memory_bytes=MEMORY_LIMIT)


def _start_local_cluster(**options: Any) -> LocalCluster:
    try:
        return LocalCluster(**options)
    except RuntimeError as error:  # for instance, too little memory, or no answer in time
        raise OSError(f"the workers did not start: {' '.join(str(error).split())}") from error


@contextmanager
def connect_to_scheduler(address: str) -> Iterator[DaskExecutor]:
    """Connect to a running scheduler, which keeps running afterwards.

    Raises
    ------
    ValueError
        The address is invalid, or uses TLS and Dask's settings contain no certificate.
    OSError
        No scheduler answers, or it has no worker.
    """
    check_scheduler_address(address)
    with _connect(address) as client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise OSError(
                f"the scheduler at {address} has no worker; start `dask worker {address}`"
            )
        _warn_if_unencrypted(client.scheduler.address)
        yield DaskExecutor(client)


def _connect(address: str) -> Client:
    failure: Exception
    try:
        check_scheduler_answers(address, SCHEDULER_TIMEOUT_S)
        return Client(address, timeout=f"{SCHEDULER_TIMEOUT_S}s")
    except TypeError:  # raised by Dask if no certificate is configured
        failure = ValueError(
            f"{address} needs certificates; name them in Dask's settings, for instance in "
            f"{TLS_SETTINGS}"
        )
    except (FileNotFoundError, PermissionError, ssl.SSLError) as error:
        failure = OSError(
            f"a certificate for {address}, which Dask's settings name ({TLS_SETTINGS}), cannot be "
            f"read: {error.strerror or error}"
        )
    except (OSError, ValueError, TimeoutError, MemoryError):
        failure = OSError(
            f"no Dask scheduler answers at {address}; start one with `dask scheduler`, or name a "
            "TOML file of jobs (one that uses TLS has an address tls://..., and answers to its "
            "certificates only)"
        )
    gc.collect()  # closes that client here; in the thread of the next client it would deadlock
    raise failure


def _warn_if_unencrypted(address: str) -> None:
    """Log a warning if others on the network can read, and send, messages."""
    if parse_address(address)[0] in ENCRYPTED_SCHEMES or is_loopback(address):
        return
    LOG.warning(
        "the connection to %s is not encrypted: anyone who can connect to that port can run code "
        "as you; docs/cluster.md explains how to start a scheduler with TLS",
        address,
    )


@contextmanager
def start_batch_jobs(config: BatchJobConfig) -> Iterator[DaskExecutor]:
    """Start workers as batch jobs, until the context exits.

    Raises
    ------
    ValueError
        dask-jobqueue is not installed.
    OSError
        There is no batch system, it rejects the job, or no job starts in time.
    """
    submit = {"slurm": "sbatch", "lsf": "bsub"}[config.system]
    if shutil.which(submit) is None:
        raise OSError(f"there is no `{submit}` on this machine; run asem where jobs are submitted")
    with (
        temporary_credentials(config.shared_folder) as security,
        dask.config.set(_private_dask_settings()),
        _open_jobqueue_cluster(config, security) as cluster,
        Client(cluster) as client,
    ):

        async def submit_jobs() -> None:
            # Not `scale`, which submits later and only logs that a job was rejected.
            for _ in range(config.jobs):
                cluster.worker_spec.update(cluster.new_worker_spec())
            await cluster

        try:
            cluster.sync(submit_jobs)
        except RuntimeError as error:
            for job in cluster.workers.values():
                if job.job_id is None:  # not submitted: there is no job to cancel
                    job.status = Status.closed
            reason = " ".join(str(error).split("stderr:")[-1].split())
            raise OSError(f"{config.system} rejects the job: {reason}") from error
        # Replaces jobs whose time limit expired.
        cluster.adapt(minimum_jobs=config.jobs, maximum_jobs=config.jobs)
        try:
            client.wait_for_workers(1, timeout=60 * config.wait_minutes)
        except TimeoutError as error:
            raise OSError(
                f"no job started within {config.wait_minutes} minutes (wait_minutes)"
            ) from error
        port = cluster.scheduler.http_server.port
        yield DaskExecutor(client, dashboard=f"http://{LOOPBACK_ADDRESS}:{port}/status")


def _open_jobqueue_cluster(config: BatchJobConfig, security: Security) -> Any:
    try:
        return make_jobqueue_cluster(config, security)
    except ImportError as error:
        raise ValueError(
            "workers as jobs need dask-jobqueue; pip install 'asem[cluster]'"
        ) from error
    except RuntimeError as error:  # for instance, no such interface
        raise OSError(" ".join(str(error).split())) from error


def make_jobqueue_cluster(config: BatchJobConfig, security: Security) -> Any:
    """Return dask-jobqueue's cluster, without a job yet.

    Parameters
    ----------
    config
        Configuration of the jobs.
    security
        Paths of the certificate files (`temporary_credentials`), part of the jobs' command line.
    """
    with restore_handlers_after():  # the import installs a Ctrl-C handler that exits with code 0
        from dask_jobqueue import LSFCluster, SLURMCluster

    clusters: dict[str, tuple[Any, dict[str, Any]]] = {
        "slurm": (SLURMCluster, {"account": config.account, "job_cpu": config.cores}),
        "lsf": (LSFCluster, {"project": config.account, "ncpus": config.cores}),
    }
    cluster_class, options = clusters[config.system]
    threads = {"NUMBA_NUM_THREADS": config.cores, "OMP_NUM_THREADS": config.cores}
    variables = " ".join(
        f"{name}={value}"
        for name, value in {**threads, **SINGLE_HEAP_ENVIRONMENT, **SAFE_PATH_ENV}.items()
    )
    key = f"jobqueue.{config.system}"  # the user's settings of dask-jobqueue
    return cluster_class(
        job_cls=_with_private_script(cluster_class.job_cls, Path(security.tls_ca_file).parent),
        security=security,
        scheduler_options={
            **dask.config.get(f"{key}.scheduler-options", {}),
            "dashboard_address": f"{LOOPBACK_ADDRESS}:0",
        },
        worker_extra_args=[*dask.config.get(f"{key}.worker-extra-args", []), *NO_DASHBOARD_OPTIONS],
        python=shlex.quote(sys.executable),
        cores=config.overlap,  # threads of the worker; kernels use all cores of the job
        processes=1,
        memory=config.memory,
        walltime=config.walltime,
        queue=config.queue,
        interface=config.interface,
        log_directory=config.logs,
        job_script_prologue=[*config.before, f"export {variables}", *PRIVATE_SCRATCH_LINES],
        job_extra_directives=list(config.directives),
        **options,
    )


def _with_private_script(job: Any, folder: Path) -> Any:
    """Return a job class whose script is written to a folder that only this user can read.

    dask-jobqueue creates a temporary file, deletes it, and then writes the script to the same path,
    at which another user may have created a file.
    """

    class PrivateScript(job):  # type: ignore[misc]
        @contextmanager
        def job_file(self) -> Iterator[str]:
            path = folder / f"job-{uuid4().hex}.sh"
            write_private_file(path, self.job_script())
            try:
                yield str(path)
            finally:
                path.unlink(missing_ok=True)

    return PrivateScript
