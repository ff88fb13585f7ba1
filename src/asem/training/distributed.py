"""Distributed training on one machine: devices, processes, stop signals."""

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

from asem.blocks.run_blocks import Progress
from asem.model.device import resolve_device, resolve_precision
from asem.system.child_processes import safe_child_imports
from asem.system.signals import SAME_SIGNAL_INTERVAL_S, TERMINATION_SIGNALS, Terminated
from asem.training.config import TrainConfig

LOG = logging.getLogger(__name__)
PROCESS_GROUP_TIMEOUT = timedelta(days=1)
ERROR_TAG = "error"
FORWARDED_ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (ValueError, OSError, MemoryError, RuntimeError)
}
"""Errors of a process that are raised again, with their message, in the main process."""
INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Environment variables that set the network interface of PyTorch's backends."""
LOOPBACK_INTERFACE = "lo0" if sys.platform == "darwin" else "lo"


class SingleNodeDDPStrategy(DDPStrategy):
    """DDP on one machine: rendezvous by a file, communication over the loopback interface.

    PyTorch's default (`TCPStore`) opens a port to the network, through which others could change
    the messages.

    Parameters
    ----------
    **options
        Options of Fabric's `DDPStrategy`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.rendezvous_file: Path | None = None
        """A file in a private folder; `launch` sets it before the processes start."""

    def setup_environment(self) -> None:
        """Join the process group."""
        assert self.accelerator is not None
        for name in INTERFACE_VARIABLES:
            os.environ.setdefault(name, LOOPBACK_INTERFACE)
        self.accelerator.setup_device(self.root_device)
        on_gpu = self.root_device.type == "cuda"
        torch.distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=FileStore(str(self.rendezvous_file), self.num_processes),
            rank=self.local_rank,
            world_size=self.num_processes,
            timeout=PROCESS_GROUP_TIMEOUT,
            device_id=self.root_device if on_gpu else None,
        )
        if on_gpu:  # PyTorch warns otherwise
            atexit.register(torch.distributed.destroy_process_group)
        super().setup_environment()  # which does not join a second time


def make_fabric(config: TrainConfig) -> Fabric:
    """Return Fabric for the devices that share the batches of a training.

    Raises
    ------
    ValueError
        There are fewer GPUs than `devices`, or `device` is a single GPU but `devices` is not 1.
    """
    device = resolve_device(config.device)
    precision: Literal["bf16-mixed", "32-true"] = (
        "bf16-mixed" if resolve_precision(config.precision, device) == "bf16" else "32-true"
    )
    number = config.devices
    if device.type == "cuda" and number > torch.cuda.device_count():
        raise ValueError(
            f"'devices': {number} GPUs are requested, PyTorch has {torch.cuda.device_count()}; "
            "take fewer"
        )
    if ":" in config.device and number > 1:
        raise ValueError(
            f"'device': {config.device} is one GPU, but 'devices' is {number}; take "
            'device = "cuda"'
        )
    devices: int | list[int] = number
    if device.type == "cuda" and number == 1:
        devices = [device.index]
    return Fabric(
        accelerator=device.type,
        devices=devices,
        # The other processes wait while the first one validates: no timeout before a day.
        strategy=SingleNodeDDPStrategy(start_method="spawn", timeout=PROCESS_GROUP_TIMEOUT)
        if number > 1
        else "auto",
        precision=precision,
        # `launch` starts the processes: variables of a batch system must have no effect.
        plugins=[LightningEnvironment()],
    )


@safe_child_imports()
def launch(
    fabric: Fabric,
    function: Callable[[Fabric, Any, Progress], None],
    argument: Any,
    progress: Progress,
) -> "StopEvent":
    """Call ``function(fabric, argument, progress)`` in one new process per device; wait for all.

    Parameters
    ----------
    fabric
        From `make_fabric`.
    function
        A module-level function; each process imports it.
    argument
        Any object that can be pickled.
    progress
        Called here with the progress that the first process reports.

    Returns
    -------
    StopEvent
        Set if a signal was received; the processes have then stopped by themselves.

    Raises
    ------
    ValueError, OSError
        One of the processes raised it.
    """
    queue = torch.multiprocessing.get_context("spawn").SimpleQueue()
    errors: list[tuple[str, str]] = []
    forwarder = threading.Thread(
        target=_forward_messages, args=(queue, progress, errors), daemon=True
    )
    forwarder.start()
    level = logging.getLogger("asem").getEffectiveLevel()
    try:
        with (
            catch_stop_signals(forward_to_children=True) as stop,
            tempfile.TemporaryDirectory(prefix="asem-") as private,
        ):
            if isinstance(fabric.strategy, SingleNodeDDPStrategy):
                fabric.strategy.rendezvous_file = Path(private, "rendezvous")
            fabric.launch(partial(_run_child, function, argument, queue, level))
    except (ProcessRaisedException, ProcessExitedException) as error:
        queue.put(None)
        forwarder.join()
        kind, text = errors[0] if errors else ("", "")
        if kind:
            raise FORWARDED_ERRORS[kind](text) from error
        if stop.is_set():  # before the processes handled it: nothing was trained yet
            raise stop.make_interrupt() from error
        if isinstance(error, ProcessExitedException):
            raise ValueError(
                f"a training process ended (possibly out of memory): {error}"
            ) from error
        raise
    else:
        return stop
    finally:
        queue.put(None)
        forwarder.join()


def _run_child(
    function: Callable[[Fabric, Any, Progress], None],
    argument: Any,
    queue: Any,
    level: int,
    fabric: Fabric,
) -> None:
    logging.basicConfig()
    logging.getLogger("asem").setLevel(level)

    def report_progress(stage: str, done: int, total: int) -> None:
        if fabric.is_global_zero:
            queue.put((stage, done, total))

    try:
        function(fabric, argument, report_progress)
    except KeyboardInterrupt:
        pass  # raised here, it would leave the parent waiting for a return value
    except tuple(FORWARDED_ERRORS.values()) as error:
        kind = next(name for name, one in FORWARDED_ERRORS.items() if isinstance(error, one))
        queue.put((ERROR_TAG, kind, str(error)))
        raise


def _forward_messages(queue: Any, progress: Progress, errors: list[tuple[str, str]]) -> None:
    while (message := queue.get()) is not None:
        if message[0] == ERROR_TAG:
            errors.append(message[1:])
        else:
            progress(*message)


class StopEvent(threading.Event):
    """Event that a termination signal sets."""

    signal_number = int(signal.SIGINT)
    """Number of the signal."""
    received_at = 0.0
    """Time of the signal, monotonic clock, s."""

    def make_interrupt(self) -> KeyboardInterrupt:
        """Return the exception that ends the training after the checkpoint is saved."""
        return Terminated(self.signal_number)


@contextmanager
def catch_stop_signals(*, forward_to_children: bool = False) -> Iterator[StopEvent]:
    """Set an event at the first termination signal; a second one acts as without this context.

    Signals within `SAME_SIGNAL_INTERVAL_S` count as one. With `forward_to_children` the child
    processes receive SIGTERM. Ignored signals stay ignored.
    """
    stop = StopEvent()
    previous: dict[signal.Signals, Any] = {}

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            if time.monotonic() - stop.received_at >= SAME_SIGNAL_INTERVAL_S:
                signal.signal(number, previous[signal.Signals(number)])
                signal.raise_signal(number)
            return
        LOG.warning("stopping after this iteration; a checkpoint is saved")
        stop.signal_number, stop.received_at = number, time.monotonic()
        stop.set()
        for process in multiprocessing.active_children() if forward_to_children else ():
            process.terminate()

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread handles signals
        return
    for number in TERMINATION_SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            previous[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
