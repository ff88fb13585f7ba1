"""Blocks on real Dask workers: failing blocks, killed workers, number of blocks in flight."""

import ctypes
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import tifffile
from distributed import Client, LocalCluster, wait

from asem.blocks import dask_executor, dask_workers
from asem.blocks.executors import MAX_ATTEMPTS, SERIAL_EXECUTOR
from asem.blocks.journal import Journal
from asem.blocks.open_executor import open_executor
from asem.blocks.run_blocks import run_blocks
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances

# Workers cannot import the tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
BLOCKS = list(split_into_blocks(Roi((0, 0, 0), (1, 1, 12)), (1, 1, 1)))


@pytest.fixture(scope="module")
def workers():
    with open_executor(workers=2) as executor:
        yield executor


def name(block):
    return f"{block.offset[2]:02d}"


def test_both_workers_compute_each_block_once(workers, tmp_path):
    def work(block):
        time.sleep(0.05)
        (tmp_path / name(block)).write_text(str(os.getpid()))

    reported = []
    with Journal(tmp_path / "j", {}) as journal:
        run_blocks(
            work, BLOCKS, journal, stage="s", executor=workers,
            progress=lambda *step: reported.append(step),
        )  # fmt: skip
        assert journal.done_blocks == {f"s {block}" for block in BLOCKS}
    by = [(tmp_path / name(block)).read_text() for block in BLOCKS]
    assert len(set(by)) == 2
    assert str(os.getpid()) not in by
    assert reported[-1] == ("s", 12, 12)
    with Journal(tmp_path / "j", {}) as journal:
        run_blocks(pytest.fail, BLOCKS, journal, stage="s", executor=workers)


def test_blocks_that_fail_at_random_are_retried(workers, tmp_path):
    def work(block):
        tries = tmp_path / name(block)
        number = len(tries.read_text()) if tries.exists() else 0
        tries.write_text("x" * (number + 1))
        if number < block.offset[2] % MAX_ATTEMPTS:
            raise OSError("random")

    with Journal(tmp_path / "j", {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s", executor=workers)
    tries = [len((tmp_path / name(block)).read_text()) for block in BLOCKS]
    assert tries == [1 + block.offset[2] % MAX_ATTEMPTS for block in BLOCKS]


def test_the_error_names_a_failed_block_and_the_others_are_recorded(workers, tmp_path):
    def work(block):
        if block == BLOCKS[3]:
            raise ValueError("always fails")

    with Journal(tmp_path, {}) as journal:
        with pytest.raises(ValueError, match=r"s, block 0:1,0:1,3:4: always fails \(tried 3"):
            run_blocks(work, BLOCKS, journal, stage="s", executor=workers)
        assert {f"s {block}" for block in BLOCKS[:3]} <= journal.done_blocks
        assert f"s {BLOCKS[3]}" not in journal.done_blocks


def test_no_block_is_lost_if_a_worker_dies(tmp_path):
    def work(block):
        died = tmp_path / "died"
        if block == BLOCKS[5] and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (tmp_path / name(block)).open("a") as file:
            file.write("x")

    with (
        open_executor(workers=2) as executor,
        Journal(tmp_path / "j", {}) as journal,
    ):
        run_blocks(work, BLOCKS, journal, stage="s", executor=executor)
        assert len(journal.done_blocks) == len(BLOCKS)
    assert all((tmp_path / name(block)).exists() for block in BLOCKS)


def test_the_error_names_the_block_that_kills_its_workers(tmp_path):
    def work(block):
        if block == BLOCKS[2]:
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        open_executor(workers=1) as executor,
        Journal(tmp_path / "j", {}) as journal,
    ):
        with pytest.raises(OSError, match="block 0:1,0:1,2:3: each worker that computed it died"):
            run_blocks(work, BLOCKS[:5], journal, stage="s", executor=executor)
        assert f"s {BLOCKS[2]}" not in journal.done_blocks
    with (  # the others are valid; one that was killed with it each time may not be done
        open_executor(workers=1) as executor,
        Journal(tmp_path / "j", {}) as journal,
    ):
        run_blocks(work, [*BLOCKS[:2], *BLOCKS[3:5]], journal, stage="s", executor=executor)


def test_a_block_counts_as_done_if_its_worker_dies_after_it_was_stored(tmp_path):
    def work(block):
        again = (tmp_path / "once").exists()
        (tmp_path / "once").touch()
        while again and not (tmp_path / "end").exists():
            time.sleep(0.05)

    with open_executor(workers=1) as executor:
        flight = dask_executor._InFlight(executor.client, work, "s", [tmp_path])
        flight.submit(BLOCKS[0])
        ((_, future),) = flight.submitted.values()
        wait(future)
        (worker,) = executor.client.run(os.getpid).values()
        os.kill(worker, signal.SIGKILL)
        while future.status == "finished":
            time.sleep(0.01)
        assert future.status == "lost"
        del future
        assert flight.wait_for_some() == ([BLOCKS[0]], [])
        (tmp_path / "end").touch()


def test_an_interrupted_run_waits_for_blocks_being_computed(workers, tmp_path):
    def slow(block):
        (tmp_path / "started").touch()
        time.sleep(0.5)
        (tmp_path / "value").write_text("old")

    def stop(stage, done, total):
        if done:
            raise KeyboardInterrupt

    def work(block):
        if block == BLOCKS[0]:
            return
        slow(block)

    with Journal(tmp_path / "j", {}) as journal:
        with pytest.raises(KeyboardInterrupt):
            run_blocks(work, BLOCKS[:3], journal, stage="s", executor=workers, progress=stop)
        started = (tmp_path / "started").exists()
        (tmp_path / "value").write_text("new")
    time.sleep(0.75)
    assert started
    assert (tmp_path / "value").read_text() == "new"


def test_a_run_without_workers_stops_after_a_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_executor, "WORKER_COUNT_INTERVAL_S", 0.2)
    monkeypatch.setattr(dask_executor, "NO_WORKER_TIMEOUT_S", 0.5)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as one,
        open_executor(scheduler=one.scheduler_address) as executor,
        Journal(tmp_path, {}) as journal,
        pytest.raises(OSError, match=r"s, block .*no worker was left"),
    ):
        run_blocks(
            lambda block: time.sleep(0.1), BLOCKS, journal, stage="s", executor=executor,
            progress=lambda stage, done, total: one.scale(0) if done == 3 else None,
        )  # fmt: skip


