"""Estimate blocks, time, memory and disk space of a prediction before it starts."""

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

from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.model.block_prediction import find_required_raw, find_sample_box, plan_box_tiles
from asem.model.device_pool import DevicePool, NetworkSpec, load_runner
from asem.model.inference import MIRROR_COUNT
from asem.model.receptive_field import count_flops
from asem.model.tiling import tile_memory_bytes
from asem.model.unet import lattice, valid_input_size
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD
from asem.workflows.predict import BLOCKS_PER_DEVICE
from asem.workflows.prediction_inputs import PredictionInput
from asem.workflows.prediction_plan import PredictionPlan, is_finished

CALIBRATION_TILE = {"cpu": 64, "cuda": 256}
"""Largest edge of the timed tile, model voxels."""
PYRAMID_RATIO = 8 / 7
"""Ratio of the voxels of all pyramid levels to those of the finest."""
MAX_SAMPLED_BLOCKS = 64
"""Blocks of which the mask is read: a sample at regular distances."""
MIB = 2**20


def estimate_prediction(
    prediction: PredictionInput,
    *,
    device: str = "auto",
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
) -> dict[str, Any]:
    """Plan a prediction and time one small tile of it, without writing anything.

    Parameters
    ----------
    prediction
        One image and its networks.
    device
        As in `PredictionInputs`.
    overwrite
        Whether existing outputs would be replaced.
    executor
        Executor of the prediction.

    Returns
    -------
    dict
        ``blocks`` (those that contain specimen) and ``voxels`` (of these), both estimated from a
        sample if a mask has more than `MAX_SAMPLED_BLOCKS` blocks; for each of ``outputs`` its
        ``precision`` and ``tile``, or that it is finished; ``memory_mib``, an upper bound for one
        process: ``host`` and, with a GPU, ``device``; ``disk_mib`` of all outputs without
        compression; ``seconds`` of the networks, with which reading and writing overlap.
    """
    plan = PredictionPlan.from_input(
        prediction, device=device, overwrite=overwrite, executor=executor
    )
    plan.check_destinations(overwrite=True)  # what may be replaced may also be resumed
    finished = [planned for planned in plan.models if not overwrite and is_finished(planned)]
    networks = [planned.network for planned in plan.models if planned not in finished]
    workload = _Workload.from_plan(plan)
    devices = [torch.device(name) for name in plan.devices.local_devices()]
    seconds, network_bytes, read_voxels = 0.0, 0, 0
    for network in networks:
        rates = executor.run_on_workers(partial(measure_flops_per_second, network, plan.devices))
        seconds += workload.count_flops(network) / sum(rates)
        tile_bytes = tile_memory_bytes(network.config, network.precision, devices[0], network.tile)
        network_bytes = max(network_bytes, tile_bytes)
        read_voxels = max(read_voxels, workload.max_read_voxels(network))
    # Raw, raw resampled to the model's voxel size, and the result.
    bytes_per_voxel = 2 * plan.raw.dtype.itemsize + 1
    in_flight = BLOCKS_PER_DEVICE[devices[0].type] * len(devices) * read_voxels * bytes_per_voxel
    on_host = in_flight + (network_bytes if devices[0].type == "cpu" else 0)
    memory = {"host": ceil(on_host / MIB)}
    if devices[0].type != "cpu":
        memory["device"] = ceil(network_bytes / MIB)
    return {
        "blocks": workload.blocks,
        "voxels": workload.voxels,
        "outputs": {
            str(planned.model.out): "finished"
            if planned in finished
            else {"precision": planned.network.precision, "tile": planned.network.tile}
            for planned in plan.models
        },
        "memory_mib": memory,
        "disk_mib": ceil(PYRAMID_RATIO * len(networks) * plan.predicted_roi.size / MIB),
        "seconds": round(seconds, 1),
    }


AxisSpans = tuple[tuple[int, int], ...]
"""First and end (exclusive) of intervals along an axis, voxels."""


