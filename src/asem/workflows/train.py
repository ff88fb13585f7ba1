"""Train a network from a training file into a run directory; fine-tune one on another cell."""

import json
import logging
from pathlib import Path
from typing import Any

from asem.blocks.run import Progress, silent
from asem.model import checkpoint
from asem.model.config import CheckpointInfo, TrainConfig
from asem.model.recipes import FINETUNE, merged
from asem.system.documents import read_toml
from asem.workflows.jobs import GoingOn, Job, run_job

LOG = logging.getLogger(__name__)
OWN = {
    "train",
    "validation",
    "iterations",
    "validate_every",
    "device",
    "devices",
    "precision",
    "resample",
}
"""What a fine-tuning does not take over from the first training."""


def train_model(
    config_file: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    resume_at: int | None = None,
    resample: bool = True,
    mlflow: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train one network for one structure (paper, Training).

    Parameters
    ----------
    config_file
        The training file (TOML, `asem.model.config.TrainConfig`).
    out
        The run directory; None: ``runs/`` and the training file's stem. One that was interrupted
        is gone on with.
    overwrite
        Delete the run that lies there.
    resume
        Go on with the run that lies there, finished or not, even where the training file has other
        `iterations`, `validate_every`, `devices` or `accumulate` by now.
    resume_at
        Go on from the checkpoint of this iteration and forget what came after it.
    resample
        False: refuse data of another voxel size than the model's.
    mlflow
        Address of an MLflow tracking server or database that is told, too; ``"local"``: `mlflow.db`
        beside the run directory.
    progress
        Told of every iteration.

    Returns
    -------
    dict
        ``run`` (the directory), ``iteration``, ``best``, ``first_fit`` and the metrics of the best
        checkpoint.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt; a checkpoint has been saved, and the same call goes on from it.

    Notes
    -----
    On a CPU this process keeps the memory it frees from then on (`keep_memory`).
    """
    config = TrainConfig.from_toml(config_file)
    if not resample:
        config = config.model_copy(update={"resample": False})
    folder = out or Path("runs") / config_file.stem
    job = Job(config, folder, mlflow=mlflow)
    going_on = GoingOn(resume or resume_at is not None, resume_at)
    return run_job(job, overwrite=overwrite, going_on=going_on, progress=progress)


def finetune_model(
    start: Path,
    config_file: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    resample: bool = True,
    mlflow: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a network on, on annotations of another cell (paper, Fine-tuning).

    Starts at the first checkpoint of a run's fit regime, with a new optimizer.

    Parameters
    ----------
    start
        A run directory, one of its checkpoints, or a converted model.
    config_file
        A training file. `structure`, `voxel_size`, `voxel_size_range` and ``[model]`` may be left
        out; they are those of `start`, and so is what it says besides of training, but for
        `iterations` (15,000 at most in the paper) and `validate_every`.
    out, overwrite, resume, resample, mlflow, progress
        As `train_model` takes them.

    Returns
    -------
    dict
        As `train_model` returns it, and ``started_from``, the checkpoint.

    Raises
    ------
    ValueError
        The training file is for another structure, voxel size or network.
    """
    source = checkpoint.find_checkpoint(start, first_fit=True)
    info = checkpoint.read_info(source)
    config = _like(config_file, info).model_copy(update={} if resample else {"resample": False})
    if not config.validation:
        LOG.warning(
            "%s has no [[validation]]: the checkpoint at half of the %d iterations will be taken, "
            "though nobody saw whether it is over-fit",
            config_file,
            config.iterations,
        )
    checkpoint.read_weights(source, info.model)  # refuses damage before anything is created
    came_from = f"{source.resolve()}: {checkpoint.weights_hash(source)}"
    job = Job(config, out or Path("runs") / config_file.stem, source, came_from, mlflow)
    result = run_job(job, overwrite=overwrite, going_on=GoingOn(resume), progress=progress)
    return {**result, "started_from": str(source)}


def _like(config_file: Path, info: CheckpointInfo) -> TrainConfig:
    """Read a training file for fine-tuning: what it leaves out is as in the first training."""
    given = read_toml(config_file)
    before: dict[str, Any] = {"recipe": "paper"}
    if info.training is not None:
        before = json.loads(info.training.model_dump_json(exclude=OWN))
    recipe = given.get("recipe", before["recipe"])
    if recipe != before["recipe"]:
        before = {"recipe": recipe}
    before |= FINETUNE.get(recipe, {})
    before |= json.loads(info.model_dump_json(include={"voxel_size", "voxel_size_range", "model"}))
    before["structure"] = info.structure if info.training is None else info.training.structure
    if "structure" in given:
        before.pop("structure")
    config = TrainConfig.placed(merged(before, given), config_file)
    asked = {"structure": config.structure.name}
    asked |= {key: getattr(config, key) for key in ("voxel_size", "model")}
    for key, mine in asked.items():
        theirs = getattr(info, key)
        if mine != theirs:
            raise ValueError(
                f"{config_file}: '{key}' is {mine}, that of the checkpoint {theirs}; leave it out"
            )
    return config
