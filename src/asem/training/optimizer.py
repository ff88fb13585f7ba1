"""Optimizer, learning-rate schedule, exponential moving average (EMA) of the weights."""

import copy
import math

import torch
from torch import Tensor

from asem.model.unet import UNet
from asem.training.config import OptimizerConfig


def make_optimizer(config: OptimizerConfig, net: torch.nn.Module) -> torch.optim.Optimizer:
    """Return Adam (L2 penalty, as in the paper) or AdamW (decoupled decay)."""
    optimizer_class = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    on_gpu = all(weight.is_cuda for weight in net.parameters())
    return optimizer_class(
        net.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=on_gpu or None,  # no effect on a CPU
    )


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


class ExponentialMovingAverage:
    """Exponential moving average (EMA) of a network's weights and buffers, for inference.

    ::

        mean <- d mean + (1 - d) weights,    d = min(decay, (1 + n) / (10 + n)) at the n-th update

    The smaller d of the first updates soon removes the initial weights. With a decay of 0 the EMA
    is a copy.

    Parameters
    ----------
    net
        The network that is trained.
    decay
        Weight of the mean in an update.
    """

    def __init__(self, net: UNet, decay: float) -> None:
        self.trained_net, self.decay = net, decay
        self.net = copy.deepcopy(net).eval()
        self.net.requires_grad_(False)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Update the EMA with the weights of iteration `iteration`, counted from 0."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        averages, trained = self.net.state_dict(), self.trained_net.state_dict()
        for name, mean in averages.items():
            if mean.is_floating_point():
                mean.lerp_(trained[name], 1 - decay)
            else:
                mean.copy_(trained[name])

    def trained_weights(self) -> dict[str, Tensor]:
        """Return the trained weights; empty if the decay is 0, as they equal the EMA."""
        return dict(self.trained_net.state_dict()) if self.decay else {}
