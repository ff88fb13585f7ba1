"""The training loop: draw, forward, loss, backward; validate and save every N iterations."""

import csv
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from asem.model import checkpoint
from asem.model.config import OptimizerConfig, TrainConfig
from asem.model.device import describe, resolve_device, resolve_precision
from asem.model.inference import Runner
from asem.model.losses import Loss, loss_named
from asem.model.sampling import BEYOND, FOREGROUND, Sample, Sampler
from asem.model.unet import UNet, initialize
from asem.model.validation import validate
from asem.structures import structure

LOG = logging.getLogger(__name__)
METRICS = "metrics.csv"

Report = Callable[[str, int, int], None]


@dataclass
class Run:
    """A training under way.

    Parameters
    ----------
    folder
        The run directory.
    config
        The training file.
    net, optimizer
        On the device.
    iteration
        Iterations done.
    rows
        The metrics so far, one row a validation.
    """

    folder: Path
    config: TrainConfig
    net: UNet
    optimizer: torch.optim.Optimizer
    iteration: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def best(self) -> int | None:
        """Iteration of the best checkpoint: highest validation F1, of equal ones the first.

        The last one where there is no F1.
        """
        scored = [row for row in self.rows if row["f1"] is not None]
        if not scored:
            return int(self.rows[-1]["iteration"]) if self.rows else None
        return int(max(scored, key=lambda row: float(row["f1"]))["iteration"])


def train(
    config: TrainConfig,
    folder: Path,
    training: Sequence[Sample],
    validation: Sequence[Sample],
    progress: Report,
) -> Run:
    """Train until the last iteration, going on from the last checkpoint in `folder`.

    Chance depends on the seed and the number of the iteration only, so that a run that was
    interrupted ends as one that was not.

    Parameters
    ----------
    config
        The training file.
    folder
        The run directory; exists.
    training, validation
        Loaded regions.
    progress
        Told of every iteration.
    """
    device = resolve_device(config.device)
    fabric = _fabric(config, device)
    net = UNet(config.model)
    initialize(net, torch.Generator().manual_seed(config.seed))
    net.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    run = Run(folder, config, net, make_optimizer(config.optimizer, net))
    _resume(run)
    save_state(run, "running")
    LOG.info(
        "training on %s, precision %s",
        describe(device),
        resolve_precision(config.precision, device),
    )
    model, optimizer = fabric.setup(net, run.optimizer)
    loss_of, sampler = loss_named(config.loss), Sampler(training, config)

    def step() -> float:
        """Train on one batch; returns its loss."""
        raw, target, known = _batch(sampler, run.iteration, device)
        model.train()
        optimizer.zero_grad()
        loss = loss_of(model(raw).float(), target, known)
        fabric.backward(loss)
        optimizer.step()
        return loss.item()

    losses: list[float] = []
    started = time.monotonic() - (run.rows[-1]["seconds"] if run.rows else 0)
    with SummaryWriter(str(folder)) as board:
        while run.iteration < config.iterations:
            progress("training", run.iteration, config.iterations)
            rate = learning_rate(config.optimizer, run.iteration, config.iterations)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses.append(step())
            run.iteration += 1
            _refuse_divergence(losses[-1], run.iteration)
            if run.iteration % config.validate_every == 0 or run.iteration == config.iterations:
                seconds = time.monotonic() - started
                _milestone(run, validation, loss_of, losses, seconds, board)
                losses.clear()
    progress("training", run.iteration, config.iterations)
    return run


def _fabric(config: TrainConfig, device: torch.device) -> Fabric:
    precision: Literal["bf16-mixed", "32-true"] = (
        "bf16-mixed" if resolve_precision(config.precision, device) == "bf16" else "32-true"
    )
    devices: int | list[int] = 1 if device.type == "cpu" else [device.index]
    return Fabric(accelerator=device.type, devices=devices, precision=precision)


