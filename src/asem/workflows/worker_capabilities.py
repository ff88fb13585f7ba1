"""Devices, precision and memory of the workers of a prediction, of each and in common."""

import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch

from asem.blocks.current_worker import current_worker
from asem.model.config import ModelConfig
from asem.model.device import Precision, resolve_devices, resolve_precision
from asem.model.device_pool import free_device_memory
from asem.model.tiling import find_largest_tile


@dataclass(frozen=True)
class WorkerCapabilities:
    """Devices, precision and memory of one process.

    Parameters
    ----------
    host, worker_address
        Its machine, and its address as a Dask worker; None if it is none.
    devices
        Devices that it can use.
    bf16
        Whether all of them have instructions for bf16.
    free_bytes
        Free memory of the device with the least.
    """

    host: str
    worker_address: str | None
    devices: tuple[str, ...]
    bf16: bool
    free_bytes: int

    @classmethod
    def of_this_process(cls, device: str) -> "WorkerCapabilities":
        """Return the capabilities of this process."""
        names = resolve_devices(device)
        devices = [torch.device(name) for name in names]
        free, address = min(map(free_device_memory, devices)), None
        worker = current_worker()
        if worker is not None:
            address = worker.address
            if worker.memory_limit_bytes and devices[0].type == "cpu":
                free = min(free, worker.memory_limit_bytes)
        bf16 = all(resolve_precision("auto", each) == "bf16" for each in devices)
        return cls(socket.gethostname(), address, names, bf16, free)

    def free_bytes_per_worker(self, workers: int) -> int:
        """Return the memory for one of several workers on this machine, which share its devices."""
        return self.free_bytes // ceil(workers / len(self.devices))


def common_precision(workers: Sequence[WorkerCapabilities]) -> Precision:
    """Return ``"bf16"`` if all workers have instructions for it, else ``"32"``."""
    return "bf16" if all(worker.bf16 for worker in workers) else "32"


def find_common_tile(
    config: ModelConfig, precision: Precision, workers: Sequence[WorkerCapabilities]
) -> int:
    """Return the largest tile of a network for which each worker has memory."""
    workers_per_host = Counter(worker.host for worker in workers)
    return min(
        find_largest_tile(
            config,
            precision,
            torch.device(worker.devices[0]),
            worker.free_bytes_per_worker(workers_per_host[worker.host]),
        )
        for worker in workers
    )


def rank_workers(workers: Sequence[WorkerCapabilities]) -> dict[str, int]:
    """Return the rank of each Dask worker among those on its machine, by address."""
    ranks: dict[str, int] = {}
    ranked_per_host: Counter[str] = Counter()
    for worker in sorted(workers, key=lambda worker: worker.worker_address or ""):
        if worker.worker_address is not None:
            ranks[worker.worker_address] = ranked_per_host[worker.host]
            ranked_per_host[worker.host] += 1
    return ranks
