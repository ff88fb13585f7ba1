"""Training patches: where they are cut, and which are rejected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import is_foreground, unknown_id
from asem.model.augment import augment
from asem.model.config import Region, TrainConfig
from asem.model.unet import context, lattice, output_size, reach, valid_input
from asem.volume.contrast import to_unit, window_of
from asem.volume.formats import open_labels, open_volume
from asem.volume.roi import Roi, Triple, add, parse_roi, subtract
from asem.volume.volume import Volume
from asem.volume.voxel_size import at_voxel_size, voxels_within, warn_of_interpolation

FOREGROUND, BEYOND, UNKNOWN = 1, 254, 255
"""Codes of a target voxel besides 0, background; neither BEYOND (the region) nor UNKNOWN counts."""
MOST_TRIES = 10_000


@dataclass(frozen=True)
class Sample:
    """A region in memory at the model's voxel size.

    ::

        +------------------------+      raw: real neighbours, reflected beyond the volume;
        |    +---------------+   |      `before` voxels ahead of target, `reach` behind it
        |    |    target     |   |
        |    +---------------+   |      target: labels inside of roi, placed by world position
        +------------------------+

    Parameters
    ----------
    raw
        The volume's dtype.
    target
        uint8 codes.
    window
        Grey values of black and white.
    before
        Voxels of raw ahead of the first of target: the network's context and one lattice step, so
        that tiles can begin on the lattice.
    origin
        Place of target's first voxel on the original grid, in model voxels.
    known
        Number of voxels that are background or foreground.
    inputs
        Identity of raw, labels and mask.
    """

    raw: npt.NDArray[Any]
    target: npt.NDArray[np.uint8]
    window: tuple[float, float]
    before: int
    origin: Triple
    known: int
    inputs: tuple[str, ...]


def load_sample(region: Region, config: TrainConfig, *, at_least: int = 1) -> Sample:
    """Read a region and the context around it.

    Parameters
    ----------
    region
        Where raw, labels and mask lie.
    config
        The model's voxel size and the network's context.
    at_least
        A thinner axis is filled up with voxels that do not count, so that one patch fits.

    Raises
    ------
    ValueError
        Labels miss raw, voxel sizes do not fit, nothing is labelled.
    """
    fine = open_volume(region.raw)
    warn_of_interpolation(fine, config.voxel_size)
    raw = at_voxel_size(fine, config.voxel_size)
    labels = open_labels(region.labels)
    covered = fine.common(labels)
    inside = parse_roi(region.roi, fine.shape) if region.roi else fine.roi
    roi = voxels_within(covered.intersect(inside), fine, raw)
    if roi.size == 0:
        raise ValueError(f"{region.raw} and {labels.name} have no voxel in common{_within(region)}")
    target = _codes(raw.read_placed(_on_bins(fine, labels, config), roi))
    sources = [fine, labels]
    if region.mask is not None:
        mask = open_volume(region.mask)
        fine.common(mask)
        # Read as labels: how many voxels of a bin are sample, not how bright they are.
        ids = mask.like(mask.array, kind="labels")
        target[raw.read_placed(_on_bins(fine, ids, config), roi) == 0] = UNKNOWN
        sources.append(mask)
    known = int(np.count_nonzero(target < BEYOND))
    if known == 0:
        raise ValueError(f"{labels.name} names no voxel of {region.raw}: all are unknown or masked")
    z, y, x = (max(0, at_least - size) for size in roi.shape)
    filled = roi.grow((z, y, x))
    before = context(config.model) + lattice(config.model)
    behind = reach(config.model)
    around = Roi.between(
        subtract(filled.offset, (before,) * 3), add(filled.end, (behind, behind, behind))
    )
    return Sample(
        raw.read(around),
        np.pad(target, [(z, z), (y, y), (x, x)], constant_values=BEYOND),
        window_of(fine),
        before,
        add(filled.offset, raw.original_offset),
        known,
        tuple(f"{volume.name}: {volume.identity}" for volume in sources),
    )


def _within(region: Region) -> str:
    return f" within {region.roi}" if region.roi else " that fills one of the model"


def _on_bins(raw: Volume, other: Volume, config: TrainConfig) -> Volume:
    """View labels or a mask at the model's voxel size, with bins on raw's original grid."""
    return at_voxel_size(other.like(other.array, original=raw.grid), config.voxel_size)


def _codes(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    codes = is_foreground(labels).astype(np.uint8)
    codes[labels == unknown_id(labels.dtype)] = UNKNOWN
    return codes


class Sampler:
    """Draws training patches from samples (paper, Training: Data sampling).

    A sample is drawn in proportion to its known voxels, a place in it evenly. A patch is rejected
    when too much of its output is unknown or masked, and mostly when too little is foreground.

    Parameters
    ----------
    samples
        Loaded with ``at_least=output_size(...)`` of the patch.
    config
        Patch size, sampling rules and augmentation.
    """

    def __init__(self, samples: Sequence[Sample], config: TrainConfig) -> None:
        self.samples = samples
        self.config = config
        self.edge = patch_output(config)
        self.context = context(config.model)
        known = np.array([sample.known for sample in samples], float)
        self.shares = known / known.sum()

    def draw(
        self, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Draw one augmented patch.

        Returns
        -------
        raw
            Shape (patch,) * 3, grey values scaled to [-1, 1].
        target
            Shape (output,) * 3, codes.
        """
        sample, start = self._place(rng)
        z, y, x = start
        edge, size = self.edge, self.config.patch
        target = sample.target[z : z + edge, y : y + edge, x : x + edge]
        c, b, a = (at + sample.before - self.context for at in start)
        grey = to_unit(sample.raw[c : c + size, b : b + size, a : a + size], sample.window)
        grey, target = augment(
            grey, target, self.config.augment, voxel_size=self.config.voxel_size, rng=rng
        )
        return grey * 2 - 1, target

    def _place(self, rng: np.random.Generator) -> tuple[Sample, list[int]]:
        rules, edge = self.config.sampling, self.edge
        for _ in range(MOST_TRIES):
            sample = self.samples[int(rng.choice(len(self.samples), p=self.shares))]
            z, y, x = (int(rng.integers(size - edge + 1)) for size in sample.target.shape)
            target = sample.target[z : z + edge, y : y + edge, x : x + edge]
            if np.count_nonzero(target == UNKNOWN) > rules.max_outside * target.size:
                continue
            poor = np.count_nonzero(target == FOREGROUND) < rules.min_foreground * target.size
            if poor and rng.random() < rules.reject:
                continue
            return sample, [z, y, x]
        raise ValueError(
            f"none of {MOST_TRIES} random blocks was accepted: more than "
            f"{rules.max_outside:.0%} of each is unknown or masked; label larger pieces, take a "
            "smaller `patch` or a larger `sampling.max_outside`"
        )


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
