"""Access to the schedulers and workers that asem starts, with and without the certificate."""

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import tifffile
from distributed import LocalCluster
from distributed.utils import get_ip

from asem.blocks import dask_workers
from asem.blocks.open_executor import open_executor
from asem.blocks.tls_credentials import temporary_credentials
from asem.workflows.importing import import_volume

ATTACK = """
import asyncio, os, sys
from distributed.core import rpc
from distributed.protocol.pickle import dumps
from distributed.security import Security

folder, *addresses = sys.argv[1:]

def leave_trace(path):
    with open(path, "w") as file:
        file.write(str(os.getuid()))

async def attack(protocol, address, operation, args):
    path = os.path.join(folder, f"{operation}-{protocol}-{address}")
    try:
        async with rpc(f"{protocol}://{address}", connection_args=args, timeout=3) as remote:
            call = getattr(remote, operation)(function=dumps(leave_trace), args=dumps((path,)))
            await asyncio.wait_for(call, 5)
    except Exception as error:
        print(address, protocol, operation, type(error).__name__)
    else:
        print(address, protocol, operation, "answered")

async def main():
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    other = Security.temporary().get_connection_args("client")
    await asyncio.gather(*(
        attack(protocol, address, operation, args)
        for address in addresses
        for protocol, args in (("tcp", {}), ("tls", other))
        for operation in ("run", "run_function")  # of workers and nannies; of schedulers
    ))

asyncio.run(main())
"""


def listening(process):
    connections = process.net_connections(kind="tcp")
    return {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}


def attack(folder, addresses):
    """Try to run code at addresses, as another user where this one is root; return the traces."""
    traces = folder / "traces"
    traces.mkdir()
    traces.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, traces, *addresses],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4 * len(addresses)
    return [path for path in traces.iterdir() if path.name.startswith("run")]


def test_only_clients_with_the_certificate_of_the_run_can_run_code(tmp_path):
    with open_executor(workers=1) as executor:
        assert executor.client.scheduler.address.startswith("tls://")
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        own = {address for process in processes for address in listening(process)}
        assert {address.ip for address in own} == {"127.0.0.1"}
        assert len(own) >= 5  # scheduler, nanny, worker; the pages of scheduler and worker
        traces = attack(tmp_path, [f"{address.ip}:{address.port}" for address in sorted(own)])
        assert executor.run_on_workers(os.getuid) == [os.getuid()]
    assert traces == []


def test_the_attack_succeeds_where_nothing_is_encrypted(tmp_path):
    with LocalCluster(n_workers=1, dashboard_address=None) as plain:
        traces = attack(tmp_path, [plain.scheduler_address.removeprefix("tcp://")])
    assert [path.read_text() for path in traces] == [str(os.getuid())]


@pytest.mark.parametrize("path", ["api/v1/retire_workers", "proxy/80/127.0.0.1/x", "metrics"])
def test_web_pages_are_read_only_for_all_dask_settings(path):
    routes = ["distributed.http.scheduler.api", "distributed.http.proxy"]
    with (
        dask.config.set({"distributed.scheduler.http.routes": routes}),
        open_executor(workers=1) as executor,
    ):
        assert executor.dashboard.startswith("http://127.0.0.1:")
        page = executor.dashboard.replace("status", path)
        for data in (None, b"{}"):
            with pytest.raises(urllib.error.HTTPError, match=r"404|405"):
                urllib.request.urlopen(urllib.request.Request(page, data=data))


def test_no_module_is_imported_from_a_folder_of_another_user(tmp_path, monkeypatch):
    tmp_path.chmod(0o1777)
    planted = tmp_path / "dask-scratch-space"
    planted.mkdir()
    planted.chmod(0o777)
    if os.getuid() == 0:
        os.chown(planted, 65534, 65534)
    (planted / "global.lock").symlink_to(tmp_path / "thesis.txt")
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with open_executor(workers=1) as executor:
        here = list(sys.path)
        (there,) = executor.run_on_workers(lambda: list(sys.path))
        private = f"{tmp_path}/asem-{os.geteuid()}/"
        assert [one for one in (*here, *there) if one.startswith(private)]
        assert not [one for one in (*here, *there) if one.startswith(str(planted))]
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_nothing_is_imported_from_the_current_folder(tmp_path):
    names = ("multiprocessing", "threading", "distributed", "numpy", "asem", "pickle", "signal")
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"open('trace-{name}', 'w')\nraise SystemExit(name)")
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((3, 9, 9), np.uint8), photometric="minisblack")
    words = ["import", "s.tif", "out", "--voxel-size", "5", "--workers", "1"]
    done = subprocess.run(
        [Path(sys.executable).with_name("asem"), *words], cwd=tmp_path, capture_output=True,
        text=True,
    )  # fmt: skip
    assert list(tmp_path.glob("trace-*")) == []
    assert done.returncode == 0, done.stderr


def tls_cluster(security):
    return LocalCluster(n_workers=1, security=security, protocol="tls://", dashboard_address=None)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def recipe(tmp_path):
    """The three blocks of shell in docs/cluster.md, without comments, for this machine."""
    text = (Path(__file__).parents[2] / "docs/cluster.md").read_text()
    _, _, text = text.partition("## A scheduler of your own")
    port = free_port()
    changes = {"8786": str(port), "tls://host": "tls://127.0.0.1", "8787": "0", "\\\n": ""}
    changes |= {"/shared/cell.zarr": str(tmp_path)}
    for before, after in changes.items():
        text = text.replace(before, after)
    return [re.sub(" +#.*", "", block) for block in re.findall(r"```text\n(.*?)```", text, re.S)]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes the certificate")
