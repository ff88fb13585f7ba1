"""Sample training patches: candidate locations and rejection (paper, Training: Data sampling).

The acceptance probability of all candidate locations is computed once, from sums of the labels over
the patch's output; drawing a patch is then a look-up, even if few locations are accepted. A part of
the patches may be drawn at objects (`asem.training.object_sampling`).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.model.unet import context, lattice, output_size, valid_input_size
from asem.training.augmentation import (
    IntensityTransform,
    SpatialTransform,
    draw_intensity_transform,
    draw_spatial_transform,
)
from asem.training.config import SamplingConfig, TrainConfig
from asem.training.labelled_regions import LabelledRegion
from asem.training.object_sampling import ObjectVoxels, find_object_voxels
from asem.training.targets import FOREGROUND, UNLABELLED
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import ArrayLike

LOG = logging.getLogger(__name__)
MAX_LOCATIONS = 1 << 22
"""Maximum per region; in larger regions, candidates are every 2nd, 4th ... voxel."""
ROWS_PER_READ = 32
"""Rows that are read and summed at a time."""
MAX_TRIES = 100
"""Locations that are tried near candidates, before a candidate itself is returned."""


@dataclass(frozen=True)
class PatchSpec:
    """Random parameters of one training patch.

    Parameters
    ----------
    region_index
        Index of the region.
    centre
        Of the patch, in voxels of the region's target; the first voxel's centre is 0.
    spatial, intensity
        Its augmentation.
    """

    region_index: int
    centre: npt.NDArray[np.float64]
    spatial: SpatialTransform
    intensity: IntensityTransform


@dataclass(frozen=True)
class CandidateLocations:
    """Candidate locations of a patch in one region, with their acceptance probabilities.

    Parameters
    ----------
    target
        Codes of the region.
    output_edge
        Voxels of an output along each axis.
    config
        Rules of acceptance.
    starts
        Per axis, first voxels of outputs in the region's target; negative where it is thinner.
    stride
        Voxels between candidates; locations in between are tested when they are drawn.
    cumulative
        Cumulative acceptance probability over all (z, y, x), divided by the number of candidates.
    object_voxels
        Foreground voxels for patches at objects; None where `config` has none.
    """

    target: ArrayLike
    output_edge: int
    config: SamplingConfig
    starts: tuple[npt.NDArray[np.int64], ...]
    stride: int
    cumulative: npt.NDArray[np.float64]
    object_voxels: ObjectVoxels | None = None

    @property
    def objects(self) -> float:
        """About the number of objects that patches are drawn at; 0 in a region without a patch."""
        if self.object_voxels is None or self.cumulative[-1] == 0:
            return 0.0
        return self.object_voxels.objects

    def draw_at_object(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the first voxel of an output with a voxel of an object in its inner half.

        ::

            +---------------+
            |   +-------+   |       output; the voxel is anywhere in the inner box,
            |   |    v  |   |       unless the region ends nearby
            |   +-------+   |
            +---------------+

        An output with too many unlabelled voxels is drawn again, and after `MAX_TRIES` elsewhere.
        """
        assert self.object_voxels is not None
        margin = self.output_edge // 4
        for _ in range(MAX_TRIES):
            inside = rng.integers(margin, self.output_edge - margin, size=3)
            first = self.object_voxels.draw(rng) - inside
            start = np.array(
                [np.clip(n, s[0], s[-1]) for n, s in zip(first, self.starts, strict=True)]
            )
            if self._acceptance_at(start) > 0:
                return start
        return self.draw(rng)

    def draw(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw the first voxel of an output."""
        for _ in range(MAX_TRIES):
            candidate, index = self._draw_candidate(rng)
            near: npt.NDArray[np.int64] = candidate + rng.integers(self.stride, size=3)
            near = np.minimum(near, [s[-1] for s in self.starts], out=near)
            if (near == candidate).all():
                break
            before = self.cumulative[index - 1] if index else 0.0
            probability = (self.cumulative[index] - before) * self.cumulative.size
            if rng.random() * probability < self._acceptance_at(near):
                return near
        return candidate

    def _draw_candidate(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], int]:
        value = rng.random() * self.cumulative[-1]
        flat_index = min(
            int(np.searchsorted(self.cumulative, value, side="right")), len(self.cumulative) - 1
        )
        index = np.unravel_index(flat_index, [len(s) for s in self.starts])
        return np.array([s[i] for s, i in zip(self.starts, index, strict=True)]), flat_index

    def _acceptance_at(self, start: npt.NDArray[np.int64]) -> float:
        output = Roi(per_axis(int, start), (self.output_edge,) * 3)
        box = output.intersect(Roi.of_shape(self.target.shape))
        codes = np.asarray(self.target[box.slices])
        unlabelled, foreground = (
            np.count_nonzero(codes == code, keepdims=True) for code in (UNLABELLED, FOREGROUND)
        )
        return float(
            _acceptance_probability(unlabelled, foreground, self.output_edge**3, self.config).item()
        )


def find_candidate_locations(
    target: ArrayLike, output_edge: int, config: SamplingConfig
) -> CandidateLocations:
    """Compute the acceptance probability of the candidate locations of a patch in one region.

    A location is never accepted where more than ``max_outside`` of the output is unlabelled or
    masked, with probability ``1 - reject`` where less than ``min_foreground`` is foreground, else
    always.

    Parameters
    ----------
    target
        uint8 codes; read a few rows at a time.
    output_edge
        Voxels of the output along each axis.
    config
        Rules of acceptance.
    """
    number, stride = np.prod([max(1, n - output_edge + 1) for n in target.shape], dtype=float), 1
    while number > MAX_LOCATIONS * stride**3:
        stride *= 2
    starts = tuple(_output_starts(size, output_edge, stride) for size in target.shape)
    unlabelled, foreground = _count_codes(target, starts, output_edge)
    accepted = _acceptance_probability(unlabelled, foreground, output_edge**3, config)
    object_voxels = (
        find_object_voxels(target, starts, foreground, output_edge) if config.at_objects else None
    )
    return CandidateLocations(
        target,
        output_edge,
        config,
        starts,
        stride,
        np.cumsum(accepted) / accepted.size,
        object_voxels,
    )


def _acceptance_probability(
    unlabelled: npt.NDArray[np.integer],
    foreground: npt.NDArray[np.integer],
    volume: int,
    rules: SamplingConfig,
) -> npt.NDArray[np.float64]:
    """Return the acceptance probability of outputs of `volume` voxels, from their voxel counts."""
    is_poor = foreground < rules.min_foreground * volume
    is_outside = unlabelled > rules.max_outside * volume
    accepted: npt.NDArray[np.float64] = np.where(is_poor, 1 - rules.reject, 1.0) * ~is_outside
    return accepted


def _output_starts(size: int, edge: int, stride: int) -> npt.NDArray[np.int64]:
    if size <= edge:
        return np.array([-((edge - size) // 2)])
    starts = np.arange(0, size - edge + 1, stride)
    last = size - edge
    return starts if starts[-1] == last else np.append(starts, last)


def _count_codes(
    target: ArrayLike, starts: tuple[npt.NDArray[np.int64], ...], edge: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Count unlabelled and foreground voxels in the boxes at `starts`: along z and x, then y."""
    depth, height, width = target.shape
    shape = len(starts[0]), height, len(starts[2])
    unlabelled, foreground = np.empty(shape, np.int32), np.empty(shape, np.int32)

    def sum_boxes(counts: npt.NDArray[np.int32], axis: int) -> npt.NDArray[np.int32]:
        cumulative = np.zeros([n + (a == axis) for a, n in enumerate(counts.shape)], np.int32)
        np.cumsum(counts, axis, out=np.moveaxis(np.moveaxis(cumulative, axis, 0)[1:], 0, axis))
        first, last = (np.clip(starts[axis] + n, 0, counts.shape[axis]) for n in (0, edge))
        sums: npt.NDArray[np.int32] = cumulative.take(last, axis) - cumulative.take(first, axis)
        return sums

    for y in range(0, height, ROWS_PER_READ):
        rows = slice(y, min(y + ROWS_PER_READ, height))
        codes = np.asarray(target[slice(0, depth), rows, slice(0, width)])
        for counts, code in ((unlabelled, UNLABELLED), (foreground, FOREGROUND)):
            counts[:, rows] = sum_boxes(sum_boxes((codes == code).astype(np.int32), 0), 2)
    return sum_boxes(unlabelled, 1), sum_boxes(foreground, 1)


class PatchSampler:
    """Draws training patches: a region in proportion to its labelled voxels, then a location in it.

    Locations are rejected within the region that was drawn, so that a region of little
    foreground is drawn as often as a rich one of its size. Of patches at objects (`sampling`), a
    region has as many as objects. A region without any acceptable location is skipped, with a
    warning.

    Parameters
    ----------
    regions
        The training regions.
    config
        Patch size, sampling rules and augmentation.

    Attributes
    ----------
    usable_regions
        Indices of the regions that are drawn from.

    Raises
    ------
    ValueError
        No region has an acceptable location.
    """

    def __init__(self, regions: Sequence[LabelledRegion], config: TrainConfig) -> None:
        self.config = config
        self.output_edge = patch_output_edge(config)
        rules = config.sampling
        self.locations = [
            find_candidate_locations(region.target, self.output_edge, rules) for region in regions
        ]
        self.usable_regions = [
            index for index, locations in enumerate(self.locations) if locations.cumulative[-1] > 0
        ]
        reason = f"more than {rules.max_outside:.0%} of each is unlabelled or masked"
        advice = "label larger parts, take a smaller `patch` or a larger `sampling.max_outside`"
        if not self.usable_regions:
            raise ValueError(
                f"no patch has a usable output of {self.output_edge}^3 voxels: {reason}; {advice}"
            )
        for index, region in enumerate(regions):
            if index not in self.usable_regions:
                LOG.warning(
                    "[[train]] %s is skipped: no patch in it has a usable output of %d^3 voxels "
                    "(%s); %s",
                    region.name,
                    self.output_edge,
                    reason,
                    advice,
                )
        labelled = [
            region.labelled_voxels if index in self.usable_regions else 0
            for index, region in enumerate(regions)
        ]
        self.cumulative = np.cumsum(labelled) / sum(labelled)
        self.cumulative_objects = np.cumsum([locations.objects for locations in self.locations])

    def draw(self, rng: np.random.Generator) -> PatchSpec:
        """Draw one patch."""
        index, start = self._draw_location(rng)
        centre = start.astype(np.float64) + (self.output_edge - 1) / 2
        size, voxel_size = self.config.patch, self.config.voxel_size
        shape = (size, size, size)
        settings = self.config.augment
        spatial = draw_spatial_transform(settings, shape, voxel_size=voxel_size, rng=rng)
        intensity = draw_intensity_transform(settings, shape, voxel_size=voxel_size, rng=rng)
        return PatchSpec(index, centre, spatial, intensity)

    def _draw_location(self, rng: np.random.Generator) -> tuple[int, npt.NDArray[np.int64]]:
        """Draw a region and the first voxel of an output in it."""
        objects = self.cumulative_objects[-1]
        if objects > 0 and rng.random() < self.config.sampling.at_objects:
            value = rng.random() * objects
            index = int(np.searchsorted(self.cumulative_objects, value, side="right"))
            return index, self.locations[index].draw_at_object(rng)
        index = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        return index, self.locations[index].draw(rng)


def patch_output_edge(config: TrainConfig) -> int:
    """Return the edge of a patch's output.

    Raises
    ------
    ValueError
        The network does not allow patches of this size; the message names sizes that fit.
    """
    edge = output_size(config.model, config.patch)
    if edge is None:
        valid = valid_input_size(config.model, max(1, config.patch - 2 * context(config.model)))
        raise ValueError(
            f"'patch': {config.patch} voxels do not fit the network; take {valid}, or a size that "
            f"differs from it by a multiple of {lattice(config.model)}"
        )
    return edge
