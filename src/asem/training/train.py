"""The training loop: draw, cut, forward, loss, backward; validate and save every N iterations."""

import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from asem.blocks.run import Progress, silent
from asem.model import checkpoint
from asem.model.config import TrainConfig
from asem.model.device import can_compile
from asem.model.inference import Runner
from asem.model.unet import UNet, initialize
from asem.system.kernel_cache import choose_inductor_cache
from asem.training.batches import Batches
from asem.training.losses import Loss, loss_named
from asem.training.optimizer import Average, learning_rate, make_optimizer
from asem.training.parallel import stopping
from asem.training.regions import Sample
from asem.training.run import Run
from asem.training.tracking import Told, tracking
from asem.training.validation import validate

LOG = logging.getLogger(__name__)
UNSCORED = dict.fromkeys(("validation_loss", "precision", "recall", "f1"))
READ_EVERY = {"cpu": 1, "cuda": 16}
"""Iterations after which losses are read and interrupts heeded. A GPU is waited for then, and not
in between: the next steps are queued while it computes."""


class Learner:
    """A network, what moves its weights, and one step of it.

    Parameters
    ----------
    fabric
        Devices and precision.
    config
        The training file.
    start
        The checkpoint of another run whose weights it starts with; None: random weights.
    """

    def __init__(self, fabric: Fabric, config: TrainConfig, start: Path | None = None) -> None:
        self.fabric, self.config = fabric, config
        self.net = UNet(config.model)
        if start is None:
            initialize(self.net, torch.Generator().manual_seed(config.seed))
        else:
            checkpoint.load_weights(start, self.net)
        self.net.to(fabric.device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(config.optimizer, self.net)
        self.average = Average(self.net, config.optimizer.average)
        self.loss_of: Loss = loss_named(config.loss)

    def take_up(self, folder: Path) -> None:
        """Go on from a checkpoint."""
        checkpoint.load_weights(folder, self.average.net)
        checkpoint.load_training(folder, self.net, self.optimizer)

    def set_up(self) -> None:
        """Hand network and optimizer to Fabric, once their state is loaded."""
        net: torch.nn.Module = self.net
        wanted = self.config.compile
        if can_compile(self.fabric.device) if wanted == "auto" else wanted:
            LOG.info("the network is compiled: the first iterations may take a minute")
            choose_inductor_cache()
            net = torch.compile(net)  # type: ignore[assignment]
        self.model, self.stepper = self.fabric.setup(net, self.optimizer)

    def step(self, parts: Sequence[tuple[Tensor, Tensor, Tensor]], iteration: int) -> Tensor:
        """Train on one batch, given in parts of (raw, target, known); returns its loss, a scalar.

        It stays on the device: reading it would wait for the step.
        """
        config = self.config
        for group in self.stepper.param_groups:
            group["lr"] = learning_rate(config.optimizer, iteration, config.iterations)
        self.model.train()
        self.stepper.zero_grad()
        total = torch.zeros((), device=self.fabric.device)
        for number, (raw, target, known) in enumerate(parts, 1):
            with self.fabric.no_backward_sync(self.model, enabled=number < len(parts)):
                loss = self.loss_of(self.model(raw).float(), target, known) / len(parts)
                self.fabric.backward(loss)
            total += loss.detach()
        self.stepper.step()
        self.average.update(iteration)
        return self.fabric.all_reduce(total)  # type: ignore[return-value]


def train(
    fabric: Fabric,
    run: Run,
    batches: Batches,
    *,
    validation: Sequence[Sample] = (),
    start: Path | None = None,
    also: Sequence[Told] = (),
    progress: Progress = silent,
) -> None:
    """Train until the last iteration, going on from the last checkpoint of the run.

    Chance depends on the seed and the number of the iteration only, so that a run that was
    interrupted ends as one that was not: to the bit on a CPU, while on a GPU cuDNN may add up in
    another order. An interrupt (Ctrl-C, SIGTERM, SIGHUP) is heeded between two
    iterations, on a GPU after the next `READ_EVERY`: a checkpoint is saved first.

    Parameters
    ----------
    fabric
        From `make_fabric`, launched; each of its processes calls this.
    run
        From `begin`, at iteration 0 or taken up; its folder exists.
    batches
        What is trained on.
    validation
        Held-out regions.
    start
        A checkpoint to begin with.
    also
        Told the metrics after each validation.
    progress
        Told of every iteration.

    Raises
    ------
    KeyboardInterrupt
        After an interrupt.
    ValueError
        The loss is no number any more.
    """
    config = run.config
    learner = Learner(fabric, config, start)
    if run.iteration:
        folder = checkpoint.checkpoint_folder(run.folder, run.iteration)
        learner.take_up(folder)
        LOG.info("going on from iteration %d", run.iteration)
    learner.set_up()
    first = fabric.is_global_zero
    if first:
        LOG.info("training on %s, precision %s", run.info.device, run.info.precision)
    began = time.monotonic() - run.seconds
    stopped = False
    unread: list[Tensor] = []
    with ExitStack() as stack:
        stop = stack.enter_context(stopping())
        stack.enter_context(batches)
        # Every step has the same shapes, and precision "32" is not TF32, as in `Runner`.
        flags = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        stack.enter_context(flags)
        told = stack.enter_context(tracking(run, also=also)) if first else None
        while not stopped:
            if told and run.lacks_row:
                batches.settle()
                _add_row(run, learner, validation)
                run.seconds = time.monotonic() - began
                run.save("running")
                told(run.rows)
            progress("training", run.iteration, config.iterations)
            if run.iteration >= config.iterations:
                return
            unread.append(learner.step(batches.of(run.iteration), run.iteration))
            run.advance()
            if len(unread) < READ_EVERY[fabric.device.type] and not run.is_due:
                continue
            run.count([float(loss) for loss in unread])
            unread.clear()
            run.seconds = time.monotonic() - began
            stopped = _any(fabric, stop.is_set())
            if told and (stopped or run.is_due):  # before validation, which may fail
                _save(run, learner)
    raise stop.interruption()


def _add_row(run: Run, learner: Learner, validation: Sequence[Sample]) -> None:
    """Validate, and add to the metrics."""
    config = learner.config
    runner = Runner(learner.average.net, learner.fabric.device, config.precision)
    scores = validate(runner, validation, config) if validation else UNSCORED
    total, number = run.losses
    mean = {"iteration": run.iteration, "train_loss": total / number}
    run.rows.append({**mean, **scores, "seconds": round(run.seconds, 1)})
    run.losses = 0.0, 0


def _save(run: Run, learner: Learner) -> None:
    checkpoint.save_checkpoint(
        run.folder,
        run.info,
        net=learner.average.net,
        optimizer=learner.optimizer,
        trained=learner.average.weights(),
    )
    run.save("running")


def _any(fabric: Fabric, flag: bool) -> bool:
    """Whether any process has the flag; they stop together or not at all."""
    if fabric.world_size == 1:
        return flag
    flags = torch.tensor(float(flag), device=fabric.device)
    return bool(fabric.all_reduce(flags, reduce_op="sum") > 0)  # type: ignore[operator]
