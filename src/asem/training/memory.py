"""Whether there is memory for a training, checked before anything is read."""

from math import prod

import torch

from asem.model.config import TrainConfig
from asem.model.deployment import free_on
from asem.model.device import resolve_precision
from asem.model.unet import KERNEL, crop_size
from asem.system.resources import refuse_without_memory
from asem.training.augment import reach_of

ADVICE = "take a smaller `batch`, `patch` or `model`, or a larger `accumulate`"
PROCESS_BYTES = 3 * 10**8
"""Of a process that has loaded torch, beside the one that started it."""
OF_WEIGHT = 4 * 4
"""Bytes: the weight, its gradient, two moments."""


def check_memory(config: TrainConfig, device: torch.device) -> None:
    """Refuse a training that takes more memory than there is, whatever it is trained on.

    Parameters
    ----------
    config
        Network, patch and batch.
    device
        Where it is trained.

    Raises
    ------
    ValueError
        The least that it takes is more than what is free.
    """
    item = 2 if resolve_precision(config.precision, device) == "bf16" else 4
    needed = least_bytes(config, item)
    if device.type == "cpu" and config.devices > 1:
        needed = config.devices * (needed + PROCESS_BYTES)
    refuse_without_memory(needed, "the training", ADVICE, free=free_on(device))
    read = prod(2 * far for far in reach_of(config.augment, config.patch, config.voxel_size))
    advice = "take smaller lengths in [augment], or a smaller `patch`"
    refuse_without_memory(read, "a patch with all that may be warped into it", advice)


def least_bytes(config: TrainConfig, item: int) -> int:
    """Return the bytes that a training takes at least in each of its processes.

    Its weights with their gradient and moments, and the maps that all convolutions give for the
    patches that are trained on at a time: they are kept until the gradient is known.

    Parameters
    ----------
    config
        Network, patch and batch.
    item
        Bytes of a number of a map.

    Examples
    --------
    >>> from asem.model.config import Region
    >>> regions = (Region(raw="raw", labels="labels"),)
    >>> paper = TrainConfig(structure="mito", voxel_size=(5, 5, 5), train=regions, recipe="paper")
    >>> round(least_bytes(paper, item=4) / 1e9, 1)
    3.3
    """
    model, patches = config.model, config.batch // (config.devices * config.accumulate)
    size, numbers = config.patch, 0

    def convolved(size: int, width: int) -> tuple[int, int]:
        sizes = [size - (KERNEL - 1) * number for number in range(1, model.convolutions + 1)]
        return sizes[-1], sum(width * edge**3 for edge in sizes)

    for level, width in enumerate(model.widths):
        size, more = convolved(size // 2 if level else size, width)
        numbers += more
    for level in reversed(range(model.levels - 1)):
        size, more = convolved(crop_size(model, level, 2 * size), model.widths[level])
        numbers += more
    return OF_WEIGHT * model.weights + item * patches * numbers
