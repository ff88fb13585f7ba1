"""Loss and scores on held-out regions, while a network is trained."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asem.image.labels import exclusion_zone
from asem.image.morphology import radii_of
from asem.measure.overlap import Overlap, overlap
from asem.model.config import TrainConfig
from asem.model.inference import Runner, default_tile, plan_tiles, run_tile
from asem.model.losses import loss_named
from asem.model.sampling import BEYOND, FOREGROUND, Sample
from asem.structures import structure
from asem.volume.contrast import to_unit
from asem.volume.roi import Roi, negative, subtract


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
        Loaded with ``at_least=1``.
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


def _tiles(runner: Runner, sample: Sample) -> Iterator[tuple[Roi, Tensor]]:
    """Yield each tile's Roi in the sample's target with its logits there."""
    config = runner.net.config
    home = Roi(sample.origin, sample.target.shape)
    tiling = plan_tiles(config, home, default_tile(runner))
    raw = to_unit(_cut(sample, tiling.read), sample.window) * 2 - 1
    for one in tiling.tiles:
        wanted = one.intersect(home)
        z, y, x = subtract(wanted.offset, one.offset)
        d, h, w = wanted.shape
        logits = run_tile(runner, raw, tiling, one)[:, z : z + d, y : y + h, x : x + w]
        yield wanted.shift(negative(sample.origin)), logits


def _cut(sample: Sample, read: Roi) -> npt.NDArray[Any]:
    """Return the raw voxels of `read`; beyond the sample's margin any will do.

    Those serve only voxels of the last tiles that are thrown away.
    """
    start = subtract(read.offset, subtract(sample.origin, (sample.before,) * 3))
    inside = Roi(start, read.shape).intersect(Roi.whole(sample.raw.shape))
    missing = zip(read.shape, inside.shape, strict=True)
    return np.pad(sample.raw[inside.slices], [(0, n - m) for n, m in missing], mode="edge")
