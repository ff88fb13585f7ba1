"""What a prediction will take, told before it begins."""

import time
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch

from asem.blocks.executors import SERIAL, Executor
from asem.model.inference import PIECE, plan_tiles
from asem.model.piecewise import flops_of, memory_of
from asem.model.predictor import Network, load_runner, needed_of, sample_box
from asem.model.unet import lattice, valid_input
from asem.volume.arrays import SHARD
from asem.volume.grid import tile
from asem.volume.resample import Resampling
from asem.volume.roi import Roi, Triple
from asem.volume.voxel_size import at_voxel_size
from asem.workflows.predict import BLOCKS_PER_DEVICE
from asem.workflows.predict_plan import InputJob, Plan

CALIBRATED = {"cpu": 64, "cuda": 256}
"""Largest edge of the tile whose time is taken, model voxels."""
PYRAMID = 8 / 7
"""Voxels of all levels over those of the finest."""
MIRRORS = 8


def estimate(
    job: InputJob, *, device: str = "auto", overwrite: bool = False, executor: Executor = SERIAL
) -> dict[str, Any]:
    """Plan a prediction and time one small tile of it; nothing is written.

    Parameters
    ----------
    job
        One image and its networks.
    device
        As in `PredictJobs`.
    overwrite
        Whether what lies at the outputs would be replaced.
    executor
        Who would compute it.

    Returns
    -------
    dict
        ``blocks`` (those with sample in them), ``voxels`` (of these), ``devices``; for each of
        ``outputs`` its ``precision`` and ``tile``; ``memory_mib`` of a process with one device at
        most; ``disk_mib`` of all outputs, were nothing compressed; ``seconds`` that the networks
        take, behind which reading and writing hide.
    """
    plan = Plan.of(job, device=device, overwrite=overwrite, executor=executor)
    shard = tuple(plan.shards * edge for edge in SHARD)
    boxes = [
        box
        for block in tile(Roi.whole(plan.part.shape), (shard[0], shard[1], shard[2]))
        if (box := sample_box(plan.raw, plan.mask, block.shift(plan.part.offset))[0]).size
    ]
    kind = torch.device(plan.devices[0]).type
    seconds, memory = 0.0, 0
    for model in plan.models:
        network = model.network
        rates = executor.ask(partial(speed, network, plan.devices))
        work = sum(operations(network, plan, box) for box in boxes)
        seconds += work / sum(rates)
        item = 2 if network.precision == "bf16" else 4
        edge = (network.tile,) * 3
        memory = max(memory, memory_of(network.config, edge, item=item, piece=PIECE[kind]))
        largest = max((needed_of(network, plan.raw, box).size for box in boxes), default=0)
        memory += BLOCKS_PER_DEVICE * largest * (plan.raw.dtype.itemsize + 1)
    return {
        "blocks": len(boxes),
        "voxels": sum(box.size for box in boxes),
        "devices": list(plan.described),
        "outputs": {
            str(model.job.out): {
                "precision": model.network.precision,
                "tile": model.network.tile,
            }
            for model in plan.models
        },
        "memory_mib": ceil(memory / 2**20),
        "disk_mib": ceil(PYRAMID * len(plan.models) * plan.part.size / 2**20),
        "seconds": round(seconds, 1),
    }


def operations(network: Network, plan: Plan, box: Roi) -> int:
    """Return the operations that a box takes, on the tiles that it is covered by."""
    coarse = at_voxel_size(plan.raw, network.voxel_size)
    needed = Resampling.between(coarse, plan.raw).needed(box.shift(plan.raw.original_offset))
    tiles = plan_tiles(network.config, needed, network.tile).tiles
    once = len(tiles) * flops_of(network.config, tiles[0].shape)
    return once * (MIRRORS if network.mirror else 1)


def speed(network: Network, devices: tuple[str, ...]) -> float:
    """Return the operations a second of a network in this process, on all its devices together."""
    runner = load_runner(network.folder, network.weights, devices[0], network.precision)
    step = lattice(network.config)
    edge = min(network.tile, max(step, CALIBRATED[runner.device.type] // step * step))

    def seconds(kept: Triple) -> float:
        read = [valid_input(network.config, size) for size in kept]
        began = time.perf_counter()
        runner.probability(np.zeros(read, np.float32), kept).cpu()
        return time.perf_counter() - began

    kept = (edge, edge, edge)
    seconds((step, step, step))  # libraries load, weights are arranged
    return len(devices) * flops_of(network.config, kept) / seconds(kept)
