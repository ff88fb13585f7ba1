"""Training patches: where they are cut, and which are rejected (paper, Training: Data sampling).

Every place where a patch may lie is weighed once, from sums of the labels over the patch's output;
drawing one is then a look-up, however rare the places that are accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.model.config import SamplingConfig, TrainConfig
from asem.model.unet import context, lattice, output_size, valid_input
from asem.training.augment import Tone, Warp, draw_tone, draw_warp
from asem.training.regions import FOREGROUND, UNKNOWN, Sample

MOST_PLACES = 1 << 22
"""Of one sample; in a larger one every 2nd, 4th ... voxel is weighed and stands for the next."""
ROWS = 32
"""Rows that are summed at a time."""


@dataclass(frozen=True)
class Draw:
    """One training patch, drawn but not yet cut.

    Parameters
    ----------
    sample
        Its number.
    centre
        Of the patch, in voxels of the sample's target; the first voxel's centre is 0.
    warp, tone
        What happens to it.
    """

    sample: int
    centre: npt.NDArray[np.float64]
    warp: Warp
    tone: Tone


@dataclass(frozen=True)
class Places:
    """Where in one sample a patch may begin, and how likely.

    Parameters
    ----------
    starts
        Per axis, first voxels of outputs in the sample's target; below 0 where it is thinner.
    stride
        Voxels from one to the next.
    below
        Cumulative probability of acceptance over all (z, y, x), divided by the number of places.
    """

    starts: tuple[npt.NDArray[np.int64], ...]
    stride: int
    below: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the first voxel of an output."""
        chance = rng.random() * self.below[-1]
        number = min(np.searchsorted(self.below, chance, side="right"), len(self.below) - 1)
        index = np.unravel_index(number, [len(s) for s in self.starts])
        start = np.array([s[i] for s, i in zip(self.starts, index, strict=True)])
        start += rng.integers(self.stride, size=3)
        inside: npt.NDArray[np.int64] = np.minimum(start, [s[-1] for s in self.starts])
        return inside


def weigh(target: npt.NDArray[np.uint8], edge: int, rules: SamplingConfig) -> Places:
    """Weigh the places of a patch in one sample.

    A place is accepted never where more than ``max_outside`` of the output is unknown or masked,
    with probability ``1 - reject`` where less than ``min_foreground`` is foreground, else always.

    Parameters
    ----------
    target
        uint8 codes.
    edge
        Voxels of the output along each axis.
    rules
        The limits.
    """
    number, stride = np.prod([max(1, n - edge + 1) for n in target.shape], dtype=float), 1
    while number > MOST_PLACES * stride**3:
        stride *= 2
    starts = tuple(_starts(size, edge, stride) for size in target.shape)
    volume = edge**3
    outside = _sums(target, UNKNOWN, starts, edge) > rules.max_outside * volume
    poor = _sums(target, FOREGROUND, starts, edge) < rules.min_foreground * volume
    accepted = np.where(poor, 1 - rules.reject, 1.0) * ~outside
    return Places(starts, stride, np.cumsum(accepted) / accepted.size)


def _starts(size: int, edge: int, stride: int) -> npt.NDArray[np.int64]:
    if size <= edge:
        return np.array([-((edge - size) // 2)])
    starts = np.arange(0, size - edge + 1, stride)
    last = size - edge
    return starts if starts[-1] == last else np.append(starts, last)


def _sums(
    target: npt.NDArray[np.uint8], code: int, starts: tuple[npt.NDArray[np.int64], ...], edge: int
) -> npt.NDArray[np.int32]:
    """Count `code` in the boxes that begin at `starts`: sums along z, then y, then x."""

    def boxes(counts: npt.NDArray[np.int32], axis: int) -> npt.NDArray[np.int32]:
        below = np.zeros([n + (a == axis) for a, n in enumerate(counts.shape)], np.int32)
        np.cumsum(counts, axis, out=np.moveaxis(np.moveaxis(below, axis, 0)[1:], 0, axis))
        first, last = (np.clip(starts[axis] + n, 0, counts.shape[axis]) for n in (0, edge))
        sums: npt.NDArray[np.int32] = below.take(last, axis) - below.take(first, axis)
        return sums

    height, width = target.shape[1:]
    counts = np.empty((len(starts[0]), height, width), np.int32)
    for y in range(0, height, ROWS):
        counts[:, y : y + ROWS] = boxes((target[:, y : y + ROWS] == code).astype(np.int32), 0)
    return boxes(boxes(counts, 1), 2)


class Sampler:
    """Draws training patches from samples, each in proportion to its known voxels.

    Parameters
    ----------
    samples
        What to draw from.
    config
        Patch size, sampling rules and augmentation.

    Raises
    ------
    ValueError
        The rules leave no place.
    """

    def __init__(self, samples: Sequence[Sample], config: TrainConfig) -> None:
        self.config = config
        self.edge = patch_output(config)
        rules = config.sampling
        self.places = [weigh(sample.target, self.edge, rules) for sample in samples]
        pairs = zip(self.places, samples, strict=True)
        shares = np.cumsum([places.below[-1] * sample.known for places, sample in pairs])
        if not shares[-1] > 0:
            raise ValueError(
                f"no block of {self.edge}^3 voxels may be trained on: more than "
                f"{rules.max_outside:.0%} of each is unknown or masked; label larger pieces, take "
                "a smaller `patch` or a larger `sampling.max_outside`"
            )
        self.below = shares / shares[-1]

    def draw(self, rng: np.random.Generator) -> Draw:
        """Draw one patch."""
        chance = rng.random()
        sample = int(np.searchsorted(self.below, chance, side="right"))
        centre = self.places[sample].draw(rng).astype(np.float64) + (self.edge - 1) / 2
        size, voxel_size = self.config.patch, self.config.voxel_size
        shape = (size, size, size)
        settings = self.config.augment
        warp = draw_warp(settings, shape, voxel_size=voxel_size, rng=rng)
        tone = draw_tone(settings, shape, voxel_size=voxel_size, rng=rng)
        return Draw(sample, centre, warp, tone)


def patch_output(config: TrainConfig) -> int:
    """Return the edge of a patch's output.

    Raises
    ------
    ValueError
        The network does not take patches of this size; the message names sizes that it does.
    """
    edge = output_size(config.model, config.patch)
    if edge is None:
        above = valid_input(config.model, max(1, config.patch - 2 * context(config.model)))
        raise ValueError(
            f"'patch': {config.patch} voxels do not fit the network; take {above} or another size "
            f"a multiple of {lattice(config.model)} away from it"
        )
    return edge
