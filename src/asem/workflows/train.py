"""Train a network from a training file into a run directory; fine-tune a trained one."""

import json
import logging
from pathlib import Path
from typing import Any

from asem.blocks.run_blocks import Progress, no_progress
from asem.model import checkpoint
from asem.model.checkpoint_info import CheckpointInfo
from asem.training.config import TrainConfig, check_region_files, training_config_of
from asem.training.recipes import finetune_settings, merge_settings
from asem.workflows.resume_training import ResumeOptions
from asem.workflows.run_training import TrainingSpec, run_training

LOG = logging.getLogger(__name__)
NOT_INHERITED = {
    "train",
    "validation",
    "iterations",
    "validate_every",
    "device",
    "devices",
    "precision",
    "resample",
}
"""Settings that a fine-tuning does not inherit from the first training."""


def train_model(
    config_file: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    resume_at: int | None = None,
    resample: bool = True,
    mlflow: str | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Train one network for one structure (paper, Training).

    Parameters
    ----------
    config_file
        The training file (TOML, `asem.training.config.TrainConfig`).
    out
        The run directory; None: ``runs/`` and the training file's stem. An interrupted run is
        resumed.
    overwrite
        Delete an existing run.
    resume
        Resume an existing run, finished or not, also with other `iterations`, `validate_every`,
        `devices`, `accumulate` or `compile` in the training file.
    resume_at
        Resume from the checkpoint of this iteration and delete later ones.
    resample
        False: data of another voxel size than the model's are an error.
    mlflow
        MLflow tracking server or database for additional logging; ``"local"``: `mlflow.db` next to
        the run directory.
    progress
        Called with the number of iterations done.

    Returns
    -------
    dict
        ``run`` (the directory), ``iteration``, ``best``, ``first_fit`` and the metrics of the best
        checkpoint.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt; a checkpoint is saved, and the same call resumes from it.

    Notes
    -----
    On a CPU this process does not return freed memory to the system (`retain_freed_memory`).
    """
    config = TrainConfig.from_toml(config_file)
    check_region_files(config, config_file)
    if not resample:
        config = config.model_copy(update={"resample": False})
    folder = out or Path("runs") / config_file.stem
    spec = TrainingSpec(config, folder, mlflow=mlflow)
    resume_options = ResumeOptions(resume or resume_at is not None, resume_at)
    return run_training(spec, overwrite=overwrite, resume_options=resume_options, progress=progress)


def finetune_model(
    initial_checkpoint: Path,
    config_file: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    resample: bool = True,
    mlflow: str | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Fine-tune a trained network on annotations of another cell (paper, Fine-tuning).

    Starts at the first checkpoint of a run's fit regime (the last one, with `schedule = "cosine"`),
    with a new optimizer.

    Parameters
    ----------
    initial_checkpoint
        A run directory, one of its checkpoints, or a converted model.
    config_file
        A training file. `structure`, `voxel_size`, `voxel_size_range`, ``[model]`` and most
        settings may be left out; they are those of `initial_checkpoint`, except `iterations`
        (15,000 at most in the paper) and `validate_every`.
    out, overwrite, resume, resample, mlflow, progress
        As for `train_model`.

    Returns
    -------
    dict
        As from `train_model`, and ``started_from``, the checkpoint.

    Raises
    ------
    ValueError
        The training file is for another structure, voxel size or network.
    """
    source = checkpoint.find_checkpoint(initial_checkpoint, first_fit=True)
    info = checkpoint.read_checkpoint_info(source)
    config = _read_finetuning_config(config_file, info, source).model_copy(
        update={} if resample else {"resample": False}
    )
    check_region_files(config, config_file)
    if not config.validation:
        LOG.warning(
            "%s has no [[validation]]: the best checkpoint is that at half of the %d iterations, "
            "not checked for over-fitting",
            config_file,
            config.iterations,
        )
    checkpoint.read_weights(source, info.model)  # raises if damaged, before anything is created
    started_from = f"{source.resolve()}: {checkpoint.hash_weights(source)}"
    folder = out or Path("runs") / config_file.stem
    spec = TrainingSpec(config, folder, source, started_from, mlflow)
    result = run_training(
        spec, overwrite=overwrite, resume_options=ResumeOptions(resume), progress=progress
    )
    return {**result, "started_from": str(source)}


def _read_finetuning_config(config_file: Path, info: CheckpointInfo, source: Path) -> TrainConfig:
    """Read a training file for fine-tuning, completed by the settings of the first training."""
    settings = TrainConfig.read_settings(config_file)
    inherited: dict[str, Any] = {"recipe": "paper"}
    structure: Any = info.structure
    if info.training is not None:
        state_file = source / checkpoint.STATE_FILE
        training = training_config_of(info, source=f"{state_file}, 'training'")
        inherited = json.loads(training.model_dump_json(exclude=NOT_INHERITED))
        structure = training.structure
    recipe = settings.get("recipe", inherited["recipe"])
    if recipe != inherited["recipe"]:
        inherited = {"recipe": recipe}
    inherited = merge_settings(inherited, finetune_settings(recipe, structure))
    geometry = {"voxel_size", "voxel_size_range", "model"}
    inherited |= json.loads(info.model_dump_json(include=geometry))
    inherited["structure"] = structure
    if "structure" in settings:
        inherited.pop("structure")
    config = TrainConfig.from_settings(merge_settings(inherited, settings), config_file)
    requested = {"structure": config.structure.name}
    requested |= {key: getattr(config, key) for key in ("voxel_size", "model")}
    for key, value in requested.items():
        required = getattr(info, key)
        if value != required:
            raise ValueError(
                f"{config_file}: '{key}' is {value}, that of the checkpoint {required}; "
                "leave it out"
            )
    return config
