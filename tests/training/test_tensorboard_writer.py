import os
import stat

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asem.training import tensorboard_writer
from asem.training.tensorboard_writer import TensorBoardWriter


def read(folder):
    """Return the steps and values that TensorBoard shows."""
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(e.step, round(e.value, 6)) for e in events.Scalars(tag)] for tag in tags}


def test_tensorboard_reads_what_was_written(tmp_path):
    file = TensorBoardWriter(tmp_path)
    file.add_scalars({"loss": 0.5, "f1": 0.25}, 3)
    file.add_scalars({"loss": 0.125}, 6)
    file.close()
    assert read(tmp_path) == {"loss": [(3, 0.5), (6, 0.125)], "f1": [(3, 0.25)]}


def test_later_steps_of_earlier_files_are_discarded(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard_writer.time, "time", iter(range(10, 100)).__next__)
    first = TensorBoardWriter(tmp_path)
    for step in (3, 6, 9):
        first.add_scalars({"loss": float(step)}, step)
    first.close()
    second = TensorBoardWriter(tmp_path, purge_step=4)
    second.add_scalars({"loss": 60.0}, 6)
    second.close()
    assert read(tmp_path) == {"loss": [(3, 3.0), (6, 60.0)]}


class Full:
    """A file on a disk that is full after some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        self.file.write(data[: self.room])
        self.file.flush()
        if len(data) > self.room:
            raise OSError(28, "No space left on device")
        self.room -= len(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_is_a_warning_and_leaves_no_partial_event(tmp_path, caplog):
    file = TensorBoardWriter(tmp_path)
    file.add_scalars({"loss": 0.5}, 3)
    opened = file._file
    file._file = Full(opened, 20)
    file.add_scalars({"loss": 0.25}, 6)
    file.add_scalars({"loss": 0.125}, 9)
    file.close()
    opened.close()
    assert "No space left on device" in caplog.text
    assert len(caplog.records) == 1
    assert read(tmp_path) == {"loss": [(3, 0.5)]}


def test_a_missing_folder_is_a_warning(tmp_path, caplog):
    file = TensorBoardWriter(tmp_path / "missing")
    file.add_scalars({"loss": 0.5}, 3)
    file.close()
    assert "TensorBoard will lack later metrics" in caplog.text


def test_an_existing_file_is_not_replaced(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tensorboard_writer.time, "time", lambda: 5)
    monkeypatch.setattr(tensorboard_writer, "_FILE_COUNTER", iter([7, 7]))
    first = TensorBoardWriter(tmp_path)
    first.close()
    before = first.path.read_bytes()
    TensorBoardWriter(tmp_path).close()
    assert first.path.read_bytes() == before
    assert stat.S_ISREG(os.lstat(first.path).st_mode)
    assert "File exists" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_written(tmp_path, value):
    file = TensorBoardWriter(tmp_path)
    file.add_scalars({"loss": value}, 3)
    file.close()
    assert [step for step, _ in read(tmp_path)["loss"]] == [3]
