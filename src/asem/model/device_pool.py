"""Devices of a process, the networks loaded on them, and the tile size of each network.

A block acquires a free device. Tiles have the size that the prediction was planned with; if memory
turns out to be insufficient, smaller tiles are used.
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

from asem.blocks.current_worker import current_worker
from asem.config import NmZYX
from asem.model.checkpoint import load_checkpoint
from asem.model.config import ModelConfig
from asem.model.device import Precision, resolve_devices
from asem.model.inference import NetworkRunner
from asem.model.tiling import find_largest_tile
from asem.model.unet import lattice
from asem.system.malloc_settings import release_memory, retain_freed_memory
from asem.system.resources import free_memory_bytes

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class NetworkSpec:
    """Network and the options of its prediction.

    Parameters
    ----------
    folder, weights_hash
        Its checkpoint, and the hash of the weights.
    config, voxel_size
        Its shape, and the voxel size of its input, nm.
    precision, tile
        Precision, and output edge of a forward pass, model voxels.
    uint8_threshold
        Store whether the probability reaches this, of 255; None: store the probability.
    mirror
        Predict the mean over mirror images.
    """

    folder: Path
    weights_hash: str
    config: ModelConfig
    voxel_size: NmZYX
    precision: Precision
    tile: int
    uint8_threshold: int | None = None
    mirror: bool = False


class DevicePool:
    """Devices of a process, each used by one block at a time.

    Parameters
    ----------
    name
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``, see `resolve_devices`.
    ranks
        Rank of each Dask worker among those on its machine, by address. Each worker uses one of
        the machine's devices, in turn.
    """

    def __init__(self, name: str, ranks: dict[str, int] | None = None) -> None:
        self.name, self.ranks = name, ranks
        self._free_devices: queue.SimpleQueue[torch.device] | None = None
        self._lock = threading.Lock()

    def local_devices(self) -> tuple[str, ...]:
        """Return the devices that this process uses."""
        names = resolve_devices(self.name)
        if self.ranks is None:
            return names
        worker = current_worker()
        address = "" if worker is None else worker.address
        number = self.ranks.get(address, zlib.crc32(address.encode()))  # unranked: started later
        return (names[number % len(names)],)

    @contextmanager
    def acquire(self) -> Iterator[torch.device]:
        """Wait for a free device and reserve it."""
        with self._lock:
            if self._free_devices is None:
                self._free_devices = queue.SimpleQueue()
                for name in self.local_devices():
                    self._free_devices.put(torch.device(name))
        device = self._free_devices.get()
        try:
            yield device
        finally:
            self._free_devices.put(device)

    def __reduce__(self) -> Any:
        return DevicePool, (self.name, self.ranks)


class TileSizes:
    """Tile of each network in this process: the planned one, or the largest that memory allows."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.lock = threading.Lock()

    def tile_for(self, index: int, network: NetworkSpec, devices: DevicePool) -> int:
        """Return the tile of a network; the first call checks that there is memory for it.

        Linux overcommits memory and kills processes that use it; a resumed run may have started on
        a larger machine.
        """
        with self.lock:
            if index not in self.sizes:
                fitting = min(
                    find_largest_tile(
                        network.config,
                        network.precision,
                        device,
                        free_device_memory(device),
                        memory_fraction=1,
                    )
                    for device in map(torch.device, devices.local_devices())
                )
                self.sizes[index] = min(network.tile, fitting)
                if fitting < network.tile:
                    LOG.warning(
                        "not enough memory for --tile %d; continuing with %d", network.tile, fitting
                    )
            return self.sizes[index]

    def reduce(self, index: int, network: NetworkSpec, tile: int) -> bool:
        """Halve the tile after memory ran out with `tile`; return False if it is the smallest."""
        step = lattice(network.config)
        smaller = max(step, tile // 2 // step * step)
        with self.lock:
            if self.sizes[index] >= tile:  # else another block has reduced it
                if smaller == tile:
                    return False
                LOG.warning("out of memory with --tile %d; continuing with %d", tile, smaller)
                self.sizes[index] = smaller
        release_memory()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True

    def __reduce__(self) -> Any:
        return TileSizes, ()


def free_device_memory(device: torch.device) -> int:
    """Return the free memory of a device in bytes; on the CPU that of this process."""
    release_memory()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory_bytes()


_LOAD_LOCK = threading.Lock()


def load_runner(
    folder: Path, weights_hash: str, device: str, precision: Precision
) -> NetworkRunner:
    """Load a network onto a device, once per process."""
    with _LOAD_LOCK:
        return _load_runner_cached(folder, weights_hash, device, precision)


@lru_cache(maxsize=16)
def _load_runner_cached(
    folder: Path, _weights: str, device: str, precision: Precision
) -> NetworkRunner:
    net, _ = load_checkpoint(folder)
    torch_device = torch.device(device)
    retain_freed_memory()  # in workers that were started during the run
    return NetworkRunner(net.to(torch_device), torch_device, precision)
