"""One training from its checks to its end, in one process or several."""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from asem.blocks.enclosing import refuse_within_output
from asem.blocks.journal import claim, finish, is_vacant
from asem.blocks.memory import keep_memory
from asem.blocks.run import Progress
from asem.image.labels import warn_of_lost_zone
from asem.model import checkpoint
from asem.model.config import CheckpointInfo, TrainConfig
from asem.model.device import memory_advice
from asem.report.figures import loss_curves
from asem.system.files import refuse_undecodable
from asem.system.names import refuse_link
from asem.system.own_files import refuse_links, replaced_own
from asem.training.augment import reach_of
from asem.training.batches import Batches
from asem.training.checks import check_regions
from asem.training.memory import check_memory
from asem.training.mlflow_runs import mlflow_told, refuse_without_mlflow
from asem.training.parallel import launch, make_fabric
from asem.training.regions import Sample, kept, kept_grey, load_sample
from asem.training.run import Run, begin
from asem.training.sampling import Sampler, patch_output
from asem.training.tracking import CURVES, METRICS, Told, write_table
from asem.training.train import train
from asem.training.validation import margin_of
from asem.workflows.run_folder import parts_of, refuse_foreign

ADVICE = "a smaller `batch`, `patch` or `model`, a larger `accumulate`, or smaller regions"
MAY_CHANGE = frozenset({"iterations", "validate_every", "devices", "accumulate", "compile"})
"""What a run that is resumed may do otherwise from then on."""


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
        """Read the labels of all regions; ValueError where nothing is left to train on."""
        config = self.config
        training = [load_sample(region, config) for region in config.train]
        validation = [load_sample(region, config) for region in config.validation]
        inputs = [text for sample in (*training, *validation) for text in sample.inputs]
        run = begin(config, self.folder, inputs, started_from=self.started_from)
        return Loaded(run, Sampler(training, config), training, validation)


@dataclass(frozen=True)
class Loaded:
    """A run at its beginning, and its regions.

    Parameters
    ----------
    run
        The run.
    sampler
        Draws patches from `training`.
    training, validation
        Their raw is on disk.
    """

    run: Run
    sampler: Sampler
    training: list[Sample]
    validation: list[Sample]


@dataclass(frozen=True)
class GoingOn:
    """Whether a run is gone on with on purpose.

    Parameters
    ----------
    asked
        A finished run is gone on with, too, and `MAY_CHANGE` may differ.
    at
        From the checkpoint of this iteration.
    """

    asked: bool = False
    at: int | None = None


def run_job(job: Job, *, overwrite: bool, going_on: GoingOn, progress: Progress) -> dict[str, Any]:
    """Check everything, then train, then mark the run as finished."""
    config, folder = job.config, job.folder
    if overwrite and going_on.asked:
        raise ValueError(f"--overwrite would delete the run {folder} that --resume goes on with")
    refuse_undecodable(folder)
    refuse_link(folder)
    refuse_within_output(folder)
    patch_output(config)
    if job.mlflow is not None:
        refuse_without_mlflow(job.mlflow)
    fabric = make_fabric(config)
    check_memory(config, fabric.device)
    with memory_advice(ADVICE):
        loaded = job.load()
        run = loaded.run
        _check_regions(loaded)
        _refuse_inputs_within(job)
        with claim(
            folder,
            lambda: _make_way(run, overwrite=overwrite, going_on=going_on),
            may_delete=refuse_foreign,
        ):
            refuse_links(parts_of(folder))
            start = run.iteration if going_on.at is None else going_on.at
            if start in checkpoint.iterations_in(folder):
                checkpoint.check_training(checkpoint.checkpoint_folder(folder, start), config.model)
            if going_on.at is not None:
                run.back_to(going_on.at)
            if run.iteration > config.iterations:
                raise ValueError(
                    f"{folder} has done {run.iteration} iterations, more than the "
                    f"{config.iterations} of the training file; raise `iterations`, or go back to "
                    "an earlier checkpoint with --resume-at"
                )
            run.save("running")
            if config.devices == 1:
                _train(fabric, job, loaded, progress)
            else:
                del loaded  # each process has its own
                stop = launch(fabric, _train_part, job, progress)
                run.take_up(checkpoint.read_run(folder))
                if run.iteration < config.iterations or run.lacks_row:
                    raise stop.interruption()
            write_table(folder / METRICS, run.rows)
            _draw(run)
            run.save("finished")
            finish(folder)
    best = next(row for row in run.rows if row["iteration"] == run.best)
    return {
        "run": str(folder),
        "iteration": run.iteration,
        "best": run.best,
        "first_fit": run.fit and run.fit.first,
        "metrics": best,
    }


