"""Files that are open when they are deleted, on NFS.

The client renames such a file, and refuses to delete the new name until the file is closed; then it
deletes it by itself.
"""

import errno
import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from asem.blocks import journal
from asem.blocks import output as outputs
from asem.blocks.output import new_image
from asem.system.folders import remove_leftovers
from asem.volume import ngff
from asem.volume.volume import Blank, Volume

SHAPE = (3, 4, 5)


def is_open(path, folder=None):
    found = os.stat(path, dir_fd=folder, follow_symlinks=False)
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            if os.path.samestat(os.fstat(int(number)), found):
                return True
        except OSError:
            continue
    return False


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Deletes as an NFS client does; the function deletes what has been closed by now."""
    unlink, numbers = os.unlink, count()

    def rename_or_unlink(path, *, dir_fd=None):
        if not is_open(path, dir_fd):
            unlink(path, dir_fd=dir_fd)
        elif os.path.basename(path).startswith(".nfs"):  # noqa: PTH119
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), os.fspath(path))
        else:
            new = os.path.join(os.path.dirname(path), f".nfs{next(numbers):024x}")  # noqa: PTH118, PTH120
            os.rename(path, new, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    def delete_closed():
        for path in tmp_path.rglob(".nfs*"):
            if not is_open(path):
                unlink(path)

    def after_closing(*words):
        delete_closed()
        remove_leftovers(*words)
        delete_closed()

    monkeypatch.setattr(os, "unlink", rename_or_unlink)
    monkeypatch.setattr(os, "remove", rename_or_unlink)
    for module in (journal, outputs):
        monkeypatch.setattr(module, "remove_leftovers", after_closing)
    return delete_closed


def make(image, **options):
    template = Volume(Blank(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
    options = {"command": "test", "request": {"a": 1}, "sources": [], **options}
    with new_image(image, template, **options) as output:
        output.array.write((slice(None),) * 3, np.full(SHAPE, 7, np.uint8)).result()


def check_whole(image):
    volume = ngff.open_image(image)
    assert (volume.read(volume.roi) == 7).all()


def hidden(folder):
    return list(folder.rglob(".*"))


def test_an_image_is_finished_and_replaced_and_nothing_is_left(tmp_path, client):
    for _ in range(2):
        make(tmp_path / "mito", overwrite=True)
        check_whole(tmp_path / "mito")
        client()
        assert hidden(tmp_path) == []


def test_what_another_program_has_open_is_deleted_by_a_later_command(tmp_path, client):
    """Whether it is a file of the journal or of a level."""
    image = tmp_path / "mito"
    (image / ".asem").mkdir(parents=True)
    with (image / ".asem/lock").open("wb"):
        make(image)
        check_whole(image)
        assert len(list(image.rglob(".nfs*"))) == 1
        with (image / "zarr.json").open("rb"):
            make(image, overwrite=True)
            check_whole(image)
            assert list(image.rglob(".nfs*")) == []
            assert len(list(tmp_path.rglob(".nfs*"))) == 2
            remove_leftovers(image)
            assert len(list(tmp_path.rglob(".nfs*"))) == 2
    make(image, overwrite=True)
    client()
    assert hidden(tmp_path) == []


def test_a_level_may_hold_files_that_are_open(tmp_path, client):
    """A shard was written again while another program read it."""
    image = tmp_path / "mito"
    make(image)
    shard = next(path for path in (image / "0/c").rglob("*") if path.is_file())
    with shard.open("rb"):
        os.unlink(shard)  # noqa: PTH108
        assert Path(shard.parent, next(iter(os.listdir(shard.parent)))).name.startswith(".nfs")  # noqa: PTH208
        make(image, overwrite=True)
        check_whole(image)
    make(image, overwrite=True)
    client()
    assert hidden(tmp_path) == []