@dataclass(frozen=True)
class _Workload:
    """Boxes to predict, as grids: products of intervals (spans) along the three axes.

    ::

        a volume without a mask       with a mask: a grid of one box for each block
        |---|---|-|   one grid        |-----|     |--|
        |---|---|-|

    Parameters
    ----------
    raw
        The image.
    grids
        Spans along each axis, in voxels of raw, whose products are the boxes.
    scale
        Ratio of the boxes of the whole image to these.
    """

    raw: Volume
    grids: tuple[tuple[AxisSpans, AxisSpans, AxisSpans], ...]
    scale: float = 1.0

    @classmethod
    def from_plan(cls, plan: PredictionPlan) -> Self:
        """Return the blocks of a plan; with a mask, a sample of many blocks."""

        def spans(start: int, size: int, shard: int) -> AxisSpans:
            edge = plan.shards_per_block * shard
            return tuple((start + n, start + min(n + edge, size)) for n in range(0, size, edge))

        grid = per_axis(spans, plan.predicted_roi.offset, plan.predicted_roi.shape, SHARD)
        if plan.mask is None:
            return cls(plan.raw, (grid,))
        grid_shape = per_axis(len, grid)
        number = prod(grid_shape)
        sampled = np.linspace(0, number - 1, min(number, MAX_SAMPLED_BLOCKS)).astype(int)
        grids = []
        for index in zip(*np.unravel_index(sampled, grid_shape), strict=True):
            block = Roi.from_bounds(
                *zip(*per_axis(lambda axis, i: axis[i], grid, index), strict=True)
            )
            box, _ = find_sample_box(plan.raw, plan.mask, block)
            if box.size:
                grids.append(per_axis(lambda first, end: ((first, end),), box.offset, box.end))
        return cls(plan.raw, tuple(grids), number / len(sampled))

    @property
    def blocks(self) -> int:
        """Number of blocks that contain specimen."""
        return round(self.scale * sum(prod(map(len, grid)) for grid in self.grids))

    @property
    def voxels(self) -> int:
        """Number of voxels of these."""
        lengths = [[sum(b - a for a, b in axis) for axis in grid] for grid in self.grids]
        return round(self.scale * sum(map(prod, lengths)))

    def count_flops(self, network: NetworkSpec) -> float:
        """Return the operations of a network on the tiles that cover all boxes."""
        total = 0
        for grid in self.grids:
            axes = [Counter(self._tile_counts(network, axis, grid[axis])) for axis in range(3)]
            for combination in product(*(axis.items() for axis in axes)):
                tiles, edges = zip(
                    *(tiles_and_edge for tiles_and_edge, _ in combination), strict=True
                )
                boxes = prod(number for _, number in combination)
                total += boxes * prod(tiles) * count_flops(network.config, edges)
        return self.scale * total * (MIRROR_COUNT if network.mirror else 1)

    def max_read_voxels(self, network: NetworkSpec) -> int:
        """Return the largest number of voxels of raw that a network reads for one box."""
        return max(
            (
                prod(
                    max(
                        find_required_raw(network, self.raw, _span_roi(axis, span)).shape[axis]
                        for span in grid[axis]
                    )
                    for axis in range(3)
                )
                for grid in self.grids
            ),
            default=0,
        )

    def _tile_counts(
        self, network: NetworkSpec, axis: int, spans: AxisSpans
    ) -> Iterator[tuple[int, int]]:
        """Yield for each span the number of tiles along an axis that cover it, and their edge."""
        for span in spans:
            tiling = plan_box_tiles(network, self.raw, _span_roi(axis, span), network.tile)
            offsets = {tile.offset[axis] for tile in tiling.tiles}
            yield len(offsets), tiling.tiles[0].shape[axis]


def _span_roi(axis: int, span: tuple[int, int]) -> Roi:
    """Return a box of a span along one axis, one voxel thick along the others."""
    starts = [span[0] if a == axis else 0 for a in range(3)]
    return Roi.from_bounds(starts, [span[1] if a == axis else 1 for a in range(3)])


def measure_flops_per_second(network: NetworkSpec, devices: DevicePool) -> float:
    """Return the operations per second of a network on all devices of this process together."""
    names = devices.local_devices()
    runner = load_runner(network.folder, network.weights_hash, names[0], network.precision)
    step = lattice(network.config)
    edge = min(network.tile, max(step, CALIBRATION_TILE[runner.device.type] // step * step))
    raw = np.zeros([valid_input_size(network.config, edge)] * 3, np.float32)
    seconds = []
    for _ in range(2):  # the first call includes loading libraries
        start = time.perf_counter()
        runner.probability(raw, (edge, edge, edge)).cpu()
        seconds.append(time.perf_counter() - start)
    return len(names) * count_flops(network.config, (edge, edge, edge)) / min(seconds)
