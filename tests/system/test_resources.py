"""What is free, and what is refused."""

import os

import psutil
import pytest

from asem.system import resources


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A job of 3 GB: 1 GB is taken, 0.2 GB of that are files that were read."""
    job = tmp_path / "groups/slurm/job_7"
    job.mkdir(parents=True)
    (tmp_path / "self").write_text("1:name=systemd:/elsewhere\n0::/slurm/job_7\n")
    (job / "memory.max").write_text("3000000000\n")
    (job / "memory.current").write_text("1000000000\n")
    cached = "inactive_file 120000000\nactive_file 50000000\nslab_reclaimable 30000000\n"
    (job / "memory.stat").write_text(f"anon 800000000\n{cached}")
    (job.parent / "memory.max").write_text("max\n")
    monkeypatch.setattr(resources, "CGROUP_FILE", tmp_path / "self")
    monkeypatch.setattr(resources, "CGROUP_ROOT", tmp_path / "groups")
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: type("", (), {"available": 500_000_000_000})()
    )
    return job


def test_a_job_may_take_less_than_its_machine_has(groups):
    assert resources.free_memory_bytes() == 2_200_000_000


def test_limits_further_up_count_too(groups):
    (groups.parent / "memory.max").write_text("900000000\n")
    (groups.parent / "memory.current").write_text("800000000\n")
    (groups.parent / "memory.stat").write_text("anon 800000000\n")
    assert resources.free_memory_bytes() == 100_000_000


def test_without_control_groups_it_is_the_machine(groups, tmp_path):
    (tmp_path / "self").write_text("4:memory:/docker/abc\n")
    assert resources.free_memory_bytes() == 500_000_000_000
    (tmp_path / "self").unlink()
    assert resources.free_memory_bytes() == 500_000_000_000


def test_what_does_not_fit_is_refused(tmp_path, groups):
    resources.check_free_memory(10**9, "this")
    with pytest.raises(ValueError, match=r"this needs 10 GB of memory, of which 2.2 GB are free"):
        resources.check_free_memory(10**10, "this")
    stat = os.statvfs(tmp_path)
    assert resources.free_disk_bytes(tmp_path / "not/yet") <= stat.f_blocks * stat.f_frsize
    resources.check_free_disk(tmp_path, 0, "this")
    with pytest.raises(ValueError, match=r"this needs 10 EB of disk, of which .* are free at /"):
        resources.check_free_disk(tmp_path / "not/yet", 10**19, "this")


def test_no_number_is_too_large_for_a_message():
    assert resources.format_bytes(10**400) == "more than any disk"
