"""Damaged or infinite weights raise an error before anything is created or stored."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import funlib
from asem.cli import main
from asem.model.checkpoint import load_checkpoint, read_checkpoint_info
from asem.model.unet import UNet
from asem.training.config import training_config_of
from asem.training.optimizer import make_optimizer
from asem.training.training_checkpoint import save_checkpoint

LAST = "run/checkpoints/00000006"


@pytest.fixture
def place(cell, run, tmp_path, monkeypatch):
    shutil.copytree(cell, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    text = (tmp_path / "train.toml").read_text()
    (tmp_path / "more.toml").write_text(text.replace("iterations = 6", "iterations = 7"))
    return tmp_path


def change(file, edit):
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file)


def with_value(value, kind=""):
    def edit(tensors):
        name = next(name for name in sorted(tensors) if kind in name and tensors[name].numel() > 1)
        tensors[name].view(-1)[-1] = value

    return edit


def error_line(words, capsys):
    """Run a command that fails; return its line."""
    capsys.readouterr()
    assert main(words.split()) == 2
    err = capsys.readouterr().err
    assert "internal error of asem" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("asem: ")]
    return line


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_first(place, capsys, value):
    change(place / LAST / "model.safetensors", with_value(value))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    for words in (
        f"predict {LAST} cell.zarr/raw out --tile 24",
        f"predict {LAST} cell.zarr/raw out --tile 24 --dry-run",
        f"finetune {LAST} train.toml --out tuned",
        "train more.toml --out run --resume",
        f"models export {LAST} m.onnx --format onnx",
    ):
        line = error_line(words, capsys)
        assert "model.safetensors is damaged: " in line
        assert "holds infinite values or NaN" in line
        assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


@pytest.mark.parametrize("kind", ["exp_avg", "exp_avg_sq"])
def test_moments_that_are_not_finite_are_refused_first(place, capsys, kind):
    change(place / LAST / "optimizer.safetensors", with_value(np.nan, kind))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    line = error_line("train more.toml --out run --resume", capsys)
    assert "optimizer.safetensors is damaged: " in line
    assert "--resume-at" in line
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before
    assert main(["train", "more.toml", "--out", "run", "--resume-at", "3"]) == 0


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop(min(tensors)),
        lambda tensors: tensors.update(more=torch.zeros(2)),
        lambda tensors: tensors.update({min(tensors): torch.zeros(0)}),
        lambda tensors: tensors.update({min(tensors): tensors[min(tensors)].to(torch.int32)}),
        lambda tensors: tensors.update({"\x1b[2J": torch.zeros(2)}),
        lambda tensors: tensors.clear(),
    ],
    ids=["lacking", "more", "empty", "dtype", "name", "none"],
)
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors"])
def test_other_tensors_than_the_networks_are_refused(place, capsys, name, edit):
    change(place / LAST / name, edit)
    line = error_line("train more.toml --out run --resume", capsys)
    assert f"{name} is damaged or of another network: " in line
    assert "\x1b" not in line


@pytest.mark.parametrize(
    "shape",
    [
        {"features": 3000},
        {"levels": 8},
        {"convolutions": 10**9},
        {"growth": 10**9},
        {"features": 10**18},
        {"norm": "none"},
    ],
    ids=str,
)
def test_a_network_that_is_stated_is_compared_with_what_is_stored(place, capsys, shape):
    state = place / LAST / "state.json"
    document = json.loads(state.read_text())
    document["model"] |= shape
    state.write_text(json.dumps(document))
    line = error_line(f"predict {LAST} cell.zarr/raw out --tile 24", capsys)
    assert LAST in line
    assert not (place / "out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_published_weights_that_are_not_finite(tmp_path, monkeypatch, capsys, value):
    monkeypatch.chdir(tmp_path)
    for dtype in (torch.float32, torch.float64):
        state = {name: value.to(dtype) for name, value in funlib.random_state().items()}
        # In float32, in which networks compute, 1e300 is infinite.
        next(iter(state.values())).view(-1)[0] = value if dtype == torch.float32 else 1e300
        funlib.save(tmp_path / "m.pt", state)
        line = error_line("models convert m.pt model --structure mito --voxel-size 5", capsys)
        assert "holds values that are not finite" in line
        assert not (tmp_path / "model").exists()


def test_weights_that_are_not_finite_are_not_stored(run, tmp_path):
    folder = run / "checkpoints/00000006"
    net, info = load_checkpoint(folder)
    optimizer = make_optimizer(training_config_of(info, source="state.json").optimizer, net)
    for damaged in ("net", "trained"):
        bad = UNet(info.model)
        with torch.no_grad():
            next(bad.parameters()).view(-1)[0] = torch.nan
        nets = {"net": bad} if damaged == "net" else {"net": net}
        trained = {} if damaged == "net" else dict(bad.state_dict())
        with pytest.raises(ValueError, match="became infinite or NaN by iteration 6; take a small"):
            save_checkpoint(
                tmp_path / "run",
                read_checkpoint_info(folder),
                optimizer=optimizer,
                trained_weights=trained,
                **nets,
            )
    assert not (tmp_path / "run").exists()
