"""Batches of an iteration: drawn, cut, and while one is trained on the next one is prepared."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from asem.model.config import CutOn
from asem.training.patches import HostCutter, make_cutter
from asem.training.regions import Sample, lies_in_memory
from asem.training.sampling import Draw, Sampler
from asem.training.targets import BEYOND, FOREGROUND

Patch = tuple[Tensor, Tensor]


class Batches:
    """The training patches of each iteration, for one of the processes that share a batch.

    What an iteration trains on depends on the seed and its number alone.

    Parameters
    ----------
    sampler
        Draws patches.
    samples
        The training regions that it draws from, in memory or not.
    fabric
        Which process this is, and its device.
    cut_on
        Where patches were cut before a run was interrupted.
    """

    def __init__(
        self,
        sampler: Sampler,
        samples: Sequence[Sample],
        fabric: Fabric,
        *,
        cut_on: CutOn | None = None,
    ) -> None:
        self.sampler, self.config = sampler, sampler.config
        self.cutter = make_cutter(samples, fabric.device, cut_on)
        self.device = fabric.device
        self.numbers = range(self.config.batch)[fabric.global_rank :: fabric.world_size]
        # Where the processor trains, preparing besides would only take its time; but disks wait.
        self.ahead = self.device.type != "cpu" or not all(map(lies_in_memory, samples))
        self.pool = ThreadPoolExecutor(1)
        self.next: tuple[int, Future[list[Draw] | list[Patch]]] | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop preparing."""
        self.pool.shutdown(cancel_futures=True)

    def of(self, iteration: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return an iteration's parts: raw float32 (n, 1, z, y, x), target int64, known bool."""
        if self.next is not None and self.next[0] == iteration:
            prepared = self.next[1].result()
        else:
            prepared = self._prepare(iteration)
        if self.ahead:
            self.next = iteration + 1, self.pool.submit(self._prepare, iteration + 1)
        patches = [self._cut(one) if isinstance(one, Draw) else one for one in prepared]
        size = len(patches) // self.config.accumulate
        return [self._part(patches[n : n + size]) for n in range(0, len(patches), size)]

    def settle(self) -> None:
        """Wait until nothing is being prepared: not every threading layer of numba bears two."""
        if self.next is not None:
            self.next[1].result()

    def _prepare(self, iteration: int) -> list[Draw] | list[Patch]:
        """Draw; and cut, where that is the processor's work."""
        seeds = ([self.config.seed, iteration, number] for number in self.numbers)
        draws = [self.sampler.draw(np.random.default_rng(seed)) for seed in seeds]
        if isinstance(self.cutter, HostCutter):
            return [self._cut(draw) for draw in draws]
        return draws

    def _cut(self, draw: Draw) -> Patch:
        return self.cutter.cut(draw, self.sampler.edge)

    def _part(self, patches: Sequence[Patch]) -> tuple[Tensor, Tensor, Tensor]:
        raw = torch.stack([grey for grey, _ in patches]).unsqueeze(1)
        codes = torch.stack([target for _, target in patches]).to(self.device)
        raw = raw.to(self.device, memory_format=torch.channels_last_3d)
        return raw, (codes == FOREGROUND).long(), codes < BEYOND
