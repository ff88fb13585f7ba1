"""Predict a volume with a trained network, and cut the prediction into foreground."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from asem.blocks.output import new_image
from asem.blocks.run import Progress, run_blocks, silent
from asem.model.checkpoint import load_checkpoint, weights_hash
from asem.model.device import Precision, describe, resolve_device, resolve_precision
from asem.model.inference import DEFAULT_TILE, Runner, plan_tiles, predict
from asem.model.unet import lattice
from asem.volume.contrast import to_unit, window_of
from asem.volume.downsample import at_voxel_size
from asem.volume.formats import open_volume
from asem.volume.roi import Roi, Triple, parse_roi, subtract
from asem.volume.volume import Blank, Volume

LOG = logging.getLogger(__name__)


def predict_volume(
    checkpoint: Path,
    raw: Path,
    destination: Path,
    *,
    roi: str | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Volume:
    """Predict the probability of foreground for every voxel of a volume.

    Block by block: read with the network's context, average to the model's voxel size on the
    original grid, predict in tiles on its lattice, write back at raw's voxel size.

    Parameters
    ----------
    checkpoint
        A run directory (its best checkpoint) or a checkpoint.
    raw
        The image to predict.
    destination
        The image group to write: uint8, rint(255 p).
    roi
        Predict only ``z0:z1,y0:y1,x0:x1`` in the voxels of raw; neighbours outside are read.
    device, precision
        ``"auto"``, ``"cpu"``, ``"cuda:N"``; ``"auto"``, ``"32"``, ``"bf16"``.
    tile
        Edge of what one forward pass keeps, model voxels; None: 104 on a CPU, 200 on a GPU.
    overwrite
        Replace an image at `destination`.
    progress
        Told of every block.

    Returns
    -------
    Volume
        The finished probability.
    """
    net, info = load_checkpoint(checkpoint)
    fine = open_volume(raw)
    coarse = at_voxel_size(fine, info.voxel_size)
    window = window_of(fine)
    where = resolve_device(device)
    runner = Runner(net.to(where), where, resolve_precision(precision, where))
    step = lattice(info.model)
    edge = tile or max(step, DEFAULT_TILE[where.type] // step * step)
    part = parse_roi(roi, fine.shape) if roi else fine.roi
    plan_tiles(info.model, Roi((0, 0, 0), (step, step, step)), edge)  # refuses a bad tile
    template = replace(
        fine,
        array=Blank(part.shape, np.dtype(np.uint8)),
        offset_nm=fine.position_nm(part.offset),
        original=fine.grid,
        window=(0.0, 255.0),
        kind="image",
    )
    request = {
        "raw": fine.identity,
        "weights": weights_hash(checkpoint),
        "checkpoint": info.model_dump(mode="json"),
        "roi": str(part),
        "tile": edge,
        "precision": runner.precision,
        "device": describe(where),
    }
    LOG.info("predicting on %s, precision %s, tile %d", describe(where), runner.precision, edge)
    started = time.monotonic()
    with new_image(
        destination,
        template,
        command="predict",
        request=request,
        sources=[raw, checkpoint],
        overwrite=overwrite,
        progress=progress,
    ) as output:

        def work(block: Roi) -> None:
            wanted = block.shift(part.offset)
            output.write(block, predict_block(runner, coarse, window, wanted, fine, edge))

        run_blocks(work, output.shards(), output.journal, stage="predict", progress=progress)
        output.facts["seconds"] = round(time.monotonic() - started, 1)
    return open_volume(destination)


def predict_block(
    runner: Runner,
    coarse: Volume,
    window: tuple[float, float],
    block: Roi,
    fine: Volume,
    tile: int,
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Predict one block of raw.

    ::

        raw         |-- block --|            voxels of raw
        model     |---- bins ------|         whole bins around it, on the original grid

    Parameters
    ----------
    runner
        The network.
    coarse, fine
        The volume at the model's voxel size, and raw.
    window
        Grey values of black and white.
    block
        In the voxels of raw.
    tile
        Edge of what a forward pass keeps, model voxels.
    """
    ratios = zip(coarse.voxel_size, fine.voxel_size, strict=True)
    z, y, x = (round(c / f) for c, f in ratios)
    factors: Triple = (z, y, x)
    on_grid = block.shift(fine.original_offset)
    bins = Roi.between(
        [o // f for o, f in zip(on_grid.offset, factors, strict=True)],
        [-(-e // f) for e, f in zip(on_grid.end, factors, strict=True)],
    )
    tiling = plan_tiles(runner.net.config, bins, tile)
    grey = coarse.read(tiling.read.shift(subtract((0, 0, 0), coarse.original_offset)))
    probability = predict(runner, to_unit(grey, window) * 2 - 1, tiling)
    for axis, factor in enumerate(factors):
        probability = np.repeat(probability, factor, axis)
    first = [b * f for b, f in zip(bins.offset, factors, strict=True)]
    return probability[on_grid.shift((-first[0], -first[1], -first[2])).slices]