def _check_regions(loaded: Loaded) -> None:
    """Refuse what nothing can be learned from; log warnings for scores that would mislead."""
    check_regions([loaded.training[n] for n in loaded.sampler.drawn], loaded.validation)
    zone = loaded.run.config.structure
    for voxel_size in dict.fromkeys(sample.raw.voxel_size for sample in loaded.validation):
        warn_of_lost_zone(zone.name, zone.zone_out_nm, zone.zone_in_nm, voxel_size)


def _draw(run: Run) -> None:
    """Draw the curves of a run into its folder."""
    fit = run.fit and (run.fit.first, run.fit.last)
    figure = loss_curves(run.rows, fit=fit or None, best=run.best)
    with replaced_own(run.folder / CURVES) as file:
        figure.savefig(file, format=Path(CURVES).suffix[1:])


def _train_part(fabric: Fabric, job: Job, progress: Progress) -> None:
    """Train in one of several processes that share the batches."""
    loaded = job.load()
    loaded.run.take_up(checkpoint.read_run(job.folder))
    _train(fabric, job, loaded, progress)


def _train(fabric: Fabric, job: Job, loaded: Loaded, progress: Progress) -> None:
    config, run, validation = job.config, loaded.run, loaded.validation
    if fabric.device.type == "cpu":
        keep_memory()
    reach = reach_of(config.augment, config.patch, config.voxel_size)
    training = kept_grey(loaded.training, reach, processes=fabric.world_size)
    batches = Batches(loaded.sampler, training, fabric, cut_on=run.cut_on)
    run.cut_on = batches.cutter.where
    also: list[Told] = [lambda _: _draw(run)]
    with ExitStack() as stack:
        if fabric.is_global_zero:
            validation = kept(validation, margin_of(config.model), processes=fabric.world_size)
            if job.mlflow is not None:
                also.append(stack.enter_context(mlflow_told(job.mlflow, run)))
        train(
            fabric,
            run,
            batches,
            validation=validation,
            start=job.start,
            also=also,
            progress=progress,
        )


def _refuse_inputs_within(job: Job) -> None:
    """Refuse a run directory that holds what the training reads."""
    regions = (*job.config.train, *job.config.validation)
    inputs = [path for region in regions for path in (region.raw, region.labels, region.mask)]
    folder = job.folder.resolve()
    for path in (job.start, *inputs):
        if path is not None and path.resolve().is_relative_to(folder):
            raise ValueError(f"{job.folder} holds {path}, which is read; give another --out")


def _make_way(run: Run, *, overwrite: bool, going_on: GoingOn) -> bool:
    """Refuse a finished run, or one of other settings or data; True where it is to be deleted.

    An interrupted run may go on with another device or number of threads, a resumed one with what
    `MAY_CHANGE` lists. Sets `run` to where the one there stopped.
    """
    folder = run.folder
    if is_vacant(folder):
        if going_on.asked:
            raise FileNotFoundError(f"there is no run at {folder} to go on with")
        return False
    if not (folder / checkpoint.RUN).is_file():
        raise FileExistsError(f"{folder} exists and is no run directory; give another --out")
    found = checkpoint.read_run(folder)
    if overwrite:
        refuse_foreign(folder)
        return True
    if found.state == "finished" and not going_on.asked:
        raise FileExistsError(
            f"{folder} is a finished run; give another --out, --resume to go on with it, or "
            "--overwrite"
        )
    allowed = MAY_CHANGE if going_on.asked else frozenset[str]()
    changed = [key for key in differences(run.info, found.checkpoint) if key not in allowed]
    if changed:
        state = "a" if found.state == "finished" else "an unfinished"
        raise FileExistsError(
            f"{folder} is {state} run of another kind (it differs in {', '.join(changed)}); "
            "give another --out, or --overwrite"
        )
    run.take_up(found)
    return False


def differences(mine: CheckpointInfo, theirs: CheckpointInfo) -> list[str]:
    """Return in what two runs differ: settings, data, or the precision that was resolved.

    Data is known by its identity and a checkpoint by its hash, wherever they lie by now.
    """
    places = {"raw", "labels", "mask"}

    def settings(info: CheckpointInfo) -> dict[str, Any]:
        own: dict[str, Any] = json.loads(
            info.model_dump_json(exclude={"iteration", "device", "asem", "training"})
        )
        for key in ("inputs", "started_from"):
            named = [own[key]] if isinstance(own[key], str) else own[key] or []
            own[key] = [text.rsplit(": ", 1)[-1] for text in named]
        training = info.training
        if training is None:
            return own
        asked: dict[str, Any] = json.loads(
            training.model_dump_json(
                exclude={
                    "device": True,
                    "precision": True,
                    "train": {"__all__": places},
                    "validation": {"__all__": places},
                }
            )
        )
        return asked | own

    a, b = settings(mine), settings(theirs)
    return [key for key in a | b if a.get(key) != b.get(key)]
