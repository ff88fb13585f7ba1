"""Folders take the place of others, and what others added meanwhile stays."""

import errno
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from asem.system import atomic_rename, folder_snapshot, locks, path_replacement
from asem.system.files import is_temporary_name, temporary_prefix
from asem.system.folder_replacement import (
    delete_atomically,
    recover_leftovers,
    replace_file_from_folder,
    replace_folder,
)
from asem.system.folder_snapshot import find_foreign_file


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def refuse_thesis(folder):
    """Allow to delete a folder of planes, or a file."""
    if folder.is_dir():
        other = [name for name in listed(folder) if not name.startswith("plane")]
        if other:
            raise FileExistsError(f"{folder} holds {other[0]}")


def refuse(folder):
    raise FileExistsError(f"{folder} exists already")


def fill(path, text, check=refuse):
    with replace_folder(path, check) as folder:
        (folder / "plane").write_text(text)


@pytest.fixture(params=["exchange", "two renames"])
def swap(request, monkeypatch):
    """Both ways to exchange folders."""
    if request.param == "two renames":
        monkeypatch.setattr(atomic_rename, "_c_library", object)
    return request.param


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path, swap):
    path = tmp_path / "a/folder"
    fill(path, "old")
    with pytest.raises(FileExistsError, match="folder exists already"):
        fill(path, "other")
    with pytest.raises(ZeroDivisionError), replace_folder(path, refuse_thesis) as folder:
        (folder / "plane").write_text(str(1 / 0))
    assert (path / "plane").read_text() == "old"
    fill(path, "new", refuse_thesis)
    assert (path / "plane").read_text() == "new"
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", "text")
    assert listed(tmp_path / "a") == ["folder"]
    delete_atomically(path)
    assert listed(tmp_path / "a") == []


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_rights_are_those_of_mkdir(tmp_path, mask):
    tmp_path.chmod(0o2777)
    before = os.umask(mask)
    try:
        fill(tmp_path / "folder", "text")
        (tmp_path / "plain").mkdir()
    finally:
        os.umask(before)
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_appears_while_the_folder_is_filled_stays(tmp_path):
    def fill_both():
        with replace_folder(tmp_path / "out", refuse_thesis) as folder:
            (folder / "plane").touch()
            (tmp_path / "out").mkdir()
            (tmp_path / "out/thesis").write_text("x")

    with pytest.raises(FileExistsError):
        fill_both()
    assert (tmp_path / "out/thesis").read_text() == "x"
    assert listed(tmp_path) == ["out"]
    for make in ((tmp_path / "b").touch, lambda: (tmp_path / "b").symlink_to("out")):
        with pytest.raises(FileExistsError), replace_folder(tmp_path / "b", refuse_thesis):
            make()
        (tmp_path / "b").unlink()
    assert listed(tmp_path) == ["out"]


def after(step, number, act):
    """Return a function that calls `step`, and `act` after its call of that number."""
    calls = []

    def call(*args):
        result = step(*args)
        calls.append(args)
        if len(calls) == number:
            act()
        return result

    return call


def test_what_comes_between_the_check_and_the_swap_stays(tmp_path, swap):
    """The folder is exchanged back: both lie where they were, and nothing else."""
    path = tmp_path / "out"
    fill(path, "old")
    check = after(refuse_thesis, 2, lambda: (path / "thesis").write_text("x"))
    with pytest.raises(FileExistsError, match=r"/out holds thesis"):
        fill(path, "new", check)
    assert (path / "thesis").read_text() == "x"
    assert (path / "plane").read_text() == "old"
    assert listed(tmp_path) == ["out"]


def test_what_was_written_into_the_new_one_before_it_left_again_is_kept(
    tmp_path, swap, monkeypatch, caplog
):
    path = tmp_path / "out"
    fill(path, "old")
    check = after(refuse_thesis, 2, lambda: (path / "thesis").write_text("x"))
    swapped = after(
        path_replacement.PathReplacement._exchange, 1, lambda: (path / "notes").write_text("y")
    )
    monkeypatch.setattr(path_replacement.PathReplacement, "_exchange", swapped)
    with pytest.raises(FileExistsError, match=r"/out holds thesis"):
        fill(path, "new", check)
    assert (path / "thesis").read_text() == "x"
    (remaining,) = (tmp_path / name for name in listed(tmp_path) if name != "out")
    assert listed(remaining) == ["notes"]
    assert f"what was added to {path} during its deletion is now {remaining}" in caplog.text


