"""A training under way: what it is, how far it got, which of its checkpoints to take."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from asem import __version__
from asem.config import excerpt
from asem.model import checkpoint
from asem.model.config import CheckpointInfo, CutOn, RunState, TrainConfig
from asem.model.device import describe, resolve_device, resolve_precision
from asem.system.folders import delete_folder
from asem.training.regimes import Fit, find_fit


@dataclass
class Run:
    """A training under way.

    Parameters
    ----------
    folder
        The run directory.
    info
        What its checkpoints say of themselves; the iteration is the last that was done.
    rows
        The metrics so far, one row a validation.
    losses
        Sum and number of the training losses since the last validation.
    seconds
        Spent so far.
    went_back_to
        Iteration from which it is gone on with on purpose, until it is finished.
    cut_on
        Where its patches are cut; None before the first.
    """

    folder: Path
    info: CheckpointInfo
    rows: list[dict[str, Any]] = field(default_factory=list)
    losses: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0
    went_back_to: int | None = None
    cut_on: CutOn | None = None

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self.info.iteration

    def advance(self) -> None:
        """Take note of an iteration that was done."""
        self.info = self.info.model_copy(update={"iteration": self.iteration + 1})

    def count(self, losses: Sequence[float]) -> None:
        """Take note of the losses of the last iterations; ValueError where one is no number."""
        first = self.iteration - len(losses) + 1
        for iteration, loss in enumerate(losses, first):
            self.losses = self.losses[0] + loss, self.losses[1] + 1
            if not math.isfinite(loss):
                raise ValueError(
                    f"the loss became {loss} in iteration {iteration}; take a smaller "
                    'optimizer.learning_rate, or precision = "32"'
                )

    @property
    def is_due(self) -> bool:
        """Whether the iteration that was done last is one to save and validate."""
        every, last = self.config.validate_every, self.config.iterations
        return self.iteration > 0 and (self.iteration % every == 0 or self.iteration == last)

    @property
    def lacks_row(self) -> bool:
        """Whether the iteration that was done last is still to be validated."""
        return self.is_due and not any(row["iteration"] == self.iteration for row in self.rows)

    @property
    def config(self) -> TrainConfig:
        """The training file."""
        assert self.info.training is not None  # only a converted model has none
        return self.info.training

    @property
    def fit(self) -> Fit | None:
        """The fit regime, from the validation losses; None where there is none."""
        scored = [row for row in self.rows if row["validation_loss"] is not None]
        return find_fit(
            [row["iteration"] for row in scored], [row["validation_loss"] for row in scored]
        )

    @property
    def best(self) -> int | None:
        """Iteration of the checkpoint to use: the middle of the fit regime.

        Without one the highest validation F1, of equal ones the first. Without validation the last;
        of a fine-tuning the one at half of the iterations, since over-fitting is near (the paper's
        took 5,000 to 10,000 of at most 15,000).
        """
        if self.fit is not None:
            return self.fit.middle
        if not self.rows:
            return None
        scored = [row for row in self.rows if row["f1"] is not None]
        if scored:
            return int(max(scored, key=lambda row: float(row["f1"]))["iteration"])
        done = [int(row["iteration"]) for row in self.rows]
        if self.info.started_from is None:
            return done[-1]
        half = self.config.iterations / 2
        return max((one for one in done if one <= half), default=done[0])

    def save(self, state: Literal["running", "finished"]) -> None:
        """Write `run.json`."""
        document = RunState(
            state=state,
            iteration=self.iteration,
            best=self.best,
            first_fit=self.fit and self.fit.first,
            losses=self.losses,
            seconds=round(self.seconds, 1),
            went_back_to=self.went_back_to if state == "running" else None,
            cut_on=self.cut_on,
            checkpoint=self.info,
            metrics=tuple(self.rows),
        )
        checkpoint.write_run(self.folder, document)

    def take_up(self, state: RunState) -> None:
        """Go on where a run of the same folder stopped."""
        self.rows = list(state.metrics)
        self.losses, self.seconds = state.losses, state.seconds
        self.went_back_to, self.cut_on = state.went_back_to, state.cut_on
        self.info = self.info.model_copy(update={"iteration": state.iteration})

    def back_to(self, iteration: int) -> None:
        """Forget all that was done after the checkpoint of `iteration`, once.

        A run that went back there before and was interrupted since goes on where it is, so that
        the same command may be given again and again.

        Raises
        ------
        ValueError
            There is no such checkpoint; the message names those there are.
        FileExistsError
            A later checkpoint has files that no training made, and would be deleted.
        """
        if self.went_back_to == iteration:
            return
        there = checkpoint.iterations_in(self.folder)
        have = [int(row["iteration"]) for row in self.rows if row["iteration"] in there]
        if iteration not in have:
            raise ValueError(
                f"{self.folder} has no validated checkpoint of iteration "
                f"{excerpt(iteration)}; it has "
                f"{', '.join(map(str, have)) or 'none'}"
            )
        later = [one for one in there if one > iteration]
        doomed = [checkpoint.checkpoint_folder(self.folder, one) for one in later]
        for folder in doomed:
            checkpoint.refuse_more_than_checkpoint(folder)
        self.rows = [row for row in self.rows if row["iteration"] <= iteration]
        self.losses, self.seconds = (0.0, 0), float(self.rows[-1]["seconds"])
        self.info = self.info.model_copy(update={"iteration": iteration})
        self.went_back_to = iteration
        self.save("running")
        for folder in doomed:
            delete_folder(folder, checkpoint.refuse_more_than_checkpoint)


def begin(
    config: TrainConfig,
    folder: Path,
    inputs: Sequence[str],
    *,
    started_from: str | None = None,
) -> Run:
    """Describe the training that `config` asks for on this machine, before its first iteration."""
    device = resolve_device(config.device)
    info = CheckpointInfo(
        asem=__version__,
        iteration=0,
        structure=config.structure.name,
        voxel_size=config.voxel_size,
        voxel_size_range=config.voxel_size_range,
        model=config.model,
        training=config,
        inputs=tuple(dict.fromkeys(inputs)),
        device=describe(device),
        precision=resolve_precision(config.precision, device),
        started_from=started_from,
    )
    return Run(folder, info)
