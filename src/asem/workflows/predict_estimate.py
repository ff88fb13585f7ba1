"""What a prediction will take, told before it begins."""

import time
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import torch

from asem.blocks.executors import SERIAL, Executor
from asem.blocks.output import write_blocks
from asem.model.deployment import Devices, Network, load_runner
from asem.model.extent import flops_of, memory_of
from asem.model.inference import PIECE
from asem.model.predictor import needed_of, sample_box, tiling_of
from asem.model.unet import lattice, valid_input
from asem.volume.roi import Roi
from asem.workflows.predict import BLOCKS_PER_DEVICE
from asem.workflows.predict_plan import InputJob, Plan, is_made

CALIBRATED = {"cpu": 64, "cuda": 256}
"""Largest edge of the tile whose time is taken, model voxels."""
PYRAMID = 8 / 7
"""Voxels of all levels over those of the finest."""
MIRRORS = 8
MIB = 2**20


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
        ``blocks`` (those with sample in them), ``voxels`` (of these); for each of ``outputs`` its
        ``precision`` and ``tile``, or that it is finished; ``memory_mib`` of one process at most,
        ``host`` and, where that is a GPU, ``device``; ``disk_mib`` of all outputs, were nothing
        compressed; ``seconds`` that the networks take, behind which reading and writing hide.
    """
    plan = Plan.of(job, device=device, overwrite=overwrite, executor=executor)
    plan.check_ways(overwrite=True)  # what may be replaced may also be gone on with
    made = [model for model in plan.models if not overwrite and is_made(model)]
    left = [model.network for model in plan.models if model not in made]
    boxes = [
        box
        for block in write_blocks(Roi.whole(plan.part.shape), plan.shards)
        if (box := sample_box(plan.raw, plan.mask, block.shift(plan.part.offset))[0]).size
    ]
    kinds = [torch.device(name).type for name in plan.devices.mine()]
    seconds, network_bytes, read_voxels = 0.0, 0, 0
    for network in left:
        rates = executor.ask(partial(speed, network, plan.devices))
        seconds += sum(operations(network, plan, box) for box in boxes) / sum(rates)
        item, edge = 2 if network.precision == "bf16" else 4, network.tile
        needed = memory_of(network.config, (edge,) * 3, item=item, piece=PIECE[kinds[0]])
        network_bytes = max(network_bytes, needed)
        read_voxels = max([read_voxels, *(needed_of(network, plan.raw, box).size for box in boxes)])
    # Raw, the same at the model's voxels, and the result.
    in_flight = (
        BLOCKS_PER_DEVICE[kinds[0]] * len(kinds) * read_voxels * (2 * plan.raw.dtype.itemsize + 1)
    )
    on_host = in_flight + (network_bytes if kinds[0] == "cpu" else 0)
    memory = {"host": ceil(on_host / MIB)}
    if kinds[0] != "cpu":
        memory["device"] = ceil(network_bytes / MIB)
    return {
        "blocks": len(boxes),
        "voxels": sum(box.size for box in boxes),
        "outputs": {
            str(model.job.out): "finished"
            if model in made
            else {"precision": model.network.precision, "tile": model.network.tile}
            for model in plan.models
        },
        "memory_mib": memory,
        "disk_mib": ceil(PYRAMID * len(left) * plan.part.size / MIB),
        "seconds": round(seconds, 1),
    }


def operations(network: Network, plan: Plan, box: Roi) -> int:
    """Return the operations that a box takes, on the tiles that it is covered by."""
    tiles = tiling_of(network, plan.raw, box, network.tile).tiles
    once = len(tiles) * flops_of(network.config, tiles[0].shape)
    return once * (MIRRORS if network.mirror else 1)


def speed(network: Network, devices: Devices) -> float:
    """Return the operations a second of a network in this process, on all its devices together."""
    names = devices.mine()
    runner = load_runner(network.folder, network.weights, names[0], network.precision)
    step = lattice(network.config)
    edge = min(network.tile, max(step, CALIBRATED[runner.device.type] // step * step))
    raw = np.zeros([valid_input(network.config, edge)] * 3, np.float32)
    taken = []
    for _ in range(2):  # first, libraries load and plans are made
        began = time.perf_counter()
        runner.probability(raw, (edge, edge, edge)).cpu()
        taken.append(time.perf_counter() - began)
    return len(names) * flops_of(network.config, (edge, edge, edge)) / min(taken)
