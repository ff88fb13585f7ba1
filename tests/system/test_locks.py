import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

from asem.system.locks import acquire_lock, exclusive_lock, is_lock_held, release_lock

COUNT = """
import sys, time
from pathlib import Path
from asem.system.locks import exclusive_lock
{prelude}
folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with exclusive_lock(folder / "lock"):
        number = int((folder / "number").read_text())
        (folder / "number").write_text(str(number + 1))
"""
NO_FLOCK = """
import errno, fcntl
def refuse(*_):
    raise OSError(errno.ENOSYS, "no locks here")
fcntl.flock = refuse
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("prelude", ["", NO_FLOCK], ids=["flock", "no flock"])
def test_processes_count_together(tmp_path, prelude):
    (tmp_path / "number").write_text("0")
    words = [sys.executable, "-c", COUNT.format(prelude=prelude), str(tmp_path), "40"]
    counting = [subprocess.Popen(words) for _ in range(4)]
    assert [process.wait() for process in counting] == [0] * 4
    assert (tmp_path / "number").read_text() == "160"
    assert [name for name in names(tmp_path) if "owner" in name] == []


def test_threads_count_together(tmp_path):
    number = [0]

    def count():
        for _ in range(50):
            with exclusive_lock(tmp_path / "lock"):
                number[0] = number[0] + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number == [200]
    assert names(tmp_path) == []


def no_flock(*_):
    raise OSError(errno.ENOLCK, "no locks here")


@pytest.mark.parametrize("flock", [fcntl.flock, no_flock])
def test_a_lock_that_is_held_is_awaited_and_then_reported(tmp_path, monkeypatch, flock):
    monkeypatch.setattr("fcntl.flock", flock)
    lock = acquire_lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError, match=r"has held .*lock for 0.1 s"):  # noqa: SIM117
        with exclusive_lock(tmp_path / "lock", timeout_s=0.1):
            pass
    lock.close()
    with exclusive_lock(tmp_path / "lock", timeout_s=0.1):
        pass


def test_a_lock_file_that_was_moved_away_is_not_the_lock(tmp_path):
    first = acquire_lock(tmp_path / "lock")
    (tmp_path / "lock").rename(tmp_path / "moved")
    second = acquire_lock(tmp_path / "lock")  # another file
    release_lock(first, tmp_path / "lock")
    assert (tmp_path / "lock").exists()  # that of the second
    release_lock(second, tmp_path / "lock")
    assert names(tmp_path) == ["moved"]


def test_without_flock_the_lock_of_a_process_that_was_killed_is_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", no_flock)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True)  # fmt: skip
    owner = tmp_path / "lock.owner"
    owner.write_text(f"{os.uname().nodename} {ended.stdout.strip()}")
    acquire_lock(tmp_path / "lock").close()
    owner.write_text(f"elsewhere {ended.stdout.strip()}")  # cannot be found out
    with pytest.raises(BlockingIOError, match="delete it if none runs"):
        acquire_lock(tmp_path / "lock")


def test_another_fault_is_raised(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        acquire_lock(tmp_path / "gone/lock")

    def fail(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match="broken"):
        acquire_lock(tmp_path / "lock")


def test_without_flock_the_lock_of_another_process_stays(tmp_path, monkeypatch):
    """The folder was deleted, and another process has made it and its lock again."""
    monkeypatch.setattr("fcntl.flock", no_flock)
    lock = acquire_lock(tmp_path / "lock")
    assert is_lock_held(lock, tmp_path / "lock")
    (tmp_path / "lock.owner").unlink()
    (tmp_path / "lock.owner").write_text("elsewhere 1")
    assert not is_lock_held(lock, tmp_path / "lock")
    lock.close()
    assert (tmp_path / "lock.owner").read_text() == "elsewhere 1"


@pytest.mark.parametrize("name", ["lock", "lock.owner"])
@pytest.mark.parametrize("plant", [os.mkfifo, lambda path: path.symlink_to("thesis")])
def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path, monkeypatch, name, plant):
    monkeypatch.setattr("fcntl.flock", no_flock)
    (tmp_path / "thesis").write_text("years of work")
    plant(tmp_path / name)
    with pytest.raises(OSError, match=f"{name} is a "):
        acquire_lock(tmp_path / "lock")
    assert (tmp_path / "thesis").read_text() == "years of work"


def test_without_flock_an_owner_that_can_be_no_process_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", no_flock)
    owner, host = tmp_path / "lock.owner", os.uname().nodename
    owner.write_text(f"{host} {'9' * 200}")
    acquire_lock(tmp_path / "lock").close()
    for number in ("0", "x"):
        owner.write_text(f"{host} {number}")
        with pytest.raises(BlockingIOError, match="delete it if none runs"):
            acquire_lock(tmp_path / "lock")
