"""Count the false voxels of blocks: all at a coarse level, single ones at full resolution."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.labels import exclusion_zone, zone_halo
from asem.image.morphology import zone_radii_in_voxels
from asem.measure.segmentation_scores import ConfusionCounts, count_confusion
from asem.volume.label_views import unlabelled_id
from asem.volume.roi import IntZYX, Roi, per_axis
from asem.workflows.reports.layers import OpenLayers, foreground_of
from asem.workflows.reports.sampling import SampledBox, choose_level, sample
from asem.workflows.reports.scored import Zone

EDGE_NM = 1000.0
"""Edge of a block."""
MAX_COUNTED_VOXELS = 2**25
"""Voxels of the level at which all blocks are counted."""
FALSE_POSITIVE, FALSE_NEGATIVE = 1, 2
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ScoredBlock:
    """A block at full resolution.

    Parameters
    ----------
    roi
        In the voxels of the prediction.
    counts
        Outside of the exclusion zone.
    errors
        `FALSE_POSITIVE`, `FALSE_NEGATIVE` or 0 of each voxel.
    """

    roi: Roi
    counts: ConfusionCounts
    errors: npt.NDArray[np.uint8]

    @property
    def false(self) -> int:
        """Number of false voxels."""
        return self.counts.false_positives + self.counts.false_negatives

    @property
    def f1(self) -> float | None:
        """F1 of the block."""
        score: float | None = self.counts.scores()["f1"]
        return score


def count_blocks(opened: OpenLayers, scored: Roi) -> tuple[Counts, Counts] | None:
    """Count false and true positive voxels of each block, at a coarse level, a row at a time.

    Returns
    -------
    tuple or None
        False voxels, and true positives, in the order of `split_into_places`, (n,) each; None where
        no level is small enough.
    """
    finest = opened.prediction[0]
    step = _coarse_step(opened, scored)
    if step is None:
        return None
    edge = _edge_of(finest.voxel_size)
    in_row = -(-scored.shape[2] // edge[2])
    false, positive = list[Counts](), list[Counts]()
    for row in _split(scored, (edge[0], edge[1], scored.shape[2])):
        box = _coarsen(SampledBox.of_roi(finest, row), step)
        predicted, labelled, known = read_pair(opened, box)
        voxels = (box.positions_nm(2) - finest.offset_nm[2]) / finest.voxel_size[2] + 0.5
        block = ((voxels - scored.offset[2]) // edge[2]).astype(np.int64).clip(0, in_row - 1)
        for counts, mask in (
            (false, (predicted != labelled) & known),
            (positive, predicted & labelled & known),
        ):
            counts.append(np.bincount(block, mask.sum(axis=(0, 1)), in_row))
    return np.concatenate(false).astype(np.int64), np.concatenate(positive).astype(np.int64)


def _edge_of(voxel_size: NmZYX) -> IntZYX:
    """Return the edges of a block, voxels."""
    return per_axis(lambda size: max(1, round(EDGE_NM / size)), voxel_size)


def _coarse_step(opened: OpenLayers, scored: Roi) -> NmZYX | None:
    """Return the voxel size of the finest level at which the scored part is small."""
    finest = opened.prediction[0]
    for level in opened.prediction:
        ratio = per_axis(lambda a, b: a / b, level.voxel_size, finest.voxel_size)
        has_labels = choose_level(opened.labels, level.voxel_size).voxel_size
        similar = all(a >= b / 2 for a, b in zip(has_labels, level.voxel_size, strict=True))
        if scored.size / np.prod(ratio) <= MAX_COUNTED_VOXELS and similar:
            return level.voxel_size
    return None


def _coarsen(box: SampledBox, step_nm: NmZYX) -> SampledBox:
    """Return a box with larger steps, of about the same extent."""
    shape = per_axis(
        lambda n, own, step: max(1, round(n * own / step)), box.shape, box.step_nm, step_nm
    )
    start = per_axis(
        lambda nm, own, step: nm + (step - own) / 2, box.start_nm, box.step_nm, step_nm
    )
    return SampledBox(start, step_nm, shape)


def split_into_places(scored: Roi, voxel_size: NmZYX) -> Iterator[Roi]:
    """Yield the blocks of the scored part; those at its end may be smaller."""
    yield from _split(scored, _edge_of(voxel_size))


def _split(scored: Roi, edge: IntZYX) -> Iterator[Roi]:
    """Yield boxes of a region."""
    counts = per_axis(lambda n, e: -(-n // e), scored.shape, edge)
    for index in np.ndindex(*counts):
        start: IntZYX = per_axis(lambda o, i, e: o + i * e, scored.offset, index, edge)
        yield Roi(start, edge).intersect(scored)


def read_pair(
    opened: OpenLayers, box: SampledBox
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the foreground of prediction and labels, and which voxels are labelled."""
    predicted = sample(opened.prediction, box)
    labels = sample(opened.labels, box)
    if predicted is None or labels is None:
        raise ValueError(f"{opened.prediction[0].name}: a block is too large to be read")
    known = labels != unlabelled_id(labels.dtype)
    volume = opened.prediction[0]
    return foreground_of(predicted, volume), (labels != 0) & known, np.asarray(known)


def score_block(opened: OpenLayers, roi: Roi, zone: Zone) -> ScoredBlock:
    """Count the voxels of a block at full resolution, outside of the exclusion zone."""
    finest = opened.prediction[0]
    outside = zone_radii_in_voxels(zone.out_nm, finest.voxel_size)
    inside = zone_radii_in_voxels(zone.in_nm, finest.voxel_size)
    halo = zone_halo(outside, inside) if zone.exists else (0, 0, 0)
    grown = roi.grow(halo).intersect(finest.roi)
    predicted, labelled, scored = read_pair(opened, SampledBox.of_roi(finest, grown))
    if zone.exists:
        codes = np.where(scored, labelled, 255).astype(np.uint8)
        scored &= ~exclusion_zone(codes, outside, inside)
    inner = tuple(
        slice(o - g, o - g + n) for o, g, n in zip(roi.offset, grown.offset, roi.shape, strict=True)
    )
    predicted, labelled, scored = predicted[inner], labelled[inner], scored[inner]
    errors = np.zeros(roi.shape, np.uint8)
    errors[predicted & ~labelled & scored] = FALSE_POSITIVE
    errors[labelled & ~predicted & scored] = FALSE_NEGATIVE
    return ScoredBlock(roi, count_confusion(predicted, labelled, scored), errors)
