"""Random changes of a training patch: mirrors, transposes, contrast and brightness."""

from itertools import permutations

import numpy as np
import numpy.typing as npt

from asem.config import Nm3
from asem.model.config import AugmentConfig

Grey = npt.NDArray[np.float32]
Target = npt.NDArray[np.uint8]


def augment(
    raw: Grey,
    target: Target,
    config: AugmentConfig,
    *,
    voxel_size: Nm3,
    rng: np.random.Generator,
) -> tuple[Grey, Target]:
    """Mirror and transpose both, then change the grey values (paper, Table S8).

    Parameters
    ----------
    raw
        A cube, grey values in [0, 1].
    target
        The cube of labels at its centre.
    config
        What may change and by how much.
    voxel_size
        nm; only axes of equal voxel size are exchanged.
    rng
        Where chance comes from; one call draws the same number of values whatever the settings.
    """
    order, mirrored = draw_orientation(voxel_size, rng)
    scale, shift = rng.uniform(-1, 1, 2)
    if config.transpose:
        raw, target = raw.transpose(order), target.transpose(order)
    if config.mirror:
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in mirrored)
        raw, target = raw[steps], target[steps]
    grey = change_intensity(raw, 1 + config.contrast * scale, config.brightness * shift)
    return grey, np.ascontiguousarray(target)


def draw_orientation(
    voxel_size: Nm3, rng: np.random.Generator
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Draw an order of the axes and which of them are mirrored.

    Returns
    -------
    order
        A permutation of (0, 1, 2) that keeps the voxel size of each axis.
    mirrored
        Per axis.
    """
    orders = [
        order
        for order in permutations(range(3))
        if all(voxel_size[new] == voxel_size[old] for new, old in enumerate(order))
    ]
    order = orders[int(rng.integers(len(orders)))]
    return order, tuple(bool(flip) for flip in rng.integers(2, size=3))


def change_intensity(raw: Grey, scale: float, shift: float) -> Grey:
    """Scale grey values in [0, 1] about the patch's mean, shift them, clip them."""
    mean = np.float32(raw.mean())
    grey = (raw - mean) * np.float32(scale) + (mean + np.float32(shift))
    return np.clip(grey, 0, 1, out=grey)
