"""Losses over two classes; voxels of unknown label count for nothing."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SMALLEST_SHARE, LARGEST_SHARE = 0.01, 0.99

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(logits (n, 2, z, y, x), target int64 (n, z, y, x) of 0 and 1, known bool) -> scalar."""


def balanced_cross_entropy(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross entropy with both classes weighing the same in each block.

    With the share s_c of class c among a block's known voxels, clipped to [0.01, 0.99] (paper,
    Training: Pipeline details, "clipped at a value of 1:100")::

        w_v = 1 / s_(target_v)         loss = sum_v w_v * CE_v / sum_v w_v

    Parameters
    ----------
    logits, target, known
        As `Loss` says.
    """
    over = (1, 2, 3)
    foreground = (target * known).sum(over) / known.sum(over).clamp(min=1)
    share = foreground.clamp(SMALLEST_SHARE, LARGEST_SHARE).view(-1, 1, 1, 1)
    background = (1 - foreground).clamp(SMALLEST_SHARE, LARGEST_SHARE).view(-1, 1, 1, 1)
    weight = torch.where(target == 1, 1 / share, 1 / background) * known
    entropy = functional.cross_entropy(logits, target, reduction="none")
    return (weight * entropy).sum() / weight.sum().clamp(min=1e-6)


def cross_entropy_and_dice(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Plain cross entropy plus the soft Dice loss (Milletari et al., 2016) of the foreground.

    With the probability p and the target t, over all known voxels of the batch::

        loss = mean CE + 1 - (2 sum p t + 1) / (sum p + sum t + 1)

    Parameters
    ----------
    logits, target, known
        As `Loss` says.
    """
    entropy = functional.cross_entropy(logits, target, reduction="none")
    mean = (entropy * known).sum() / known.sum().clamp(min=1)
    probability = logits.softmax(1)[:, 1] * known
    both = (probability * target).sum()
    dice = (2 * both + 1) / (probability.sum() + (target * known).sum() + 1)
    return mean + 1 - dice


def loss_named(name: str) -> Loss:
    """Return the loss that a training file calls ``"balanced"`` or ``"cross_entropy+dice"``."""
    if name == "balanced":
        return balanced_cross_entropy
    if name == "cross_entropy+dice":
        return cross_entropy_and_dice
    raise ValueError(f"unknown loss '{name}'; known: balanced, cross_entropy+dice")
