"""On how many devices a training runs, and in which processes."""

import atexit
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from asem.blocks.run import Progress
from asem.model.config import TrainConfig
from asem.model.device import resolve_device, resolve_precision
from asem.system.children import safe_children
from asem.system.signals import ENDING, SAME_REQUEST_S, Terminated

LOG = logging.getLogger(__name__)
LONGEST_WAIT = timedelta(days=1)
FAULT = "fault"
FAULTS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ValueError, OSError, MemoryError, RuntimeError)
}
"""What a process may raise that says in its message what is wrong."""


SOCKETS = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Which network interface PyTorch's backends use."""
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


class OneMachine(DDPStrategy):
    """Processes of this machine that meet at a file, and talk over the loopback interface.

    By default PyTorch opens a port to the network (`TCPStore`), where anyone may change what the
    processes tell each other.

    Parameters
    ----------
    **options
        Of Fabric's `DDPStrategy`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.meeting: Path | None = None
        """A file in a private folder; from `launch`, before the processes start."""

    def setup_environment(self) -> None:
        """Join the other processes."""
        assert self.accelerator is not None
        for name in SOCKETS:
            os.environ.setdefault(name, LOOPBACK)
        self.accelerator.setup_device(self.root_device)
        on_gpu = self.root_device.type == "cuda"
        torch.distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=FileStore(str(self.meeting), self.num_processes),
            rank=self.local_rank,
            world_size=self.num_processes,
            timeout=LONGEST_WAIT,
            device_id=self.root_device if on_gpu else None,
        )
        if on_gpu:  # PyTorch warns otherwise
            atexit.register(torch.distributed.destroy_process_group)
        super().setup_environment()  # which joins nobody a second time


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
    if ":" in config.device and number > 1:
        raise ValueError(
            f"'device': {config.device} is one GPU, but 'devices' asks for {number}; take "
            'device = "cuda"'
        )
    devices: int | list[int] = number
    if device.type == "cuda" and number == 1:
        devices = [device.index]
    return Fabric(
        accelerator=device.type,
        devices=devices,
        # The others wait while the first validates.
        strategy=OneMachine(start_method="spawn", timeout=LONGEST_WAIT) if number > 1 else "auto",
        precision=precision,
        # Processes are started here; a cluster's variables and commands are nothing to go by.
        plugins=[LightningEnvironment()],
    )


@safe_children()
def launch(
    fabric: Fabric,
    work: Callable[[Fabric, Any, Progress], None],
    job: Any,
    progress: Progress,
) -> "Stop":
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

    Returns
    -------
    Stop
        Set where a signal came; the processes have stopped by themselves then.

    Raises
    ------
    ValueError, OSError
        One of the processes raised it.
    """
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    faults: list[tuple[str, str]] = []
    teller = threading.Thread(target=_tell, args=(queue, progress, faults), daemon=True)
    teller.start()
    level = logging.getLogger("asem").getEffectiveLevel()
    try:
        with (
            stopping(processes=True) as stop,
            tempfile.TemporaryDirectory(prefix="asem-") as private,
        ):
            if isinstance(fabric.strategy, OneMachine):
                fabric.strategy.meeting = Path(private, "meeting")
            fabric.launch(partial(_child, work, job, queue, level))
    except (ProcessRaisedException, ProcessExitedException) as error:
        queue.put(None)
        teller.join()
        kind, text = faults[0] if faults else ("", "")
        if kind:
            raise FAULTS[kind](text) from error
        if stop.is_set():  # before they heeded it themselves: nothing was trained yet
            raise stop.interruption() from error
        if isinstance(error, ProcessExitedException):
            raise ValueError(
                f"a process of the training ended (out of memory?): {error}"
            ) from error
        raise
    else:
        return stop
    finally:
        queue.put(None)
        teller.join()


def _child(
    work: Callable[[Fabric, Any, Progress], None],
    job: Any,
    queue: Any,
    level: int,
    fabric: Fabric,
) -> None:
    logging.basicConfig()
    logging.getLogger("asem").setLevel(level)

    def told(stage: str, done: int, total: int) -> None:
        if fabric.is_global_zero:
            queue.put((stage, done, total))

    try:
        work(fabric, job, told)
    except KeyboardInterrupt:
        pass  # raised from here, it would leave the parent waiting for what this returns
    except tuple(FAULTS.values()) as error:
        kind = next(name for name, one in FAULTS.items() if isinstance(error, one))
        queue.put((FAULT, kind, str(error)))
        raise


def _tell(queue: Any, progress: Progress, faults: list[tuple[str, str]]) -> None:
    while (news := queue.get()) is not None:
        if news[0] == FAULT:
            faults.append(news[1:])
        else:
            progress(*news)


class Stop(threading.Event):
    """Set by a signal that ends a training."""

    number = int(signal.SIGINT)
    """Of the signal."""
    at = 0.0
    """When it came, by the monotonic clock, s."""

    def interruption(self) -> KeyboardInterrupt:
        """Return what the training raises once it has stopped."""
        return Terminated(self.number)


@contextmanager
def stopping(*, processes: bool = False) -> Iterator[Stop]:
    """Turn the first of the signals that end a command into a flag; the second one acts as ever.

    Signals within `SAME_REQUEST_S` are one. With `processes` it is handed on to those that this one
    started. One that is ignored stays ignored.
    """
    stop = Stop()
    before: dict[signal.Signals, Any] = {}

    def heed(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            if time.monotonic() - stop.at >= SAME_REQUEST_S:
                signal.signal(number, before[signal.Signals(number)])
                signal.raise_signal(number)
            return
        LOG.warning("stopping after this iteration, with a checkpoint")
        stop.number, stop.at = number, time.monotonic()
        stop.set()
        for process in multiprocessing.active_children() if processes else ():
            process.terminate()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals are the main thread's
        return
    for number in ENDING:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, heed)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