def test_a_worker_may_have_another_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    Path("s").mkdir()
    for number in range(3):
        tifffile.imwrite(f"s/{number}.tif", np.eye(9, dtype=np.uint8), compression="zlib")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as one,
        open_executor(scheduler=one.scheduler_address) as executor,
    ):
        executor.client.run(os.chdir, tmp_path / "elsewhere")
        import_volume(Path("s"), Path("a"), voxel_size=(5.0,) * 3, kind="labels", executor=executor)
        label_instances(Path("a"), Path("i"), executor=executor)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("memory_fraction", "max_blocks"), [(0.9, 1), (0.5, 1), (0.3, 2), (0.1, 2)]
)
def test_no_more_blocks_are_in_flight_than_fit(workers, tmp_path, memory_fraction, max_blocks):
    def work(block):
        running = tmp_path / name(block)
        running.touch()
        time.sleep(0.03)
        with (tmp_path / "seen").open("a") as file:
            file.write(f"{len(list(tmp_path.glob('[0-9][0-9]')))}\n")
        running.unlink()

    with Journal(tmp_path / "j", {}) as journal:
        run_blocks(
            work, BLOCKS, journal, stage="s", executor=workers,
            block_bytes=int(memory_fraction * workers.shared_memory_bytes),
        )  # fmt: skip
    assert max(map(int, (tmp_path / "seen").read_text().split())) == max_blocks


def test_each_remote_worker_has_its_own_memory():
    window = dask_executor._SubmissionWindow(dask_executor.DaskExecutor(None), block_bytes=10)
    large, small = {"memory_limit": 100}, {"memory_limit": 5}
    assert window._measure([large, large]) == 2 * dask_executor.BLOCKS_PER_WORKER
    assert window._measure([large, small]) == 1
    assert window._measure([small, small]) == 1  # it is tried
    assert window._measure([]) == 1


def test_the_dashboard_answers(workers):
    with urllib.request.urlopen(workers.dashboard) as page:
        assert b"bokeh" in page.read()


def test_a_running_scheduler_is_used_and_not_stopped(tmp_path):
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as one,
        Client(one) as other,
    ):
        with (
            open_executor(scheduler=one.scheduler_address) as executor,
            Journal(tmp_path / "j", {}) as journal,
        ):
            run_blocks(
                lambda block: (tmp_path / name(block)).touch(),
                BLOCKS, journal, stage="s", executor=executor,
            )  # fmt: skip
        assert len(list(tmp_path.glob("[0-9][0-9]"))) == len(BLOCKS)
        assert list(other.run(os.getppid)) == list(other.scheduler_info()["workers"])


def test_invalid_workers_and_schedulers_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "SCHEDULER_TIMEOUT_S", 0.2)
    with pytest.raises(OSError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        open_executor(scheduler="tcp://127.0.0.1:1").__enter__()
    with pytest.raises(ValueError, match=r"nonsense://.* is not the address of a Dask scheduler"):
        open_executor(scheduler="nonsense://").__enter__()
    with pytest.raises(ValueError, match="not both"):
        open_executor(2, "tcp://a:1").__enter__()
    with pytest.raises(ValueError, match="at least one worker"):
        open_executor(workers=0).__enter__()
    with pytest.raises(FileNotFoundError):
        open_executor(scheduler=str(tmp_path / "jobs.toml")).__enter__()
    with open_executor() as executor:
        assert executor is SERIAL_EXECUTOR


@pytest.mark.parametrize(
    "address",
    ["0:0", "host", "host:99999", "host:-1", "tcp://", "tcp://:8786", "http://host:1", "a b:1", ""],
)
def test_an_invalid_address_is_an_error(address):
    with pytest.raises(ValueError, match=f"'{address}' is not the address of a Dask scheduler"):
        open_executor(scheduler=address).__enter__()


@pytest.mark.parametrize(
    "greeting", [b"", b"HTTP/1.0 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"]
)
def test_a_port_of_another_program_is_an_error(monkeypatch, greeting):
    monkeypatch.setattr(dask_workers, "SCHEDULER_TIMEOUT_S", 1)
    connections = []

    def send_greeting():
        while True:
            try:
                connections.append(server.accept()[0])
                connections[-1].sendall(greeting)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=send_greeting, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OSError, match=f"no Dask scheduler answers at {address}"):
            open_executor(scheduler=address).__enter__()
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


