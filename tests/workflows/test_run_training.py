"""Concurrent trainings that start, finish and replace one run directory."""

import os
import shutil
import signal

import pytest

from asem.blocks import output_lock
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.cli import main
from asem.model import checkpoint
from asem.model.checkpoint import read_run_state
from asem.training.training_run import TrainingRun
from asem.workflows import run_training
from asem.workflows.train import train_model


def test_a_run_that_ends_between_the_check_and_the_lock_stays(cell, run, tmp_path, monkeypatch):
    folder, locked = tmp_path / "run", output_lock.lock_output

    def late(place):
        monkeypatch.setattr(output_lock, "lock_output", locked)
        shutil.copytree(run, folder)  # checked as empty, now a finished run
        return locked(place)

    monkeypatch.setattr(output_lock, "lock_output", late)
    with pytest.raises(FileExistsError, match="is a finished run"):
        train_model(cell / "train.toml", out=folder)
    assert read_run_state(folder) == read_run_state(run)
    assert not (folder / JOURNAL_FOLDER).exists()


def test_a_running_run_is_not_deleted(cell, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    with (
        output_lock.lock_output(folder),
        pytest.raises(BlockingIOError, match="another process is writing"),
    ):
        train_model(cell / "train.toml", out=folder, overwrite=True)
    assert read_run_state(folder) == read_run_state(run)
    train_model(cell / "train.toml", out=folder, overwrite=True)
    assert read_run_state(folder).state == "finished"
    assert not (folder / JOURNAL_FOLDER).exists()


def snapshot(folder):
    return {path: path.lstat().st_ino for path in folder.rglob("*") if path.name != ".asem"}


PLACES = ["thesis.tex", "checkpoints/thesis.tex", "checkpoints/00000003/thesis.tex",
          "events.out.tfevents.1/thesis.tex"]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_run_with_a_foreign_file_is_not_deleted(cell, run, tmp_path, capsys, place):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_text("x")
    before = snapshot(tmp_path)
    words = ["train", str(cell / "train.toml"), "--out", str(folder), "--overwrite"]
    assert main(words) == 2
    assert f"holds more than a run ({place})" in capsys.readouterr().err.splitlines()[-1]
    assert snapshot(tmp_path) == before


def test_a_file_that_appears_after_the_check_stays(cell, run, tmp_path, monkeypatch):
    folder, prepare = tmp_path / "run", run_training.prepare_run_directory
    shutil.copytree(run, folder)

    def check_and_add(*args, **options):
        delete = prepare(*args, **options)
        if (folder / JOURNAL_FOLDER).exists():  # locked: it was the last check
            (folder / "thesis.tex").write_text("x")
        return delete

    monkeypatch.setattr(run_training, "prepare_run_directory", check_and_add)
    with pytest.raises(FileExistsError, match=r"run holds more than a run .thesis.tex"):
        train_model(cell / "train.toml", out=folder, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "x"
    assert read_run_state(folder) == read_run_state(run)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("how", [[], ["--overwrite"], ["--resume"]])
@pytest.mark.parametrize("verb", ["train", "finetune"])
def test_no_run_is_written_through_a_link(cell, run, tmp_path, capsys, verb, how):
    shutil.copytree(run, tmp_path / "other")
    (tmp_path / "link").symlink_to("other")
    before = snapshot(tmp_path)
    arguments = [str(run)] if verb == "finetune" else []
    words = [verb, *arguments, str(cell / "train.toml"), "--out", str(tmp_path / "link"), *how]
    assert main(words) == 2
    assert "link is a symbolic link; give the path" in capsys.readouterr().err.splitlines()[-1]
    assert snapshot(tmp_path) == before


def test_checkpoints_that_are_a_link_are_not_deleted(cell, run, tmp_path):
    folder, target = tmp_path / "run", tmp_path / "target"
    shutil.copytree(run, folder)
    (folder / checkpoint.CHECKPOINTS_FOLDER).rename(target)
    (folder / checkpoint.CHECKPOINTS_FOLDER).symlink_to(target)
    before = snapshot(tmp_path)
    with pytest.raises(FileExistsError, match=r"holds more than a run .checkpoints"):
        train_model(cell / "train.toml", out=folder, overwrite=True)
    assert snapshot(tmp_path) == before


def test_rewinding_deletes_only_checkpoints(cell, run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    thesis = folder / "checkpoints/00000006/thesis.tex"
    thesis.write_text("x")
    with pytest.raises(FileExistsError, match=r"00000006 holds more than a checkpoint .thesis"):
        train_model(cell / "train.toml", out=folder, resume_at=3)
    assert read_run_state(folder) == read_run_state(run)
    thesis.unlink()
    assert train_model(cell / "train.toml", out=folder, resume_at=3)["iteration"] == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_training_with_a_checkpoint(cell, run, tmp_path, monkeypatch, number):
    """Also if a batch system sends it twice, to the process and to its group."""
    advance = TrainingRun.advance

    def advance_and_signal(training):
        advance(training)
        if training.iteration == 4:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingRun, "advance", advance_and_signal)
        words = ["train", str(cell / "train.toml"), "--out", str(tmp_path / "run")]
        assert main(words) == 128 + number
    assert checkpoint.list_checkpoint_iterations(tmp_path / "run")[-1] in (4, 5)
    assert main(words) == 0
    assert read_run_state(tmp_path / "run").state == "finished"
