"""Predict volumes with trained networks, block by block, on all available devices."""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asem.blocks.block_progress import BlockProgress
from asem.blocks.executors import SERIAL_EXECUTOR, Executor, ThreadExecutor
from asem.blocks.journal import JournalGroup
from asem.blocks.output_image import OutputImage, create_image
from asem.blocks.run_blocks import Progress, no_progress, run_blocks
from asem.image.clahe import compute_mappings
from asem.image.clahe_apply import equalize_lazily
from asem.model.block_prediction import STAGES, BlockPredictor
from asem.model.device import Precision
from asem.system.malloc_settings import retain_freed_memory
from asem.system.npz import ArraySpec
from asem.volume.address import AddressLike
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.prediction_inputs import (
    PredictionInput,
    PredictionInputs,
    make_prediction_input,
)
from asem.workflows.prediction_plan import COMMAND, PredictionPlan, is_finished

LOG = logging.getLogger(__name__)
BLOCKS_PER_DEVICE = {"cpu": 1, "cuda": 3}
"""Blocks in flight. With a GPU one is read, one computed, one stored; on a CPU a network uses all
cores nearly all of the time, and further blocks would only use memory."""


def predict_volume(
    checkpoint: Path,
    raw: AddressLike,
    destination: Path,
    *,
    roi: str | None = None,
    mask: AddressLike | None = None,
    threshold: float | None = None,
    mirror: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    clahe: bool = False,
    resample: bool = True,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Volume:
    """Predict the probability of foreground for every voxel of a volume.

    For each block: read it with the network's context, resample it to the model's voxel size on the
    original grid, predict it in tiles on the lattice, interpolate to raw's voxels and write. Blocks
    overlap: while a GPU computes one, others are read and stored.

    Parameters
    ----------
    checkpoint, raw, roi, mask, threshold, mirror, precision, tile, clahe, resample
        As in `PredictionModel` and `PredictionInput`.
    destination
        The image group to write: uint8, rint(255 p); with `threshold` labels 0 and 1.
    device
        As in `PredictionInputs`.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Executor of the blocks, and progress callback.

    Returns
    -------
    Volume
        The finished probability.

    Notes
    -----
    Processes that compute retain the memory they free within a block (`retain_freed_memory`); in a
    process that starts threads itself, this requires ``MALLOC_ARENA_MAX=1`` in the environment.
    """
    prediction = make_prediction_input(
        checkpoint,
        raw,
        destination,
        roi=roi,
        mask=mask,
        threshold=threshold,
        mirror=mirror,
        precision=precision,
        tile=tile,
        clahe=clahe,
        resample=resample,
    )
    predict_input(
        prediction, device=device, overwrite=overwrite, executor=executor, progress=progress
    )
    return open_volume(destination)


def predict_inputs(
    inputs: PredictionInputs,
    *,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> list[Path]:
    """Predict images with networks; an image is read once for all its networks.

    Outputs that are finished, of the same networks and image, are left unchanged: an interrupted
    batch is resumed.

    Parameters
    ----------
    inputs
        Images and networks.
    overwrite
        Restart, and replace existing outputs.
    executor, progress
        Executor of the blocks, and progress callback.

    Returns
    -------
    list of Path
        The outputs, in the order of `inputs`.
    """
    plans = []
    for prediction in inputs.input:
        plan = PredictionPlan.from_input(
            prediction, device=inputs.device, overwrite=overwrite, executor=executor
        )
        unfinished = []
        for planned in plan.models:
            if not overwrite and is_finished(planned):
                LOG.info("%s is finished already", planned.model.out)
            else:
                unfinished.append(planned)
        if unfinished:
            plans.append(replace(plan, models=tuple(unfinished)))
            plans[-1].check_destinations(overwrite=overwrite)
    for plan in plans:
        run_plan(plan, overwrite=overwrite, executor=executor, progress=progress)
    return [model.out for prediction in inputs.input for model in prediction.model]


def predict_input(
    prediction: PredictionInput,
    *,
    device: str = "auto",
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> None:
    """Predict one image with one or several networks; it is read once for all of them."""
    plan = PredictionPlan.from_input(
        prediction, device=device, overwrite=overwrite, executor=executor
    )
    run_plan(plan, overwrite=overwrite, executor=executor, progress=progress)


def run_plan(
    plan: PredictionPlan, *, overwrite: bool, executor: Executor, progress: Progress
) -> None:
    """Carry out a plan."""
    plan.check_destinations(overwrite=overwrite)
    executor.run_on_workers(retain_freed_memory)
    block_progress = BlockProgress(progress)
    is_local = executor is SERIAL_EXECUTOR
    for planned in plan.models:
        network = planned.network
        LOG.info("%s: precision %s, tile %d", planned.model.out, network.precision, network.tile)
    start = time.monotonic()
    with ExitStack() as stack:
        outputs = [
            stack.enter_context(
                create_image(
                    planned.model.out,
                    plan.output_template(planned),
                    command=COMMAND,
                    request=planned.request,
                    sources=[*plan.sources, planned.model.checkpoint],
                    inputs=[plan.raw, plan.mask],
                    overwrite=overwrite,
                    executor=executor,
                    progress=progress,
                )
            )
            for planned in plan.models
        ]
        first, raw = outputs[0], plan.raw
        if plan.clahe is not None:
            raw = equalize_lazily(raw, compute_mappings(first, raw, plan.clahe))
        blocks = first.write_blocks(plan.shards_per_block)
        predictor = BlockPredictor(
            raw=raw,
            predicted_roi=plan.predicted_roi,
            networks=tuple(planned.network for planned in plan.models),
            targets=tuple(output.array for output in outputs),
            done_blocks=tuple(_done_blocks(output, blocks) for output in outputs),
            devices=plan.devices,
            block_statistics=first.block_results("stages"),
            mask=plan.mask,
            report_block_progress=block_progress.for_block if is_local else None,
        )
        # Set once for all threads: precision "32" is not TF32, as in `NetworkRunner`.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            run_blocks(
                predictor,
                blocks,
                JournalGroup([output.journal for output in outputs]),
                stage=COMMAND,
                executor=_make_thread_executor(plan, block_progress) if is_local else executor,
                progress=block_progress.report,
            )
        statistics = _collect_statistics(
            predictor, blocks, parallel_blocks=plan.parallel_blocks if is_local else 1
        )
        for output in outputs:
            output.provenance |= {"seconds": round(time.monotonic() - start, 1), **statistics}


def _make_thread_executor(plan: PredictionPlan, block_progress: BlockProgress) -> ThreadExecutor:
    device_type = torch.device(plan.devices.local_devices()[0]).type
    threads = BLOCKS_PER_DEVICE[device_type] * plan.parallel_blocks
    return ThreadExecutor(threads, block_progress.stop_requested.set)


def _done_blocks(output: OutputImage, blocks: Sequence[Roi]) -> frozenset[Roi]:
    return frozenset(
        block for block in blocks if f"{COMMAND} {block}" in output.journal.done_blocks
    )


def _collect_statistics(
    predictor: BlockPredictor, blocks: Sequence[Roi], parallel_blocks: int
) -> dict[str, Any]:
    """Sum up the statistics of the blocks, of all runs until the prediction was finished.

    The bottleneck is the stage that took longest: stages of different blocks overlap, each of them
    running for one block at a time, but the network on all devices.
    """
    seconds, voxels = np.zeros(len(STAGES)), 0
    specs = {
        "seconds": ArraySpec("f", (len(STAGES),)),
        "voxels": ArraySpec("i"),
        "tiles": ArraySpec("i", (len(predictor.networks),)),
        "devices": ArraySpec("U", (None,)),
    }
    devices, smaller_tiles = set[str](), defaultdict[str, list[str]](list)
    for block in blocks:
        results = predictor.block_statistics.load_if_exists(block, **specs)
        if results is None:
            continue
        seconds, voxels = seconds + results["seconds"], voxels + int(results["voxels"])
        devices.update(map(str, results["devices"]))
        for tile, network in zip(results["tiles"].tolist(), predictor.networks, strict=True):
            if 0 < tile < network.tile:
                smaller_tiles[str(tile)].append(str(block))
    if not voxels:
        LOG.warning("the mask excludes all of the predicted part; the result is 0 everywhere")
    stage_seconds = dict(zip(STAGES, seconds.tolist(), strict=True))
    elapsed = {
        stage: spent / (parallel_blocks if stage == "network" else 1)
        for stage, spent in stage_seconds.items()
    }
    statistics: dict[str, Any] = {
        "devices": sorted(devices),
        "voxels": voxels,
        "stages": {
            stage: {
                "seconds": round(spent, 2),
                "voxels_per_second": round(voxels / spent) if spent else None,
            }
            for stage, spent in stage_seconds.items()
        },
        "bottleneck": max(elapsed, key=lambda stage: elapsed[stage]),
    }
    if smaller_tiles:
        statistics["smaller_tiles"] = dict(smaller_tiles)
    return statistics
