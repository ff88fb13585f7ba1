"""Trainings that begin, end and replace one run directory at the same moment."""

import os
import shutil
import signal

import pytest

from asem.blocks import journal
from asem.cli import main
from asem.model import checkpoint
from asem.model.checkpoint import read_run
from asem.training.run import Run
from asem.workflows import jobs
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


def everything(folder):
    return {path: path.lstat().st_ino for path in folder.rglob("*") if path.name != ".asem"}


PLACES = ["thesis.tex", "checkpoints/thesis.tex", "checkpoints/00000003/thesis.tex",
          "events.out.tfevents.1/thesis.tex"]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_run_with_a_foreign_file_is_not_deleted(cell, run, tmp_path, capsys, place):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("x")
    before = everything(tmp_path)
    words = ["train", str(cell / "train.toml"), "--out", str(folder), "--overwrite"]
    assert main(words) == 2
    assert f"holds more than a run ({place})" in capsys.readouterr().err.splitlines()[-1]
    assert everything(tmp_path) == before


def test_a_file_that_appears_after_the_check_stays(cell, run, tmp_path, monkeypatch):
    folder, make_way = tmp_path / "run", jobs._make_way
    shutil.copytree(run, folder)

    def check_and_add(*args, **options):
        delete = make_way(*args, **options)
        if (folder / journal.NAME).exists():  # locked: it was the last check
            (folder / "thesis.tex").write_text("x")
        return delete

    monkeypatch.setattr(jobs, "_make_way", check_and_add)
    with pytest.raises(FileExistsError, match=r"run holds more than a run .thesis.tex"):
        train_model(cell / "train.toml", out=folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "x"
    assert read_run(folder) == read_run(run)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("how", [[], ["--overwrite"], ["--resume"]])
@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_no_run_is_written_through_a_link(cell, run, tmp_path, capsys, verb, how):
    shutil.copytree(run, tmp_path / "other")
    (tmp_path / "link").symlink_to("other")
    before = everything(tmp_path)
    given = [str(run)] if verb == "finetune" else []
    words = [verb, *given, str(cell / "train.toml"), "--out", str(tmp_path / "link"), *how]
    assert main(words) == 2
    assert "link is a symbolic link; name the place" in capsys.readouterr().err.splitlines()[-1]
    assert everything(tmp_path) == before


def test_checkpoints_that_are_a_link_are_not_deleted(cell, run, tmp_path):
    folder, theirs = tmp_path / "run", tmp_path / "theirs"
    shutil.copytree(run, folder)
    (folder / checkpoint.CHECKPOINTS).rename(theirs)
    (folder / checkpoint.CHECKPOINTS).symlink_to(theirs)
    before = everything(tmp_path)
    with pytest.raises(FileExistsError, match=r"holds more than a run .checkpoints"):
        train_model(cell / "train.toml", out=folder, overwrite=True)
    assert everything(tmp_path) == before


def test_going_back_deletes_only_checkpoints(cell, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    thesis = folder / "checkpoints/00000006/thesis.tex"
    thesis.write_text("x")
    with pytest.raises(FileExistsError, match=r"00000006 holds more than a checkpoint .thesis"):
        train_model(cell / "train.toml", out=folder, resume_at=3)
    assert read_run(folder) == read_run(run)
    thesis.unlink()
    assert train_model(cell / "train.toml", out=folder, resume_at=3)["iteration"] == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_training_with_a_checkpoint(cell, run, tmp_path, monkeypatch, number):
    """Also where a batch system sends it twice, to the process and to its group."""
    advance = Run.advance

    def advance_and_signal(training):
        advance(training)
        if training.iteration == 4:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "advance", advance_and_signal)
        words = ["train", str(cell / "train.toml"), "--out", str(tmp_path / "run")]
        assert main(words) == 128 + number
    assert checkpoint.iterations_in(tmp_path / "run")[-1] in (4, 5)
    assert main(words) == 0
    assert read_run(tmp_path / "run").state == "finished"
