"""Save and load checkpoints: weights as safetensors, all else as JSON (nothing is unpickled).

::

    RUN/run.json                                    state of the run, its best checkpoint
    RUN/checkpoints/00001000/model.safetensors      weights
                             optimizer.safetensors  optimizer state, to resume training
                             state.json             iteration, network, settings of the training
    MODEL/model.safetensors, state.json             a converted model

The optimizer state is written and read in `asem.training.training_checkpoint`.
"""

import hashlib
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from asem.model.checkpoint_info import CheckpointInfo, RunState
from asem.model.config import ModelConfig
from asem.model.tensor_files import read_tensors, save_tensors
from asem.model.unet import UNet
from asem.system.files import check_utf8_path, is_temporary_name, open_regular_file
from asem.system.folder_replacement import replace_folder
from asem.system.json_toml import read_json
from asem.system.overwrite_policy import OutputKind
from asem.system.resources import check_free_memory

WEIGHTS_FILE, OPTIMIZER_FILE, STATE_FILE, RUN_FILE = (
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "run.json",
)
CHECKPOINTS_FOLDER = "checkpoints"
CHECKPOINT_FILES = (WEIGHTS_FILE, OPTIMIZER_FILE, STATE_FILE)
MODEL_FILES = {WEIGHTS_FILE, STATE_FILE}
LOG = logging.getLogger(__name__)


def _find_foreign_in_checkpoint(folder: Path) -> Path | None:
    if not folder.is_dir() or folder.is_symlink():
        return Path()
    others = (Path(file.name) for file in folder.iterdir() if not _is_checkpoint_file(file))
    return next(others, None)


def _find_foreign_in_model(folder: Path) -> Path | None:
    entries = list(folder.iterdir()) if folder.is_dir() else []
    if not {file.name for file in entries if _is_checkpoint_file(file)} >= MODEL_FILES:
        return Path()
    return next((Path(file.name) for file in entries if file.name not in MODEL_FILES), None)


def _is_checkpoint_file(file: Path) -> bool:
    own = file.name in CHECKPOINT_FILES or is_temporary_name(file.name)
    return own and file.is_file() and not file.is_symlink()


CONVERTED_MODEL = OutputKind("a converted model", _find_foreign_in_model)
CHECKPOINT = OutputKind("a checkpoint", _find_foreign_in_checkpoint)
check_only_checkpoint_files = CHECKPOINT.check_deletable


def checkpoint_folder(run: Path, iteration: int) -> Path:
    """Return the folder in which a run stores the checkpoint of an iteration."""
    return run / CHECKPOINTS_FOLDER / f"{iteration:08d}"


def list_checkpoint_iterations(run: Path) -> list[int]:
    """Return the iterations of which a run has a checkpoint, in ascending order."""
    names = [path.name for path in (run / CHECKPOINTS_FOLDER).glob("*")]
    return sorted(int(name) for name in names if name.isdigit())


def save_model(
    folder: Path, info: CheckpointInfo, weights: Mapping[str, Tensor], *, overwrite: bool = False
) -> None:
    """Write a checkpoint that belongs to no run, atomically.

    Parameters
    ----------
    folder
        Folder to write; its parents are created.
    info
        Metadata of the checkpoint.
    weights
        Tensors by their names in `UNet`.
    overwrite
        Replace a converted model at `folder`.

    Raises
    ------
    FileExistsError
        `folder` is something else, or a converted model and `overwrite` is False.
    """
    check_utf8_path(folder)
    check = partial(CONVERTED_MODEL.check_replaceable, overwrite=overwrite)
    with replace_folder(folder, check) as made:
        own = {name: value.contiguous() for name, value in weights.items()}
        save_tensors(own, made / WEIGHTS_FILE)
        (made / STATE_FILE).write_text(info.model_dump_json(indent=1))


def find_checkpoint(path: Path, *, first_fit: bool = False) -> Path:
    """Return the folder of a checkpoint: `path` itself, or one of the run `path`.

    Of a run the best checkpoint, or with `first_fit` the first of its fit regime, if there is one.
    A warning is logged if its training is not finished.

    Raises
    ------
    FileNotFoundError
        `path` does not exist.
    ValueError
        `path` is neither a run nor a checkpoint, or the run has no checkpoint yet.
    """
    check_utf8_path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is nothing at {path}")
    if (path / RUN_FILE).is_file():
        state = read_run_state(path)
        best = (state.first_fit if first_fit else None) or state.best
        if best is None:
            raise ValueError(f"the run {path} has no checkpoint yet; train it first")
        if state.state != "finished":
            LOG.warning(
                "%s: the training is not finished (%d of %s iterations); the checkpoint of "
                "iteration %d is used",
                path,
                state.iteration,
                (state.checkpoint.training or {}).get("iterations", "?"),
                best,
            )
        path = checkpoint_folder(path, best)
    if not (path / WEIGHTS_FILE).is_file() or not (path / STATE_FILE).is_file():
        raise ValueError(
            f"{path} is no checkpoint; name a run directory of `asem train`, one of its "
            "checkpoints, or a model of `asem models convert`"
        )
    return path


def load_checkpoint(folder: Path) -> tuple[UNet, CheckpointInfo]:
    """Load a network in evaluation mode from the folder of a checkpoint.

    Raises
    ------
    ValueError
        The checkpoint is damaged.
    """
    info = read_checkpoint_info(folder)
    weights = read_weights(folder, info.model)  # checked before UNet allocates
    net = UNet(info.model)
    net.load_state_dict(weights)
    # oneDNN and cuDNN are faster when the channels of a voxel are adjacent in memory.
    net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return net.eval(), info


def read_checkpoint_info(folder: Path) -> CheckpointInfo:
    """Read the metadata of a checkpoint; raise ValueError if it is damaged."""
    return CheckpointInfo.from_dict(read_json(folder / STATE_FILE), source=str(folder / STATE_FILE))


def load_weights(folder: Path, net: UNet) -> None:
    """Read the weights of a checkpoint into a network; raise ValueError if they are damaged."""
    net.load_state_dict(read_weights(folder, net.config))


def read_weights(folder: Path, config: ModelConfig) -> dict[str, Tensor]:
    """Read the weights of a checkpoint, by their names in `UNet`.

    Raises
    ------
    ValueError
        They are damaged, not finite, or not those of a network of shape `config`.
    """
    file = folder / WEIGHTS_FILE
    with torch.device("meta"):  # allocates no memory
        expected = UNet(config).state_dict()
    check_free_memory(file.stat().st_size, f"the network {file}")
    return read_tensors(file, expected)


def hash_weights(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights."""
    digest = hashlib.sha256()
    with open_regular_file(folder / WEIGHTS_FILE) as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def read_run_state(run: Path) -> RunState:
    """Read `run.json`; raise ValueError if it is damaged or something else."""
    return RunState.from_dict(read_json(run / RUN_FILE), source=str(run / RUN_FILE))