def test_what_comes_while_the_old_one_is_deleted_is_kept(tmp_path, swap, monkeypatch, caplog):
    """By a program that has the folder open; it has no name there any more."""
    path = tmp_path / "out"
    fill(path, "old")
    handle, erase = os.open(path, os.O_RDONLY), folder_snapshot.delete_unchanged

    def write_and_erase(*args):
        monkeypatch.setattr(folder_snapshot, "delete_unchanged", erase)
        os.close(os.open("thesis", os.O_WRONLY | os.O_CREAT, dir_fd=handle))
        return erase(*args)

    monkeypatch.setattr(folder_snapshot, "delete_unchanged", write_and_erase)
    fill(path, "new", refuse_thesis)
    os.close(handle)
    assert (path / "plane").read_text() == "new"
    (remaining,) = (name for name in listed(tmp_path) if name != "out")
    assert listed(tmp_path / remaining) == ["thesis"]
    assert remaining in caplog.text


def test_an_interruption_at_any_step_loses_neither(tmp_path, swap, monkeypatch):
    class Interruption(KeyboardInterrupt):
        pass

    def interrupt():
        raise Interruption

    path = tmp_path / "out"
    for number in range(1, 4):
        fill(path, "old", refuse_thesis)
        with monkeypatch.context() as patched:
            rename = after(type(path).rename, number, interrupt)
            patched.setattr(type(path), "rename", rename)
            with suppress(Interruption):
                fill(path, "new", refuse_thesis)
        assert (path / "plane").read_text() in ("old", "new")
        assert listed(tmp_path) == ["out"]


def test_a_deleted_folder_returns_where_something_was_added(tmp_path):
    path = tmp_path / "run"
    fill(path, "old")
    (path / "thesis").write_text("x")
    with pytest.raises(FileExistsError, match="/run holds thesis"):
        delete_atomically(path, refuse_thesis)
    assert listed(path) == ["plane", "thesis"]
    (path / "thesis").unlink()
    delete_atomically(path, refuse_thesis)
    assert listed(tmp_path) == []


def test_links_in_a_folder_are_deleted_and_not_followed(tmp_path):
    fill(tmp_path / "theirs", "x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/plane").symlink_to(tmp_path / "theirs")
    delete_atomically(tmp_path / "run", refuse_thesis)
    assert listed(tmp_path / "theirs") == ["plane"]
    (tmp_path / "link").symlink_to("theirs")
    with pytest.raises(FileExistsError, match="link is a symbolic link"):
        fill(tmp_path / "link", "new", refuse_thesis)
    assert (tmp_path / "theirs/plane").read_text() == "x"


def test_a_file_is_replaced_as_long_as_it_is_the_same(tmp_path, swap):
    path = tmp_path / "model"
    for text in ("old", "new"):
        with replace_file_from_folder(path, refuse_thesis) as (folder, publish):
            (folder / "made").write_text(text)
            publish(folder / "made")
        assert path.read_text() == text
        assert listed(tmp_path) == ["model"]
    with replace_file_from_folder(path, refuse_thesis) as (folder, publish):
        (folder / "made").touch()
        path.unlink()
        path.mkdir()
        with pytest.raises(FileExistsError, match="model is not a file"):
            publish(folder / "made")
    assert listed(tmp_path) == ["model"]


HALF = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from asem.system import atomic_rename, path_replacement
from test_folder_replacement import after, fill, refuse_thesis
step, number = sys.argv[3], int(sys.argv[4])
if sys.argv[5] == "two renames":
    atomic_rename._c_library = object
path = Path(sys.argv[2])
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
if step == "rename":
    Path.rename = after(Path.rename, number, kill)
else:
    path_replacement.PathReplacement.publish = lambda *_: kill()
