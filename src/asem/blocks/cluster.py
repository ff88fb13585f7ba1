"""Blocks on Dask workers: a window of them in flight, whoever dies."""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Client, KilledWorker, as_completed, get_worker

from asem.blocks.executors import ATTEMPTS, Answer, Work, failure, finish
from asem.volume.roi import Roi

LOG = logging.getLogger(__name__)
AHEAD = 4
"""Blocks handed over for each worker: one to compute, the others to go on with."""
USABLE = 0.8
"""Share of the memory that blocks may take."""
LOOK_SECONDS = 5.0
"""How often the workers are counted: jobs start late, and may end."""
LAND_SECONDS = 0.2
CALL_ATTEMPTS = 3
"""How often a function is called on all workers where each time all of them are killed."""
WORKER_LOSS_SECONDS = 1.0
"""For the scheduler to notice that workers are gone."""
LONELY_SECONDS = 300
"""For a worker to come where there is none."""


class Cluster:
    """Dask workers.

    Parameters
    ----------
    client
        Connected to their scheduler.
    shared_memory
        Bytes that all workers share (they are on one machine); None: each has its own limit.
    dashboard
        Address of the page that shows what the workers do; None: as the scheduler reports it.
    """

    def __init__(
        self, client: Client, *, shared_memory: int | None = None, dashboard: str | None = None
    ) -> None:
        self.client, self.shared_memory = client, shared_memory
        self._dashboard = dashboard

    @property
    def dashboard(self) -> str:
        """Address of the page that shows what the workers do."""
        return self._dashboard or str(self.client.dashboard_link)

    def run(
        self,
        work: Work,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `work` for every block on any worker.

        A window of blocks is in flight; as some return, others follow. `work` travels once to each
        worker, as the result of a task, so that it is made again where a worker died. A block whose
        worker died goes to another; the scheduler also repeats one that failed. Where several
        workers died, the blocks that were with them are tried one by one, to find the one to blame.
        """
        flight = _Flight(self.client, work, stage, outputs)
        flight.land()  # a run that was killed may have left blocks on their way
        waiting, suspects = deque(blocks), deque[Roi]()
        window = _Window(self, block_bytes)
        watch = threading.Thread(target=flight.watch, daemon=True)
        watch.start()
        try:
            while waiting or suspects or flight.blocks:
                while waiting and len(flight.blocks) < window.size():
                    flight.send(waiting.popleft())
                alone = not waiting and not flight.blocks
                if alone and suspects:
                    flight.send(suspects.popleft())
                done, failed = flight.next()
                yield done
                for block, error in failed:
                    if isinstance(error, KilledWorker) and not alone:
                        suspects.append(block)
                    else:
                        yield flight.settle()
                        raise failure(_told(error), stage, block)
        finally:
            flight.over.set()
            flight.land()

    def ask(self, function: Callable[[], Answer]) -> list[Answer]:
        """Call a function on every worker that is there by now, at least one.

        Those that are killed meanwhile are left out; where none is left, others are waited for.

        Raises
        ------
        OSError
            None comes, or all are killed again.
        """
        for _ in range(CALL_ATTEMPTS):
            try:
                self.client.wait_for_workers(1, timeout=LONELY_SECONDS)
            except TimeoutError as error:
                raise OSError(f"no worker came within {LONELY_SECONDS} s") from error
            outcomes = list(self.client.run(_asked, function, on_error="return").values())
            answers = [_answer(one) for one in outcomes if not isinstance(one, OSError)]
            if len(answers) < len(outcomes):
                LOG.warning("%d workers were killed", len(outcomes) - len(answers))
            if answers:
                return answers
            time.sleep(WORKER_LOSS_SECONDS)
        raise OSError(
            "all workers were killed, probably because memory ran out; close other programs, or "
            "take fewer workers, and give the same command again, which resumes"
        )


@dataclass(frozen=True)
class Worker:
    """The Dask worker that this process is, or this thread works for.

    Parameters
    ----------
    address
        By which the scheduler knows it.
    memory
        Bytes that it was given; None: no limit.
    """

    address: str
    memory: int | None


_ASKED = ContextVar[Any]("asked", default=None)


def _asked(
    function: Callable[[], Answer], dask_worker: Any
) -> tuple[Answer | None, Exception | None]:
    """Call what is no task (of which Dask knows a worker); its error is no lost connection."""
    token = _ASKED.set(dask_worker)
    try:
        return function(), None
    except (ValueError, OSError) as error:
        return None, error
    finally:
        _ASKED.reset(token)


def _answer(outcome: Any) -> Any:
    """Return what `_asked` did; raise what went wrong."""
    answer, error = (None, outcome) if isinstance(outcome, Exception) else outcome
    if error is not None:
        raise error
    return answer


def this_worker() -> Worker | None:
    """Return the worker that calls; None where it is none."""
    try:
        found = _ASKED.get() or get_worker()
    except ValueError:
        return None
    return Worker(str(found.address), found.memory_manager.memory_limit)


def _told(error: BaseException) -> BaseException:
    """Return an error that says to a user what happened to a block."""
    if isinstance(error, KilledWorker):
        return OSError("each worker that tried it died; it may need more memory than they have")
    return error


class _Flight:
    """The blocks that are with the workers, and what became of them.

    The names of its tasks tell the outputs, so that nothing is written to them behind one's back.
    """

    def __init__(self, client: Client, work: Work, stage: str, outputs: Sequence[Path]) -> None:
        self.client, self.over = client, threading.Event()
        self.outputs = [
            sha256(str(output.resolve()).encode()).hexdigest()[:16] for output in outputs
        ]
        named = "-".join(self.outputs)
        self.name = f"{stage.replace(' ', '_')}-{named}-{uuid.uuid4().hex[:8]}"
        self.function = self.client.submit(
            cloudpickle.loads, cloudpickle.dumps(work), key=f"work-{self.name}"
        )
        self.blocks: dict[str, tuple[Roi, Any]] = {}
        self.queue, self.number = as_completed(), 0

    def send(self, block: Roi) -> None:
        """Hand a block to the workers."""
        key = f"{self.name}-{self.number}"
        self.number += 1
        future = self.client.submit(_call, self.function, block, key=key, retries=ATTEMPTS - 1)
        self.blocks[key] = (block, future)
        self.queue.add(future)

    def next(self) -> tuple[list[Roi], list[tuple[Roi, BaseException]]]:
        """Wait for some blocks; return those that are done, and those that failed, and why."""
        done, failed = [], []
        for future in next(self.queue.batches()):
            block, _ = self.blocks.pop(future.key)
            if future.status in ("finished", "lost"):  # lost: its worker died after it was stored
                done.append(block)
            elif future.status == "error":
                failed.append((block, future.exception()))
            else:
                failed.append((block, OSError("the scheduler was closed, or no worker was left")))
        return done, failed

    def settle(self) -> list[Roi]:
        """Wait for all that are in flight and return those that are done."""
        arrived: list[Roi] = []
        while self.blocks:
            arrived += self.next()[0]
        return arrived

    def watch(self) -> None:
        """Give up where there is no worker for a long time."""
        without = 0.0
        while not self.over.wait(LOOK_SECONDS):
            if _workers(self.client):
                without = 0.0
                continue
            if not without:
                LOG.warning("no worker is left; waiting %d s for others", LONELY_SECONDS)
            without += LOOK_SECONDS
            if without > LONELY_SECONDS:
                self.client.cancel([future for _, future in self.blocks.values()])

    def land(self) -> None:
        """Drop what waits, and wait for what is being computed, also for an earlier run."""
        if self.blocks:
            self.client.cancel([future for _, future in self.blocks.values()])
            time.sleep(LAND_SECONDS)  # a block may just have been on its way to a worker
        while self.client.status == "running" and _workers(self.client):
            try:
                busy = self.client.run(_executing, self.outputs, on_error="ignore")
            except OSError:  # the scheduler went meanwhile
                return
            if not any(busy.values()):
                return
            time.sleep(LAND_SECONDS)


def _workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _executing(outputs: Sequence[str], dask_worker: Any) -> bool:
    """Whether a worker computes a block of any of some outputs."""
    keys = [str(task.key) for task in dask_worker.state.executing]
    return any(output in key for key in keys for output in outputs)


_ONE_AT_A_TIME = threading.Lock()
"""A worker may have several threads, but kernels use the cores themselves."""


def _call(work: Work, block: Roi) -> None:
    """Do a block, beside others where the work is made for that."""
    with nullcontext() if getattr(work, "overlaps", False) else _ONE_AT_A_TIME:
        finish(work, block)


class _Window:
    """How many blocks may be in flight, looked up anew every few seconds."""

    def __init__(self, cluster: Cluster, block_bytes: int) -> None:
        self.cluster, self.block_bytes = cluster, max(1, block_bytes)
        self.looked, self.found = -LOOK_SECONDS, 1

    def size(self) -> int:
        now = time.monotonic()
        if now - self.looked >= LOOK_SECONDS:
            self.found, self.looked = self._measure(_workers(self.cluster.client)), now
        return self.found

    def _measure(self, workers: list[dict[str, Any]]) -> int:
        if self.cluster.shared_memory is not None:
            fit = self._fit(self.cluster.shared_memory)
        else:
            fit = sum(min(1, self._fit(w["memory_limit"] or 1e15)) for w in workers)
        # Blocks that only wait take no memory, but which of them wait is not ours to say.
        return max(1, AHEAD * len(workers) if fit >= len(workers) else fit)

    def _fit(self, memory: float) -> int:
        return int(USABLE * memory // self.block_bytes)
