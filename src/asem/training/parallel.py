"""On how many devices a training runs, and in which processes."""

import ctypes
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch.multiprocessing.spawn import ProcessRaisedException

from asem.blocks.run import Progress
from asem.model.config import TrainConfig
from asem.model.device import resolve_device, resolve_precision

LOG = logging.getLogger(__name__)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def make_fabric(config: TrainConfig) -> Fabric:
    """Return the devices that share the batches of a training.

    Raises
    ------
    ValueError
        There are fewer GPUs than `devices`, or the device is a certain one of them.
    """
    device = resolve_device(config.device)
    precision: Literal["bf16-mixed", "32-true"] = (
        "bf16-mixed" if resolve_precision(config.precision, device) == "bf16" else "32-true"
    )
    number = config.devices
    if device.type == "cuda" and number > torch.cuda.device_count():
        raise ValueError(
            f"'devices': {number} GPUs were asked for; PyTorch sees {torch.cuda.device_count()}"
        )
    devices: int | list[int] = number
    if device.type == "cuda" and number == 1:
        devices = [device.index]
    return Fabric(
        accelerator=device.type,
        devices=devices,
        strategy="ddp_spawn" if number > 1 else "auto",
        precision=precision,
        # Processes are started here; a cluster's variables and commands are nothing to go by.
        plugins=[LightningEnvironment()],
    )


def keep_memory() -> None:
    """Keep freed memory in this process, on Linux with glibc.

    Training frees and takes the same large tensors in every iteration. Given back to the system
    each time, their pages are cleared each time: a third of the time of an iteration on a CPU.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)


def launch(
    fabric: Fabric,
    work: Callable[[Fabric, Any, Progress], None],
    job: Any,
    progress: Progress,
) -> None:
    """Call ``work(fabric, job, told)`` in a new process for each device, and wait for all.

    Parameters
    ----------
    fabric
        From `make_fabric`.
    work
        A function of a module; each process imports it.
    job
        Anything that can be pickled.
    progress
        Told, here, what the first process tells.

    Raises
    ------
    ValueError, OSError
        One of the processes raised it.
    """
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    teller = threading.Thread(target=_tell, args=(queue, progress), daemon=True)
    teller.start()
    try:
        with stopping():  # the processes heed an interrupt themselves
            fabric.launch(partial(_child, work, job, queue))
    except ProcessRaisedException as error:
        kind, _, message = str(error).strip().splitlines()[-1].partition(": ")
        if kind in ("ValueError", "OSError", "FileNotFoundError", "MemoryError"):
            raise ValueError(message) from error
        raise
    finally:
        queue.put(None)
        teller.join()


def _child(
    work: Callable[[Fabric, Any, Progress], None], job: Any, queue: Any, fabric: Fabric
) -> None:
    def told(stage: str, done: int, total: int) -> None:
        if fabric.is_global_zero:
            queue.put((stage, done, total))

    # Raised here, an interrupt would leave the parent waiting for what this returns.
    with suppress(KeyboardInterrupt):
        work(fabric, job, told)


def _tell(queue: Any, progress: Progress) -> None:
    while (news := queue.get()) is not None:
        progress(*news)


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Turn the first SIGINT or SIGTERM into a flag; the second one acts as ever."""
    stop = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def heed(number: int, _frame: FrameType | None) -> None:
        LOG.warning("stopping after this iteration; a checkpoint is saved")
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals are the main thread's
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, heed)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
