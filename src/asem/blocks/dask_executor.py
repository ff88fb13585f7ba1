"""Executor that runs a function on blocks on Dask workers, with a bounded number in flight."""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Client, KilledWorker, as_completed

from asem.blocks.current_worker import call_with_worker, unwrap_result
from asem.blocks.executors import (
    MAX_ATTEMPTS,
    BlockFunction,
    Result,
    make_block_error,
    run_and_wait,
)
from asem.volume.roi import Roi

LOG = logging.getLogger(__name__)
BLOCKS_PER_WORKER = 4
"""Blocks submitted per worker: one is computed, the others are queued."""
MAX_MEMORY_FRACTION = 0.8
"""Fraction of the memory that blocks may take."""
WORKER_COUNT_INTERVAL_S = 5.0
"""Time between counts of the workers: batch jobs may start late, and end early."""
DRAIN_INTERVAL_S = 0.2
"""Time between checks whether workers still compute blocks."""
MAX_CALL_ATTEMPTS = 3
"""Attempts to call a function on all workers, if all of them are killed each time."""
WORKER_LOSS_INTERVAL_S = 1.0
"""Time in which the scheduler removes lost workers."""
NO_WORKER_TIMEOUT_S = 300
"""Time to wait for a worker if there is none."""


class DaskExecutor:
    """Runs a function on blocks on Dask workers.

    Parameters
    ----------
    client
        Connected to the scheduler of the workers.
    shared_memory_bytes
        Memory that all workers share, on one machine; None: each has its own limit.
    dashboard
        URL of Dask's dashboard; None: as the scheduler reports it.
    """

    def __init__(
        self,
        client: Client,
        *,
        shared_memory_bytes: int | None = None,
        dashboard: str | None = None,
    ) -> None:
        self.client, self.shared_memory_bytes = client, shared_memory_bytes
        self._dashboard = dashboard

    @property
    def dashboard(self) -> str:
        """URL of Dask's dashboard."""
        return self._dashboard or str(self.client.dashboard_link)

    def run(
        self,
        block_function: BlockFunction,
        blocks: Sequence[Roi],
        *,
        stage: str,
        block_bytes: int,
        outputs: Sequence[Path],
    ) -> Generator[Sequence[Roi], None, None]:
        """Call `block_function` for every block on any worker.

        A limited number of blocks is in flight; others are submitted as these finish. Each worker
        receives `block_function` once, as the result of a task, which Dask recomputes if a worker
        dies. A block whose worker died is sent to another one; the scheduler also retries one that
        failed. If several workers died, their blocks are retried one by one, to identify the block
        that kills workers.
        """
        flight = _InFlight(self.client, block_function, stage, outputs)
        flight.drain()  # workers may still compute blocks of a run that was killed
        waiting, suspects = deque(blocks), deque[Roi]()
        window = _SubmissionWindow(self, block_bytes)
        watch = threading.Thread(target=flight.cancel_without_workers, daemon=True)
        watch.start()
        try:
            while waiting or suspects or flight.submitted:
                while waiting and len(flight.submitted) < window.size():
                    flight.submit(waiting.popleft())
                alone = not waiting and not flight.submitted
                if alone and suspects:
                    flight.submit(suspects.popleft())
                done, failed = flight.wait_for_some()
                yield done
                for block, error in failed:
                    if isinstance(error, KilledWorker) and not alone:
                        suspects.append(block)
                    else:
                        yield flight.wait_for_all()
                        raise make_block_error(_readable_error(error), stage, block)
        finally:
            flight.ended.set()
            flight.drain()

    def run_on_workers(self, function: Callable[[], Result]) -> list[Result]:
        """Call a function on every connected worker, at least one; return the results.

        Workers that are killed during the call are left out; if all are, new ones are awaited.

        Raises
        ------
        OSError
            No worker connects in time, or all are killed in each attempt.
        """
        for _ in range(MAX_CALL_ATTEMPTS):
            try:
                self.client.wait_for_workers(1, timeout=NO_WORKER_TIMEOUT_S)
            except TimeoutError as error:
                raise OSError(f"no worker connected within {NO_WORKER_TIMEOUT_S} s") from error
            outcomes = list(self.client.run(call_with_worker, function, on_error="return").values())
            results = [
                unwrap_result(outcome) for outcome in outcomes if not isinstance(outcome, OSError)
            ]
            if len(results) < len(outcomes):
                LOG.warning("%d workers were killed", len(outcomes) - len(results))
            if results:
                return results
            time.sleep(WORKER_LOSS_INTERVAL_S)
        raise OSError(
            "all workers were killed, probably because memory ran out; close other programs, or "
            "use fewer workers, and repeat the same command, which resumes"
        )


def _readable_error(error: BaseException) -> BaseException:
    """Return an error whose message explains to a user why a block failed."""
    if isinstance(error, KilledWorker):
        return OSError(
            "each worker that computed it died; it may need more memory than a worker has"
        )
    return error


