"""Save a checkpoint of a training and load it to resume: weights, optimizer state, `run.json`."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from asem.model.checkpoint import (
    OPTIMIZER_FILE,
    RUN_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    check_only_checkpoint_files,
    checkpoint_folder,
    load_weights,
    read_weights,
)
from asem.model.checkpoint_info import CheckpointInfo, RunState
from asem.model.config import ModelConfig
from asem.model.tensor_files import read_tensors, save_tensors
from asem.model.unet import UNet
from asem.system.folder_replacement import replace_folder
from asem.system.nofollow_files import replace_file_nofollow

TRAINED_PREFIX = "trained."
"""Prefix of the names of trained weights, if inference uses their moving average."""
MOMENT_NAMES = ("exp_avg", "exp_avg_sq")
"""State of Adam and AdamW per weight, in addition to the number of steps."""


def save_checkpoint(
    run: Path,
    info: CheckpointInfo,
    *,
    net: UNet,
    optimizer: torch.optim.Optimizer,
    trained_weights: Mapping[str, Tensor],
) -> None:
    """Write a checkpoint of a run, atomically.

    Parameters
    ----------
    run, info
        The run directory, and the metadata of the checkpoint.
    net
        The network for inference.
    optimizer
        Its state is stored to resume training.
    trained_weights
        The weights that are trained, if they are not those of `net`.

    Raises
    ------
    FileExistsError
        Its folder contains something else.
    ValueError
        A weight is not finite; nothing is written.
    """
    folder = checkpoint_folder(run, info.iteration)
    trained = {
        f"{TRAINED_PREFIX}{name}": value.contiguous() for name, value in trained_weights.items()
    }
    for name, value in (*net.state_dict().items(), *trained.items()):
        if not value.isfinite().all():
            raise ValueError(
                f"the weights {name} became infinite or NaN by iteration {info.iteration}; take a "
                'smaller optimizer.learning_rate, or precision = "32"'
            )
    weights = {name: value.contiguous() for name, value in net.state_dict().items()}
    with replace_folder(folder, check_only_checkpoint_files) as new:
        save_tensors(weights, new / WEIGHTS_FILE)
        save_tensors({**_optimizer_tensors(optimizer), **trained}, new / OPTIMIZER_FILE)
        (new / STATE_FILE).write_text(info.model_dump_json(indent=1))


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{name}": torch.as_tensor(value).contiguous()
        for parameter, values in state.items()
        for name, value in values.items()
    }


def load_training_state(folder: Path, net: UNet, optimizer: torch.optim.Optimizer) -> None:
    """Load the state of a network and its optimizer that `save_checkpoint` stored.

    Raises
    ------
    ValueError
        The checkpoint is damaged or of another network; nothing is changed.
    """
    tensors = _read_training_tensors(folder, net)
    load_weights(folder, net)
    names = [name for name in tensors if name.startswith(TRAINED_PREFIX)]
    trained = {name.removeprefix(TRAINED_PREFIX): tensors.pop(name) for name in names}
    if trained:
        net.load_state_dict(trained)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, values in state.items():
        for name, value in values.items():
            if value.shape == weights[number].shape:  # fused optimizers require one memory layout
                values[name] = torch.empty_like(weights[number]).copy_(value)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def check_training_state(folder: Path, config: ModelConfig) -> None:
    """Raise ValueError if a checkpoint is damaged, so that training cannot be resumed from it."""
    read_weights(folder, config)
    with torch.device("meta"):
        _read_training_tensors(folder, UNet(config))


def _read_training_tensors(folder: Path, net: UNet) -> dict[str, Tensor]:
    """Read the optimizer state and trained weights that `save_checkpoint` stored."""
    weights = list(enumerate(net.parameters()))
    moments = {f"{n}.{name}": weight for n, weight in weights for name in MOMENT_NAMES}
    steps = {f"{n}.step": torch.zeros(()) for n, _ in weights}
    trained = {f"{TRAINED_PREFIX}{name}": value for name, value in net.state_dict().items()}
    try:
        return read_tensors(folder / OPTIMIZER_FILE, {**moments, **steps}, optional=trained)
    except ValueError as error:
        raise ValueError(
            f"{error}; resume from an earlier checkpoint with --resume-at, or restart with "
            "--overwrite"
        ) from error


def write_run_state(run: Path, state: RunState) -> None:
    """Write `run.json`, atomically."""
    with replace_file_nofollow(run / RUN_FILE) as file:
        file.write(state.model_dump_json(indent=1).encode())
