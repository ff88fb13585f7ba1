import os
import re

import pytest

from asem.system import folder_snapshot
from asem.system.folder_snapshot import (
    delete_snapshot,
    delete_unchanged,
    find_foreign_file,
    remove_tree,
    snapshot_folder,
)

KNOWN = re.compile(r"a/\d(\.__lock)?")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "f/a").mkdir(parents=True)
    (tmp_path / "f/a/1").write_bytes(b"one")
    (tmp_path / "f/a/2.__lock").write_bytes(b"two")
    return tmp_path / "f"


def test_contents_are_listed_by_paths_in_the_folder(folder):
    (folder / "link").symlink_to("a")
    found = snapshot_folder(folder)
    assert set(found) == {"", "a", "a/1", "a/2.__lock", "link"}
    assert found[""] == found["a"] == ()
    assert found["a/1"][2] == 3
    assert list(snapshot_folder(folder / "a/1")) == list(snapshot_folder(folder / "link")) == [""]
    assert snapshot_folder(folder / "gone") == {}


@pytest.mark.parametrize("name", ["a/2.__lock", "a/3.tmp"])
@pytest.mark.parametrize("act", ["delete", "rename"])
def test_a_file_that_vanishes_while_it_is_checked_is_not_foreign(folder, monkeypatch, name, act):
    """As one that another program gives its final name after the folder was listed."""
    entries = folder_snapshot._walk

    def late(path):
        for found, entry in entries(path):
            if found == name:
                if act == "delete":
                    (folder / name).unlink()
                else:
                    (folder / name).rename(folder / "a/2")
            yield found, entry

    (folder / name).touch()
    monkeypatch.setattr(folder_snapshot, "_walk", late)
    assert find_foreign_file(folder, KNOWN) is None
    assert not (folder / name).exists()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("1")])
def test_only_regular_files_are_known(folder, make):
    assert find_foreign_file(folder, KNOWN) is None
    make(folder / "a/3")
    assert str(find_foreign_file(folder, KNOWN)) == "a/3"


def test_only_what_is_listed_and_the_same_is_deleted(folder):
    listed = snapshot_folder(folder)
    (folder / "a/1").write_bytes(b"other")
    (folder / "b").touch()
    assert delete_unchanged(folder, listed) == set()
    assert set(snapshot_folder(folder)) == {"", "a", "a/1", "b"}
    assert not delete_snapshot(folder, {}, lambda path: not (path / "b").exists())
    (folder / "b").unlink()
    assert delete_snapshot(folder, {}, lambda path: not (path / "b").exists())
    assert not folder.exists()
    remove_tree(folder)
