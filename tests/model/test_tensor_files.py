"""Checkpoints that state more than they contain."""

import json
import shutil
import struct
from pathlib import Path

import pytest

from asem.model.checkpoint import STATE_FILE, WEIGHTS_FILE, find_checkpoint, load_checkpoint
from asem.model.config import ModelConfig
from limits import run_limited


@pytest.fixture
def model(run, tmp_path, monkeypatch):
    """A checkpoint in a separate folder next to the raw data."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(find_checkpoint(run), "model")
    shutil.copytree(run.parent / "cell.zarr/raw", "raw")
    return Path("model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": 3000}, "is damaged or of another network: 'down.0.0.weight' has shape"),
        ({"features": 1000}, "is damaged or of another network: 'down.0.0.weight' has shape"),
        ({"features": 10**9}, "whole number from 1 to 4096"),
        ({"levels": 50}, "whole number from 1 to 8"),
        ({"levels": 8}, "is damaged or of another network: it lacks"),
        ({"growth": 10**6}, "whole number from 1 to 16"),
        ({"growth": 16, "levels": 8}, "weights; at most"),
        ({"convolutions": 10**9}, "whole number from 1 to 16"),
    ],
)
def test_a_network_that_the_weights_are_not_of_is_not_built(model, changes, message, tmp_path):
    state = json.loads((model / STATE_FILE).read_text())
    state["model"] |= changes
    (model / STATE_FILE).write_text(json.dumps(state))
    export = ["models", "export", "model", "out", "--format", "onnx"]
    words = export if "levels" in changes else ["predict", "model", "raw", "out"]
    code, lines = run_limited(words, tmp_path / "log")
    assert code == 2, lines
    assert len(lines) == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(lines[0])
    assert not Path("out").exists()


def longer(data):
    return struct.pack("<Q", 2**62) + data[8:]


def reaching(data):
    """Return data whose header states offsets beyond the end."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    for entry in header.values():
        entry["data_offsets"] = [0, 2**50]
    changed = json.dumps(header).encode()
    return struct.pack("<Q", len(changed)) + changed + data[8 + length :]


@pytest.mark.parametrize(
    "damage",
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
def test_weights_that_state_more_than_they_hold(model, damage):
    (model / WEIGHTS_FILE).write_bytes(damage((model / WEIGHTS_FILE).read_bytes()))
    with pytest.raises(ValueError, match="is damaged or of another network") as caught:
        load_checkpoint(model)
    assert "model.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_usual_networks_are_within_the_limits():
    ModelConfig(features=64, growth=3, levels=5)
