import os
import socket

import pytest

from asem.system.own_files import is_at, open_own, own_folder, refuse_links, replaced_own

WRITE = os.O_RDWR | os.O_CREAT


@pytest.fixture
def thesis(tmp_path):
    (tmp_path / "thesis").mkdir()
    path = tmp_path / "thesis/chapter"
    path.write_text("years of work")
    return path


@pytest.fixture
def own(tmp_path):
    return own_folder(tmp_path / ".asem")


def test_a_regular_file_is_opened_and_not_cut(own):
    (own / "lock").write_text("kept")
    with open_own(own / "lock", WRITE) as file:
        assert file.read() == b"kept"
        assert is_at(file, own / "lock")
    with open_own(own / "new", WRITE) as file:
        (own / "new").rename(own / "moved")
        assert not is_at(file, own / "new")
    with pytest.raises(FileNotFoundError):
        open_own(own / "none", os.O_RDONLY)
    with pytest.raises(FileExistsError):
        open_own(own / "moved", os.O_WRONLY | os.O_CREAT | os.O_EXCL)


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
    "link": "is a symbolic link, which is not followed",
    "dangling link": "is a symbolic link, which is not followed",
    "pipe": "is a pipe, a socket or a device, where asem keeps a regular file",
    "socket": "is a pipe, a socket or a device, where asem keeps a regular file",
    "folder": "is a folder, where asem keeps a regular file",
}


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("flags", [os.O_RDONLY, WRITE])
def test_anything_else_is_refused_at_once(own, thesis, kind, flags, monkeypatch):
    monkeypatch.chdir(own)  # the path of a socket is short
    plant(kind, own / "x" if kind != "socket" else own.__class__("x"), thesis)
    with pytest.raises(OSError, match=f"x {MESSAGES[kind]}"):
        open_own(own / "x", flags)
    assert [path.name for path in thesis.parent.iterdir()] == ["chapter"]


@pytest.mark.parametrize("kind", MESSAGES)
def test_nothing_but_a_regular_file_is_replaced(own, thesis, kind, monkeypatch):
    monkeypatch.chdir(own)
    plant(kind, own.__class__("x"), thesis)
    with (
        pytest.raises(OSError, match=f"x {MESSAGES[kind]}|Is a directory"),
        replaced_own(own / "x"),
    ):
        pass
    assert thesis.read_text() == "years of work"
    assert [path.name for path in own.iterdir()] == ["x"]


def test_a_folder_that_is_a_link_is_refused(tmp_path, thesis):
    (tmp_path / "own").symlink_to(thesis.parent)
    with pytest.raises(OSError, match="own is a symbolic link"):
        own_folder(tmp_path / "own")
    for name in ("chapter", "new"):
        with pytest.raises(OSError, match="own is a symbolic link"):
            open_own(tmp_path / "own" / name, WRITE)
    with pytest.raises(OSError, match="chapter is a file, where asem keeps a folder"):
        own_folder(thesis)


def test_links_are_found_at_any_depth(own, thesis):
    refuse_links([own, own / "none", thesis])
    (own / "0/c/1").mkdir(parents=True)
    (own / "0/c/1/2").touch()
    refuse_links([own])
    (own / "0/c/1/3").symlink_to(thesis)
    with pytest.raises(OSError, match=r"0/c/1/3 is a symbolic link"):
        refuse_links([own / "0"])


def test_what_the_last_check_raises_keeps_the_file(own):
    (own / "x").write_text("old")

    def fail():
        raise OSError("lost")

    with pytest.raises(OSError, match="lost"), replaced_own(own / "x", fail) as file:
        file.write(b"new")
    assert (own / "x").read_text() == "old"
    with replaced_own(own / "x") as file:
        file.write(b"new")
    assert (own / "x").read_text() == "new"
    assert [path.name for path in own.iterdir()] == ["x"]
