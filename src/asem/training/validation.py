"""Validate during training: loss and scores on held-out regions."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from asem.image.labels import exclusion_zone, zone_halo
from asem.image.morphology import zone_radii_in_voxels
from asem.measure.segmentation_scores import ConfusionCounts, count_confusion
from asem.model.config import ModelConfig
from asem.model.inference import NetworkRunner
from asem.model.run_metrics import ValidationScores
from asem.model.tiling import default_tile, input_roi, plan_tiles
from asem.model.unet import context, context_behind, lattice
from asem.training.config import TrainConfig
from asem.training.labelled_regions import LabelledRegion
from asem.training.losses import find_loss
from asem.training.targets import FOREGROUND, OUTSIDE
from asem.volume.contrast import scale_to_unit
from asem.volume.roi import IntZYX, Roi, negate

LOG = logging.getLogger(__name__)


@dataclass
class _ScoreSums:
    """Sums over tiles, from which the scores of their voxels are computed."""

    counts: ConfusionCounts = field(default_factory=ConfusionCounts)
    loss: float = 0.0
    """Of the losses of tiles, each times its labelled voxels."""
    labelled_voxels: int = 0

    def add(self, counts: ConfusionCounts, loss: float, labelled_voxels: int) -> None:
        """Add a tile."""
        self.counts += counts
        self.loss += loss * labelled_voxels
        self.labelled_voxels += labelled_voxels

    def scores(self) -> ValidationScores:
        """Return the scores of all tiles together."""
        loss, scores = self.loss / self.labelled_voxels, self.counts.scores()
        return ValidationScores(
            validation_loss=loss if math.isfinite(loss) else None,
            precision=scores["precision"],
            recall=scores["recall"],
            f1=scores["f1"],
            true_positives=self.counts.true_positives,
            false_positives=self.counts.false_positives,
            false_negatives=self.counts.false_negatives,
            voxels=self.counts.scored_voxels,
        )


def validate(
    runner: NetworkRunner,
    regions: Sequence[LabelledRegion],
    config: TrainConfig,
) -> tuple[ValidationScores, list[ValidationScores]]:
    """Predict regions tile by tile and score them outside the structure's exclusion zone.

    Parameters
    ----------
    runner
        The network.
    regions
        Held-out regions; for repeated validation use `labelled_regions.cache_regions` first.
    config
        The training file: its loss, and the structure with its exclusion zone.

    Returns
    -------
    pooled : ValidationScores
        Of the voxels of all regions together: a large region counts for more than a small one.
    by_region : list of ValidationScores
        Of each region alone.
    """
    structure, loss_function = config.structure, find_loss(config.loss)
    pooled, by_region = _ScoreSums(), [_ScoreSums() for _ in regions]
    for region, sums in zip(regions, by_region, strict=True):
        widths = structure.zone_out_nm, structure.zone_in_nm
        outside, inside = (zone_radii_in_voxels(width, region.raw.voxel_size) for width in widths)
        halo = zone_halo(outside, inside)
        whole = Roi.of_shape(region.target.shape)
        for tile, logits in _predict_tiles(runner, region):
            read_roi = tile.grow(halo).intersect(whole)
            inner = tile.shift(negate(read_roi.offset)).slices
            padded = np.asarray(region.target[read_roi.slices])
            # UNLABELLED is also the unlabelled id of `exclusion_zone`; OUTSIDE does not occur here.
            zone, codes = exclusion_zone(padded, outside, inside)[inner], padded[inner]
            target = torch.from_numpy(np.ascontiguousarray(codes))[None].to(logits.device)
            labelled = target < OUTSIDE
            with torch.inference_mode():
                loss = loss_function(logits[None], (target == FOREGROUND).long(), labelled)
            tile_loss, weight = float(loss), int(labelled.sum())
            predicted = (logits[1] >= logits[0]).cpu().numpy()
            counts = count_confusion(predicted, codes == FOREGROUND, (codes < OUTSIDE) & ~zone)
            for total in (pooled, sums):
                total.add(counts, tile_loss, weight)
        if not math.isfinite(sums.loss):
            LOG.warning("the validation loss of %s is %s, not a number", region.name, sums.loss)
    return pooled.scores(), [sums.scores() for sums in by_region]


def validation_margin(config: ModelConfig) -> IntZYX:
    """Return the number of voxels around a region that its tiles read and depend on."""
    margin = max(context(config) + lattice(config), context_behind(config))
    return margin, margin, margin


def _predict_tiles(runner: NetworkRunner, region: LabelledRegion) -> Iterator[tuple[Roi, Tensor]]:
    """Yield the Roi of each tile with labelled voxels in the region's target, and its logits."""
    config = runner.net.config
    target = Roi.of_shape(region.target.shape).shift(region.original_offset)
    to_target = negate(region.original_offset)
    for tile in plan_tiles(config, target, default_tile(config, runner.device)).tiles:
        write_roi = tile.intersect(target)
        if not _has_labels(region, write_roi.shift(to_target)):
            continue
        read_roi = input_roi(config, tile).shift(to_target).shift(region.target_offset)
        raw = scale_to_unit(region.raw.read(read_roi), region.window) * 2 - 1
        logits = runner.logits(raw, tile.shape)
        z, y, x = write_roi.shift(negate(tile.offset)).slices
        yield write_roi.shift(to_target), logits[:, z, y, x]


def _has_labels(region: LabelledRegion, box: Roi) -> bool:
    """Return whether a box of a region has labelled voxels: few have, where objects are sparse."""
    return bool((np.asarray(region.target[box.slices]) < OUTSIDE).any())
