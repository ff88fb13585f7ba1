"""Training patches: where they are cut, and which are rejected."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import Nm3
from asem.image.labels import is_foreground, unknown_id
from asem.model.augment import augment
from asem.model.config import Region, TrainConfig
from asem.model.unet import context, lattice, output_size, reach, valid_input
from asem.volume.contrast import to_unit, window_of
from asem.volume.downsample import at_voxel_size
from asem.volume.formats import open_volume
from asem.volume.roi import Roi, add, parse_roi, subtract
from asem.volume.volume import Volume

BACKGROUND, FOREGROUND, BEYOND, UNKNOWN = 0, 1, 254, 255
"""Codes of a target voxel; BEYOND lies outside of the region, UNKNOWN inside; neither counts."""
MOST_TRIES = 10_000


@dataclass(frozen=True)
class Sample:
    """A region in memory at the model's voxel size.

    Parameters
    ----------
    raw
        The volume's dtype; more voxels than `target`: the network's context before it and
        its reach behind it.
    target
        uint8 codes.
    window
        Grey values of black and white.
    known
        Number of voxels that are background or foreground.
    name
        For messages.
    """

    raw: npt.NDArray[Any]
    target: npt.NDArray[np.uint8]
    window: tuple[float, float]
    known: int
    name: str


def load_sample(region: Region, config: TrainConfig, *, at_least: int = 1) -> Sample:
    """Read a region and the context around it.

    ::

        +---------------------+      raw: real neighbours, reflected beyond the volume
        |  +---------------+  |
        |  |    target     |  |      target: labels inside roi, placed by world position
        |  +---------------+  |
        +---------------------+

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
    raw = at_voxel_size(fine, config.voxel_size)
    labels = _on_same_grid(fine, _opened_labels(region), config.voxel_size)
    roi = _region_roi(region, fine, raw).intersect(raw.place_of(labels))
    if roi.size == 0:
        raise ValueError(
            f"{labels.name} and {region.raw} have no voxel in common"
            + (f" within {region.roi}" if region.roi else "")
            + "; check their offsets with `asem info`"
        )
    target = _codes(labels.read(roi.shift(_back(raw.place_of(labels).offset))))
    if region.mask is not None:
        mask = _on_same_grid(fine, open_volume(region.mask), config.voxel_size)
        sample = np.zeros(roi.shape, bool)
        place = raw.place_of(mask)
        common = place.intersect(roi)
        sample[common.shift(_back(roi.offset)).slices] = (
            mask.read(common.shift(_back(place.offset))) != 0
        )
        target[~sample] = UNKNOWN
    known = int(np.count_nonzero(target < BEYOND))
    if known == 0:
        raise ValueError(f"{labels.name} names no voxel of {region.raw}: all are unknown or masked")
    z, y, x = (max(0, at_least - size) for size in roi.shape)
    fill = [(z, z), (y, y), (x, x)]
    filled = roi.grow((z, y, x))
    before, behind = (context(config.model),) * 3, (reach(config.model),) * 3
    return Sample(
        raw.read(Roi.between(subtract(filled.offset, before), add(filled.end, behind))),
        np.pad(target, fill, constant_values=BEYOND),
        window_of(fine),
        known,
        f"{region.raw} [{roi}]",
    )


def _opened_labels(region: Region) -> Volume:
    labels = open_volume(region.labels)
    if labels.kind != "labels":
        raise ValueError(f"{region.labels} is an image; import labels with --kind labels")
    return labels


def _on_same_grid(raw: Volume, other: Volume, voxel_size: Nm3) -> Volume:
    """View labels or a mask at the model's voxel size, with bins on raw's original grid."""
    place = raw.place_of(other)  # refuses another voxel size and a broken shift
    if raw.roi.intersect(place).size == 0:
        raise ValueError(
            f"{other.name} and {raw.name} have no voxel in common; check their offsets with "
            "`asem info`"
        )
    return at_voxel_size(other.like(other.array, original=raw.grid), voxel_size)


def _region_roi(region: Region, fine: Volume, coarse: Volume) -> Roi:
    """Return a region's Roi in model voxels: those bins whose voxels all lie inside of it."""
    if region.roi is None:
        return coarse.roi
    inside = parse_roi(region.roi, fine.shape)
    start, stop = [], []
    for axis in range(3):
        factor = round(coarse.voxel_size[axis] / fine.voxel_size[axis])
        skipped = fine.original_offset[axis] % factor
        low, high = inside.offset[axis], inside.end[axis]
        start.append(0 if low == 0 else -(-(low + skipped) // factor))
        whole = high == fine.shape[axis]
        stop.append(coarse.shape[axis] if whole else (high + skipped) // factor)
    return Roi.between(start, stop)


def _codes(labels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    codes = is_foreground(labels).astype(np.uint8)
    codes[labels == unknown_id(labels.dtype)] = UNKNOWN
    return codes


def _back(offset: tuple[int, int, int]) -> tuple[int, int, int]:
    return (-offset[0], -offset[1], -offset[2])


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
        size, edge = self.config.patch, self.edge
        grey = to_unit(sample.raw[z : z + size, y : y + size, x : x + size], sample.window)
        target = sample.target[z : z + edge, y : y + edge, x : x + edge]
        grey, target = augment(grey, target, self.config.augment, self.config.voxel_size, rng)
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
