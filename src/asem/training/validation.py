"""Loss and scores on held-out regions, while a network is trained."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asem.image.labels import exclusion_zone, zone_halo
from asem.image.morphology import zone_radii
from asem.measure.overlap import Overlap, overlap
from asem.model.config import ModelConfig, TrainConfig
from asem.model.inference import Runner, default_tile, input_roi, plan_tiles
from asem.model.unet import context, lattice, reach
from asem.training.losses import loss_named
from asem.training.regions import Sample
from asem.training.targets import BEYOND, FOREGROUND
from asem.volume.contrast import to_unit
from asem.volume.roi import Roi, Triple, negative


def validate(
    runner: Runner,
    samples: Sequence[Sample],
    config: TrainConfig,
) -> dict[str, Any]:
    """Predict regions tile by tile and score them outside the structure's exclusion zone.

    Parameters
    ----------
    runner
        The network as it is.
    samples
        Held-out regions; in memory (`asem.training.regions.kept`) where they are used often.
    config
        The training file: its loss, and the structure whose zone is left out, at the model's voxel
        size.

    Returns
    -------
    dict
        ``validation_loss`` (of tiles, averaged by their known voxels), ``precision``, ``recall``,
        ``f1``.
    """
    zone, loss_of = config.structure, loss_named(config.loss)
    counts, loss, weight = Overlap(), 0.0, 0
    for sample in samples:
        widths = zone.zone_out_nm, zone.zone_in_nm
        outside, inside = (zone_radii(width, sample.raw.voxel_size) for width in widths)
        halo = zone_halo(outside, inside)
        whole = Roi.whole(sample.target.shape)
        for tile, logits in _tiles(runner, sample):
            read = tile.grow(halo).intersect(whole)
            inner = tile.shift(negative(read.offset)).slices
            around = np.asarray(sample.target[read.slices])
            # UNKNOWN is the id that the zone takes for unknown; BEYOND does not occur here.
            zone_here, codes = exclusion_zone(around, outside, inside)[inner], around[inner]
            target = torch.from_numpy(np.ascontiguousarray(codes))[None].to(logits.device)
            known = target < BEYOND
            number = int(known.sum())
            with torch.inference_mode():
                one = loss_of(logits[None], (target == FOREGROUND).long(), known)
            loss, weight = loss + float(one) * number, weight + number
            predicted = (logits[1] >= logits[0]).cpu().numpy()
            counts += overlap(predicted, codes == FOREGROUND, (codes < BEYOND) & ~zone_here)
    scores = counts.scores()
    return {
        "validation_loss": loss / weight,
        "precision": scores["precision"],
        "recall": scores["recall"],
        "f1": scores["f1"],
    }


def margin_of(config: ModelConfig) -> Triple:
    """Return how many voxels around a region its tiles read, and change with."""
    before = context(config) + lattice(config)
    margin = max(before, reach(config))
    return margin, margin, margin


def _tiles(runner: Runner, sample: Sample) -> Iterator[tuple[Roi, Tensor]]:
    """Yield each tile's Roi in the sample's target with its logits there."""
    config = runner.net.config
    home = Roi.whole(sample.target.shape).shift(sample.origin)
    back = negative(sample.origin)
    for one in plan_tiles(config, home, default_tile(runner)).tiles:
        wanted = one.intersect(home)
        there = input_roi(config, one).shift(back).shift(sample.place)
        raw = to_unit(sample.raw.read(there), sample.window) * 2 - 1
        logits = runner.logits(raw, one.shape)
        z, y, x = wanted.shift(negative(one.offset)).slices
        yield wanted.shift(back), logits[:, z, y, x]
