"""Loss and scores on held-out regions, while a network is trained."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from asem.image.labels import exclusion_zone
from asem.image.morphology import radii_of
from asem.measure.overlap import Overlap, overlap
from asem.model.config import ModelConfig, TrainConfig
from asem.model.inference import Runner, default_tile, plan_tiles, run_tile
from asem.model.unet import context, lattice, reach
from asem.structures import structure
from asem.training.losses import loss_named
from asem.training.regions import BEYOND, FOREGROUND, Sample
from asem.volume.contrast import to_unit
from asem.volume.roi import Roi, Triple, negative, subtract


def validate(
    runner: Runner,
    samples: Sequence[Sample],
    config: TrainConfig,
) -> dict[str, Any]:
    """Predict regions whole and score them outside the structure's exclusion zone.

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
    zone, loss_of = structure(config.structure), loss_named(config.loss)
    counts, loss, weight = Overlap(), 0.0, 0
    outside = radii_of(zone.zone_out_nm, config.voxel_size)
    inside = radii_of(zone.zone_in_nm, config.voxel_size)
    for sample in samples:
        codes = sample.target
        # UNKNOWN is the id that the zone takes for unknown; BEYOND does not occur here.
        scored = (codes < BEYOND) & ~exclusion_zone(codes, outside, inside)
        for tile, logits in _tiles(runner, sample):
            target = torch.from_numpy(codes[tile.slices])[None].to(logits.device)
            known = target < BEYOND
            number = int(known.sum())
            with torch.inference_mode():
                one = loss_of(logits[None], (target == FOREGROUND).long(), known)
            loss, weight = loss + float(one) * number, weight + number
            predicted = (logits[1] >= logits[0]).cpu().numpy()
            labelled = codes[tile.slices] == FOREGROUND
            counts += overlap(predicted, labelled, scored[tile.slices])
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
    home = Roi(sample.origin, sample.target.shape)
    tiling = plan_tiles(config, home, default_tile(runner))
    there = tiling.read.shift(negative(sample.origin)).shift(sample.place)
    raw = to_unit(sample.raw.read(there), sample.window) * 2 - 1
    for one in tiling.tiles:
        wanted = one.intersect(home)
        z, y, x = subtract(wanted.offset, one.offset)
        d, h, w = wanted.shape
        logits = run_tile(runner, raw, tiling, one)[:, z : z + d, y : y + h, x : x + w]
        yield wanted.shift(negative(sample.origin)), logits
