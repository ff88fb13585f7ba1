"""Damaged outputs: each one can be resumed or replaced."""

import os
import shutil
import signal
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from asem.blocks.destination import check_destination
from asem.blocks.output_image import create_image
from asem.blocks.output_lock import is_empty_destination, lock_output
from asem.volume import ngff
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray

SHAPE = (3, 4, 90)
TEMPLATE = Volume(ZeroArray(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
LINE = b'{"request": {"command": "test", "a": 1}}\n'


def make(path, *, stop=False, **options):
    with create_image(
        path, TEMPLATE, command="test", request={"a": 1}, sources=[], **options
    ) as out:
        out.array.write((slice(None),) * 3, np.full(SHAPE, 7, np.uint8)).result()
        if stop:
            raise KeyboardInterrupt


def is_right(path):
    volume = ngff.open_image(path)
    names = {entry.name for entry in path.iterdir()}
    return bool((volume.read(volume.roi) == 7).all()) and names == {"0", "1", "zarr.json"}


def damaged(path, *, own, metadata, levels):
    """Make an output with these parts; None: it has no such part."""
    with pytest.raises(KeyboardInterrupt):
        make(path, stop=True)
    if own != "whole":
        (path / ".asem/journal.jsonl").unlink()
    if own is None:
        shutil.rmtree(path / ".asem")
    elif isinstance(own, bytes):
        (path / ".asem/journal.jsonl").write_bytes(own)
    if metadata is not None:
        (path / "zarr.json").write_bytes(metadata)
    if levels is None:
        for level in path.glob("[0-9]"):
            shutil.rmtree(level)
    elif levels == "one":
        shutil.rmtree(path / "0/c")
        shutil.rmtree(path / "1")


OWN = {
    "no folder": None,
    "lock": "lock",
    "empty journal": b"",
    "zeros": b"\0\0\0\0",
    "cut journal": LINE[:9],
    "cut at the end": LINE[:-1],
    "journal": "whole",
}
METADATA = {"none": None, "empty": b"", "cut": b'{"zarr_format": 3, "node_ty', "zeros": b"\0" * 9}
LEVELS = {"none": None, "one": "one", "all": "all"}


@pytest.mark.parametrize("overwrite", [False, True], ids=["", "overwrite"])
@pytest.mark.parametrize("parts", list(product(OWN, METADATA, LEVELS)), ids="-".join)
def test_a_damaged_output_is_resumed_or_replaced(tmp_path, parts, overwrite):
    """It is resumed, or the error suggests --overwrite, which replaces it."""
    path = tmp_path / "o"
    own, metadata, levels = parts
    damaged(path, own=OWN[own], metadata=METADATA[metadata], levels=LEVELS[levels])
    nothing_else = metadata == "none" and levels == "none"
    if overwrite:
        check_destination(path, [], overwrite=True)
        make(path, overwrite=True)
    elif own == "journal" or nothing_else:
        check_destination(path, [], overwrite=False)
        make(path)
    else:
        for function in (check_destination, make):
            options = {"sources": []} if function is check_destination else {}
            with pytest.raises(FileExistsError, match=r"damaged; give --overwrite to replace it"):
                function(path, overwrite=False, **options)
        make(path, overwrite=True)
    assert is_right(path)


@pytest.mark.parametrize("name", ["0", "1"])
@pytest.mark.parametrize("text", ["", "{", '{"zarr_format": 3, "node_type": "array"}', "[]"])
def test_an_array_whose_metadata_is_damaged(tmp_path, name, text):
    path = tmp_path / "o"
    damaged(path, own="whole", metadata=None, levels="all")
    (path / name / "zarr.json").write_text(text)
    with pytest.raises(ValueError, match=rf"o/{name} is damaged .*; give --overwrite") as caught:
        make(path)
    assert "\n" not in str(caught.value)
    make(path, overwrite=True)
    assert is_right(path)


FOREIGN = {
    "a text next to the levels": lambda path: (path / "thesis.txt").touch(),
    "a text in a level": lambda path: (path / "0/thesis.txt").touch(),
    "a text among the chunks": lambda path: (path / "0/c/0/thesis.txt").touch(),
    "a file that has a number": lambda path: (path / "7").touch(),
    "a level that is a link": lambda path: (path / "7").symlink_to(path.parent),
    "a group": lambda path: (path / "zarr.json").write_text('{"node_type": "group"}'),
    "metadata that is a text": lambda path: (path / "zarr.json").write_text("My thesis."),
    "an array of another program": lambda path: (path / "0/zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "array", "codecs": [{"name": "bytes"}]}'
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_files_are_not_deleted(tmp_path, foreign):
    path = tmp_path / "o"
    damaged(path, own=None, metadata=None, levels="all")
    FOREIGN[foreign](path)
    before = sorted(path.rglob("*"))
    for overwrite in (False, True):
        with pytest.raises(
            FileExistsError, match="is not an image of asem; it is not replaced, even"
        ):
            make(path, overwrite=overwrite)
        with pytest.raises(
            FileExistsError, match="is not an image of asem; it is not replaced, even"
        ):
            check_destination(path, [], overwrite=overwrite)
    assert sorted(path.rglob("*")) == before


@pytest.mark.parametrize("kind", ["folder", "file", "link", "pipe"])
def test_paths_that_are_not_outputs(tmp_path, kind):
    path = tmp_path / "o"
    if kind == "folder":
        (path / "0").mkdir(parents=True)
        (path / "0/a").touch()
    elif kind == "file":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"is not replaced|is a symbolic link"):
            check_destination(path, [], overwrite=overwrite)


def test_a_full_disk_when_the_journal_is_created(tmp_path):
    """The first line does not fit; the same call succeeds once there is space."""
    import resource

    path, before = tmp_path / "o", signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for size in (0, 9):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
            try:
                with pytest.raises(OSError, match="File too large"):
                    make(path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            assert is_empty_destination(path)
    finally:
        signal.signal(signal.SIGXFSZ, before)
    make(path)
    assert is_right(path)


def test_damage_is_not_searched_for_where_another_process_writes(tmp_path):
    path = tmp_path / "o"
    damaged(path, own="lock", metadata=None, levels="all")
    with lock_output(path):
        for overwritten in (check_destination, make):
            options = {"sources": []} if overwritten is check_destination else {}
            with pytest.raises(BlockingIOError, match="another process is writing"):
                overwritten(path, overwrite=True, **options)


def test_foreign_files_are_not_searched_for_where_another_process_writes(tmp_path):
    path = tmp_path / "o"
    damaged(path, own="whole", metadata=None, levels="all")
    (path / "0/c/thesis").touch()
    for overwritten in (check_destination, make):
        options = {"sources": []} if overwritten is check_destination else {}
        with (
            lock_output(path),
            pytest.raises(BlockingIOError, match="another process is writing"),
        ):
            overwritten(path, overwrite=True, **options)
        before = sorted(path.rglob("*"))
        with pytest.raises(FileExistsError, match=r"more than an image \(0/c/thesis\)"):
            overwritten(path, overwrite=True, **options)
        assert sorted(path.rglob("*")) == before


def test_paths_are_shown_as_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(Path("o"))
    with pytest.raises(FileExistsError, match=r"^o exists already; give --overwrite"):
        check_destination(Path("o"), [], overwrite=False)
