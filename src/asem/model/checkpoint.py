"""Checkpoints: weights as safetensors, the rest as JSON; nothing is unpickled.

::

    RUN/run.json                                    state of the run, its best checkpoint
    RUN/checkpoints/00001000/model.safetensors      weights
                             optimizer.safetensors  moments, to go on training
                             state.json             iteration, network, training file
    MODEL/model.safetensors, state.json             a converted model: no run, no moments
"""

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from asem.blocks.enclosing import refuse_within_output
from asem.model.config import CheckpointInfo, ModelConfig, RunState
from asem.model.tensors import read_tensors, save_tensors
from asem.model.unet import UNet
from asem.system.documents import read_json
from asem.system.files import is_temporary, open_regular, refuse_undecodable
from asem.system.folders import replaced_folder
from asem.system.names import refuse_link
from asem.system.own_files import replaced_own
from asem.system.resources import refuse_without_memory

WEIGHTS, MOMENTS, STATE, RUN = (
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "run.json",
)
CHECKPOINTS = "checkpoints"
TRAINED = "trained."
"""Before the names of weights that are trained but not those for inference."""
MOMENT_NAMES = ("exp_avg", "exp_avg_sq")
"""What Adam and AdamW keep of each weight, besides the number of steps."""
MOST_FEATURES = 2**20
"""Of the coarsest level."""


def save_checkpoint(
    run: Path,
    info: CheckpointInfo,
    *,
    net: UNet,
    optimizer: torch.optim.Optimizer,
    trained: Mapping[str, Tensor],
) -> None:
    """Write one checkpoint of a run; it appears whole or not at all.

    Parameters
    ----------
    run, info
        Where, and what stands beside the weights.
    net
        What inference is to use.
    optimizer
        Its moments are kept, to go on training.
    trained
        The weights that are trained, where they are not those of `net`.

    Raises
    ------
    FileExistsError
        There is something else at its place, or more than a checkpoint.
    ValueError
        A weight is no finite number; nothing is written.
    """
    folder = checkpoint_folder(run, info.iteration)
    own = {f"{TRAINED}{name}": value.contiguous() for name, value in trained.items()}
    for name, value in (*net.state_dict().items(), *own.items()):
        if not value.isfinite().all():
            raise ValueError(
                f"the weights {name} became infinite or NaN by iteration {info.iteration}; take a "
                'smaller optimizer.learning_rate, or precision = "32"'
            )
    with replaced_folder(folder, refuse_more_than_checkpoint) as made:
        save_tensors({k: v.contiguous() for k, v in net.state_dict().items()}, made / WEIGHTS)
        save_tensors({**_moments(optimizer), **own}, made / MOMENTS)
        (made / STATE).write_text(info.model_dump_json(indent=1))


def refuse_more_than_checkpoint(folder: Path) -> None:
    """Raise FileExistsError where anything but a checkpoint of a run lies at `folder`."""
    others = [folder.name]
    if folder.is_dir() and not folder.is_symlink():
        others = [file.name for file in folder.iterdir() if not is_checkpoint_part(file)]
    if others:
        raise FileExistsError(
            f"{folder} holds more than a checkpoint ({others[0]}); move that away"
        )


def is_checkpoint_part(file: Path) -> bool:
    """Whether a file in the folder of a checkpoint is one that `save_checkpoint` writes."""
    own = file.name in (WEIGHTS, MOMENTS, STATE) or is_temporary(file.name)
    return own and file.is_file() and not file.is_symlink()


def checkpoint_folder(run: Path, iteration: int) -> Path:
    """Return where a run keeps the checkpoint of an iteration."""
    return run / CHECKPOINTS / f"{iteration:08d}"


