"""Train a network from a training file into a run directory; fine-tune one on another cell."""

import json
import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from asem.blocks.journal import NAME, locked, refuse_if_locked
from asem.blocks.run import Progress, silent
from asem.config import read_toml
from asem.model import checkpoint
from asem.model.config import CheckpointInfo, TrainConfig
from asem.model.device import memory_advice, resolve_device
from asem.model.recipes import FINETUNE, merged
from asem.report.figures import loss_curves
from asem.training.augment import reach_of
from asem.training.mlflow_runs import mlflow_told, refuse_without_mlflow
from asem.training.parallel import keep_memory, launch, make_fabric
from asem.training.regions import Sample, kept, kept_grey, load_sample
from asem.training.run import Run, begin
from asem.training.sampling import Sampler, patch_output
from asem.training.tracking import CURVES, Told
from asem.training.train import train
from asem.training.validation import margin_of

LOG = logging.getLogger(__name__)
ADVICE = "a smaller `batch`, `patch` or `model`, a larger `accumulate`, or smaller regions"
MAY_CHANGE = frozenset(
    {"iterations", "validate_every", "validation", "device", "devices", "accumulate", "compile"}
)
"""What a run that is resumed may do otherwise from then on."""
OWN = {"train", "validation", "iterations", "validate_every", "device", "devices", "precision"}
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
        `iterations`, `validate_every`, `validation`, devices or `accumulate` by now.
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
    """
    config = TrainConfig.from_toml(config_file)
    if not resample:
        config = config.model_copy(update={"resample": False})
    folder = out or Path("runs") / config_file.stem
    job = Job(config, folder, mlflow=mlflow)
    changes = MAY_CHANGE if resume or resume_at is not None else frozenset[str]()
    return _run(job, overwrite=overwrite, changes=changes, at=resume_at, progress=progress)


def finetune_model(
    start: Path,
    config_file: Path,
    *,
    out: Path | None = None,
    overwrite: bool = False,
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
        A training file. `structure`, `voxel_size` and ``[model]`` may be left out; they are those
        of `start`, and so is what it says besides of training, but for `iterations` (15,000 at most
        in the paper) and `validate_every`.
    out, overwrite, mlflow, progress
        As `train_model` takes them.

    Returns
    -------
    dict
        As `train_model` returns it.

    Raises
    ------
    ValueError
        The training file is for another structure, voxel size or network.
    """
    source = checkpoint.find_checkpoint(start, first_fit=True)
    info = checkpoint.read_info(source)
    config = _like(config_file, info)
    if not config.validation:
        LOG.warning(
            "%s has no [[validation]]: the checkpoint at half of the %d iterations will be taken, "
            "though nobody saw whether it is over-fit",
            config_file,
            config.iterations,
        )
    came_from = f"{source.resolve()}: {checkpoint.weights_hash(source)}"
    job = Job(config, out or Path("runs") / config_file.stem, source, came_from, mlflow)
    return _run(job, overwrite=overwrite, changes=frozenset(), at=None, progress=progress)


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
    before |= json.loads(info.model_dump_json(include={"structure", "voxel_size", "model"}))
    config = TrainConfig.placed(merged(before, given), config_file)
    for key in ("structure", "voxel_size", "model"):
        mine, theirs = getattr(config, key), getattr(info, key)
        if mine != theirs:
            raise ValueError(
                f"{config_file}: '{key}' is {mine}, that of the checkpoint {theirs}; leave it out"
            )
    return config


@dataclass(frozen=True)
class Job:
    """What every process of a training needs to know.

    Parameters
    ----------
    config
        The training file.
    folder
        The run directory.
    start
        The checkpoint to begin with, or None.
    started_from
        Its path and the hash of its weights.
    mlflow
        Where MLflow is told, or None.
    """

    config: TrainConfig
    folder: Path
    start: Path | None = None
    started_from: str | None = None
    mlflow: str | None = None

    def load(self) -> "Loaded":
        """Return the run at its beginning, the training and the validation regions."""
        config = self.config
        training = [load_sample(region, config) for region in config.train]
        validation = [load_sample(region, config) for region in config.validation]
        inputs = [text for sample in (*training, *validation) for text in sample.inputs]
        run = begin(config, self.folder, inputs, started_from=self.started_from)
        return run, training, validation


