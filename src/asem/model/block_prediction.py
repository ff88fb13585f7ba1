"""Block function of a prediction: read a block once, predict it with each network, store it.

::

    read      |<---- input of all the networks ------>|   raw (and its CLAHE), once
    prepare       |<--- the block, model voxels --->|     one network after the other ...
    network           |<--- tiles --->|                   ... on a free device
    store             |<--- block --->|                   resampled to raw, encoded, written

With a GPU several blocks are in flight: it computes one while others are read and stored. After a
device has run out of memory, smaller tiles are used.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asem.blocks.block_results import BlockResults
from asem.blocks.kernel_locks import KERNEL_LOCK
from asem.model.device import advise_out_of_memory, describe_device, is_out_of_memory
from asem.model.device_pool import DevicePool, NetworkSpec, TileSizes, load_runner
from asem.model.inference import FractionCallback, predict_array, report_part
from asem.model.tiling import Tiling, plan_tiles
from asem.system.malloc_settings import release_memory
from asem.volume.contrast import contrast_window_of
from asem.volume.reflection import reflect_indices
from asem.volume.resample import Resampling, voxel_size_ratios
from asem.volume.roi import Roi, negate, per_axis
from asem.volume.volume import ArrayLike, Volume
from asem.volume.voxel_size_view import view_at_voxel_size
from asem.volume.zarr_arrays import ZarrArray

STAGES = ("read", "prepare", "network", "store")
OUT_OF_MEMORY_ADVICE = "a smaller --tile"


@dataclass(frozen=True)
class BlockPredictor:
    """Block function: predicts a block of a volume. Dask may pickle it.

    Parameters
    ----------
    raw
        The whole volume, equalized if CLAHE is requested.
    predicted_roi
        Predicted part of it; blocks are relative to its first voxel.
    networks, targets, done_blocks
        The networks, the output array of each (its first voxel is the first one of
        `predicted_roi`), and the finished blocks of each.
    devices
        Devices of the computation.
    block_statistics
        Stores for each block the seconds of its stages, its tiles and devices.
    mask
        Not 0 where the specimen is; outside of it the result is 0, and no box without specimen is
        computed.
    report_block_progress
        Returns the progress callback of a block.
    tile_sizes
        Tile of each network in this process.
    """

    raw: Volume
    predicted_roi: Roi
    networks: tuple[NetworkSpec, ...]
    targets: tuple[ZarrArray, ...]
    done_blocks: tuple[frozenset[Roi], ...]
    devices: DevicePool
    block_statistics: BlockResults
    mask: Volume | None = None
    report_block_progress: Callable[[Roi], FractionCallback] | None = None
    tile_sizes: TileSizes = field(default_factory=TileSizes)

    @property
    def runs_concurrently(self) -> bool:
        """Whether several blocks at a time are faster in this process: with a GPU."""
        return torch.device(self.devices.local_devices()[0]).type != "cpu"

    def __call__(self, block: Roi) -> None:
        """Read, predict and store one block."""
        timer = _StageTimer()
        block_in_raw = block.shift(self.predicted_roi.offset)
        todo = [n for n, done in enumerate(self.done_blocks) if block not in done]
        with KERNEL_LOCK, timer.measure("read"):
            box, in_mask = find_sample_box(self.raw, self.mask, block_in_raw)
            todo = todo if box.size else []
            required = [find_required_raw(self.networks[n], self.raw, box) for n in todo]
            raw = load_in_memory(self.raw, required)
        tiles = np.zeros(len(self.networks), int)
        devices = set()
        for part, number in enumerate(todo):
            report_progress = self.report_block_progress and partial(
                report_part, self.report_block_progress(block), part, len(todo)
            )
            voxels, device, tiles[number] = self._predict_box(
                number, raw, box, timer, report_progress
            )
            devices.add(describe_device(device))
            with timer.measure("store"):
                if in_mask is not None:
                    voxels[~in_mask] = 0
                threshold = self.networks[number].uint8_threshold
                if threshold is not None:
                    voxels = (voxels >= threshold).view(np.uint8)
                index = box.shift(negate(self.predicted_roi.offset)).slices
                self.targets[number].write(index, voxels).result()
        self.block_statistics.save(
            block,
            seconds=np.array([timer.seconds[stage] for stage in STAGES]),
            voxels=np.array(box.size if todo else 0),
            tiles=tiles,
            devices=np.array(sorted(devices), str),
        )
        if not self.runs_concurrently:  # blocks in flight would lose memory that they reuse
            release_memory()  # retained memory fragments over many blocks

    def _predict_box(
        self,
        number: int,
        raw: Volume,
        box: Roi,
        timer: "_StageTimer",
        report_progress: FractionCallback | None,
    ) -> tuple[npt.NDArray[np.uint8], torch.device, int]:
        """Predict a box with one network, in smaller tiles after running out of memory."""
        network = self.networks[number]
        while True:
            tile = self.tile_sizes.tile_for(number, network, self.devices)
            try:
                with advise_out_of_memory(OUT_OF_MEMORY_ADVICE):
                    voxels, device = self._predict_tiled(
                        network, raw, box, tile, timer, report_progress
                    )
                    return voxels, device, tile
            except ValueError as error:
                if not is_out_of_memory(error.__cause__) or not self.tile_sizes.reduce(
                    number, network, tile
                ):
                    raise

    def _predict_tiled(
        self,
        network: NetworkSpec,
        raw: Volume,
        box: Roi,
        tile: int,
        timer: "_StageTimer",
        report_progress: FractionCallback | None,
    ) -> tuple[npt.NDArray[np.uint8], torch.device]:
        with KERNEL_LOCK, timer.measure("prepare"):
            resampled, resampling = resample_for(network, raw)
            tiling = plan_box_tiles(network, raw, box, tile)
            grey = resampled.read(tiling.read_roi.shift(negate(resampled.original_offset)))
        with self.devices.acquire() as device, timer.measure("network"):
            runner = load_runner(
                network.folder, network.weights_hash, str(device), network.precision
            )
            predicted = predict_array(
                runner,
                grey,
                tiling,
                window=contrast_window_of(raw),
                mirror=network.mirror,
                report_progress=report_progress,
            )
        with KERNEL_LOCK, timer.measure("store"):
            return resampling.apply(predicted, box.shift(raw.original_offset)), device


class _StageTimer:
    """Measures the seconds of each stage of a block."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time of the body to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - start


