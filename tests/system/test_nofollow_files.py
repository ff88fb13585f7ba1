import os
import socket

import pytest

from asem.system.nofollow_files import (
    check_no_links,
    is_same_file,
    make_folder_nofollow,
    open_nofollow,
    replace_file_nofollow,
)

WRITE = os.O_RDWR | os.O_CREAT


@pytest.fixture
def thesis(tmp_path):
    (tmp_path / "thesis").mkdir()
    path = tmp_path / "thesis/chapter"
    path.write_text("years of work")
    return path


@pytest.fixture
def own(tmp_path):
    return make_folder_nofollow(tmp_path / ".asem")


def test_a_regular_file_is_opened_and_not_cut(own):
    (own / "lock").write_text("kept")
    with open_nofollow(own / "lock", WRITE) as file:
        assert file.read() == b"kept"
        assert is_same_file(file, own / "lock")
    with open_nofollow(own / "new", WRITE) as file:
        (own / "new").rename(own / "moved")
        assert not is_same_file(file, own / "new")
    with pytest.raises(FileNotFoundError):
        open_nofollow(own / "none", os.O_RDONLY)
    with pytest.raises(FileExistsError):
        open_nofollow(own / "moved", os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def plant(kind, path, thesis):
    if kind == "link":
        path.symlink_to(thesis)
    elif kind == "dangling link":
        path.symlink_to(thesis.parent / "new")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as planted:
            planted.bind(str(path))


MESSAGES = {
    "link": "is a symbolic link, but asem stores",
    "dangling link": "is a symbolic link, but asem stores",
    "pipe": "is a pipe, a socket or a device, but asem stores a regular file",
    "socket": "is a pipe, a socket or a device, but asem stores a regular file",
    "folder": "is a folder, but asem stores a regular file",
}


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("flags", [os.O_RDONLY, WRITE])
def test_anything_else_is_refused_at_once(own, thesis, kind, flags, monkeypatch):
    monkeypatch.chdir(own)  # the path of a socket is short
    plant(kind, own / "x" if kind != "socket" else own.__class__("x"), thesis)
    with pytest.raises(OSError, match=f"x {MESSAGES[kind]}"):
        open_nofollow(own / "x", flags)
    assert [path.name for path in thesis.parent.iterdir()] == ["chapter"]


@pytest.mark.parametrize("kind", MESSAGES)
def test_nothing_but_a_regular_file_is_replaced(own, thesis, kind, monkeypatch):
    monkeypatch.chdir(own)
    plant(kind, own.__class__("x"), thesis)
    with (
        pytest.raises(OSError, match=f"x {MESSAGES[kind]}|Is a directory"),
        replace_file_nofollow(own / "x"),
    ):
        pass
    assert thesis.read_text() == "years of work"
    assert [path.name for path in own.iterdir()] == ["x"]


def test_a_folder_that_is_a_link_is_refused(tmp_path, thesis):
    (tmp_path / "own").symlink_to(thesis.parent)
    with pytest.raises(OSError, match="own is a symbolic link"):
        make_folder_nofollow(tmp_path / "own")
    for name in ("chapter", "new"):
        with pytest.raises(OSError, match="own is a symbolic link"):
            open_nofollow(tmp_path / "own" / name, WRITE)
    with pytest.raises(OSError, match="chapter is a file, but asem stores a folder"):
        make_folder_nofollow(thesis)


def test_links_are_found_at_any_depth(own, thesis):
    check_no_links([own, own / "none", thesis])
    (own / "0/c/1").mkdir(parents=True)
    (own / "0/c/1/2").touch()
    check_no_links([own])
    (own / "0/c/1/3").symlink_to(thesis)
    with pytest.raises(OSError, match=r"0/c/1/3 is a symbolic link"):
        check_no_links([own / "0"])


def test_what_the_last_check_raises_keeps_the_file(own):
    (own / "x").write_text("old")

    def fail():
        raise OSError("lost")

    with pytest.raises(OSError, match="lost"), replace_file_nofollow(own / "x", fail) as file:
        file.write(b"new")
    assert (own / "x").read_text() == "old"
    with replace_file_nofollow(own / "x") as file:
        file.write(b"new")
    assert (own / "x").read_text() == "new"
    assert [path.name for path in own.iterdir()] == ["x"]
