"""A block of a volume through one or several networks: read once, predicted by each, stored.

::

    read      |<----- all that the networks see ----->|   raw (and its CLAHE), once
    prepare       |<--- the block, model voxels --->|     one network after the other ...
    network           |<--- tiles --->|                   ... on a device that is free
    store             |<--- block --->|                   back at raw's voxels, encoded, written

Several blocks are on their way at a time, so that a device computes while others are read and
stored. Where a device runs out of memory, smaller tiles are taken from then on.
"""

import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asem.blocks.memory import keep_memory
from asem.blocks.partials import Partials
from asem.config import Nm3
from asem.model.checkpoint import load_checkpoint
from asem.model.config import ModelConfig
from asem.model.device import Precision, is_out_of_memory, memory_advice
from asem.model.inference import Runner, Told, plan_tiles, predict
from asem.model.unet import lattice
from asem.volume.arrays import Stored
from asem.volume.contrast import window_of
from asem.volume.resample import Resampling, ratios
from asem.volume.roi import Roi, negative
from asem.volume.volume import Lazy, Volume
from asem.volume.voxel_size import at_voxel_size

LOG = logging.getLogger(__name__)
STAGES = ("read", "prepare", "network", "store")
ADVICE = "a smaller --tile"


@dataclass(frozen=True)
class Network:
    """A network, and how it is used on a volume.

    Parameters
    ----------
    folder, weights
        Its checkpoint, and the hash of its weights.
    config, voxel_size
        What it is, and nm of the voxels it sees.
    precision, tile
        In what it computes, and how much a forward pass keeps, model voxels.
    least
        Store whether the probability reaches this, of 255; None: store the probability.
    mirror
        Take the mean over mirror images.
    """

    folder: Path
    weights: str
    config: ModelConfig
    voxel_size: Nm3
    precision: Precision
    tile: int
    least: int | None = None
    mirror: bool = False