def resample_for(network: NetworkSpec, raw: Volume) -> tuple[Volume, Resampling]:
    """Return raw at a network's voxel size, and the resampling of the result to raw's voxels."""
    resampled = view_at_voxel_size(raw, network.voxel_size)
    return resampled, Resampling.for_volumes(resampled, raw)


def plan_box_tiles(network: NetworkSpec, raw: Volume, box: Roi, tile: int) -> Tiling:
    """Return the tiles, in model voxels, in which a box of raw is predicted."""
    _, resampling = resample_for(network, raw)
    source_roi = resampling.source_roi_of(box.shift(raw.original_offset))
    return plan_tiles(network.config, source_roi, tile)


def find_sample_box(
    raw: Volume, mask: Volume | None, block: Roi
) -> tuple[Roi, npt.NDArray[np.bool_] | None]:
    """Return the bounding box of the specimen in a block, and the mask in it.

    Parameters
    ----------
    raw
        The volume.
    mask
        Not 0 where the specimen is; None: everywhere.
    block
        The block, in the voxels of raw.

    Returns
    -------
    Roi
        Empty if the block contains no specimen.
    ndarray or None
        bool, the shape of the box; None without a mask.
    """
    if mask is None:
        return block, None
    in_mask = raw.read_aligned(mask, block) != 0
    indices = [np.flatnonzero(in_mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not in_mask.any():
        return Roi(block.offset, (0, 0, 0)), in_mask[:0, :0, :0]
    box = Roi.from_bounds([int(n[0]) for n in indices], [int(n[-1]) + 1 for n in indices])
    return box.shift(block.offset), in_mask[box.slices]


def find_required_raw(network: NetworkSpec, raw: Volume, box: Roi) -> Roi:
    """Return the smallest box of raw that a network reads to predict a box of it."""
    resampled, _ = resample_for(network, raw)
    read = plan_box_tiles(network, raw, box, network.tile).read_roi
    read = read.shift(negate(resampled.original_offset))
    indices = per_axis(reflect_indices, read.offset, read.end, resampled.shape)
    start, stop = [], []
    ratios = voxel_size_ratios(raw.voxel_size, resampled.voxel_size)
    for index, offset, raw_offset, ratio in zip(
        indices, resampled.original_offset, raw.original_offset, ratios, strict=True
    ):
        start.append(floor((int(index.min()) + offset) * ratio) - 1 - raw_offset)
        stop.append(ceil((int(index.max()) + 1 + offset) * ratio) + 1 - raw_offset)
    return Roi.from_bounds(start, stop).intersect(raw.roi)


@dataclass(frozen=True)
class _InMemoryBox:
    """Array of which one box is in memory."""

    array: ArrayLike
    box: Roi
    voxels: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> Any:
        return self.voxels.dtype

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Any:
        bounds = [s.indices(n)[:2] for s, n in zip(index, self.shape, strict=True)]
        roi = Roi.from_bounds([start for start, _ in bounds], [stop for _, stop in bounds])
        if not self.box.contains(roi):
            return self.array[index]
        return self.voxels[roi.shift(negate(self.box.offset)).slices]


def load_in_memory(volume: Volume, boxes: list[Roi]) -> Volume:
    """Return a volume of which the bounding box of some boxes is in memory."""
    if not boxes:
        return volume
    box = Roi.from_bounds(
        [min(offsets) for offsets in zip(*(part.offset for part in boxes), strict=True)],
        [max(ends) for ends in zip(*(part.end for part in boxes), strict=True)],
    )
    return volume.with_array(_InMemoryBox(volume.array, box, volume.read(box)))