def iterations_in(run: Path) -> list[int]:
    """Return the iterations of which a run has a checkpoint, rising."""
    names = [path.name for path in (run / CHECKPOINTS).glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


def save_model(
    folder: Path, info: CheckpointInfo, weights: Mapping[str, Tensor], *, overwrite: bool = False
) -> None:
    """Write a checkpoint that belongs to no run; it appears whole or not at all.

    Parameters
    ----------
    folder
        What to write; its parents are made.
    info
        What it is.
    weights
        By their names in `UNet`.
    overwrite
        Replace a checkpoint of this kind.

    Raises
    ------
    FileExistsError
        There is something else, or a checkpoint and no `overwrite`.
    """
    refuse_undecodable(folder)
    with replaced_folder(folder, partial(refuse_to_replace, overwrite=overwrite)) as made:
        own = {name: value.contiguous() for name, value in weights.items()}
        save_tensors(own, made / WEIGHTS)
        (made / STATE).write_text(info.model_dump_json(indent=1))


def refuse_to_replace(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place where `save_model` may not write; an empty folder is free."""
    refuse_undecodable(folder)
    refuse_link(folder)
    refuse_within_output(folder)
    if not folder.exists():
        return
    held = {file.name for file in folder.iterdir()} if folder.is_dir() else {folder.name}
    own = folder.is_dir() and all(map(is_checkpoint_part, folder.iterdir()))
    if held and (held != {WEIGHTS, STATE} or not own):
        raise FileExistsError(f"{folder} exists and is no converted model; give another name")
    if held and not overwrite:
        raise FileExistsError(f"{folder} exists already; give --overwrite to replace it")


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{parameter}.{name}": torch.as_tensor(value).contiguous()
        for parameter, values in state.items()
        for name, value in values.items()
    }


def load_training(folder: Path, net: UNet, optimizer: torch.optim.Optimizer) -> None:
    """Give a network and its optimizer the state in which `save_checkpoint` found them.

    Raises
    ------
    ValueError
        It is damaged, or of another network; nothing is changed.
    """
    found = _read_moments(folder, net)
    load_weights(folder, net)
    names = [name for name in found if name.startswith(TRAINED)]
    trained = {name.removeprefix(TRAINED): found.pop(name) for name in names}
    if trained:
        net.load_state_dict(trained)
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in found.items():
        parameter, name = key.split(".", 1)
        state.setdefault(int(parameter), {})[name] = value
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, values in state.items():
        for name, value in values.items():
            if value.shape == weights[number].shape:  # fused optimizers want one memory layout
                values[name] = torch.empty_like(weights[number]).copy_(value)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def check_training(folder: Path, config: ModelConfig) -> None:
    """Raise ValueError where a training cannot be resumed from a checkpoint, for it is damaged."""
    read_weights(folder, config)
    with torch.device("meta"):
        _read_moments(folder, UNet(config))


def _read_moments(folder: Path, net: UNet) -> dict[str, Tensor]:
    """Read what `save_checkpoint` stored beside the weights of a network."""
    weights = list(enumerate(net.parameters()))
    moments = {f"{n}.{name}": weight for n, weight in weights for name in MOMENT_NAMES}
    steps = {f"{n}.step": torch.zeros(()) for n, _ in weights}
    averaged = {f"{TRAINED}{name}": value for name, value in net.state_dict().items()}
    try:
        return read_tensors(folder / MOMENTS, {**moments, **steps}, optional=averaged)
    except ValueError as error:
        raise ValueError(
            f"{error}; go on from an earlier checkpoint with --resume-at, or begin again with "
            "--overwrite"
        ) from error


def find_checkpoint(path: Path, *, first_fit: bool = False) -> Path:
    """Return the folder of a checkpoint: `path` itself, or one of the run `path`.

    Of a run the best, or with `first_fit` the first of its fit regime, where it has one.

    Raises
    ------
    FileNotFoundError
        There is nothing at `path`.
    ValueError
        It is neither a run nor a checkpoint, or the run has no checkpoint yet.
    """
    refuse_undecodable(path)
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if (path / RUN).is_file():
        state = read_run(path)
        best = (state.first_fit if first_fit else None) or state.best
        if best is None:
            raise ValueError(f"the run {path} has no checkpoint yet; train it first")
        path = checkpoint_folder(path, best)
    if not (path / WEIGHTS).is_file() or not (path / STATE).is_file():
        raise ValueError(
            f"{path} is no checkpoint; name a run directory of `asem train`, one of its "
            "checkpoints, or a model of `asem models convert`"
        )
    return path


def load_checkpoint(folder: Path) -> tuple[UNet, CheckpointInfo]:
    """Load a network, ready for inference, from the folder of a checkpoint.

    Raises
    ------
    ValueError
        It is damaged.
    """
    info = read_info(folder)
    weights = read_weights(folder, info.model)  # before memory is taken for what is stated
    net = UNet(info.model)
    net.load_state_dict(weights)
    # oneDNN and cuDNN are faster when the channels of a voxel lie together.
    net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return net.eval(), info


def read_info(folder: Path) -> CheckpointInfo:
    """Return what stands beside the weights of a checkpoint; ValueError where it is damaged."""
    return CheckpointInfo.checked(read_json(folder / STATE), source=str(folder / STATE))


def load_weights(folder: Path, net: UNet) -> None:
    """Read the weights of a checkpoint into a network of its shape; ValueError where damaged."""
    net.load_state_dict(read_weights(folder, net.config))


def read_weights(folder: Path, config: ModelConfig) -> dict[str, Tensor]:
    """Read the weights of a checkpoint by their names in `UNet`.

    Raises
    ------
    ValueError
        They are damaged, not finite, or not those of a network of the shape `config`.
    """
    file = folder / WEIGHTS
    with torch.device("meta"):  # takes no memory
        expected = UNet(config).state_dict()
    refuse_without_memory(file.stat().st_size, f"the network {file}")
    return read_tensors(file, expected)


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights."""
    digest = hashlib.sha256()
    with open_regular(folder / WEIGHTS) as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def read_run(run: Path) -> RunState:
    """Return what `run.json` holds; ValueError where it is damaged or something else."""
    return RunState.checked(read_json(run / RUN), source=str(run / RUN))


def write_run(run: Path, state: RunState) -> None:
    """Write `run.json`, whole or not at all."""
    with replaced_own(run / RUN) as file:
        file.write(state.model_dump_json(indent=1).encode())