def test_the_recipe_of_the_docs_for_a_scheduler_with_tls(recipe, tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((3, 9, 9), np.uint8), photometric="minisblack")
    import_volume(tmp_path / "s.tif", tmp_path / "raw", voxel_size=(5.0,) * 3)
    make, settings, commands = recipe
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": path, "TMPDIR": str(tmp_path)}
    options = {"env": environment, "cwd": tmp_path}
    subprocess.run(["bash", "-ec", make], **options, check=True, stderr=subprocess.DEVNULL)
    scheduler, limits, worker, command = commands.splitlines()
    with ExitStack() as stack:
        for words in (scheduler, worker):
            started = subprocess.Popen(
                ["bash", "-ec", f"{settings}\n{limits}\nexec {words}"], **options,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(started.wait)
            stack.callback(started.terminate)
        for _ in range(30):  # until both are there
            done = subprocess.run(
                ["bash", "-ec", f"{settings}\n{command}"], **options, capture_output=True, text=True
            )
            if "has no worker" not in done.stderr:
                break
            time.sleep(0.5)
    assert done.returncode == 0, done.stderr
    assert "not encrypted" not in done.stderr
    assert (tmp_path / "clahe" / "zarr.json").exists()


def test_a_scheduler_with_tls_needs_its_certificates(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "SCHEDULER_TIMEOUT_S", 1)
    with temporary_credentials(str(tmp_path)) as security, tls_cluster(security) as running:
        address = running.scheduler_address
        with pytest.raises(ValueError, match=f"{address} needs certificates; name them in Dask's"):
            open_executor(scheduler=address).__enter__()
        plain = address.replace("tls", "tcp")
        with pytest.raises(OSError, match=f"no Dask scheduler answers at {plain}.*tls://"):
            open_executor(scheduler=plain).__enter__()
        with (
            temporary_credentials(str(tmp_path)) as other,
            dask.config.set(
                {
                    "distributed.comm.tls.ca-file": other.tls_ca_file,
                    "distributed.comm.tls.client.cert": other.tls_client_cert,
                    "distributed.comm.tls.client.key": other.tls_client_key,
                }
            ),
            pytest.raises(OSError, match=f"no Dask scheduler answers at {address}"),
        ):
            open_executor(scheduler=address).__enter__()


def test_the_error_names_an_unreadable_certificate(tmp_path):
    (tmp_path / "bad.pem").write_text("no certificate")
    for name, reason in (("none.pem", "No such file"), ("bad.pem", "PEM|certificate")):
        settings = dict.fromkeys(("ca-file", "client.cert", "client.key"), str(tmp_path / name))
        with (
            dask.config.set({f"distributed.comm.tls.{key}": v for key, v in settings.items()}),
            pytest.raises(OSError, match=f"a certificate for tls://.*cannot be read: .*{reason}"),
        ):
            open_executor(scheduler="tls://127.0.0.1:1").__enter__()


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tls://192.0.2.1:8786", False),
        ("tcp://192.0.2.1:8786", True),
        ("tcp://a host that is none:8786", True),
        ("ws://192.0.2.1:8786", True),
    ],
)
def test_an_unencrypted_connection_is_logged(address, warned, caplog):
    with caplog.at_level(logging.WARNING, "asem"):
        dask_workers._warn_if_unencrypted(address)
    assert len(caplog.records) == warned
    assert all("not encrypted" in record.message for record in caplog.records)


SBATCH = """#!/bin/sh
cp "$1" {folder}/script.sh
setsid sh {folder}/script.sh >{folder}/log 2>&1 </dev/null &
echo "Submitted batch job $!"
"""
JOBS = """
system = "slurm"
jobs = 1
cores = 1
memory = "1GB"
shared_folder = "{shared}"
before = ["exec 9>&-"]
"""


def test_jobs_use_tls_with_a_key_that_only_this_user_can_read(tmp_path, monkeypatch):
    """A batch system that runs jobs immediately."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o700)
    (tmp_path / "jobs.toml").write_text(JOBS.format(shared=shared))
    (tmp_path / "sbatch").write_text(SBATCH.format(folder=tmp_path))
    (tmp_path / "scancel").write_text('#!/bin/sh\nkill -- -"$1"\n')
    for name in ("sbatch", "scancel"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with open_executor(scheduler=str(tmp_path / "jobs.toml")) as executor:
        assert executor.client.scheduler.address.startswith("tls://")
        (folder,) = shared.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        secret = (folder / "key.pem").read_text().splitlines()[1]
        (worker,) = executor.client.scheduler_info()["workers"]
        assert worker.startswith("tls://")
        (process, scratch) = executor.run_on_workers(lambda: (os.getpid(), sys.path[0]))[0]
        assert str(Path.cwd()) not in executor.run_on_workers(lambda: list(sys.path))[0]
        assert "dask-scratch-space" in scratch
        assert not scratch.startswith(f"{tempfile.gettempdir()}/dask-scratch-space")
        tree = [psutil.Process(process), psutil.Process(process).parent()]
        open_to_others = [
            address
            for one in tree
            for address in listening(one)
            if not ip_address(address.ip).is_loopback
        ]
        for address in open_to_others:  # nothing but TLS
            with pytest.raises((OSError, HTTPException)):
                urllib.request.urlopen(f"http://{get_ip()}:{address.port}/health", timeout=5)
        for one in tree:
            assert secret not in " ".join(one.cmdline())
            assert secret not in " ".join(one.environ().values())
        assert secret not in (tmp_path / "script.sh").read_text()
        assert executor.dashboard.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(executor.dashboard) as page:
            assert b"bokeh" in page.read()
    assert list(shared.iterdir()) == []
    assert Path(folder).exists() is False
