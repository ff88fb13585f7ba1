"""Deletion of open files on NFS.

The client renames such a file, and raises an error if the new name is deleted before the file is
closed; it deletes the file when it is closed.
"""

import errno
import os
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from asem.blocks import output_image, output_lock
from asem.blocks.output_image import create_image
from asem.system.folder_replacement import recover_leftovers
from asem.volume import ngff
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray

SHAPE = (3, 4, 5)


def is_open(path, folder=None):
    status = os.stat(path, dir_fd=folder, follow_symlinks=False)
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            if os.path.samestat(os.fstat(int(number)), status):
                return True
        except OSError:
            continue
    return False


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Delete as an NFS client does; the returned function deletes files that are closed by now."""
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
        recover_leftovers(*words)
        delete_closed()

    monkeypatch.setattr(os, "unlink", rename_or_unlink)
    monkeypatch.setattr(os, "remove", rename_or_unlink)
    for module in (output_lock, output_image):
        monkeypatch.setattr(module, "recover_leftovers", after_closing)
    return delete_closed


def make(image, **options):
    template = Volume(ZeroArray(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
    options = {"command": "test", "request": {"a": 1}, "sources": [], **options}
    with create_image(image, template, **options) as output:
        output.array.write((slice(None),) * 3, np.full(SHAPE, 7, np.uint8)).result()


def check_whole(image):
    volume = ngff.open_image(image)
    assert (volume.read(volume.roi) == 7).all()


def hidden(folder):
    return list(folder.rglob(".*"))


def test_an_image_is_finished_and_replaced_without_leftovers(tmp_path, client):
    for _ in range(2):
        make(tmp_path / "mito", overwrite=True)
        check_whole(tmp_path / "mito")
        client()
        assert hidden(tmp_path) == []


def test_a_later_command_deletes_files_that_another_program_had_open(tmp_path, client):
    """A file of the journal, and one of a level."""
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
            recover_leftovers(image)
            assert len(list(tmp_path.rglob(".nfs*"))) == 2
    make(image, overwrite=True)
    client()
    assert hidden(tmp_path) == []


def test_a_level_may_contain_open_files(tmp_path, client):
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
