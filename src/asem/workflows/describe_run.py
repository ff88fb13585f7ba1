"""Describe a training run, a checkpoint or a converted model: the fields of `asem info`."""

from pathlib import Path
from typing import Any

from asem.model import checkpoint
from asem.model.checkpoint_info import CheckpointInfo
from asem.training.config import training_config_of
from asem.training.region_names import name_regions

TRAINING_KEYS = ("recipe", "loss", "patch", "batch", "validate_every")
"""Settings of the training file that the description of a run repeats."""


def describe_run(path: Path) -> dict[str, Any]:
    """Describe a run directory of `asem train`, finished or not; its weights are not read.

    Parameters
    ----------
    path
        The run directory.

    Returns
    -------
    dict
        ``state`` (finished or unfinished), ``resumes_at`` (the iteration at which the same `asem
        train` continues an unfinished run), ``iteration`` (done) and ``planned_iterations``;
        ``structure``, ``voxel_size`` and further settings of the network and its training;
        ``best_checkpoint`` and ``last_checkpoint`` (the metrics of their validation, pooled and of
        each region; None before the first one); ``checkpoints`` (their iterations); ``train`` and
        ``validation`` (raw, labels, roi, mask and ids of each region, name of a validation region).

    Raises
    ------
    ValueError
        ``run.json`` is damaged.
    """
    state = checkpoint.read_run_state(path)
    source = f"{path / checkpoint.RUN_FILE}, 'training'"
    config = training_config_of(state.checkpoint, source=source)
    is_finished = state.state == "finished"
    rows = {row.iteration: row.describe() for row in state.metrics}
    return {
        "run": str(path),
        "state": "finished" if is_finished else "unfinished",
        "resumes_at": None if is_finished else state.iteration,
        "iteration": state.iteration,
        "planned_iterations": config.iterations,
        **_describe_network(state.checkpoint),
        **{key: getattr(config, key) for key in TRAINING_KEYS},
        "seconds": state.seconds,
        "best_checkpoint": None if state.best is None else rows.get(state.best),
        "last_checkpoint": next(reversed(rows.values()), None),
        "first_fit": state.first_fit,
        "checkpoints": checkpoint.list_checkpoint_iterations(path),
        "train": [region.model_dump(mode="json") for region in config.train],
        "validation": [
            {"name": name, **region.model_dump(mode="json", exclude={"name"})}
            for name, region in zip(name_regions(config.validation), config.validation, strict=True)
        ],
    }


def describe_model(path: Path) -> dict[str, Any]:
    """Describe a checkpoint, or a converted model, as `describe_run` does; ``origin`` of the model.

    Parameters
    ----------
    path
        The folder of the checkpoint.
    """
    info = checkpoint.read_checkpoint_info(path)
    origin = info.origin and info.origin.model_dump(mode="json")
    return {
        "checkpoint": str(path),
        "iteration": info.iteration,
        **_describe_network(info),
        "origin": origin,
    }


def _describe_network(info: CheckpointInfo) -> dict[str, Any]:
    accepted = info.voxel_size_range
    return {
        "structure": info.structure,
        "voxel_size": list(info.voxel_size),
        "voxel_size_range": accepted and [list(end) for end in accepted],
        "network": info.model.model_dump(),
        "device": info.device,
        "precision": info.precision,
        "started_from": info.started_from,
        "asem": info.asem,
    }
