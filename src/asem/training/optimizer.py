"""How the weights move: optimizers, learning rates, the running mean of the weights."""

import copy
import math

import torch
from torch import Tensor

from asem.model.config import OptimizerConfig
from asem.model.unet import UNet


def make_optimizer(config: OptimizerConfig, net: torch.nn.Module) -> torch.optim.Optimizer:
    """Return Adam (L2 penalty, as in the paper) or AdamW (decoupled decay)."""
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    on_gpu = all(weight.is_cuda for weight in net.parameters())
    return kind(
        net.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=on_gpu or None,  # on a CPU it makes no difference
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


class Average:
    """A running mean of a network's weights and buffers, as a network ready for inference.

    ::

        mean <- d mean + (1 - d) weights,    d = min(decay, (1 + n) / (10 + n)) at the n-th update

    so that it forgets the first weights soon. With a decay of 0 it is a copy.

    Parameters
    ----------
    net
        The network that is trained.
    decay
        Share that an update leaves as it was.
    """

    def __init__(self, net: UNet, decay: float) -> None:
        self.source, self.decay = net, decay
        self.net = copy.deepcopy(net).eval()
        self.net.requires_grad_(False)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Take the weights of the `iteration`-th iteration, counted from 0, into the mean."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        mine, theirs = self.net.state_dict(), self.source.state_dict()
        for name, mean in mine.items():
            if mean.is_floating_point():
                mean.lerp_(theirs[name], 1 - decay)
            else:
                mean.copy_(theirs[name])

    def weights(self) -> dict[str, Tensor]:
        """Return the weights that are trained, where they differ from the mean."""
        return dict(self.source.state_dict()) if self.decay else {}
