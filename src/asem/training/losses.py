"""Losses for two classes; unlabelled voxels are ignored.

To add one, write a function with the signature of `Loss` and register it in `LOSSES`. Training
files are checked against `LOSSES` without torch, so that the functions import torch themselves.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from asem.config import shorten, suggest

if TYPE_CHECKING:
    from torch import Tensor

MIN_CLASS_SHARE, MAX_CLASS_SHARE = 0.01, 0.99

Loss = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
"""(logits (n, 2, z, y, x), target int64 (n, z, y, x) of 0 and 1, labelled bool) -> scalar."""


def balanced_cross_entropy(logits: "Tensor", target: "Tensor", labelled: "Tensor") -> "Tensor":
    """Return the cross entropy, weighted so that both classes count equally in each patch.

    With the fraction s_c of class c among a patch's labelled voxels, clipped to [0.01, 0.99]
    (paper, Training: Pipeline details, "clipped at a value of 1:100")::

        w_v = 1 / s_(target_v)         loss = sum_v w_v * CE_v / sum_v w_v

    Parameters
    ----------
    logits, target, labelled
        See `Loss`.
    """
    import torch
    from torch.nn import functional

    over = (1, 2, 3)
    foreground = (target * labelled).sum(over) / labelled.sum(over).clamp(min=1)
    positive = foreground.clamp(MIN_CLASS_SHARE, MAX_CLASS_SHARE).view(-1, 1, 1, 1)
    negative = (1 - foreground).clamp(MIN_CLASS_SHARE, MAX_CLASS_SHARE).view(-1, 1, 1, 1)
    weight = torch.where(target == 1, 1 / positive, 1 / negative) * labelled
    entropy = functional.cross_entropy(logits, target, reduction="none")
    return (weight * entropy).sum() / weight.sum().clamp(min=1e-6)


def cross_entropy_and_dice(logits: "Tensor", target: "Tensor", labelled: "Tensor") -> "Tensor":
    """Return the cross entropy plus the soft Dice loss (Milletari et al., 2016) of the foreground.

    With the probability p and the target t, over all labelled voxels of the batch::

        loss = mean CE + 1 - (2 sum p t + 1) / (sum p + sum t + 1)

    Parameters
    ----------
    logits, target, labelled
        See `Loss`.
    """
    from torch.nn import functional

    entropy = functional.cross_entropy(logits, target, reduction="none")
    mean = (entropy * labelled).sum() / labelled.sum().clamp(min=1)
    probability = logits.softmax(1)[:, 1] * labelled
    overlap = (probability * target).sum()
    dice = (2 * overlap + 1) / (probability.sum() + (target * labelled).sum() + 1)
    return mean + 1 - dice


LOSSES: dict[str, Loss] = {
    "balanced": balanced_cross_entropy,
    "cross_entropy+dice": cross_entropy_and_dice,
}
"""The losses by their name in a training file."""


def find_loss(name: str) -> Loss:
    """Return the loss of this name in `LOSSES`; ValueError if there is none."""
    if name not in LOSSES:
        allowed = " or ".join(map(repr, LOSSES))
        raise ValueError(f"there is no loss {shorten(name)}; give {allowed}{suggest(name, LOSSES)}")
    return LOSSES[name]
