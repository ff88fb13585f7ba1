"""Score a prediction against labels, block by block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.run import Progress, silent
from asem.image.halo import check_halo
from asem.image.labels import (
    exclusion_zone,
    is_foreground,
    unknown_id,
    warn_of_lost_zone,
    zone_halo,
)
from asem.image.morphology import ElementShape, zone_radii
from asem.measure.overlap import Overlap, overlap
from asem.structures import find_structure
from asem.system.resources import free_memory
from asem.volume.formats import open_labels, open_volume
from asem.volume.grid import tile
from asem.volume.replaced import refuse_replaced
from asem.volume.roi import Roi, negative, parse_roi
from asem.volume.volume import Volume
from asem.workflows.probabilities import HALF, check_probability

BLOCK = (256, 256, 256)


def evaluate_volume(
    prediction: Path,
    labels: Path,
    *,
    structure_name: str | None = None,
    zone_out_nm: float | None = None,
    zone_in_nm: float | None = None,
    zone_shape: ElementShape = "diamond",
    mask: Path | None = None,
    roi: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Score a prediction over its common part with the labels (and the mask).

    Parameters
    ----------
    prediction
        A segmentation (not 0 is foreground) or a probability (128 and more is).
    labels
        The truth; the dtype's maximum is unknown and not scored.
    structure_name
        Preset of the exclusion zone, or a TOML file with one (`asem.structures.Structure`).
    zone_out_nm, zone_in_nm
        Its widths in nm instead, both.
    zone_shape
        ``"diamond"`` as in the paper, or ``"ball"``, which is wider: say which with the score.
    mask
        Only voxels that are not 0 here are scored.
    roi
        Only these voxels of the prediction.
    progress
        Told of every block.

    Returns
    -------
    dict
        ``exclusion_zone`` (scores outside of the zone; None without one) and ``all``, each with
        precision, recall, f1, iou and voxels; and ``zone``, what the zone was.
    """
    predicted, truth = open_volume(prediction), open_labels(labels)
    widths = _zone_widths(structure_name, zone_out_nm, zone_in_nm)
    sample = open_volume(mask) if mask else None
    common = predicted.common(truth)
    if sample is not None:
        common = common.intersect(predicted.common(sample))
    if roi is not None:
        common = common.intersect(parse_roi(roi, predicted.shape))
    if common.size == 0:
        raise ValueError("prediction, labels, mask and roi have no voxel in common")
    if predicted.kind == "image":
        check_probability(prediction, predicted, common, progress=progress)
    if widths is not None:
        warn_of_lost_zone(structure_name or "evaluate", *widths, predicted.voxel_size)
        outside, inside = (zone_radii(width, predicted.voxel_size) for width in widths)
        check_halo(truth, zone_halo(outside, inside), "the exclusion zone", free_memory())
    scorer = _Scorer(predicted, truth, widths, zone_shape, sample)
    zoned, whole, done = Overlap(), Overlap(), 0
    for block in tile(common, BLOCK):
        one_zoned, one_whole = scorer.count(block)
        zoned, whole, done = zoned + one_zoned, whole + one_whole, done + block.size
        progress("evaluate", done, common.size)
    refuse_replaced([predicted, truth, sample])
    zone = widths and {"out_nm": widths[0], "in_nm": widths[1], "shape": zone_shape}
    return {
        "exclusion_zone": zoned.scores() if widths else None,
        "all": whole.scores(),
        "zone": zone,
    }


def _zone_widths(
    name: str | None, out_nm: float | None, in_nm: float | None
) -> tuple[float, float] | None:
    if name is not None:
        if out_nm is not None or in_nm is not None:
            raise ValueError("give --structure, or --zone-out-nm and --zone-in-nm, not both")
        preset = find_structure(name)
        return preset.zone_out_nm, preset.zone_in_nm
    if out_nm is None and in_nm is None:
        return None
    if out_nm is None or in_nm is None or not 0 <= min(out_nm, in_nm) <= max(out_nm, in_nm) < 1e6:
        raise ValueError("--zone-out-nm and --zone-in-nm go together; both at least 0 nm")
    return out_nm, in_nm


@dataclass(frozen=True)
class _Scorer:
    """Everything that stays the same from block to block; boxes in voxels of the prediction."""

    predicted: Volume
    truth: Volume
    widths: tuple[float, float] | None
    shape: ElementShape
    sample: Volume | None

    def count(self, block: Roi) -> tuple[Overlap, Overlap]:
        """Count one block, outside of the zone and in all.

        ::

            read     |-- halo --|--- block ---|-- halo --|    labels, as far as they reach
        """
        out_nm, in_nm = self.widths or (0.0, 0.0)
        outside = zone_radii(out_nm, self.predicted.voxel_size)
        inside = zone_radii(in_nm, self.predicted.voxel_size)
        place = self.predicted.place_of(self.truth)
        read = block.grow(zone_halo(outside, inside)).intersect(place)
        labels = self.truth.read(read.shift(negative(place.offset)))
        core = block.shift(negative(read.offset)).slices
        labelled = is_foreground(labels[core])
        known = labels[core] != unknown_id(labels.dtype)
        if self.sample is not None:
            known &= self.predicted.read_placed(self.sample, block) != 0
        predicted = _foreground(self.predicted, block)
        whole = overlap(predicted, labelled, known)
        if self.widths is None:
            return whole, whole
        zone = exclusion_zone(labels, outside, inside, self.shape)[core]
        return overlap(predicted, labelled, known & ~zone), whole


def _foreground(volume: Volume, block: Roi) -> npt.NDArray[np.bool_]:
    voxels = volume.read(block)
    return is_foreground(voxels) if volume.kind == "labels" else voxels >= HALF
