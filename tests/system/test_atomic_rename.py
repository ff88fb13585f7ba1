"""Names are given and exchanged without loss, whatever the file system can do."""

import os

import pytest

from asem.system import atomic_rename
from asem.system.atomic_rename import check_not_link, exchange_names, rename_no_replace


def refuse(*_):
    raise PermissionError("this file system has no hard links")


@pytest.mark.parametrize("lacking", [(), ("renameat2",), ("renameat2", "link")])
def test_a_name_that_is_taken_is_not_given(tmp_path, monkeypatch, lacking):
    if "renameat2" in lacking:
        monkeypatch.setattr(atomic_rename, "_c_library", object)
    if "link" in lacking:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_text("a")
    rename_no_replace(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    (tmp_path / "c").write_text("c")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    for taken in ("b", "link", "folder"):
        with pytest.raises(FileExistsError, match=f"{taken} appeared while it was being made"):
            rename_no_replace(tmp_path / "c", tmp_path / taken)
    assert (tmp_path / "b").read_text() == "a"
    assert (tmp_path / "c").read_text() == "c"


def test_two_folders_exchange_their_names(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert exchange_names(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a/b").exists()
    assert (tmp_path / "b/a").exists()
    with pytest.raises(FileNotFoundError, match="gone"):
        exchange_names(tmp_path / "a", tmp_path / "gone")


def test_a_system_that_cannot_exchange_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_rename, "_c_library", object)
    assert not exchange_names(tmp_path / "a", tmp_path / "b")


def test_links_are_refused_but_not_above(tmp_path):
    (tmp_path / "folder/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "dangling").symlink_to("nowhere")
    check_not_link(tmp_path / "link/inner")
    check_not_link(tmp_path / "nothing")
    for name in ("link", "dangling"):
        with pytest.raises(FileExistsError, match=f"{name} is a symbolic link; give the path"):
            check_not_link(tmp_path / name)
