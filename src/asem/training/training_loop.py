"""Training loop: load batch, forward, loss, backward; validate and save every N iterations."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import update_bn

from asem.blocks.run_blocks import Progress, no_progress
from asem.model import checkpoint
from asem.model.device import can_compile
from asem.model.inference import NetworkRunner
from asem.model.run_metrics import MetricsRow, RegionScores, ValidationScores
from asem.model.unet import UNet, initialize_weights
from asem.system.compiler_caches import set_inductor_cache
from asem.training import training_checkpoint
from asem.training.batches import BatchLoader
from asem.training.config import TrainConfig
from asem.training.distributed import catch_stop_signals
from asem.training.labelled_regions import LabelledRegion
from asem.training.losses import Loss, find_loss
from asem.training.metrics_logger import MetricsLogger, open_metrics_loggers
from asem.training.optimizer import ExponentialMovingAverage, learning_rate, make_optimizer
from asem.training.region_names import name_regions
from asem.training.training_run import TrainingRun
from asem.training.validation import validate

LOG = logging.getLogger(__name__)
LOSS_READ_INTERVAL = {"cpu": 1, "cuda": 16}
"""Iterations between two checks of losses and stop signals. Each check synchronizes with the GPU;
in between, steps are queued while it computes."""
STATISTICS_ITERATIONS = 20
"""Last iterations whose patches are used for the statistics of batch norm at inference."""


class Trainer:
    """A network with its optimizer, EMA and loss; runs single training steps.

    Parameters
    ----------
    fabric
        Devices and precision.
    config
        The training file.
    initial_checkpoint
        A checkpoint whose weights are the initial ones; None: random weights.
    """

    def __init__(
        self, fabric: Fabric, config: TrainConfig, initial_checkpoint: Path | None = None
    ) -> None:
        self.fabric, self.config = fabric, config
        self.net = UNet(config.model)
        if initial_checkpoint is None:
            initialize_weights(self.net, torch.Generator().manual_seed(config.seed))
        else:
            checkpoint.load_weights(initial_checkpoint, self.net)
        self.net.to(fabric.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(config.optimizer, self.net)
        self.ema = ExponentialMovingAverage(self.net, config.optimizer.average)
        self.loss_function: Loss = find_loss(config.loss)

    def resume_from(self, folder: Path) -> None:
        """Load weights, EMA and optimizer state from a checkpoint."""
        checkpoint.load_weights(folder, self.ema.net)
        training_checkpoint.load_training_state(folder, self.net, self.optimizer)

    def setup_fabric(self) -> None:
        """Compile the network if configured, and set up Fabric, after the state is loaded."""
        net: torch.nn.Module = self.net
        use_compile = self.config.compile
        if can_compile(self.fabric.device) if use_compile == "auto" else use_compile:
            LOG.info("compiling the network: the first iterations may take a minute")
            set_inductor_cache()
            net = torch.compile(net)  # type: ignore[assignment]
        self.wrapped_net, self.wrapped_optimizer = self.fabric.setup(net, self.optimizer)

    def step(
        self, micro_batches: Sequence[tuple[Tensor, Tensor, Tensor]], iteration: int
    ) -> Tensor:
        """Train on the micro-batches (raw, target, labelled) of a batch; return the scalar loss.

        The loss stays on the device: reading it would block until the step is computed.
        """
        config = self.config
        for group in self.wrapped_optimizer.param_groups:
            group["lr"] = learning_rate(config.optimizer, iteration, config.iterations)
        self.wrapped_net.train()
        self.wrapped_optimizer.zero_grad()
        total = torch.zeros((), device=self.fabric.device)
        count = len(micro_batches)
        for number, (raw, target, labelled) in enumerate(micro_batches, 1):
            with self.fabric.no_backward_sync(self.wrapped_net, enabled=number < count):
                logits = self.wrapped_net(raw).float()
                loss = self.loss_function(logits, target, labelled) / count
                self.fabric.backward(loss)
            total += loss.detach()
        self.wrapped_optimizer.step()
        self.ema.update(iteration)
        return self.fabric.all_reduce(total)  # type: ignore[return-value]

    def update_norm_statistics(self, batches: BatchLoader, iteration: int) -> None:
        """Compute mean and variance of batch norm with the averaged weights, for inference.

        Running statistics are those of the weights of many earlier iterations, and therefore wrong
        for their average: the first scores of a training are then near 0, and later ones vary by a
        few hundredths from one validation to the next. Here they are the mean over the patches of
        the last `STATISTICS_ITERATIONS` iterations ("precise batch norm": Wu and Johnson,
        Rethinking "Batch" in BatchNorm, 2021).

        Parameters
        ----------
        batches
            Training patches.
        iteration
            Number of iterations done.
        """
        last = range(max(0, iteration - STATISTICS_ITERATIONS), iteration)
        batches.wait_for_prefetch()
        with self.fabric.autocast():
            update_bn((raw for n in last for raw, _, _ in batches.load(n)), self.ema.net)


def train(
    fabric: Fabric,
    run: TrainingRun,
    batches: BatchLoader,
    *,
    validation: Sequence[LabelledRegion] = (),
    initial_checkpoint: Path | None = None,
    extra_loggers: Sequence[MetricsLogger] = (),
    progress: Progress = no_progress,
) -> None:
    """Train until the last iteration, resuming from the last checkpoint of the run.

    Random numbers depend on the seed and the iteration only, so that an interrupted run gives the
    result of an uninterrupted one: bit-identical on a CPU, while on a GPU cuDNN may sum in another
    order. A stop signal (Ctrl-C, SIGTERM, SIGHUP) stops the training between two iterations, on a
    GPU after at most `LOSS_READ_INTERVAL` iterations, with a checkpoint. Networks with
    batch norm are evaluated `STATISTICS_ITERATIONS` times before it is saved.

    Parameters
    ----------
    fabric
        From `make_fabric`, launched; each of its processes calls this function.
    run
        From `make_training_run`, at iteration 0 or resumed; its folder exists.
    batches
        Training patches.
    validation
        Held-out regions.
    initial_checkpoint
        A checkpoint with the initial weights.
    extra_loggers
        Called with the metrics after each validation.
    progress
        Called with the number of iterations done.

    Raises
    ------
    KeyboardInterrupt
        After a stop signal.
    ValueError
        The loss is not finite.
    """
    config = run.config
    trainer = Trainer(fabric, config, initial_checkpoint)
    if run.iteration:
        folder = checkpoint.checkpoint_folder(run.folder, run.iteration)
        trainer.resume_from(folder)
        LOG.info("resuming from iteration %d", run.iteration)
    trainer.setup_fabric()
    if fabric.is_global_zero:
        LOG.info("training on %s, precision %s", run.info.device, run.info.precision)
    start_time = time.monotonic() - run.seconds
    stopped = False
    pending_losses: list[Tensor] = []
    with ExitStack() as stack:
        stop = stack.enter_context(catch_stop_signals())
        stack.enter_context(batches)
        # All steps have the same shapes; precision "32" is not TF32, as in `NetworkRunner`.
        flags = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        stack.enter_context(flags)
        log_metrics = (
            stack.enter_context(open_metrics_loggers(run, extra_loggers=extra_loggers))
            if fabric.is_global_zero
            else None
        )
        while not stopped:
            if log_metrics and run.needs_validation:
                batches.wait_for_prefetch()
                _validate_and_record(run, trainer, validation)
                run.seconds = time.monotonic() - start_time
                run.save("running")
                log_metrics(run.metrics)
            progress("training", run.iteration, config.iterations)
            if run.iteration >= config.iterations:
                return
            pending_losses.append(trainer.step(batches.load(run.iteration), run.iteration))
            run.advance()
            interval = LOSS_READ_INTERVAL[fabric.device.type]
            if len(pending_losses) < interval and not run.is_checkpoint_due:
                continue
            run.record_losses([float(loss) for loss in pending_losses])
            pending_losses.clear()
            run.seconds = time.monotonic() - start_time
            stopped = _any_process(fabric, stop.is_set())
            if log_metrics and (stopped or run.is_checkpoint_due):
                trainer.update_norm_statistics(batches, run.iteration)
                _save_checkpoint(run, trainer)  # before validation, which may fail
    raise stop.make_interrupt()


def _validate_and_record(
    run: TrainingRun, trainer: Trainer, validation: Sequence[LabelledRegion]
) -> None:
    """Validate, and add a row to the metrics."""
    config = trainer.config
    runner = NetworkRunner(trainer.ema.net, trainer.fabric.device, config.precision)
    pooled, by_region = ValidationScores(), list[ValidationScores]()
    if validation:
        pooled, by_region = validate(runner, validation, config)
    names = name_regions(config.validation)
    total, count = run.losses
    row = MetricsRow(
        iteration=run.iteration,
        train_loss=total / count,
        **pooled.model_dump(),
        seconds=round(run.seconds, 1),
        regions=tuple(
            RegionScores(region=name, **scores.model_dump())
            for name, scores in zip(names, by_region, strict=True)
        ),
    )
    run.metrics.append(row)
    run.losses = 0.0, 0


def _save_checkpoint(run: TrainingRun, trainer: Trainer) -> None:
    training_checkpoint.save_checkpoint(
        run.folder,
        run.info,
        net=trainer.ema.net,
        optimizer=trainer.optimizer,
        trained_weights=trainer.ema.trained_weights(),
    )
    run.save("running")


def _any_process(fabric: Fabric, flag: bool) -> bool:
    """Return whether the flag is set in any process, so that all processes stop together."""
    if fabric.world_size == 1:
        return flag
    flags = torch.tensor(float(flag), device=fabric.device)
    return bool(fabric.all_reduce(flags, reduce_op="sum") > 0)  # type: ignore[operator]