def make_optimizer(config: OptimizerConfig, net: torch.nn.Module) -> torch.optim.Optimizer:
    """Return Adam (L2 penalty, as in the paper) or AdamW (decoupled decay)."""
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    return kind(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def learning_rate(config: OptimizerConfig, iteration: int, iterations: int) -> float:
    """Return the learning rate of one iteration, counted from 0.

    Examples
    --------
    >>> cosine = OptimizerConfig(learning_rate=1.0, schedule="cosine", warmup=2)
    >>> [round(learning_rate(cosine, i, 8), 2) for i in (0, 1, 2, 4, 6)]
    [0.5, 0.96, 0.85, 0.5, 0.15]
    """
    rate = config.learning_rate * min(1.0, (iteration + 1) / max(1, config.warmup))
    if config.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * iteration / iterations)) / 2
    return rate


def _batch(sampler: Sampler, iteration: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    config = sampler.config
    seeds = ([config.seed, iteration, number] for number in range(config.batch))
    patches = [sampler.draw(np.random.default_rng(seed)) for seed in seeds]
    raw = torch.from_numpy(np.stack([grey for grey, _ in patches])).unsqueeze(1)
    codes = torch.from_numpy(np.stack([target for _, target in patches])).to(device)
    raw = raw.to(device, memory_format=torch.channels_last_3d)
    return raw, (codes == FOREGROUND).long(), codes < BEYOND


def _refuse_divergence(loss: float, iteration: int) -> None:
    if not math.isfinite(loss):
        raise ValueError(
            f"the loss became {loss} in iteration {iteration}; take a smaller "
            'optimizer.learning_rate, or precision = "32"'
        )


def _milestone(
    run: Run,
    validation: Sequence[Sample],
    loss_of: Loss,
    losses: list[float],
    seconds: float,
    board: SummaryWriter,
) -> None:
    """Validate, save, and note both."""
    row: dict[str, Any] = {"iteration": run.iteration, "train_loss": float(np.mean(losses))}
    if validation:
        device = next(run.net.parameters()).device
        runner = Runner(run.net.eval(), device, run.config.precision)
        zone = structure(run.config.structure)
        row |= validate(runner, validation, loss_of, zone, run.config)
    else:
        row |= {"validation_loss": None, "precision": None, "recall": None, "f1": None}
    row["seconds"] = round(seconds, 1)
    run.rows.append(row)
    checkpoint.save_checkpoint(
        run.folder, run.net, run.optimizer, iteration=run.iteration, config=run.config
    )
    _write_metrics(run)
    save_state(run, "running")
    for key, value in row.items():
        if value is not None and key != "iteration":
            board.add_scalar(key, value, run.iteration)
    shown = {k: round(v, 4) for k, v in row.items() if v is not None}
    LOG.info("%s", ", ".join(f"{key} {value}" for key, value in shown.items()))


def _write_metrics(run: Run) -> None:
    with (run.folder / METRICS).open("w", newline="") as file:
        writer = csv.DictWriter(file, run.rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(run.rows)


def save_state(run: Run, state: str) -> None:
    """Write `run.json`: the resolved training file, how far it got, and which checkpoint is best.

    Parameters
    ----------
    run
        The run.
    state
        ``"running"`` or ``"finished"``.
    """
    document = {
        "state": state,
        "best": run.best,
        "iteration": run.iteration,
        "config": run.config.model_dump(mode="json"),
        "metrics": run.rows,
    }
    checkpoint.write_run(run.folder, document)


def _resume(run: Run) -> None:
    """Take up the last checkpoint that the run's metrics know."""
    if not (run.folder / checkpoint.RUN).exists():
        return
    rows = checkpoint.read_run(run.folder)["metrics"]
    if not rows:
        return
    run.rows, run.iteration = rows, rows[-1]["iteration"]
    folder = run.folder / "checkpoints" / f"{run.iteration:08d}"
    checkpoint.load_weights(folder, run.net)
    checkpoint.load_moments(folder, run.optimizer)
    LOG.info("going on from iteration %d", run.iteration)
