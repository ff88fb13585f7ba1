"""Run one training: check inputs, prepare the run directory, train, write results."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from asem.blocks.output_lock import delete_journal, lock_destination
from asem.blocks.output_nesting import check_output_path
from asem.blocks.run_blocks import Progress
from asem.image.labels import warn_zero_zone_width
from asem.model import checkpoint
from asem.model.device import advise_out_of_memory
from asem.report.loss_curves import plot_loss_curves
from asem.system.malloc_settings import retain_freed_memory
from asem.system.nofollow_files import check_no_links, replace_file_nofollow
from asem.training.augmentation import max_source_half_extent
from asem.training.batches import BatchLoader
from asem.training.config import TrainConfig
from asem.training.distributed import launch, make_fabric
from asem.training.labelled_regions import (
    LabelledRegion,
    cache_regions,
    cache_regions_as_uint8,
    load_region,
)
from asem.training.memory_check import check_training_memory
from asem.training.metrics_logger import CURVES_FILE, METRICS_FILE, MetricsLogger, write_metrics_csv
from asem.training.mlflow_logger import check_mlflow, open_mlflow_logger
from asem.training.patch_sampling import PatchSampler, patch_output_edge
from asem.training.region_checks import check_regions
from asem.training.training_loop import train
from asem.training.training_run import TrainingRun, make_training_run
from asem.training.validation import validation_margin
from asem.volume.address import local_paths
from asem.workflows.resume_training import ResumeOptions, prepare_run_directory
from asem.workflows.run_directory import RUN, list_run_entries

OUT_OF_MEMORY_ADVICE = (
    "a smaller `batch`, `patch` or `model`, a larger `accumulate`, or smaller regions"
)


@dataclass(frozen=True)
class TrainingSpec:
    """Specification of a training, the same for each of its processes.

    Parameters
    ----------
    config
        The training file.
    folder
        The run directory.
    initial_checkpoint
        The checkpoint with the initial weights, or None.
    started_from
        Its path and the hash of its weights.
    mlflow
        Address for logging to MLflow, or None.
    """

    config: TrainConfig
    folder: Path
    initial_checkpoint: Path | None = None
    started_from: str | None = None
    mlflow: str | None = None

    def load(self) -> "LoadedTraining":
        """Load all regions; ValueError if no patch is usable for training."""
        config = self.config
        training = [load_region(region, config) for region in config.train]
        validation = [load_region(region, config) for region in config.validation]
        inputs = [text for region in (*training, *validation) for text in region.inputs]
        run = make_training_run(config, self.folder, inputs, started_from=self.started_from)
        return LoadedTraining(run, PatchSampler(training, config), training, validation)


@dataclass(frozen=True)
class LoadedTraining:
    """A run before its first iteration, and its regions.

    Parameters
    ----------
    run
        The run.
    sampler
        Draws patches from `training`.
    training, validation
        Regions; their raw is on disk.
    """

    run: TrainingRun
    sampler: PatchSampler
    training: list[LabelledRegion]
    validation: list[LabelledRegion]


def run_training(
    spec: TrainingSpec, *, overwrite: bool, resume_options: ResumeOptions, progress: Progress
) -> dict[str, Any]:
    """Check all inputs, then train, then mark the run as finished."""
    config, folder = spec.config, spec.folder
    if overwrite and resume_options.requested:
        raise ValueError(
            f"--overwrite would delete the run {folder} that --resume continues; give one of them"
        )
    check_output_path(folder)
    patch_output_edge(config)
    if spec.mlflow is not None:
        check_mlflow(spec.mlflow)
    fabric = make_fabric(config)
    check_training_memory(config, fabric.device)
    with advise_out_of_memory(OUT_OF_MEMORY_ADVICE):
        loaded = spec.load()
        run = loaded.run
        _check_training_data(loaded)
        _check_inputs_outside(spec)
        with lock_destination(
            folder,
            lambda: prepare_run_directory(run, overwrite=overwrite, resume_options=resume_options),
            check_deletable=RUN.check_deletable,
        ):
            check_no_links(list_run_entries(folder))
            if resume_options.iteration is not None:
                run.rewind_to(resume_options.iteration)
            if run.iteration > config.iterations:
                raise ValueError(
                    f"{folder} has done {run.iteration} iterations, more than the "
                    f"{config.iterations} of the training file; raise `iterations`, or resume from "
                    "an earlier checkpoint with --resume-at"
                )
            run.save("running")
            if config.devices == 1:
                _train_with_regions(fabric, spec, loaded, progress)
            else:
                del loaded  # each process loads its own
                stop = launch(fabric, _train_in_process, spec, progress)
                run.resume_from(checkpoint.read_run_state(folder))
                if run.iteration < config.iterations or run.needs_validation:
                    raise stop.make_interrupt()
            write_metrics_csv(folder / METRICS_FILE, run.metrics)
            _save_curves(run)
            run.save("finished")
            delete_journal(folder)
    best_row = next(row for row in run.metrics if row.iteration == run.best)
    return {
        "run": str(folder),
        "iteration": run.iteration,
        "best": run.best,
        "first_fit": run.finetuning_start,
        "metrics": best_row.describe(),
    }


def _check_training_data(loaded: LoadedTraining) -> None:
    """Check that the regions are usable; log warnings about misleading scores."""
    check_regions([loaded.training[n] for n in loaded.sampler.usable_regions], loaded.validation)
    zone = loaded.run.config.structure
    for voxel_size in dict.fromkeys(region.raw.voxel_size for region in loaded.validation):
        warn_zero_zone_width(zone.name, zone.zone_out_nm, zone.zone_in_nm, voxel_size)


def _save_curves(run: TrainingRun) -> None:
    """Plot the curves of a run into its folder."""
    fit = run.fit_regime and (run.fit_regime.first, run.fit_regime.last)
    figure = plot_loss_curves(run.metrics, fit_regime=fit or None, best_iteration=run.best)
    with replace_file_nofollow(run.folder / CURVES_FILE) as file:
        figure.savefig(file, format=Path(CURVES_FILE).suffix[1:])


def _train_in_process(fabric: Fabric, spec: TrainingSpec, progress: Progress) -> None:
    """Train in one of several processes that share each batch."""
    loaded = spec.load()
    loaded.run.resume_from(checkpoint.read_run_state(spec.folder))
    _train_with_regions(fabric, spec, loaded, progress)


def _train_with_regions(
    fabric: Fabric, spec: TrainingSpec, loaded: LoadedTraining, progress: Progress
) -> None:
    config, run, validation = spec.config, loaded.run, loaded.validation
    if fabric.device.type == "cpu":
        retain_freed_memory()
    margin = max_source_half_extent(config.augment, config.patch, config.voxel_size)
    training = cache_regions_as_uint8(loaded.training, margin, processes=fabric.world_size)
    batches = BatchLoader(loaded.sampler, training, fabric, cut_on=run.cut_on)
    run.cut_on = batches.extractor.cut_on
    extra_loggers: list[MetricsLogger] = [lambda _: _save_curves(run)]
    with ExitStack() as stack:
        if fabric.is_global_zero:
            validation = cache_regions(
                validation, validation_margin(config.model), processes=fabric.world_size
            )
            if spec.mlflow is not None:
                extra_loggers.append(stack.enter_context(open_mlflow_logger(spec.mlflow, run)))
        train(
            fabric,
            run,
            batches,
            validation=validation,
            initial_checkpoint=spec.initial_checkpoint,
            extra_loggers=extra_loggers,
            progress=progress,
        )


def _check_inputs_outside(spec: TrainingSpec) -> None:
    """Check that the run directory contains none of the training's inputs."""
    regions = (*spec.config.train, *spec.config.validation)
    inputs = [
        path for region in regions for path in local_paths(region.raw, region.labels, region.mask)
    ]
    folder = spec.folder.resolve()
    for path in (spec.initial_checkpoint, *inputs):
        if path is not None and path.resolve().is_relative_to(folder):
            raise ValueError(f"{spec.folder} contains the input {path}; give another --out")
