"""A block of a volume through one or several networks: read once, predicted by each, stored.

::

    read      |<----- all that the networks see ----->|   raw (and its CLAHE), once
    prepare       |<--- the block, model voxels --->|     one network after the other ...
    network           |<--- tiles --->|                   ... on a device that is free
    store             |<--- block --->|                   back at raw's voxels, encoded, written

Beside a GPU several blocks are on their way at a time: it computes one while others are read and
stored. Where a device runs out of memory, smaller tiles are taken from then on.
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

from asem.blocks.kernels import KERNELS
from asem.blocks.memory import release_memory
from asem.blocks.partials import Partials
from asem.model.deployment import Devices, Network, Tiles, load_runner
from asem.model.device import describe, is_out_of_memory, memory_advice
from asem.model.inference import Tiling, Told, plan_tiles, predict, tell_part
from asem.volume.arrays import Stored
from asem.volume.contrast import window_of
from asem.volume.reflection import reflected
from asem.volume.resample import Resampling, ratios
from asem.volume.roi import Roi, negative
from asem.volume.volume import Lazy, Volume
from asem.volume.voxel_size import at_voxel_size

STAGES = ("read", "prepare", "network", "store")
ADVICE = "a smaller --tile"


@dataclass(frozen=True)
class Predictor:
    """Predicts blocks of a volume; Dask may pickle it.

    Parameters
    ----------
    raw
        The whole volume, equalized where the networks want that.
    part
        What is predicted of it; blocks count from its first voxel.
    networks, targets, done
        By which networks, where the result of each goes (a target's first voxel is the first one of
        the part), and which blocks are there already.
    devices
        Where.
    found
        Where each block leaves the seconds of its stages and what it was computed with.
    mask
        Not 0 where the sample is; what lies outside is 0, and not computed where it is a box.
    told
        Returns, for a block, what is to be told of the share of it that is done.
    """

    raw: Volume
    part: Roi
    networks: tuple[Network, ...]
    targets: tuple[Stored, ...]
    done: tuple[frozenset[Roi], ...]
    devices: Devices
    found: Partials
    mask: Volume | None = None
    told: Callable[[Roi], Told] | None = None
    tiles: Tiles = field(default_factory=Tiles)

    @property
    def overlaps(self) -> bool:
        """Whether several blocks at a time are faster in this process: beside a GPU."""
        return torch.device(self.devices.mine()[0]).type != "cpu"

    def __call__(self, block: Roi) -> None:
        """Read, predict and store one block."""
        clock = _Clock()
        place = block.shift(self.part.offset)
        todo = [n for n, done in enumerate(self.done) if block not in done]
        with KERNELS, clock.runs("read"):
            box, sample = sample_box(self.raw, self.mask, place)
            todo = todo if box.size else []
            needs = [needed_of(self.networks[n], self.raw, box) for n in todo]
            raw = held(self.raw, needs)
        tiles = np.zeros(len(self.networks), int)
        devices = set()
        for at, number in enumerate(todo):
            told = self.told and partial(tell_part, self.told(block), at, len(todo))
            voxels, device, tiles[number] = self._predicted(number, raw, box, clock, told)
            devices.add(describe(device))
            with clock.runs("store"):
                if sample is not None:
                    voxels[~sample] = 0
                least = self.networks[number].least
                if least is not None:
                    voxels = (voxels >= least).view(np.uint8)
                index = box.shift(negative(self.part.offset)).slices
                self.targets[number].write(index, voxels).result()
        self.found.save(
            block,
            seconds=np.array([clock.seconds[stage] for stage in STAGES]),
            voxels=np.array(box.size if todo else 0),
            tiles=tiles,
            devices=np.array(sorted(devices), str),
        )
        if not self.overlaps:  # blocks under way would lose what they are about to use again
            release_memory()  # over many blocks what is kept goes to pieces

    def _predicted(
        self, number: int, raw: Volume, box: Roi, clock: "_Clock", told: Told | None
    ) -> tuple[npt.NDArray[np.uint8], torch.device, int]:
        """Predict a box by one network, in smaller tiles where memory runs out."""
        one = self.networks[number]
        while True:
            tile = self.tiles.of(number, one, self.devices)
            try:
                with memory_advice(ADVICE):
                    return *self._in_tiles(one, raw, box, tile, clock, told), tile
            except ValueError as error:
                if not is_out_of_memory(error.__cause__) or not self.tiles.lower(number, one, tile):
                    raise

    def _in_tiles(
        self, one: Network, raw: Volume, box: Roi, tile: int, clock: "_Clock", told: Told | None
    ) -> tuple[npt.NDArray[np.uint8], torch.device]:
        with KERNELS, clock.runs("prepare"):
            coarse, back = seen_by(one, raw)
            tiling = tiling_of(one, raw, box, tile)
            grey = coarse.read(tiling.read.shift(negative(coarse.original_offset)))
        with self.devices.free() as device, clock.runs("network"):
            runner = load_runner(one.folder, one.weights, str(device), one.precision)
            found = predict(
                runner, grey, tiling, window=window_of(raw), mirror=one.mirror, told=told
            )
        with KERNELS, clock.runs("store"):
            return back.apply(found, box.shift(raw.original_offset)), device


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


def seen_by(network: Network, raw: Volume) -> tuple[Volume, Resampling]:
    """Return raw at a network's voxel size, and the way back."""
    coarse = at_voxel_size(raw, network.voxel_size)
    return coarse, Resampling.between(coarse, raw)


def tiling_of(network: Network, raw: Volume, box: Roi, tile: int) -> Tiling:
    """Return the tiles, in model voxels, that a box of raw is predicted in."""
    _, back = seen_by(network, raw)
    return plan_tiles(network.config, back.needed(box.shift(raw.original_offset)), tile)


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


def needed_of(network: Network, raw: Volume, box: Roi) -> Roi:
    """Return what a network reads of raw to predict a box of it, at least."""
    coarse, _ = seen_by(network, raw)
    read = tiling_of(network, raw, box, network.tile).read
    read = read.shift(negative(coarse.original_offset))
    spans = zip(read.offset, read.end, coarse.shape, strict=True)
    inside = [reflected(start, stop, size) for start, stop, size in spans]
    start, stop = [], []
    sizes = ratios(raw.voxel_size, coarse.voxel_size)
    for index, first, before, ratio in zip(
        inside, coarse.original_offset, raw.original_offset, sizes, strict=True
    ):
        start.append(floor((int(index.min()) + first) * ratio) - 1 - before)
        stop.append(ceil((int(index.max()) + 1 + first) * ratio) + 1 - before)
    return Roi.between(start, stop).intersect(raw.roi)


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
