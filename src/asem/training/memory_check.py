"""Check, before reading data, that a training fits into the free memory."""

from math import prod

import torch

from asem.model.device import resolve_precision
from asem.model.device_pool import free_device_memory
from asem.model.unet import KERNEL, crop_size
from asem.system.resources import check_free_memory
from asem.training.augmentation import max_source_half_extent
from asem.training.config import TrainConfig

ADVICE = "take a smaller `batch`, `patch` or `model`, or a larger `accumulate`"
PROCESS_BYTES = 3 * 10**8
"""Memory of each additional process that has loaded torch."""
BYTES_PER_WEIGHT = 4 * 4
"""Bytes of the weight, its gradient and two moments."""


def check_training_memory(config: TrainConfig, device: torch.device) -> None:
    """Check that the network and the patches fit into the free memory; data are not considered.

    Parameters
    ----------
    config
        Network, patch and batch.
    device
        Device of the training.

    Raises
    ------
    ValueError
        The minimum that the training needs exceeds the free memory.
    """
    bytes_per_value = 2 if resolve_precision(config.precision, device) == "bf16" else 4
    needed = min_training_bytes(config, bytes_per_value)
    if device.type == "cpu" and config.devices > 1:
        needed = config.devices * (needed + PROCESS_BYTES)
    check_free_memory(needed, "the training", ADVICE, free_bytes=free_device_memory(device))
    extent = max_source_half_extent(config.augment, config.patch, config.voxel_size)
    advice = "take smaller lengths in [augment], or a smaller `patch`"
    check_free_memory(prod(2 * half for half in extent), "the source region of a patch", advice)


def min_training_bytes(config: TrainConfig, bytes_per_value: int) -> int:
    """Return the minimum number of bytes that each process of a training needs.

    These are the weights with their gradient and moments, and the feature maps of all convolutions
    for the patches of a micro-batch, which are stored until the backward pass.

    Parameters
    ----------
    config
        Network, patch and batch.
    bytes_per_value
        Bytes of one value of a feature map.

    Examples
    --------
    >>> from asem.training.region_config import TrainingRegion
    >>> regions = (TrainingRegion(raw="raw", labels="labels"),)
    >>> paper = TrainConfig(structure="mito", voxel_size=(5, 5, 5), train=regions, recipe="paper")
    >>> round(min_training_bytes(paper, bytes_per_value=4) / 1e9, 1)
    3.3
    """
    model, patches = config.model, config.batch // (config.devices * config.accumulate)
    size, values = config.patch, 0

    def convolve(size: int, width: int) -> tuple[int, int]:
        sizes = [size - (KERNEL - 1) * number for number in range(1, model.convolutions + 1)]
        return sizes[-1], sum(width * edge**3 for edge in sizes)

    for level, width in enumerate(model.features_per_level):
        size, added = convolve(size // 2 if level else size, width)
        values += added
    for level in reversed(range(model.levels - 1)):
        size, added = convolve(crop_size(model, level, 2 * size), model.features_per_level[level])
        values += added
    return BYTES_PER_WEIGHT * model.weight_count + bytes_per_value * patches * values
