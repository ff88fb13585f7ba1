"""Training patches: where they are cut, and which are rejected (paper, Training: Data sampling).

Every place where a patch may lie is weighed once, from sums of the labels over the patch's output;
drawing one is then a look-up, however rare the places that are accepted.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.model.config import SamplingConfig, TrainConfig
from asem.model.unet import context, lattice, output_size, valid_input
from asem.training.augment import Tone, Warp, draw_tone, draw_warp
from asem.training.regions import Sample
from asem.training.targets import FOREGROUND, UNKNOWN
from asem.volume.roi import Roi
from asem.volume.volume import Lazy

LOG = logging.getLogger(__name__)
MOST_PLACES = 1 << 22
"""Of one sample; in a larger one every 2nd, 4th ... voxel is weighed and stands for the next."""
ROWS = 32
"""Rows that are summed at a time."""
TRIES = 100
"""Places that are looked at near one that was weighed, before that one is taken."""


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
    target
        Codes of the sample.
    edge
        Voxels of an output along each axis.
    rules
        What is accepted.
    starts
        Per axis, first voxels of outputs in the sample's target; below 0 where it is thinner.
    stride
        Voxels from one to the next; those between are looked at when they are drawn.
    below
        Cumulative probability of acceptance over all (z, y, x), divided by the number of places.
    """

    target: Lazy
    edge: int
    rules: SamplingConfig
    starts: tuple[npt.NDArray[np.int64], ...]
    stride: int
    below: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the first voxel of an output."""
        for _ in range(TRIES):
            weighed, number = self._weighed(rng)
            near: npt.NDArray[np.int64] = weighed + rng.integers(self.stride, size=3)
            near = np.minimum(near, [s[-1] for s in self.starts], out=near)
            if (near == weighed).all():
                break
            before = self.below[number - 1] if number else 0.0
            likely = (self.below[number] - before) * self.below.size
            if rng.random() * likely < self._acceptance(near):
                return near
        return weighed

    def _weighed(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], int]:
        chance = rng.random() * self.below[-1]
        number = min(int(np.searchsorted(self.below, chance, side="right")), len(self.below) - 1)
        index = np.unravel_index(number, [len(s) for s in self.starts])
        return np.array([s[i] for s, i in zip(self.starts, index, strict=True)]), number

    def _acceptance(self, start: npt.NDArray[np.int64]) -> float:
        z, y, x = (int(s) for s in start)
        box = Roi((z, y, x), (self.edge,) * 3).intersect(Roi.whole(self.target.shape))
        codes = np.asarray(self.target[box.slices])
        unknown, foreground = (
            np.count_nonzero(codes == code, keepdims=True) for code in (UNKNOWN, FOREGROUND)
        )
        return float(_accepted(unknown, foreground, self.edge**3, self.rules).item())


def weigh(target: Lazy, edge: int, rules: SamplingConfig) -> Places:
    """Weigh the places of a patch in one sample.

    A place is accepted never where more than ``max_outside`` of the output is unknown or masked,
    with probability ``1 - reject`` where less than ``min_foreground`` is foreground, else always.

    Parameters
    ----------
    target
        uint8 codes; read a few rows at a time.
    edge
        Voxels of the output along each axis.
    rules
        The limits.
    """
    number, stride = np.prod([max(1, n - edge + 1) for n in target.shape], dtype=float), 1
    while number > MOST_PLACES * stride**3:
        stride *= 2
    starts = tuple(_starts(size, edge, stride) for size in target.shape)
    accepted = _accepted(*_counts(target, starts, edge), edge**3, rules)
    return Places(target, edge, rules, starts, stride, np.cumsum(accepted) / accepted.size)


def _accepted(
    unknown: npt.NDArray[np.integer],
    foreground: npt.NDArray[np.integer],
    volume: int,
    rules: SamplingConfig,
) -> npt.NDArray[np.float64]:
    """Return how likely outputs of `volume` voxels with so many of each code are accepted."""
    poor = foreground < rules.min_foreground * volume
    outside = unknown > rules.max_outside * volume
    accepted: npt.NDArray[np.float64] = np.where(poor, 1 - rules.reject, 1.0) * ~outside
    return accepted


def _starts(size: int, edge: int, stride: int) -> npt.NDArray[np.int64]:
    if size <= edge:
        return np.array([-((edge - size) // 2)])
    starts = np.arange(0, size - edge + 1, stride)
    last = size - edge
    return starts if starts[-1] == last else np.append(starts, last)


def _counts(
    target: Lazy, starts: tuple[npt.NDArray[np.int64], ...], edge: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Count unknown and foreground voxels in the boxes at `starts`: along z and x, then y."""
    depth, height, width = target.shape
    shape = len(starts[0]), height, len(starts[2])
    unknown, foreground = np.empty(shape, np.int32), np.empty(shape, np.int32)

    def boxes(counts: npt.NDArray[np.int32], axis: int) -> npt.NDArray[np.int32]:
        below = np.zeros([n + (a == axis) for a, n in enumerate(counts.shape)], np.int32)
        np.cumsum(counts, axis, out=np.moveaxis(np.moveaxis(below, axis, 0)[1:], 0, axis))
        first, last = (np.clip(starts[axis] + n, 0, counts.shape[axis]) for n in (0, edge))
        sums: npt.NDArray[np.int32] = below.take(last, axis) - below.take(first, axis)
        return sums

    for y in range(0, height, ROWS):
        rows = slice(y, min(y + ROWS, height))
        codes = np.asarray(target[slice(0, depth), rows, slice(0, width)])
        for counts, code in ((unknown, UNKNOWN), (foreground, FOREGROUND)):
            counts[:, rows] = boxes(boxes((codes == code).astype(np.int32), 0), 2)
    return boxes(unknown, 1), boxes(foreground, 1)


class Sampler:
    """Draws training patches: a sample in proportion to its known voxels, then a place in it.

    Places are rejected inside the sample that was drawn (METHOD, Network and training), so that a
    sample of little foreground is drawn as often as a rich one of its size. A sample without any
    acceptable place is left out, with a warning.

    Parameters
    ----------
    samples
        What to draw from.
    config
        Patch size, sampling rules and augmentation.

    Attributes
    ----------
    drawn
        Numbers of the samples that are drawn from.

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
        self.drawn = [n for n, places in enumerate(self.places) if places.below[-1] > 0]
        why = f"more than {rules.max_outside:.0%} of each is unlabelled or masked"
        advice = "label larger pieces, take a smaller `patch` or a larger `sampling.max_outside`"
        if not self.drawn:
            raise ValueError(f"no block of {self.edge}^3 voxels may be trained on: {why}; {advice}")
        for number, sample in enumerate(samples):
            if number not in self.drawn:
                LOG.warning(
                    "[[train]] %s is left out: no block of %d^3 voxels in it may be trained on "
                    "(%s); %s",
                    sample.name,
                    self.edge,
                    why,
                    advice,
                )
        known = [one.known if n in self.drawn else 0 for n, one in enumerate(samples)]
        self.below = np.cumsum(known) / sum(known)

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
