"""Trainings that begin, end and replace one run directory at the same moment."""

import shutil

import pytest

from asem.blocks import journal
from asem.model.checkpoint import read_run
from asem.workflows.train import train_model


def test_a_run_that_ends_between_the_check_and_the_lock_stays(cell, run, tmp_path, monkeypatch):
    folder, locked = tmp_path / "run", journal.locked

    def late(place):
        monkeypatch.setattr(journal, "locked", locked)
        shutil.copytree(run, folder)  # seen as vacant, finished by now
        return locked(place)

    monkeypatch.setattr(journal, "locked", late)
    with pytest.raises(FileExistsError, match="is a finished run"):
        train_model(cell / "train.toml", out=folder)
    assert read_run(folder) == read_run(run)
    assert not (folder / journal.NAME).exists()


def test_a_run_under_way_is_not_deleted(cell, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    with journal.locked(folder), pytest.raises(BlockingIOError, match="another process is writing"):
        train_model(cell / "train.toml", out=folder, overwrite=True)
    assert read_run(folder) == read_run(run)
    train_model(cell / "train.toml", out=folder, overwrite=True)
    assert read_run(folder).state == "finished"
    assert not (folder / journal.NAME).exists()
