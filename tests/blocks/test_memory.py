import subprocess
import sys

import psutil
import pytest

from asem.blocks import memory


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A job of 3 GB: 1 GB is taken, 0.2 GB of that are files that were read."""
    job = tmp_path / "groups/slurm/job_7"
    job.mkdir(parents=True)
    (tmp_path / "self").write_text("1:name=systemd:/elsewhere\n0::/slurm/job_7\n")
    (job / "memory.max").write_text("3000000000\n")
    (job / "memory.current").write_text("1000000000\n")
    (job / "memory.stat").write_text("anon 800000000\ninactive_file 200000000\n")
    (job.parent / "memory.max").write_text("max\n")
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "self")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("", (), {"available": 500_000_000_000})()
    )
    return job


def test_a_job_may_take_less_than_its_machine_has(groups):
    assert memory.free_memory() == 2_200_000_000


def test_limits_further_up_count_too(groups):
    (groups.parent / "memory.max").write_text("900000000\n")
    (groups.parent / "memory.current").write_text("800000000\n")
    (groups.parent / "memory.stat").write_text("anon 800000000\n")
    assert memory.free_memory() == 100_000_000


def test_without_control_groups_it_is_the_machine(groups, tmp_path):
    (tmp_path / "self").write_text("4:memory:/docker/abc\n")
    assert memory.free_memory() == 500_000_000_000
    (tmp_path / "self").unlink()
    assert memory.free_memory() == 500_000_000_000


AGAIN = """
import resource
import threading

import numpy as np

from asem.blocks.memory import keep_memory

def fill():
    np.ones(200_000_000, np.uint8)

keep_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a promise for glibc")
def test_a_thread_gets_the_pages_again_that_another_freed():
    done = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert second < first / 10
