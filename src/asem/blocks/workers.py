"""Where Dask workers come from: this machine, a running scheduler, SLURM or LSF jobs.

Whoever may talk to a scheduler or worker runs code as its user. So those that are started here talk
TLS, with a certificate of their own for each run, and their pages are served on this machine only.
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

from asem.blocks.cluster import Cluster
from asem.blocks.credentials import temporary_credentials
from asem.blocks.jobs import JobConfig
from asem.blocks.scheduler_address import identify, is_loopback, refuse_no_address
from asem.system.children import SAFE_PATH, safe_children
from asem.system.files import write_private
from asem.system.kernel_cache import private_folder
from asem.system.signals import kept_handlers, undisturbed

LOG = logging.getLogger(__name__)
PATIENCE_SECONDS = 30
"""For a scheduler to answer."""
BEFORE_START = "distributed.nanny.pre-spawn-environ"
"""Of Dask's settings, the environment that a worker's process starts in; ``env`` comes later."""
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}
"""As `asem.blocks.memory.one_heap` has it in this process; it must hold from the first moment."""
LOOPBACK, ENCRYPTED = "127.0.0.1", ("tls", "wss", "inproc")
SCRATCH = "temporary-directory"
"""Of Dask's settings. By default it is ``/tmp/dask-scratch-space``, whoever that belongs to, from
which schedulers and workers also import modules."""
PRIVATE_SCRATCH = [
    'DASK_TEMPORARY_DIRECTORY="$(mktemp -d)" || exit 1',
    "export DASK_TEMPORARY_DIRECTORY",
    "trap 'rm -rf \"$DASK_TEMPORARY_DIRECTORY\"' EXIT",
]
"""The same on the machine of a job."""
PAGES = {
    "distributed.scheduler.http.routes": [
        "distributed.http.scheduler.info",
        "distributed.http.scheduler.json",
        "distributed.http.health",
        "distributed.http.statics",
    ],
    "distributed.worker.http.routes": ["distributed.http.health"],
}
"""What is served without a certificate: to read only. Dask's settings may name others, which stop
workers (``api``) or pass requests on (``proxy``)."""
NO_DASHBOARD = ["--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"]
"""Of the command that starts a worker."""
NEEDED = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__CLIENT__CERT and ...__CLIENT__KEY"


def _private_settings() -> dict[str, Any]:
    """Return settings of Dask with which no other user of this machine reaches its processes."""
    folder = private_folder()
    if folder is None:
        raise OSError(
            "Dask needs a folder of temporary files in which only you can write; name one in TMPDIR"
        )
    return {**PAGES, SCRATCH: str(folder)}


@contextmanager
def local(workers: int) -> Iterator[Cluster]:
    """Start workers on this machine for the time of the context; they share cores and memory."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    with (
        safe_children(),
        dask.config.set({f"{BEFORE_START}.{name}": value for name, value in ONE_HEAP.items()}),
        dask.config.set(_private_settings()),
        undisturbed(
            _started,
            host=LOOPBACK,
            security=Security.temporary(),
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=0,  # the window keeps to the limit; a worker need not be killed for it
            dashboard_address=f"{LOOPBACK}:0",
            silence_logs=logging.CRITICAL,
            preload="asem.blocks.preload",
            env={"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Cluster(client, shared_memory=MEMORY_LIMIT)


def _started(**options: Any) -> LocalCluster:
    try:
        return LocalCluster(**options)
    except RuntimeError as error:  # for instance, no memory for them, or no answer in time
        raise OSError(f"the workers did not start: {' '.join(str(error).split())}") from error


@contextmanager
def running(address: str) -> Iterator[Cluster]:
    """Use a scheduler that runs already; it goes on afterwards.

    Raises
    ------
    ValueError
        It is no address, or uses TLS, and Dask's settings name no certificate.
    OSError
        No scheduler answers, or it has no worker.
    """
    refuse_no_address(address)
    with _connected(address) as client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise OSError(
                f"the scheduler at {address} has no worker; start `dask worker {address}`"
            )
        _warn_of_plain_text(client.scheduler.address)
        yield Cluster(client)


def _connected(address: str) -> Client:
    fault: Exception
    try:
        identify(address, PATIENCE_SECONDS)
        return Client(address, timeout=f"{PATIENCE_SECONDS}s")
    except TypeError:  # what Dask raises where no certificate is configured
        fault = ValueError(
            f"{address} needs certificates; name them in Dask's settings, for instance in {NEEDED}"
        )
    except (FileNotFoundError, PermissionError, ssl.SSLError) as error:
        fault = OSError(
            f"a certificate for {address}, which Dask's settings name ({NEEDED}), cannot be read: "
            f"{error.strerror or error}"
        )
    except (OSError, ValueError, TimeoutError, MemoryError):
        fault = OSError(
            f"no Dask scheduler answers at {address}; start one with `dask scheduler`, or name a "
            "TOML file of jobs (one that uses TLS has an address tls://..., and answers to its "
            "certificates only)"
        )
    gc.collect()  # closes that client; if the thread of the next one did, both would stand still
    raise fault


def _warn_of_plain_text(address: str) -> None:
    """Log a line where others on the network can read what is sent, and send as well."""
    if parse_address(address)[0] in ENCRYPTED or is_loopback(address):
        return
    LOG.warning(
        "the connection to %s is not encrypted: whoever reaches that port can run code as you; "
        "docs/cluster.md says how to start a scheduler with TLS",
        address,
    )


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
    with (
        temporary_credentials(config.shared_folder) as security,
        dask.config.set(_private_settings()),
        _opened(config, security) as cluster,
        Client(cluster) as client,
    ):

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
        port = cluster.scheduler.http_server.port
        yield Cluster(client, dashboard=f"http://{LOOPBACK}:{port}/status")


def _opened(config: JobConfig, security: Security) -> Any:
    try:
        return job_cluster(config, security)
    except ImportError as error:
        raise ValueError(
            "workers as jobs need dask-jobqueue; pip install 'asem[cluster]'"
        ) from error
    except RuntimeError as error:  # for instance, no such interface
        raise OSError(" ".join(str(error).split())) from error


def job_cluster(config: JobConfig, security: Security) -> Any:
    """Return dask-jobqueue's cluster, without a job yet.

    Parameters
    ----------
    config
        The jobs.
    security
        Names the files of the certificate, from `temporary_credentials`: the jobs' command line
        holds their paths.
    """
    with kept_handlers():  # its import sets one for Ctrl-C that exits with code 0
        from dask_jobqueue import LSFCluster, SLURMCluster

    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "slurm": (SLURMCluster, {"account": config.account, "job_cpu": config.cores}),
        "lsf": (LSFCluster, {"project": config.account, "ncpus": config.cores}),
    }
    kind, particular = kinds[config.system]
    threads = {"NUMBA_NUM_THREADS": config.cores, "OMP_NUM_THREADS": config.cores}
    exported = " ".join(
        f"{name}={value}" for name, value in {**threads, **ONE_HEAP, **SAFE_PATH}.items()
    )
    own = f"jobqueue.{config.system}"  # what this user has set for dask-jobqueue
    return kind(
        job_cls=_private_script(kind.job_cls, Path(security.tls_ca_file).parent),
        security=security,
        scheduler_options={
            **dask.config.get(f"{own}.scheduler-options", {}),
            "dashboard_address": f"{LOOPBACK}:0",
        },
        worker_extra_args=[*dask.config.get(f"{own}.worker-extra-args", []), *NO_DASHBOARD],
        python=shlex.quote(sys.executable),
        cores=config.overlap,  # threads of the worker; kernels use all cores of the job
        processes=1,
        memory=config.memory,
        walltime=config.walltime,
        queue=config.queue,
        interface=config.interface,
        log_directory=config.logs,
        job_script_prologue=[*config.before, f"export {exported}", *PRIVATE_SCRATCH],
        job_extra_directives=list(config.directives),
        **particular,
    )


def _private_script(job: Any, folder: Path) -> Any:
    """Return a kind of job whose script lies in a folder that only this user can read.

    dask-jobqueue makes a name for it in the folder of temporary files, frees that name, and then
    writes there whatever lies at it by now.
    """

    class PrivateScript(job):  # type: ignore[misc]
        @contextmanager
        def job_file(self) -> Iterator[str]:
            path = folder / f"job-{uuid4().hex}.sh"
            write_private(path, self.job_script())
            try:
                yield str(path)
            finally:
                path.unlink(missing_ok=True)

    return PrivateScript
