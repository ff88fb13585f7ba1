import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asem.system import files
from asem.system.files import check_utf8_path, is_temporary_name, replace_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with replace_file(path) as file:
        file.write(b"old")
    with pytest.raises(TypeError), replace_file(path) as file:
        file.writelines([b"ne", 1])
    assert path.read_bytes() == b"old"
    with replace_file(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_files_of_other_processes_are_not_touched(tmp_path):
    (tmp_path / "file.partial").write_text("another's")
    with replace_file(tmp_path / "file") as first:  # two at once, the last one that ends stays
        with replace_file(tmp_path / "file") as second:
            second.write(b"second")
        assert (tmp_path / "file").read_bytes() == b"second"
        first.write(b"first")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file", "file.partial"]


def test_the_longest_names_can_be_replaced(tmp_path):
    with replace_file(tmp_path / ("n" * 255)) as file:
        file.write(b"text")
    assert names(tmp_path) == ["n" * 255]


def test_links_and_devices_stay(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    with replace_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with replace_file(tmp_path / "pipe") as file:
        file.write(b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_fault_names_the_file(tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"gone/file'$"),
        replace_file(tmp_path / "gone/file"),
    ):
        pass
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*file'"),
        replace_file(tmp_path / "file"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_rights_are_those_of_open(tmp_path, mask):
    tmp_path.chmod(0o2777)
    before = os.umask(mask)
    try:
        with replace_file(tmp_path / "file") as file:
            file.write(b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask


def test_temporary_names_are_known():
    assert is_temporary_name(f".asem-{'0' * 32}.partial")
    assert is_temporary_name(f".asem-{'0' * 32}.lock")
    assert not is_temporary_name("zarr.json.partial")


KILLED = """
import os, signal, sys
from pathlib import Path
from asem.system.files import replace_file
with replace_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path):
    words = [sys.executable, "-c", KILLED, str(tmp_path / "file")]
    assert subprocess.run(words).returncode == -signal.SIGKILL
    assert names(tmp_path) == []


def test_a_file_system_without_unnamed_files(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_open_unnamed", lambda folder: None)
    with replace_file(tmp_path / "file") as file:
        file.write(b"text")
        assert all(map(is_temporary_name, names(tmp_path)))
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EXDEV, errno.ENOENT])
def test_a_system_that_denies_links(tmp_path, monkeypatch, code):
    def link(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    for text in (b"old", b"new" * 100_000):
        with replace_file(tmp_path / "file") as file:
            file.write(text[:2])
            file.write(text[2:])
        assert (tmp_path / "file").read_bytes() == text
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "file").stat().st_mode == plain.stat().st_mode
    with pytest.raises(ZeroDivisionError), replace_file(tmp_path / "file"):
        print(1 / 0)
    assert names(tmp_path) == ["file", "plain"]


def test_a_path_that_is_no_text_is_refused(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (tmp_path / "café").mkdir()
    check_utf8_path(tmp_path / "café/out")
    with pytest.raises(ValueError, match=r"caf\\xe9/out: the path is not UTF-8 text; rename"):
        check_utf8_path(folder / "out")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ValueError, match="not UTF-8"):
        check_utf8_path(tmp_path / "link/out")
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="not UTF-8"):
        check_utf8_path(Path("out"))