def _run(
    job: Job, *, overwrite: bool, changes: frozenset[str], at: int | None, progress: Progress
) -> dict[str, Any]:
    """Check everything, then train, then mark the run as finished."""
    config, folder = job.config, job.folder
    patch_output(config)
    if job.mlflow is not None:
        refuse_without_mlflow()
    fabric = make_fabric(config)
    if resolve_device(config.device).type == "cpu":
        keep_memory()
    with memory_advice(ADVICE):
        run, training, validation = job.load()
        Sampler(training, config)  # tells whether the rules leave anything to train on
        _make_way(run, overwrite=overwrite, changes=changes)
        with locked(folder):
            if at is not None:
                run.back_to(at)
            run.save("running")
            if config.devices == 1:
                _train(fabric, job, (run, training, validation), progress)
            else:
                launch(fabric, _train_part, job, progress)
            run.take_up(checkpoint.read_run(folder))
            if run.iteration < config.iterations:
                raise KeyboardInterrupt
            run.save("finished")
            shutil.rmtree(folder / NAME)
    best = next(row for row in run.rows if row["iteration"] == run.best)
    return {
        "run": str(folder),
        "iteration": run.iteration,
        "best": run.best,
        "first_fit": run.fit and run.fit.first,
        "metrics": best,
    }


Loaded = tuple[Run, list[Sample], list[Sample]]


def _train_part(fabric: Fabric, job: Job, progress: Progress) -> None:
    """Train in one of several processes that share the batches."""
    loaded = job.load()
    loaded[0].take_up(checkpoint.read_run(job.folder))
    _train(fabric, job, loaded, progress)


def _train(fabric: Fabric, job: Job, loaded: Loaded, progress: Progress) -> None:
    config = job.config
    run, training, validation = loaded
    training = kept_grey(training, reach_of(config.augment, config.patch, config.voxel_size))
    if fabric.is_global_zero:
        validation = [kept(sample, margin_of(config.model)) for sample in validation]

    def draw(rows: Sequence[dict[str, Any]]) -> None:
        fit = run.fit and (run.fit.first, run.fit.last)
        figure = loss_curves(rows, fit=fit or None, best=run.best)
        figure.savefig(job.folder / CURVES)

    also: list[Told] = [draw]
    with ExitStack() as stack:
        if job.mlflow is not None and fabric.is_global_zero:
            also.append(stack.enter_context(mlflow_told(job.mlflow, run)))
        train(
            fabric,
            run,
            training,
            validation=validation,
            start=job.start,
            also=also,
            progress=progress,
        )


def _make_way(run: Run, *, overwrite: bool, changes: frozenset[str]) -> None:
    """Refuse a finished run, or one of other settings or data; with `overwrite` delete it.

    An interrupted run may go on with another device or number of threads, a resumed one with other
    `changes`. Sets `run` to where the run that lies there stopped.
    """
    folder = run.folder
    if not folder.exists() or (folder.is_dir() and {p.name for p in folder.iterdir()} <= {NAME}):
        if changes:
            raise FileNotFoundError(f"there is no run at {folder} to go on with")
        return
    if not (folder / checkpoint.RUN).is_file():
        raise FileExistsError(f"{folder} exists and is no run directory; give another --out")
    found = checkpoint.read_run(folder)
    if overwrite:
        refuse_if_locked(folder)
        shutil.rmtree(folder)
        return
    if found.state == "finished" and not changes:
        raise FileExistsError(
            f"{folder} is a finished run; give another --out, --resume to go on with it, or "
            "--overwrite"
        )
    changed = differences(run.info, found.checkpoint, changes)
    if changed:
        state = "a" if found.state == "finished" else "an unfinished"
        raise FileExistsError(
            f"{folder} is {state} run of another kind (it differs in {', '.join(changed)}); "
            "give another --out, or --overwrite"
        )
    run.take_up(found)


def differences(mine: CheckpointInfo, theirs: CheckpointInfo, changes: frozenset[str]) -> list[str]:
    """Return in what two runs differ, besides what may."""
    a, b = (
        json.loads(info.model_dump_json(exclude={"iteration", "device", "asem", "training"}))
        | json.loads(info.training.model_dump_json() if info.training else "{}")
        for info in (mine, theirs)
    )
    if "validation" in changes:  # the inputs of training are told by its regions
        changes |= {"inputs"}
    return [key for key in a | b if key not in changes and a.get(key) != b.get(key)]
