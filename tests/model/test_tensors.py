"""Checkpoints that state more than they hold."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from asem.model.checkpoint import STATE, WEIGHTS, find_checkpoint, load_checkpoint
from asem.model.config import ModelConfig
from limits import run_limited


@pytest.fixture
def model(run, tmp_path, monkeypatch):
    """A checkpoint in a folder of its own, beside the raw data."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(find_checkpoint(run), "model")
    shutil.copytree(run.parent / "cell.zarr/raw", "raw")
    return Path("model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 3000}, "is damaged or of another network: 'down.0.0.weight' has shape"),
        ({"features": 1000}, "is damaged or of another network: 'down.0.0.weight' has shape"),
        ({"features": 10**9}, "less than or equal to 4096"),
        ({"levels": 50}, "less than or equal to 8"),
        ({"levels": 8}, "is damaged or of another network: it lacks"),
        ({"growth": 10**6}, "less than or equal to 16"),
        ({"growth": 16, "levels": 8}, "weights; at most"),
        ({"convolutions": 10**9}, "less than or equal to 16"),
    ],
)
def test_a_network_that_the_weights_are_not_of_is_not_built(model, changes, message, tmp_path):
    state = json.loads((model / STATE).read_text())
    state["model"] |= changes
    (model / STATE).write_text(json.dumps(state))
    for words in (
        ["predict", "model", "raw", "out"],
        ["models", "export", "model", "out", "--format", "onnx"],
    ):
        code, told = run_limited(words, tmp_path / "log")
        assert code == 2, told
        assert len(told) == 1
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(told[0])
        assert not Path("out").exists()


def longer(data):
    return struct.pack("<Q", 2**62) + data[8:]


def reaching(data):
    """Let the header state data behind the end."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for entry in header.values():
        entry["data_offsets"] = [0, 2**50]
    changed = json.dumps(header).encode()
    return struct.pack("<Q", len(changed)) + changed + data[8 + length :]


@pytest.mark.parametrize(
    "harm",
    [
        longer,
        reaching,
        lambda data: data[:4],
        lambda data: data[:100],
        lambda data: data[:-5],
        lambda data: b"",
        lambda data: struct.pack("<Q", 2) + b"[]",
        lambda data: struct.pack("<Q", 9) + b'{"a": []}',
        lambda data: struct.pack("<Q", 10**5) + b"[" * 10**5,
    ],
)
def test_weights_that_state_more_than_they_hold(model, harm):
    (model / WEIGHTS).write_bytes(harm((model / WEIGHTS).read_bytes()))
    with pytest.raises(ValueError, match="is damaged or of another network") as told:
        load_checkpoint(model)
    assert "model.safetensors" in str(told.value)
    assert "\n" not in str(told.value)


def test_usual_networks_are_within_the_limits():
    ModelConfig(features=64, growth=3, levels=5)