def test_the_address_of_a_worker_is_an_error():
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as plain:
        address = plain.workers[0].worker_address
        with pytest.raises(OSError, match=f"no Dask scheduler answers at {address}"):
            open_executor(scheduler=address).__enter__()


def killing_function(folder, number):
    """Return a function that kills the first workers that call it."""

    def call():
        for n in range(number):
            try:
                (folder / str(n)).touch(exist_ok=False)
            except FileExistsError:
                continue
            os.kill(os.getpid(), signal.SIGKILL)

    return call


@pytest.mark.parametrize("deaths", [1, 2])
def test_workers_that_are_killed_during_a_call_are_left_out(tmp_path, deaths):
    with open_executor(workers=2) as executor:
        assert 1 <= len(executor.run_on_workers(killing_function(tmp_path, deaths))) <= deaths


def test_the_error_reports_that_all_workers_were_killed(tmp_path):
    with (
        open_executor(workers=1) as executor,
        pytest.raises(OSError, match="all workers were killed, probably because memory ran out"),
    ):
        executor.run_on_workers(killing_function(tmp_path, 9))


def test_an_error_of_a_worker_is_raised(workers):
    def no_device():
        raise ValueError("no such device")

    with pytest.raises(ValueError, match="no such device"):
        workers.run_on_workers(no_device)


def test_a_scheduler_without_workers_is_an_error():
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as empty,
        pytest.raises(OSError, match="has no worker; start `dask worker tcp://"),
    ):
        open_executor(scheduler=empty.scheduler_address).__enter__()


class ConcurrencyProbe:
    """Block function that records whether two blocks run at the same time."""

    def __init__(self, folder, *, concurrent, seconds):
        self.folder, self.runs_concurrently, self.seconds = folder, concurrent, seconds

    def __call__(self, block):
        running, met = self.folder / f"{name(block)}.running", self.folder / "met"
        running.touch()
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends and not met.exists():
            if len(list(self.folder.glob("*.running"))) > 1:
                met.touch()
            time.sleep(0.02)
        running.unlink()


@pytest.mark.parametrize(("concurrent", "seconds"), [(True, 20), (False, 0.5)])
def test_a_worker_runs_blocks_concurrently_if_the_function_allows(tmp_path, concurrent, seconds):
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as two_threads,
        open_executor(scheduler=two_threads.scheduler_address) as executor,
        Journal(tmp_path / "j", {}) as journal,
    ):
        work = ConcurrencyProbe(tmp_path, concurrent=concurrent, seconds=seconds)
        run_blocks(work, BLOCKS[:2], journal, stage="s", executor=executor)
    assert (tmp_path / "met").exists() == concurrent


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_all_threads_of_a_local_worker_share_a_heap(workers):
    def heaps():
        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.fclose.argtypes = [ctypes.c_void_p]
        with tempfile.NamedTemporaryFile() as file:
            stream = libc.fopen(file.name.encode(), b"w")
            libc.malloc_info(0, stream)
            libc.fclose(stream)
            return file.read().count(b"<heap nr=")

    assert workers.run_on_workers(heaps) == [1, 1]


JOBS = """
system = "slurm"
jobs = 3
cores = 8
memory = "32GB"
"""


def test_a_missing_batch_system_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "jobs.toml"
    path.write_text(JOBS)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="there is no `sbatch` on this machine"):
        open_executor(scheduler=str(path)).__enter__()


def test_a_rejected_job_is_an_error(tmp_path, monkeypatch):
    """A batch system that rejects all jobs; real ones were tested manually."""
    path = tmp_path / "jobs.toml"
    path.write_text(JOBS)
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: no such queue' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(OSError, match="slurm rejects the job: sbatch: error: no such queue"):
        open_executor(scheduler=str(path)).__enter__()


def test_the_output_does_not_depend_on_the_executor(workers, tmp_path, rng):
    voxels = rng.integers(0, 60_000, (20, 300, 300)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "s.tif", voxels, photometric="minisblack")
    size = (5.0, 5.0, 5.0)
    here = import_volume(tmp_path / "s.tif", tmp_path / "a", voxel_size=size)
    there = import_volume(tmp_path / "s.tif", tmp_path / "b", voxel_size=size, executor=workers)
    assert here.window == there.window
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def contents(image):
    files = [path for path in image.rglob("*") if path.is_file() and path.parent != image]
    return {str(path.relative_to(image)): path.read_bytes() for path in files}
