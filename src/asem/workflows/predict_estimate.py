"""What a prediction will take, told before it begins."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import ceil, prod
from typing import Any, Self

import numpy as np
import torch

from asem.blocks.executors import SERIAL, Executor
from asem.model.deployment import Devices, Network, load_runner
from asem.model.extent import flops_of, memory_of
from asem.model.inference import PIECE
from asem.model.predictor import needed_of, sample_box, tiling_of
from asem.model.unet import lattice, valid_input
from asem.volume.arrays import SHARD
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.predict import BLOCKS_PER_DEVICE
from asem.workflows.predict_jobs import InputJob
from asem.workflows.predict_plan import Plan, is_made

CALIBRATED = {"cpu": 64, "cuda": 256}
"""Largest edge of the tile whose time is taken, model voxels."""
PYRAMID = 8 / 7
"""Voxels of all levels over those of the finest."""
MIRRORS = 8
MOST_BLOCKS = 64
"""Read under a mask: of more blocks, so many, evenly spread, stand for all."""
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
        ``blocks`` (those with sample in them), ``voxels`` (of these), both estimated from some of
        the blocks where a mask has more than `MOST_BLOCKS`; for each of ``outputs`` its
        ``precision`` and ``tile``, or that it is finished; ``memory_mib`` of one process at most,
        ``host`` and, where that is a GPU, ``device``; ``disk_mib`` of all outputs, were nothing
        compressed; ``seconds`` that the networks take, behind which reading and writing hide.
    """
    plan = Plan.of(job, device=device, overwrite=overwrite, executor=executor)
    plan.check_ways(overwrite=True)  # what may be replaced may also be gone on with
    made = [model for model in plan.models if not overwrite and is_made(model)]
    left = [model.network for model in plan.models if model not in made]
    load = _Load.of(plan)
    kinds = [torch.device(name).type for name in plan.devices.mine()]
    seconds, network_bytes, read_voxels = 0.0, 0, 0
    for network in left:
        rates = executor.ask(partial(speed, network, plan.devices))
        seconds += load.operations(network) / sum(rates)
        item, edge = 2 if network.precision == "bf16" else 4, network.tile
        needed = memory_of(network.config, (edge,) * 3, item=item, piece=PIECE[kinds[0]])
        network_bytes = max(network_bytes, needed)
        read_voxels = max(read_voxels, load.most_read(network))
    # Raw, the same at the model's voxels, and the result.
    in_flight = (
        BLOCKS_PER_DEVICE[kinds[0]] * len(kinds) * read_voxels * (2 * plan.raw.dtype.itemsize + 1)
    )
    on_host = in_flight + (network_bytes if kinds[0] == "cpu" else 0)
    memory = {"host": ceil(on_host / MIB)}
    if kinds[0] != "cpu":
        memory["device"] = ceil(network_bytes / MIB)
    return {
        "blocks": load.blocks,
        "voxels": load.voxels,
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


Spans = tuple[tuple[int, int], ...]
"""First voxel, and the one behind the last, of parts of an axis."""


@dataclass(frozen=True)
class _Load:
    """What is to be computed: boxes, each of a grid of spans along the three axes.

    ::

        a volume without a mask       with a mask: a grid of one box for each block
        |---|---|-|   one grid        |-----|     |--|
        |---|---|-|

    Parameters
    ----------
    raw
        The image.
    grids
        Spans along each axis, in the voxels of raw, whose products are the boxes.
    share
        By how much the boxes of the whole image are more than these.
    """

    raw: Volume
    grids: tuple[tuple[Spans, Spans, Spans], ...]
    share: float = 1.0

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Return the blocks of a plan; of many blocks under a mask only some are read."""
        edges = [plan.shards * edge for edge in SHARD]
        ends = zip(plan.part.offset, plan.part.shape, edges, strict=True)
        z, y, x = (
            tuple((first + n, first + min(n + edge, size)) for n in range(0, size, edge))
            for first, size, edge in ends
        )
        if plan.mask is None:
            return cls(plan.raw, ((z, y, x),))
        number = len(z) * len(y) * len(x)
        looked = np.linspace(0, number - 1, min(number, MOST_BLOCKS)).astype(int)
        grids = []
        for i, j, k in zip(*np.unravel_index(looked, (len(z), len(y), len(x))), strict=True):
            block = Roi.between(*zip(z[i], y[j], x[k], strict=True))
            box, _ = sample_box(plan.raw, plan.mask, block)
            if box.size:
                one = [((low, high),) for low, high in zip(box.offset, box.end, strict=True)]
                grids.append((one[0], one[1], one[2]))
        return cls(plan.raw, tuple(grids), number / len(looked))

    @property
    def blocks(self) -> int:
        """Number of blocks with sample in them."""
        return round(self.share * sum(prod(map(len, grid)) for grid in self.grids))

    @property
    def voxels(self) -> int:
        """Voxels of these."""
        lengths = [[sum(b - a for a, b in axis) for axis in grid] for grid in self.grids]
        return round(self.share * sum(map(prod, lengths)))

    def operations(self, network: Network) -> float:
        """Return the operations of a network on the tiles that all boxes are covered by."""
        total = 0
        for grid in self.grids:
            axes = [Counter(self._tiles(network, axis, grid[axis])) for axis in range(3)]
            for one in product(*(axis.items() for axis in axes)):
                tiles, edges = zip(*(along for along, _ in one), strict=True)
                alike = prod(number for _, number in one)
                total += alike * prod(tiles) * flops_of(network.config, edges)
        return self.share * total * (MIRRORS if network.mirror else 1)

    def most_read(self, network: Network) -> int:
        """Return the voxels that a network reads of raw for one box, at most."""
        return max(
            (
                prod(
                    max(
                        needed_of(network, self.raw, _thin(axis, span)).shape[axis]
                        for span in grid[axis]
                    )
                    for axis in range(3)
                )
                for grid in self.grids
            ),
            default=0,
        )

    def _tiles(self, network: Network, axis: int, spans: Spans) -> Iterator[tuple[int, int]]:
        """Yield for each span the tiles along an axis that cover it, and their edge."""
        for span in spans:
            tiling = tiling_of(network, self.raw, _thin(axis, span), network.tile)
            first = {tile.offset[axis] for tile in tiling.tiles}
            yield len(first), tiling.tiles[0].shape[axis]


def _thin(axis: int, span: tuple[int, int]) -> Roi:
    """Return a box of a span along one axis, one voxel thick: what covers it, axis by axis."""
    starts = [span[0] if a == axis else 0 for a in range(3)]
    return Roi.between(starts, [span[1] if a == axis else 1 for a in range(3)])


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