class Devices:
    """The devices of a process; a block takes one that is free.

    Parameters
    ----------
    names
        As PyTorch calls them. Pickled, as for a Dask worker, it becomes one of them, by the
        worker's number.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.waiting: queue.SimpleQueue[torch.device] = queue.SimpleQueue()
        for name in names:
            self.waiting.put(torch.device(name))

    @contextmanager
    def free(self) -> Iterator[torch.device]:
        """Wait for a device, and have it for oneself."""
        device = self.waiting.get()
        try:
            yield device
        finally:
            self.waiting.put(device)

    def __reduce__(self) -> Any:
        return _own_device, (self.names,)


def _own_device(names: tuple[str, ...]) -> Devices:
    """Return the one of some devices that a Dask worker computes on."""
    from asem.blocks.cluster import worker_number  # here there is one, and it is loaded

    return Devices((names[worker_number() % len(names)],))


@dataclass(frozen=True)
class Predictor:
    """Predicts blocks of a volume; Dask may pickle it.

    Parameters
    ----------
    raw
        The whole volume, equalized where the networks want that.
    part
        What is predicted of it; blocks count from its first voxel.
    networks, targets
        By which networks, and where the result of each goes; a target's first voxel is the first
        one of the part.
    devices
        Where.
    found
        Where each block leaves the seconds of its stages and the tiles it took.
    mask
        Not 0 where the sample is; what lies outside is 0, and not computed where it is a box.
    told
        Returns, for a block, what is to be told of the share of it that is done.
    """

    raw: Volume
    part: Roi
    networks: tuple[Network, ...]
    targets: tuple[Stored, ...]
    devices: Devices
    found: Partials
    mask: Volume | None = None
    told: Callable[[Roi], Told] | None = None
    smaller: dict[str, int] = field(default_factory=dict)

    def __call__(self, block: Roi) -> None:
        """Read, predict and store one block."""
        clock = _Clock()
        place = block.shift(self.part.offset)
        with clock.runs("read"):
            box, sample = sample_box(self.raw, self.mask, place)
            networks = self.networks if box.size else ()
            raw = held(self.raw, [needed_of(one, self.raw, box) for one in networks])
        tiles = []
        for number, (one, target) in enumerate(zip(networks, self.targets, strict=False)):
            told = self.told and self._share(self.told(block), number)
            voxels = self._predicted(one, raw, box, clock, told)
            tiles.append(self.smaller.get(one.weights, one.tile))
            with clock.runs("store"):
                if sample is not None:
                    voxels[~sample] = 0
                if one.least is not None:
                    voxels = (voxels >= one.least).view(np.uint8)
                target.write(box.shift(negative(self.part.offset)).slices, voxels).result()
        seconds = np.array([clock.seconds[stage] for stage in STAGES])
        self.found.save(block, seconds=seconds, tiles=np.array(tiles, int))

    def _share(self, told: Told, number: int) -> Told:
        return lambda share: told((number + share) / len(self.networks))

    def _predicted(
        self, one: Network, raw: Volume, box: Roi, clock: "_Clock", told: Told | None
    ) -> npt.NDArray[np.uint8]:
        """Predict a box by one network, in smaller tiles where memory runs out."""
        while True:
            tile = self.smaller.get(one.weights, one.tile)
            try:
                with memory_advice(ADVICE):
                    return self._predicted_in(one, raw, box, tile, clock, told)
            except ValueError as error:
                less = _less(tile, lattice(one.config))
                if not is_out_of_memory(error.__cause__) or less is None:
                    raise
            LOG.warning("out of memory with --tile %d; going on with %d", tile, less)
            self.smaller[one.weights] = min(less, self.smaller.get(one.weights, less))
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _predicted_in(
        self, one: Network, raw: Volume, box: Roi, tile: int, clock: "_Clock", told: Told | None
    ) -> npt.NDArray[np.uint8]:
        with clock.runs("prepare"):
            coarse = at_voxel_size(raw, one.voxel_size)
            back = Resampling.between(coarse, raw)
            on_grid = box.shift(raw.original_offset)
            tiling = plan_tiles(one.config, back.needed(on_grid), tile)
            grey = coarse.read(tiling.read.shift(negative(coarse.original_offset)))
        with self.devices.free() as device, clock.runs("network"):
            runner = load_runner(one.folder, one.weights, str(device), one.precision)
            found = predict(
                runner, grey, tiling, window=window_of(raw), mirror=one.mirror, told=told
            )
        with clock.runs("store"):
            return back.apply(found, on_grid)


def _less(tile: int, step: int) -> int | None:
    """Return about half of a tile, a multiple of the lattice; None where there is no less."""
    less = max(step, tile // 2 // step * step)
    return less if less < tile else None


class _Clock:
    """Seconds of each stage of a block."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def runs(self, stage: str) -> Iterator[None]:
        """Add the time of the body to a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] += time.monotonic() - began


_LOADING = threading.Lock()


def load_runner(folder: Path, weights: str, device: str, precision: Precision) -> Runner:
    """Load a network onto a device, once in a process."""
    with _LOADING:
        return _loaded(folder, weights, device, precision)


@lru_cache(maxsize=16)
def _loaded(folder: Path, _weights: str, device: str, precision: Precision) -> Runner:
    net, _ = load_checkpoint(folder)
    where = torch.device(device)
    if where.type == "cpu":
        keep_memory()
    return Runner(net.to(where), where, precision)


def sample_box(
    raw: Volume, mask: Volume | None, place: Roi
) -> tuple[Roi, npt.NDArray[np.bool_] | None]:
    """Return the box of a block in which the sample lies, and the sample there.

    Parameters
    ----------
    raw
        The volume.
    mask
        Not 0 where the sample is; None: everywhere.
    place
        The block, in the voxels of raw.

    Returns
    -------
    Roi
        Empty where there is no sample.
    ndarray or None
        bool, the shape of the box; None without a mask.
    """
    if mask is None:
        return place, None
    sample = raw.read_placed(mask, place) != 0
    filled = [np.flatnonzero(sample.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not sample.any():
        return Roi(place.offset, (0, 0, 0)), sample[:0, :0, :0]
    within = Roi.between([int(n[0]) for n in filled], [int(n[-1]) + 1 for n in filled])
    return within.shift(place.offset), sample[within.slices]


def needed_of(one: Network, raw: Volume, box: Roi) -> Roi:
    """Return what a network reads of raw to predict a box of it, at least."""
    coarse = at_voxel_size(raw, one.voxel_size)
    needed = Resampling.between(coarse, raw).needed(box.shift(raw.original_offset))
    read = plan_tiles(one.config, needed, one.tile).read
    sizes = ratios(raw.voxel_size, coarse.voxel_size)
    start = [floor(o * ratio) - 1 for o, ratio in zip(read.offset, sizes, strict=True)]
    stop = [ceil(e * ratio) + 1 for e, ratio in zip(read.end, sizes, strict=True)]
    return Roi.between(start, stop).shift(negative(raw.original_offset)).intersect(raw.roi)


@dataclass(frozen=True)
class _Held:
    """An array of which a box lies in memory."""

    array: Lazy
    box: Roi
    voxels: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> Any:
        return self.voxels.dtype

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> Any:
        sizes = [s.indices(n)[:2] for s, n in zip(index, self.shape, strict=True)]
        wanted = Roi.between([low for low, _ in sizes], [high for _, high in sizes])
        if not self.box.contains(wanted):
            return self.array[index]
        return self.voxels[wanted.shift(negative(self.box.offset)).slices]


def held(volume: Volume, parts: list[Roi]) -> Volume:
    """Read the box around some parts of a volume; it is read from there from then on."""
    if not parts:
        return volume
    box = Roi.between(
        [min(o) for o in zip(*(part.offset for part in parts), strict=True)],
        [max(e) for e in zip(*(part.end for part in parts), strict=True)],
    )
    return volume.like(_Held(volume.array, box, volume.read(box)))
