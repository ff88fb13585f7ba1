"""Predict a volume with a trained network, and cut the prediction into foreground."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.journal import request_of
from asem.blocks.memory import keep_memory
from asem.blocks.output import new_image
from asem.blocks.run import Progress, run_blocks, silent
from asem.image.clahe import ClaheConfig, equalized, measure_mappings
from asem.model.checkpoint import find_checkpoint, load_checkpoint, weights_hash
from asem.model.device import (
    Precision,
    describe,
    memory_advice,
    resolve_device,
    resolve_precision,
)
from asem.model.inference import Runner, Told, fitting_tile, plan_tiles, predict
from asem.model.unet import lattice
from asem.volume.contrast import to_unit, window_of
from asem.volume.formats import open_volume
from asem.volume.resample import Resampling
from asem.volume.roi import Roi, negative, parse_roi
from asem.volume.volume import Volume
from asem.volume.voxel_size import at_voxel_size, warn_of_interpolation

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
    clahe: bool = False,
    resample: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Volume:
    """Predict the probability of foreground for every voxel of a volume.

    Block by block: read with the network's context, resample to the model's voxel size on the
    original grid, predict in tiles on its lattice, write back interpolated to raw's voxels.

    Parameters
    ----------
    checkpoint
        A run directory (its best checkpoint), a checkpoint, or a converted model.
    raw
        The image to predict.
    destination
        The image group to write: uint8, rint(255 p).
    roi
        Predict only ``z0:z1,y0:y1,x0:x1`` in the voxels of raw; neighbours outside are read.
    device, precision
        ``"auto"``, ``"cpu"``, ``"cuda:N"``; ``"auto"``, ``"32"``, ``"bf16"``.
    tile
        Edge of what one forward pass keeps, model voxels; None: what an interrupted run had, else
        as much as the free memory allows (264 on a CPU, 520 on a GPU at most).
    clahe
        Equalize the contrast of what is read, as `asem clahe` would have of the whole volume.
    resample
        Whether raw and model may have different voxel sizes.
    overwrite
        Replace an image at `destination`.
    progress
        Told of every block.

    Returns
    -------
    Volume
        The finished probability.

    Notes
    -----
    On a CPU this process keeps the memory it frees from then on (`keep_memory`).
    """
    fine = open_volume(raw)
    if tile is None and not overwrite:
        tile = request_of(destination).get("tile")
    model, info = _model(
        checkpoint, fine, device=device, precision=precision, tile=tile, resample=resample
    )
    part = parse_roi(roi, fine.shape) if roi else fine.roi
    template = fine.blank(part, dtype=np.uint8, window=(0.0, 255.0), kind="image")
    equalization = ClaheConfig() if clahe else None
    request = {
        "raw": fine.identity,
        "roi": str(part),
        "clahe": equalization and equalization.model_dump(mode="json"),
        **info,
    }
    if model.runner.device.type == "cpu":
        keep_memory()
    device_name = describe(model.runner.device)
    LOG.info("predicting on %s, precision %s, tile %d", device_name, info["precision"], model.tile)
    started = time.monotonic()
    with (
        memory_advice("a smaller --tile"),
        new_image(
            destination,
            template,
            command="predict",
            request=request,
            sources=[raw, checkpoint],
            overwrite=overwrite,
            progress=progress,
        ) as output,
    ):
        steps = _Steps(progress)
        if equalization is not None:
            view = equalized(fine, measure_mappings(output, fine, equalization))
            coarse = at_voxel_size(view, model.coarse.voxel_size)
            model = replace(model, coarse=coarse, window=window_of(view))

        def work(block: Roi) -> None:
            with memory_advice("a smaller --tile"):
                place = block.shift(part.offset)
                voxels = predict_block(model, fine, place, told=steps.within(block))
            output.array.write(block.slices, voxels).result()

        run_blocks(work, output.shards(), output.journal, stage="predict", progress=steps.between)
        output.facts |= {"device": device_name, "seconds": round(time.monotonic() - started, 1)}
    return open_volume(destination)


@dataclass(frozen=True)
class Model:
    """A network that is ready to predict one volume.

    Parameters
    ----------
    runner
        The network on its device.
    coarse
        The volume at the model's voxel size.
    window
        Grey values of black and white.
    tile
        Edge of what a forward pass keeps, model voxels.
    """

    runner: Runner
    coarse: Volume
    window: tuple[float, float]
    tile: int


def _model(
    checkpoint: Path,
    raw: Volume,
    *,
    device: str,
    precision: Precision,
    tile: int | None,
    resample: bool,
) -> tuple[Model, dict[str, Any]]:
    """Load a checkpoint for a volume; returns what describes it in a request, too."""
    folder = find_checkpoint(checkpoint)
    net, info = load_checkpoint(folder)
    coarse = at_voxel_size(raw, info.voxel_size, resample=resample)
    where = resolve_device(device)
    runner = Runner(net.to(where), where, resolve_precision(precision, where))
    edge = fitting_tile(runner) if tile is None else tile
    step = lattice(info.model)
    plan_tiles(info.model, Roi((0, 0, 0), (step, step, step)), edge)  # refuses a bad tile
    model = Model(runner, coarse, window_of(raw), edge)
    warn_of_interpolation(raw, info.voxel_size)
    return model, {
        "weights": weights_hash(folder),
        "checkpoint": info.model_dump(mode="json"),
        "tile": edge,
        "precision": runner.precision,
    }


class _Steps:
    """Progress tile by tile: a block may take minutes."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.state = progress, ("", 0, 0)

    def between(self, stage: str, done: int, total: int) -> None:
        """Take note of a finished block."""
        self.state = stage, done, total
        self.progress(stage, done, total)

    def within(self, block: Roi) -> Told:
        """Return what is to be told of the tiles of `block`, in shares of 1."""
        stage, done, total = self.state

        def told(share: float) -> None:
            self.progress(stage, done + int(share * block.size), total)

        return told


def predict_block(
    model: Model, raw: Volume, block: Roi, *, told: Told | None = None
) -> npt.NDArray[np.uint8]:
    """Predict one block of raw.

    ::

        raw         |-- block --|            voxels of raw
        model     |----- bins -----|         what the block is interpolated from, on the original
                                             grid: up to one voxel more than covers it

    Parameters
    ----------
    model
        The network and the volume as it sees it.
    raw
        The volume.
    block
        In the voxels of raw.
    told
        Called after every tile with the share that is done.
    """
    coarse = model.coarse
    back = Resampling.between(coarse, raw)
    on_grid = block.shift(raw.original_offset)
    tiling = plan_tiles(model.runner.net.config, back.needed(on_grid), model.tile)
    grey = coarse.read(tiling.read.shift(negative(coarse.original_offset)))
    probability = predict(model.runner, to_unit(grey, model.window) * 2 - 1, tiling, told)
    return back.apply(probability, on_grid)