fill(path, "new", refuse_thesis)
"""
STEPS = [("publish", 1), ("rename", 1), ("rename", 2), ("rename", 3)]


@pytest.mark.parametrize(("step", "number"), STEPS)
def test_what_a_killed_process_left_is_removed_or_returns(tmp_path, swap, step, number):
    here = os.path.dirname(__file__)  # noqa: PTH120
    path = tmp_path / "out"
    fill(path, "old")
    (tmp_path / "mine.partial").mkdir()
    (tmp_path / f".asem-{'0' * 32}.partial").mkdir()  # of another name, or not locked
    words = [sys.executable, "-c", HALF, here, str(path), step, str(number), swap]
    done = subprocess.run(words, capture_output=True, text=True)
    if number > 2 and swap == "exchange":
        assert done.returncode == 0  # as many renames there are not
    else:
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert len(listed(tmp_path)) > 3
    recover_leftovers(path, refuse_thesis)
    assert (path / "plane").read_text() in ("old", "new")
    fill(path, "third", refuse_thesis)
    assert (path / "plane").read_text() == "third"
    assert len(listed(tmp_path)) == 3


def test_what_a_killed_process_took_away_is_not_deleted_without_a_check(tmp_path, caplog):
    path = tmp_path / "out"
    fill(path, "new")
    lost = f"{temporary_prefix(path)}{'0' * 16}"
    fill(tmp_path / f"{lost}.deleted", "old")
    (tmp_path / f"{lost}.deleted/thesis").touch()
    (tmp_path / f"{lost}.lock").touch()
    for check in (None, refuse_thesis):
        recover_leftovers(path, check)
        assert listed(tmp_path / f"{lost}.deleted") == ["plane", "thesis"]
        assert f"{lost}.deleted" in caplog.messages.pop()
    (tmp_path / f"{lost}.deleted/thesis").unlink()
    recover_leftovers(path, refuse_thesis)
    assert listed(tmp_path) == ["out"]


def test_what_a_living_process_makes_is_not_touched(tmp_path):
    path = tmp_path / "out"
    with replace_folder(path, refuse) as first:
        (first / "plane").write_text("first")
        before = listed(tmp_path)
        assert all(map(is_temporary_name, before))
        recover_leftovers(path, refuse_thesis)
        assert listed(tmp_path) == before
        fill(path, "second")
        assert (path / "plane").read_text() == "second"
        (path / "plane").unlink()
    assert (path / "plane").read_text() == "first"
    assert listed(tmp_path) == ["out"]


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """What is known to be of a dead process of this machine is removed; anything else stays."""

    def flock(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    path, ended = tmp_path / "out", subprocess.Popen(["true"])
    ended.wait()
    left = {}
    for number, owner in enumerate([f"{os.uname().nodename} {ended.pid}", "elsewhere 1"]):
        name = f"{temporary_prefix(path)}{number:016}"
        (tmp_path / f"{name}.partial").mkdir()
        (tmp_path / f"{name}.lock").touch()
        (tmp_path / f"{name}.lock.owner").write_text(owner)
        left[number] = [f"{name}.{kind}" for kind in ("lock", "lock.owner", "partial")]
    with replace_folder(path, refuse) as folder:
        (folder / "plane").touch()
        before = listed(tmp_path)
        recover_leftovers(path)
        assert listed(tmp_path) == before
    assert listed(tmp_path) == [*left[1], "out"]


def test_a_link_under_a_temporary_name_is_not_followed(tmp_path):
    path = tmp_path / "out"
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/thesis").touch()
    planted = f"{temporary_prefix(path)}{'0' * 16}"
    (tmp_path / f"{planted}.partial").symlink_to("theirs")
    (tmp_path / f"{planted}.lock").touch()
    fill(path, "text")
    assert listed(tmp_path / "theirs") == ["thesis"]


def test_the_first_foreign_file_is_found_at_any_depth(tmp_path):
    pattern = re.compile(r"a/(\d|\*)/b")
    inner = tmp_path / f"a/.asem-{'0' * 32}.partial"
    inner.mkdir(parents=True)
    (tmp_path / "a/1").mkdir()
    for place in (inner / "b", tmp_path / "a/1/b", tmp_path / f"a/.asem-{'1' * 32}.partial"):
        place.touch()
    assert find_foreign_file(tmp_path, pattern) is None
    (inner / "thesis").touch()
    assert find_foreign_file(tmp_path, pattern).name == "thesis"
    (inner / "thesis").unlink()
    (tmp_path / "a/2").mkdir()
    (tmp_path / "a/2/b").symlink_to("../1/b")
    assert str(find_foreign_file(tmp_path, pattern)) == "a/2/b"


def test_a_failing_disk_is_told_with_the_path_and_replaces_nothing(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    fill(tmp_path / "folder", "old")
    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(path_replacement.os, "fsync", fail)
    with pytest.raises(OSError, match=r"Input/output error: '.*/folder/plane'"):
        fill(tmp_path / "folder", "new", refuse_thesis)
    with replace_file_from_folder(tmp_path / "file", refuse_thesis) as (folder, publish):
        (folder / "made").write_text("new")
        with pytest.raises(OSError, match=r"Input/output error: '.*/file'"):
            publish(folder / "made")
    assert (tmp_path / "folder/plane").read_text() == "old"
    assert (tmp_path / "file").read_text() == "old"
    assert listed(tmp_path) == ["file", "folder"]


def test_what_another_process_replaced_meanwhile_stays(tmp_path, swap):
    """Also what may be deleted according to the check, which another command has just finished."""
    path = tmp_path / "out"
    fill(path, "old")
    with (
        pytest.raises(FileExistsError, match="/out appeared while it was being made"),
        replace_folder(path, refuse_thesis),
    ):
        fill(path, "another", refuse_thesis)
    assert (path / "plane").read_text() == "another"
    assert listed(tmp_path) == ["out"]
