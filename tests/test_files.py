import os
from pathlib import Path

import pytest

from asem.files import (
    delete_folder,
    is_temporary,
    refuse_undecodable,
    replaced,
    replaced_folder,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with replaced(path) as file:
        file.write(b"old")
    with pytest.raises(TypeError), replaced(path) as file:
        file.writelines([b"ne", 1])
    assert path.read_bytes() == b"old"
    with replaced(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_files_of_other_processes_are_not_touched(tmp_path):
    (tmp_path / "file.partial").write_text("another's")
    with replaced(tmp_path / "file") as first:  # two at once, the last one that ends stays
        with replaced(tmp_path / "file") as second:
            second.write(b"second")
        assert (tmp_path / "file").read_bytes() == b"second"
        first.write(b"first")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file", "file.partial"]


def test_the_longest_names_can_be_replaced(tmp_path):
    with replaced(tmp_path / ("n" * 255)) as file:
        file.write(b"text")
    assert names(tmp_path) == ["n" * 255]


def test_links_and_devices_stay(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to("file")
    with replaced(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with replaced(tmp_path / "pipe") as file:
        file.write(b"through")
    assert os.read(reader, 10) == b"through"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_fault_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone/file'$"), replaced(tmp_path / "gone/file"):
        pass
    with (
        pytest.raises(OSError, match=r"No space left on device: '.*file'"),
        replaced(tmp_path / "file"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


@pytest.mark.parametrize("mask", [0o002, 0o077])
def test_rights_are_those_of_open_and_mkdir(tmp_path, mask):
    tmp_path.chmod(0o2777)
    before = os.umask(mask)
    try:
        with replaced(tmp_path / "file") as file:
            file.write(b"")
        with replaced_folder(tmp_path / "folder", replace=False):
            pass
        (tmp_path / "plain").mkdir()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain").stat().st_mode


def fill(path, text, *, replace=False):
    with replaced_folder(path, replace=replace) as folder:
        (folder / "file").write_text(text)


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a/folder"
    fill(path, "old")
    with pytest.raises(FileExistsError, match="another process made"):
        fill(path, "other")
    with pytest.raises(ZeroDivisionError), replaced_folder(path, replace=True) as folder:
        (folder / "file").write_text(str(1 / 0))
    assert (path / "file").read_text() == "old"
    fill(path, "new", replace=True)
    assert (path / "file").read_text() == "new"
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", "text")
    assert names(tmp_path / "a") == ["folder"]
    delete_folder(path)
    assert names(tmp_path / "a") == []


def test_temporary_names_are_known():
    assert is_temporary(f".asem-{'0' * 32}.partial")
    assert not is_temporary("zarr.json.partial")


def test_a_path_that_is_no_text_is_refused(tmp_path, monkeypatch):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (tmp_path / "café").mkdir()
    refuse_undecodable(tmp_path / "café/out")
    with pytest.raises(ValueError, match=r"caf\\xe9/out: the path is not UTF-8 text; rename"):
        refuse_undecodable(folder / "out")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ValueError, match="not UTF-8"):
        refuse_undecodable(tmp_path / "link/out")
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="not UTF-8"):
        refuse_undecodable(Path("out"))
