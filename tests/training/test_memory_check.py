import re

import pytest
import torch

from asem.cli import main
from asem.model.config import ModelConfig
from asem.model.unet import UNet
from asem.training.config import AugmentConfig, TrainConfig
from asem.training.memory_check import check_training_memory, min_training_bytes
from asem.training.region_config import TrainingRegion

REGIONS = (TrainingRegion(raw="raw", labels="labels"),)


def config_of(**changes):
    settings = {"structure": "mito", "voxel_size": (5, 5, 5), "train": REGIONS, "patch": 100}
    return TrainConfig(**{**settings, "recipe": "paper", **changes})


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("growth", [1, 2, 3])
@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_weights_are_those_of_the_network(levels, growth, convolutions):
    config = ModelConfig(features=2, growth=growth, levels=levels, convolutions=convolutions)
    built = sum(p.numel() for p in UNet(config).parameters() if p.ndim == 5)
    assert config.weight_count == built


@pytest.mark.parametrize("convolutions", [1, 2])
def test_the_minimum_is_that_of_feature_maps_and_weights(convolutions):
    model = ModelConfig(features=2, levels=3, convolutions=convolutions)
    config = config_of(model=model.model_dump(), patch=60, batch=2)
    net, values = UNet(model), 0

    def count(module, _, out):
        nonlocal values
        values += out.numel()

    for module in net.modules():
        if isinstance(module, torch.nn.Conv3d) and module is not net.head:
            module.register_forward_hook(count)
    net(torch.zeros(2, 1, 60, 60, 60))
    assert min_training_bytes(config, bytes_per_value=4) == 4 * values + 16 * model.weight_count


@pytest.mark.parametrize(
    "changes",
    [
        {"patch": 2044},
        {"batch": 65_536},
        {"device": "cpu", "devices": 1024, "batch": 1024},
    ],
)
def test_too_little_memory_is_an_error(changes):
    with pytest.raises(ValueError, match=r"the training needs .*B of memory, of"):
        check_training_memory(config_of(**changes), torch.device("cpu"))


def test_the_command_checks_memory_before_reading_data(cell, tmp_path, capsys):
    text = (cell / "train.toml").read_text().replace("patch = 24", "patch = 2028\nbatch = 64")
    (tmp_path / "t.toml").write_text(text.replace("batch = 1\n", "").replace('"cell', '"empty'))
    for name in ("raw", "labels/mito"):
        (tmp_path / "empty.zarr" / name).mkdir(parents=True)
    assert main(["train", str(tmp_path / "t.toml"), "--out", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the training needs" in line
    assert "take a smaller `batch`, `patch` or `model`" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": 4096, "levels": 3}, "weights; at most 1e+10 are allowed"),
        ({"features": 3000}, "weights; at most 1e+10 are allowed"),
        ({"features": 5000}, "whole number from 1 to 4096"),
        ({"growth": 16, "levels": 8}, "weights; at most"),
        ({"convolutions": 10**9}, "whole number from 1 to 16"),
    ],
)
def test_networks_that_cannot_be_built(settings, message):
    with pytest.raises(ValueError, match=f"^state.json: .*{re.escape(message)}"):
        ModelConfig.from_dict(settings, source="state.json")


def test_a_source_region_that_exceeds_memory_is_an_error():
    config = config_of(augment={"elastic_sigma_nm": 4000})
    with pytest.raises(ValueError, match="the source region of a patch needs"):
        check_training_memory(config, torch.device("cpu"))


@pytest.mark.parametrize("largest", [False, True])
def test_the_limits_of_all_settings_can_be_trained_with(largest, cell, tmp_path, monkeypatch):
    """All settings that change no size, at their minimum or maximum."""
    ends = {
        "optimizer": ("learning_rate", "weight_decay", "warmup", "average"),
        "sampling": ("min_foreground", "reject", "max_outside"),
        "augment": tuple(AugmentConfig.model_fields),
    }
    lines = []
    for table, names in ends.items():
        lines.append(f"[{table}]")
        fields = TrainConfig.model_fields[table].annotation.model_fields
        lines += [f"{name} = {end_of(name, fields[name], largest=largest)}" for name in names]
    text = (cell / "train.toml").read_text().replace('"cell.zarr', f'"{cell}/cell.zarr')
    text = text.replace("[optimizer]\n", "").replace('name = "adamw"\n', "")
    text = text.replace("learning_rate = 1e-2\n", "").replace("iterations = 6", "iterations = 1")
    text = f"seed = {2**63 - 1 if largest else 0}\n" + text
    (tmp_path / "t.toml").write_text(text + "\n".join(lines) + "\n")
    assert main(["train", str(tmp_path / "t.toml"), "--out", str(tmp_path / "run")]) == 0


LARGEST = {
    "learning_rate": 1000,
    "elastic_sigma_nm": 200,
    "shift_nm": 50,
    "blur_nm": 1920,
    "reject": 0.999,
}
"""Lengths within 8 patches of 28 voxels of 10 nm that fit into memory; fractions below 1."""


def end_of(name, field, *, largest):
    """Return the minimum or maximum of a field, as TOML."""
    if field.annotation is bool:
        return str(largest).lower()
    limit = [getattr(rule, "le" if largest else "ge", None) for rule in field.metadata]
    ends = [value for value in limit if value is not None]
    return (
        LARGEST.get(name, 0.999)
        if largest and (not ends or name in LARGEST)
        else (ends or [1e-300])[0]
    )


def test_lengths_of_augmentation_that_leave_the_patch():
    with pytest.raises(ValueError, match=r"'augment.blur_nm': 5000 nm is more than 8 patches"):
        config_of(augment={"blur_nm": 5000})
