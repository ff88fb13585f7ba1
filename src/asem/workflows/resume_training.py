"""Resume a training: restore it from an existing run directory of the same settings and data."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asem.blocks.output_lock import is_empty_destination
from asem.model import checkpoint
from asem.model.checkpoint_info import CheckpointInfo, RunState
from asem.training import training_checkpoint
from asem.training.config import training_config_of
from asem.training.labelled_regions import input_identity
from asem.training.training_run import TrainingRun
from asem.workflows.run_directory import RUN

CHANGEABLE_ON_RESUME = frozenset(
    {"iterations", "validate_every", "devices", "accumulate", "compile"}
)
"""Settings that may differ in a run resumed with --resume."""


@dataclass(frozen=True)
class ResumeOptions:
    """Options for resuming an existing run.

    Parameters
    ----------
    requested
        Resume finished runs, too; `CHANGEABLE_ON_RESUME` may differ.
    iteration
        Resume from the checkpoint of this iteration.
    """

    requested: bool = False
    iteration: int | None = None


def prepare_run_directory(
    run: TrainingRun, *, overwrite: bool, resume_options: ResumeOptions
) -> bool:
    """Check an existing run directory, and restore `run` from it; return whether to delete it."""
    folder = run.folder
    if is_empty_destination(folder):
        if resume_options.requested:
            raise FileNotFoundError(f"there is no run at {folder} to resume; leave out --resume")
        return False
    if not (folder / checkpoint.RUN_FILE).is_file():
        raise RUN.foreign_error(folder)
    existing = checkpoint.read_run_state(folder)
    if overwrite:
        RUN.check_deletable(folder)
        return True
    _check_resumable(run, existing, requested=resume_options.requested)
    at = resume_options.iteration
    start = existing.iteration if at is None else at
    if start in checkpoint.list_checkpoint_iterations(folder):
        state = checkpoint.checkpoint_folder(folder, start)
        training_checkpoint.check_training_state(state, run.config.model)
    run.resume_from(existing)
    return False


def _check_resumable(run: TrainingRun, existing: RunState, *, requested: bool) -> None:
    """Raise FileExistsError if the existing run is finished, or has other settings or data.

    An interrupted run may be resumed on another device; with --resume (`requested`) a finished one
    may be, too, and `CHANGEABLE_ON_RESUME` may differ.
    """
    is_finished = existing.state == "finished"
    if is_finished and not requested:
        RUN.check_deletable(run.folder)  # with other files, --overwrite is an error, too
        raise FileExistsError(
            f"{run.folder} is a finished run; give another --out, --resume to continue it, or "
            "--overwrite"
        )
    allowed = CHANGEABLE_ON_RESUME if requested else frozenset[str]()
    run_file = run.folder / checkpoint.RUN_FILE
    differences = _find_differences(run.info, existing.checkpoint, source=run_file)
    changed = [key for key in differences if key not in allowed]
    if changed:
        RUN.check_deletable(run.folder)
        state = "a" if is_finished else "an unfinished"
        resumable = not requested and set(changed) <= CHANGEABLE_ON_RESUME
        advice = "--resume to continue it, " if resumable else ""
        raise FileExistsError(
            f"{run.folder} is {state} run of other settings or data (it differs in "
            f"{', '.join(changed)}); give {advice}another --out, or --overwrite"
        )


def _find_differences(
    requested: CheckpointInfo, existing: CheckpointInfo, *, source: Path
) -> list[str]:
    """Return the keys in which two runs differ: settings, data, or the resolved precision.

    Data are compared by identity and checkpoints by hash, not by their paths or names.
    """
    names = {"raw", "labels", "mask", "name"}

    def settings(info: CheckpointInfo) -> dict[str, Any]:
        own: dict[str, Any] = json.loads(
            info.model_dump_json(exclude={"iteration", "device", "asem", "training"})
        )
        for key in ("inputs", "started_from"):
            inputs = [own[key]] if isinstance(own[key], str) else own[key] or []
            own[key] = [input_identity(text) for text in inputs]
        if info.training is None:
            return own
        training = training_config_of(info, source=f"{source}, 'training'")
        file_settings: dict[str, Any] = json.loads(
            training.model_dump_json(
                exclude={
                    "device": True,
                    "precision": True,
                    "train": {"__all__": names},
                    "validation": {"__all__": names},
                }
            )
        )
        return file_settings | own

    new, old = settings(requested), settings(existing)
    return [key for key in new | old if new.get(key) != old.get(key)]
