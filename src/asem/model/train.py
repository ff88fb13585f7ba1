"""The training loop: draw, forward, loss, backward; validate and save every N iterations."""

import csv
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from asem import __version__
from asem.blocks.run import Progress, silent
from asem.model import checkpoint
from asem.model.config import CheckpointInfo, OptimizerConfig, RunState, TrainConfig
from asem.model.device import describe, resolve_device, resolve_precision
from asem.model.inference import Runner
from asem.model.losses import loss_named
from asem.model.sampling import BEYOND, FOREGROUND, Sample, Sampler
from asem.model.unet import UNet, initialize
from asem.model.validation import validate

LOG = logging.getLogger(__name__)
METRICS = "metrics.csv"
UNSCORED = dict.fromkeys(("validation_loss", "precision", "recall", "f1"))


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
    """

    folder: Path
    info: CheckpointInfo
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def iteration(self) -> int:
        """Iterations done."""
        return self.info.iteration

    @property
    def best(self) -> int | None:
        """Iteration of the best checkpoint: highest validation F1, of equal ones the first.

        The last one where there is no F1.
        """
        scored = [row for row in self.rows if row["f1"] is not None]
        if not scored:
            return int(self.rows[-1]["iteration"]) if self.rows else None
        return int(max(scored, key=lambda row: float(row["f1"]))["iteration"])

    def save(self, state: Literal["running", "finished"]) -> None:
        """Write `run.json`."""
        document = RunState(
            state=state,
            iteration=self.iteration,
            best=self.best,
            checkpoint=self.info,
            metrics=tuple(self.rows),
        )
        checkpoint.write_run(self.folder, document)


def begin(config: TrainConfig, folder: Path, samples: Sequence[Sample]) -> Run:
    """Describe the training that `config` asks for on this machine, before its first iteration."""
    device = resolve_device(config.device)
    inputs = [text for sample in samples for text in sample.inputs]
    info = CheckpointInfo(
        asem=__version__,
        iteration=0,
        structure=config.structure,
        voxel_size=config.voxel_size,
        model=config.model,
        training=config,
        inputs=tuple(dict.fromkeys(inputs)),
        device=describe(device),
        precision=resolve_precision(config.precision, device),
    )
    return Run(folder, info)


def train(
    run: Run,
    training: Sequence[Sample],
    *,
    validation: Sequence[Sample] = (),
    progress: Progress = silent,
) -> None:
    """Train until the last iteration, going on from the last checkpoint of the run.

    Chance depends on the seed and the number of the iteration only, so that a run that was
    interrupted ends as one that was not.

    Parameters
    ----------
    run
        From `begin`; its folder exists.
    training, validation
        Loaded regions.
    progress
        Told of every iteration.
    """
    config = run.info.training
    assert config is not None  # only a converted model has none
    device = resolve_device(config.device)
    fabric = _fabric(config, device)
    net = UNet(config.model)
    initialize(net, torch.Generator().manual_seed(config.seed))
    net.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    optimizer = make_optimizer(config.optimizer, net)
    _resume(run, net, optimizer)
    run.save("running")
    LOG.info("training on %s, precision %s", run.info.device, run.info.precision)
    model, stepper = fabric.setup(net, optimizer)
    loss_of, sampler = loss_named(config.loss), Sampler(training, config)

    def step() -> float:
        """Train on one batch; returns its loss."""
        for group in stepper.param_groups:
            group["lr"] = learning_rate(config.optimizer, run.iteration, config.iterations)
        raw, target, known = _batch(sampler, run.iteration, device)
        model.train()
        stepper.zero_grad()
        loss = loss_of(model(raw).float(), target, known)
        fabric.backward(loss)
        stepper.step()
        return loss.item()

    losses: list[float] = []
    started = time.monotonic() - (run.rows[-1]["seconds"] if run.rows else 0)
    with SummaryWriter(str(run.folder)) as board:
        while run.iteration < config.iterations:
            progress("training", run.iteration, config.iterations)
            losses.append(step())
            run.info = run.info.model_copy(update={"iteration": run.iteration + 1})
            _refuse_divergence(losses[-1], run.iteration)
            if run.iteration % config.validate_every == 0 or run.iteration == config.iterations:
                seconds = round(time.monotonic() - started, 1)
                runner = Runner(net.eval(), device, config.precision)
                scores = validate(runner, validation, config) if validation else UNSCORED
                loss = {"iteration": run.iteration, "train_loss": float(np.mean(losses))}
                run.rows.append({**loss, **scores, "seconds": seconds})
                checkpoint.save_checkpoint(run.folder, run.info, net=net, optimizer=optimizer)
                _tell(run, board)
                losses.clear()
    progress("training", run.iteration, config.iterations)


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


def _tell(run: Run, board: SummaryWriter) -> None:
    """Write the last row of the metrics everywhere."""
    row = run.rows[-1]
    with (run.folder / METRICS).open("w", newline="") as file:
        writer = csv.DictWriter(file, row.keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(run.rows)
    run.save("running")
    values = {key: value for key, value in row.items() if value is not None}
    for key, value in values.items():
        board.add_scalar(key, value, run.iteration)
    LOG.info("%s", ", ".join(f"{key} {value:.5g}" for key, value in values.items()))


def _resume(run: Run, net: UNet, optimizer: torch.optim.Optimizer) -> None:
    """Take up the last checkpoint that the run's metrics know."""
    if not (run.folder / checkpoint.RUN).exists():
        return
    run.rows = list(checkpoint.read_run(run.folder).metrics)
    if not run.rows:
        return
    iteration = int(run.rows[-1]["iteration"])
    run.info = run.info.model_copy(update={"iteration": iteration})
    folder = run.folder / "checkpoints" / f"{iteration:08d}"
    checkpoint.load_weights(folder, net)
    checkpoint.load_moments(folder, optimizer)
    LOG.info("going on from iteration %d", iteration)
