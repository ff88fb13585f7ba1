"""Score a prediction against labels, block by block."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.run_blocks import Progress, no_progress
from asem.image.common_roi import find_common_roi
from asem.image.labels import (
    exclusion_zone,
    is_foreground,
    unlabelled_id,
    warn_zero_zone_width,
    zone_halo,
)
from asem.image.map_overlap import check_halo_memory, read_with_halo
from asem.image.morphology import ElementShape, zone_radii_in_voxels
from asem.measure.segmentation_scores import ConfusionCounts, count_confusion
from asem.structures import load_structure
from asem.system.resources import free_memory_bytes
from asem.volume.address import AddressLike
from asem.volume.block_grid import split_into_blocks
from asem.volume.id_selection import IdSelection
from asem.volume.label_views import select_ids
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.roi import Roi, negate, parse_roi
from asem.volume.sources import open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import Volume
from asem.workflows.probability_check import FOREGROUND_UINT8, check_probability

LOG = logging.getLogger(__name__)
BLOCK_SHAPE = (256, 256, 256)


def evaluate_volume(
    prediction: AddressLike,
    labels: AddressLike,
    *,
    structure_name: str | None = None,
    zone_out_nm: float | None = None,
    zone_in_nm: float | None = None,
    zone_shape: ElementShape = "diamond",
    mask: AddressLike | None = None,
    roi: str | None = None,
    ids: IdSelection | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Score a prediction on the voxels that it shares with the labels (and the mask).

    Parameters
    ----------
    prediction
        A segmentation (foreground: not 0) or a probability (foreground: 128 and more).
    labels
        Ground truth; unlabelled voxels (the maximum of the dtype) are not scored.
    structure_name
        Preset of the exclusion zone, or a TOML file with one (`asem.structures.Structure`).
    zone_out_nm, zone_in_nm
        Widths of the zone in nm, both, in place of `structure_name`.
    zone_shape
        ``"diamond"`` as in the paper, or ``"ball"``, which is wider: report it with the score.
    mask
        Sample mask; only voxels that are not 0 in it are scored.
    roi
        Part of the prediction to score, ``z0:z1,y0:y1,x0:x1``.
    ids
        Ids of `labels` that are foreground, others are background; None: all ids are foreground.
    progress
        Progress callback.

    Returns
    -------
    dict
        ``exclusion_zone`` (scores outside of the zone; None without one) and ``all``, each with
        precision, recall, f1, iou and voxels; and ``zone``, widths and shape of the zone.
    """
    predicted, opened = open_volume(prediction), open_labels(labels)
    warn_of_grey_values(opened)
    truth = select_ids(opened, ids)
    widths = _zone_widths(structure_name, zone_out_nm, zone_in_nm)
    sample = open_volume(mask) if mask else None
    common = find_common_roi(predicted, truth)
    if sample is not None:
        common = common.intersect(find_common_roi(predicted, sample))
    if roi is not None:
        common = common.intersect(parse_roi(roi, predicted.shape))
    if common.size == 0:
        raise ValueError("prediction, labels, mask and roi have no voxel in common")
    if predicted.kind == "image":
        check_probability(prediction, predicted, common, progress=progress)
    if widths is not None:
        warn_zero_zone_width(structure_name or "evaluate", *widths, predicted.voxel_size)
        outside, inside = (zone_radii_in_voxels(width, predicted.voxel_size) for width in widths)
        check_halo_memory(
            truth, zone_halo(outside, inside), "the exclusion zone", free_memory_bytes()
        )
    scorer = _BlockScorer(predicted, truth, widths, zone_shape, sample)
    outside_zone, total, done = ConfusionCounts(), ConfusionCounts(), 0
    for block in split_into_blocks(common, BLOCK_SHAPE):
        block_outside, block_total = scorer.count_block(block)
        outside_zone, total = outside_zone + block_outside, total + block_total
        done += block.size
        progress("evaluate", done, common.size)
    check_not_replaced([predicted, truth, sample])
    if ids is not None and total.true_positives + total.false_negatives == 0:
        LOG.warning("%s has no scored voxel with the ids %s", truth.name, ids)
    zone = widths and {"out_nm": widths[0], "in_nm": widths[1], "shape": zone_shape}
    return {
        "exclusion_zone": outside_zone.scores() if widths else None,
        "all": total.scores(),
        "zone": zone,
    }


def _zone_widths(
    name: str | None, out_nm: float | None, in_nm: float | None
) -> tuple[float, float] | None:
    if name is not None:
        if out_nm is not None or in_nm is not None:
            raise ValueError("give --structure, or --zone-out-nm and --zone-in-nm, not both")
        preset = load_structure(name)
        return preset.zone_out_nm, preset.zone_in_nm
    if out_nm is None and in_nm is None:
        return None
    if out_nm is None or in_nm is None or not 0 <= min(out_nm, in_nm) <= max(out_nm, in_nm) < 1e6:
        raise ValueError(
            "give both --zone-out-nm and --zone-in-nm, each at least 0 nm and below 1e6 nm"
        )
    return out_nm, in_nm


@dataclass(frozen=True)
class _BlockScorer:
    """Scores blocks of a prediction; boxes in voxels of the prediction."""

    predicted: Volume
    labels: Volume
    zone_widths_nm: tuple[float, float] | None
    zone_shape: ElementShape
    mask: Volume | None

    def count_block(self, block: Roi) -> tuple[ConfusionCounts, ConfusionCounts]:
        """Return the confusion counts of a block, outside of the zone and of all voxels.

        ::

            read     |-- halo --|--- block ---|-- halo --|    of the labels, clipped to them
        """
        out_nm, in_nm = self.zone_widths_nm or (0.0, 0.0)
        outside = zone_radii_in_voxels(out_nm, self.predicted.voxel_size)
        inside = zone_radii_in_voxels(in_nm, self.predicted.voxel_size)
        to_labels = negate(self.predicted.roi_of(self.labels).offset)
        halo = zone_halo(outside, inside)
        labels, core = read_with_halo(self.labels, block.shift(to_labels), halo)
        labelled = is_foreground(labels[core])
        scored = labels[core] != unlabelled_id(labels.dtype)
        if self.mask is not None:
            scored &= self.predicted.read_aligned(self.mask, block) != 0
        predicted = _read_foreground(self.predicted, block)
        total = count_confusion(predicted, labelled, scored)
        if self.zone_widths_nm is None:
            return total, total
        zone = exclusion_zone(labels, outside, inside, self.zone_shape)[core]
        return count_confusion(predicted, labelled, scored & ~zone), total


def _read_foreground(volume: Volume, block: Roi) -> npt.NDArray[np.bool_]:
    voxels = volume.read(block)
    return is_foreground(voxels) if volume.kind == "labels" else voxels >= FOREGROUND_UINT8