class _InFlight:
    """The blocks that are submitted to the workers and not finished.

    The keys of the tasks contain hashes of the outputs, so that a later run finds tasks that still
    write to its outputs (`drain`).
    """

    def __init__(
        self, client: Client, block_function: BlockFunction, stage: str, outputs: Sequence[Path]
    ) -> None:
        self.client, self.ended = client, threading.Event()
        self.output_hashes = [
            sha256(str(output.resolve()).encode()).hexdigest()[:16] for output in outputs
        ]
        hashes = "-".join(self.output_hashes)
        self.name = f"{stage.replace(' ', '_')}-{hashes}-{uuid.uuid4().hex[:8]}"
        self.block_function_future = self.client.submit(
            cloudpickle.loads, cloudpickle.dumps(block_function), key=f"work-{self.name}"
        )
        self.submitted: dict[str, tuple[Roi, Any]] = {}
        self.completed, self.submitted_count = as_completed(), 0

    def submit(self, block: Roi) -> None:
        """Submit a block to the workers."""
        key = f"{self.name}-{self.submitted_count}"
        self.submitted_count += 1
        future = self.client.submit(
            _run_block, self.block_function_future, block, key=key, retries=MAX_ATTEMPTS - 1
        )
        self.submitted[key] = (block, future)
        self.completed.add(future)

    def wait_for_some(self) -> tuple[list[Roi], list[tuple[Roi, BaseException]]]:
        """Wait for some blocks; return those that are done, and those that failed with errors."""
        done, failed = [], []
        for future in next(self.completed.batches()):
            block, _ = self.submitted.pop(future.key)
            if future.status in ("finished", "lost"):  # lost: its worker died after it was stored
                done.append(block)
            elif future.status == "error":
                failed.append((block, future.exception()))
            else:
                failed.append((block, OSError("the scheduler was closed, or no worker was left")))
        return done, failed

    def wait_for_all(self) -> list[Roi]:
        """Wait for all blocks in flight and return those that are done."""
        done: list[Roi] = []
        while self.submitted:
            done += self.wait_for_some()[0]
        return done

    def cancel_without_workers(self) -> None:
        """Cancel all blocks if there is no worker for `NO_WORKER_TIMEOUT_S`; runs in a thread."""
        without = 0.0
        while not self.ended.wait(WORKER_COUNT_INTERVAL_S):
            if _list_workers(self.client):
                without = 0.0
                continue
            if not without:
                LOG.warning("no worker is left; waiting %d s for others", NO_WORKER_TIMEOUT_S)
            without += WORKER_COUNT_INTERVAL_S
            if without > NO_WORKER_TIMEOUT_S:
                self.client.cancel([future for _, future in self.submitted.values()])

    def drain(self) -> None:
        """Cancel queued blocks; wait for blocks being computed, also those of an earlier run."""
        if self.submitted:
            self.client.cancel([future for _, future in self.submitted.values()])
            time.sleep(DRAIN_INTERVAL_S)  # a block may be in transit to a worker
        while self.client.status == "running" and _list_workers(self.client):
            try:
                busy = self.client.run(_is_executing, self.output_hashes, on_error="ignore")
            except OSError:  # the scheduler was closed meanwhile
                return
            if not any(busy.values()):
                return
            time.sleep(DRAIN_INTERVAL_S)


def _list_workers(client: Client) -> list[dict[str, Any]]:
    return list(client.scheduler_info(n_workers=-1)["workers"].values())


def _is_executing(output_hashes: Sequence[str], dask_worker: Any) -> bool:
    """Return whether a worker computes a block of one of the outputs."""
    keys = [str(task.key) for task in dask_worker.state.executing]
    return any(output in key for key in keys for output in output_hashes)


_BLOCK_LOCK = threading.Lock()
"""Held while a block is computed: a worker may have several threads, but kernels use all cores."""


def _run_block(block_function: BlockFunction, block: Roi) -> None:
    """Compute a block, at the same time as others if the function runs concurrently."""
    with nullcontext() if getattr(block_function, "runs_concurrently", False) else _BLOCK_LOCK:
        run_and_wait(block_function, block)


class _SubmissionWindow:
    """Maximum number of blocks in flight, updated every few seconds."""

    def __init__(self, executor: DaskExecutor, block_bytes: int) -> None:
        self.executor, self.block_bytes = executor, max(1, block_bytes)
        self.measured_at, self.last_size = -WORKER_COUNT_INTERVAL_S, 1

    def size(self) -> int:
        now = time.monotonic()
        if now - self.measured_at >= WORKER_COUNT_INTERVAL_S:
            self.last_size = self._measure(_list_workers(self.executor.client))
            self.measured_at = now
        return self.last_size

    def _measure(self, workers: list[dict[str, Any]]) -> int:
        if self.executor.shared_memory_bytes is not None:
            fit = self._count_fitting(self.executor.shared_memory_bytes)
        else:
            fit = sum(min(1, self._count_fitting(w["memory_limit"] or 1e15)) for w in workers)
        # Queued blocks take no memory, but the scheduler decides which blocks are queued.
        return max(1, BLOCKS_PER_WORKER * len(workers) if fit >= len(workers) else fit)

    def _count_fitting(self, memory: float) -> int:
        return int(MAX_MEMORY_FRACTION * memory // self.block_bytes)
