"""State of a training run: metrics, checkpoints, best iteration, `run.json`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from asem import __version__
from asem.config import shorten
from asem.model import checkpoint
from asem.model.checkpoint_info import CheckpointInfo, PatchDevice, RunState
from asem.model.device import describe_device, resolve_device, resolve_precision
from asem.model.run_metrics import MetricsRow
from asem.system.folder_replacement import delete_atomically
from asem.training import training_checkpoint
from asem.training.config import TrainConfig
from asem.training.fit_regime import FitRegime, find_fit_regime_of_run
from asem.training.region_names import name_regions


@dataclass
class TrainingRun:
    """State of a training run.

    Parameters
    ----------
    folder
        The run directory.
    config
        The training file.
    info
        Metadata of its checkpoints; the iteration is the number done.
    metrics
        The metrics so far, one row per validation.
    losses
        Sum and number of the training losses since the last validation.
    seconds
        Time spent so far.
    went_back_to
        Iteration that the run was rewound to, until it is finished.
    cut_on
        Device on which its patches are extracted; None before the first.
    """

    folder: Path
    config: TrainConfig
    info: CheckpointInfo
    metrics: list[MetricsRow] = field(default_factory=list)
    losses: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0
    went_back_to: int | None = None
    cut_on: PatchDevice | None = None

    @property
    def iteration(self) -> int:
        """Number of iterations done."""
        return self.info.iteration

    def advance(self) -> None:
        """Count one more iteration as done."""
        self.info = self.info.model_copy(update={"iteration": self.iteration + 1})

    def record_losses(self, losses: Sequence[float]) -> None:
        """Add the losses of the last iterations; ValueError if one is not finite."""
        first = self.iteration - len(losses) + 1
        for iteration, loss in enumerate(losses, first):
            self.losses = self.losses[0] + loss, self.losses[1] + 1
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss became {loss} in iteration {iteration}; take a smaller "
                    'optimizer.learning_rate, or precision = "32"'
                )

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether a checkpoint and a validation are due after the last iteration."""
        every, last = self.config.validate_every, self.config.iterations
        return self.iteration > 0 and (self.iteration % every == 0 or self.iteration == last)

    @property
    def needs_validation(self) -> bool:
        """Whether a validation is due after the last iteration and not done."""
        return self.is_checkpoint_due and not any(
            row.iteration == self.iteration for row in self.metrics
        )

    @property
    def fit_regime(self) -> FitRegime | None:
        """The fit regime, from the pooled validation losses; None if there is none."""
        return find_fit_regime_of_run(self.metrics)

    @property
    def is_annealed(self) -> bool:
        """Whether the learning rate decreases to zero at the last iteration."""
        return self.config.optimizer.schedule == "cosine"

    @property
    def finetuning_start(self) -> int | None:
        """Iteration of the checkpoint to fine-tune, the first of the fit regime; None without one.

        Its end, if the learning rate decreases to zero, as for `best`.
        """
        if self.fit_regime is None:
            return None
        return self.fit_regime.last if self.is_annealed else self.fit_regime.first

    @property
    def best(self) -> int | None:
        """Iteration of the checkpoint to use: the middle of the fit regime.

        Its end, if the learning rate decreases to zero: earlier checkpoints still oscillate.
        Without a fit regime: the first of the highest pooled F1; if none is above 0, as where the
        exclusion zone contains all of a thin annotation, the one of the lowest validation loss.
        Without validation: the last, or for a fine-tuning the one at half of the iterations, to
        avoid over-fitting (the paper uses 5,000 to 10,000 of at most 15,000).
        """
        if self.fit_regime is not None:
            return self.fit_regime.last if self.is_annealed else self.fit_regime.middle
        if not self.metrics:
            return None
        scores = {row.iteration: row.f1 for row in self.metrics if row.f1 is not None}
        if any(scores.values()):
            return max(scores, key=lambda iteration: scores[iteration])
        losses = {
            row.iteration: row.validation_loss
            for row in self.metrics
            if row.validation_loss is not None
        }
        if losses:
            return min(losses, key=lambda iteration: losses[iteration])
        done = [row.iteration for row in self.metrics]
        if self.info.started_from is None:
            return done[-1]
        half = self.config.iterations / 2
        return max((iteration for iteration in done if iteration <= half), default=done[0])

    def save(self, state: Literal["running", "finished"]) -> None:
        """Write `run.json`."""
        document = RunState(
            state=state,
            iteration=self.iteration,
            best=self.best,
            first_fit=self.finetuning_start,
            losses=self.losses,
            seconds=round(self.seconds, 1),
            went_back_to=self.went_back_to if state == "running" else None,
            cut_on=self.cut_on,
            checkpoint=self.info,
            metrics=tuple(self.metrics),
        )
        training_checkpoint.write_run_state(self.folder, document)

    def resume_from(self, state: RunState) -> None:
        """Restore the state of a stopped run of the same folder."""
        names = name_regions(self.config.validation)  # paths of moved data may have changed
        self.metrics = [row.rename_regions(names) for row in state.metrics]
        self.losses, self.seconds = state.losses, state.seconds
        self.went_back_to, self.cut_on = state.went_back_to, state.cut_on
        self.info = self.info.model_copy(update={"iteration": state.iteration})

    def rewind_to(self, iteration: int) -> None:
        """Return to the checkpoint of `iteration`, and delete later checkpoints and metrics, once.

        A run that was rewound there before and then interrupted is not rewound again, so that the
        same command can be repeated.

        Raises
        ------
        ValueError
            There is no such checkpoint; the message lists the existing ones.
        FileExistsError
            A later checkpoint contains files that are not from a training.
        """
        if self.went_back_to == iteration:
            return
        existing = checkpoint.list_checkpoint_iterations(self.folder)
        validated = [row.iteration for row in self.metrics if row.iteration in existing]
        if iteration not in validated:
            raise ValueError(
                f"{self.folder} has no validated checkpoint of iteration {shorten(iteration)}; "
                f"it has {', '.join(map(str, validated)) or 'none'}"
            )
        later_folders = [
            checkpoint.checkpoint_folder(self.folder, later)
            for later in existing
            if later > iteration
        ]
        for folder in later_folders:
            checkpoint.check_only_checkpoint_files(folder)
        self.metrics = [row for row in self.metrics if row.iteration <= iteration]
        self.losses, self.seconds = (0.0, 0), self.metrics[-1].seconds
        self.info = self.info.model_copy(update={"iteration": iteration})
        self.went_back_to = iteration
        self.save("running")
        for folder in later_folders:
            delete_atomically(folder, checkpoint.check_only_checkpoint_files)


def make_training_run(
    config: TrainConfig,
    folder: Path,
    inputs: Sequence[str],
    *,
    started_from: str | None = None,
) -> TrainingRun:
    """Return the run of a training file on this machine, before its first iteration."""
    device = resolve_device(config.device)
    info = CheckpointInfo(
        asem=__version__,
        iteration=0,
        structure=config.structure.name,
        voxel_size=config.voxel_size,
        voxel_size_range=config.voxel_size_range,
        model=config.model,
        training=config.model_dump(mode="json"),
        inputs=tuple(dict.fromkeys(inputs)),
        device=describe_device(device),
        precision=resolve_precision(config.precision, device),
        started_from=started_from,
    )
    return TrainingRun(folder, config, info)
