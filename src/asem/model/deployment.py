"""Networks deployed on the devices of a process: who computes next, in tiles of which size.

A block takes a device that is free. Tiles are those that the run was planned with; where memory is
short after all, smaller ones are taken from then on.
"""

import logging
import queue
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from asem.blocks.memory import keep_memory, release_memory
from asem.config import Nm3
from asem.model.checkpoint import load_checkpoint
from asem.model.config import ModelConfig
from asem.model.device import Precision, resolve_devices
from asem.model.inference import Runner, fitting_tile
from asem.model.unet import lattice
from asem.system.resources import free_memory

LOG = logging.getLogger(__name__)


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
    name
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"``, as `resolve_devices` takes it.
    ranks
        Of Dask workers among those on their machine, by address. Each takes one of the machine's
        devices, in turn.
    """

    def __init__(self, name: str, ranks: dict[str, int] | None = None) -> None:
        self.name, self.ranks = name, ranks
        self._waiting: queue.SimpleQueue[torch.device] | None = None
        self._looking = threading.Lock()

    def mine(self) -> tuple[str, ...]:
        """Return what this process computes on."""
        names = resolve_devices(self.name)
        if self.ranks is None:
            return names
        from asem.blocks.cluster import this_worker  # where there are ranks, it is loaded

        worker = this_worker()
        address = "" if worker is None else worker.address
        number = self.ranks.get(address, zlib.crc32(address.encode()))  # some come later
        return (names[number % len(names)],)

    @contextmanager
    def free(self) -> Iterator[torch.device]:
        """Wait for a device, and have it for oneself."""
        with self._looking:
            if self._waiting is None:
                self._waiting = queue.SimpleQueue()
                for name in self.mine():
                    self._waiting.put(torch.device(name))
        device = self._waiting.get()
        try:
            yield device
        finally:
            self._waiting.put(device)

    def __reduce__(self) -> Any:
        return Devices, (self.name, self.ranks)


class Tiles:
    """The tile of each network in this process: what was asked for, or what memory allows."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.lock = threading.Lock()

    def of(self, number: int, network: Network, devices: Devices) -> int:
        """Return the tile of a network; at first look whether there is memory for it.

        Linux promises memory that it does not have, and ends who uses it; a run may have begun on a
        larger machine.
        """
        with self.lock:
            if number not in self.known:
                fitting = min(
                    fitting_tile(network.config, network.precision, one, free_on(one), share=1)
                    for one in map(torch.device, devices.mine())
                )
                self.known[number] = min(network.tile, fitting)
                if fitting < network.tile:
                    LOG.warning(
                        "there is no memory for --tile %d; going on with %d", network.tile, fitting
                    )
            return self.known[number]

    def lower(self, number: int, network: Network, tile: int) -> bool:
        """Take smaller tiles after memory ran out with `tile`; False where there are none."""
        step = lattice(network.config)
        less = max(step, tile // 2 // step * step)
        with self.lock:
            if self.known[number] >= tile:  # else another block has lowered it
                if less == tile:
                    return False
                LOG.warning("out of memory with --tile %d; going on with %d", tile, less)
                self.known[number] = less
        release_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    def __reduce__(self) -> Any:
        return Tiles, ()


def free_on(device: torch.device) -> int:
    """Return the bytes that are free on a device, or in this process where it is the CPU."""
    release_memory()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory()


_LOADING = threading.Lock()


def load_runner(folder: Path, weights: str, device: str, precision: Precision) -> Runner:
    """Load a network onto a device, once in a process."""
    with _LOADING:
        return _loaded(folder, weights, device, precision)


@lru_cache(maxsize=16)
def _loaded(folder: Path, _weights: str, device: str, precision: Precision) -> Runner:
    net, _ = load_checkpoint(folder)
    where = torch.device(device)
    keep_memory()  # in workers that came after the run had begun
    return Runner(net.to(where), where, precision)
