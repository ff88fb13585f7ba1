"""Load the batch of each iteration; a thread prepares the next one."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from asem.model.checkpoint_info import PatchDevice
from asem.training.labelled_regions import LabelledRegion, is_in_memory
from asem.training.patch_extraction import HostPatchExtractor, make_patch_extractor
from asem.training.patch_sampling import PatchSampler, PatchSpec
from asem.training.targets import FOREGROUND, OUTSIDE

Patch = tuple[Tensor, Tensor]


class BatchLoader:
    """The training patches of each iteration, for one of the processes that share a batch.

    The patches of an iteration depend on the seed and its number only.

    Parameters
    ----------
    sampler
        Draws patches.
    regions
        Its training regions, in memory or on disk.
    fabric
        Rank of this process, and its device.
    cut_on
        Device on which an interrupted run extracted its patches.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        regions: Sequence[LabelledRegion],
        fabric: Fabric,
        *,
        cut_on: PatchDevice | None = None,
    ) -> None:
        self.sampler, self.config = sampler, sampler.config
        self.extractor = make_patch_extractor(regions, fabric.device, cut_on)
        self.device = fabric.device
        self.patch_indices = range(self.config.batch)[fabric.global_rank :: fabric.world_size]
        # Prefetching overlaps with a GPU or a disk; on a CPU with cached regions it saves nothing.
        self.prefetches = self.device.type != "cpu" or not all(map(is_in_memory, regions))
        self.pool = ThreadPoolExecutor(1)
        self.prefetched: tuple[int, Future[list[PatchSpec] | list[Patch]]] | None = None

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the prefetch thread."""
        self.pool.shutdown(cancel_futures=True)

    def load(self, iteration: int) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return micro-batches: raw float32 (n, 1, z, y, x), target int64, labelled bool."""
        if self.prefetched is not None and self.prefetched[0] == iteration:
            prepared = self.prefetched[1].result()
        else:
            prepared = self._draw_patches(iteration)
        if self.prefetches:
            self.prefetched = iteration + 1, self.pool.submit(self._draw_patches, iteration + 1)
        patches = [self._extract(one) if isinstance(one, PatchSpec) else one for one in prepared]
        size = len(patches) // self.config.accumulate
        return [self._make_micro_batch(patches[n : n + size]) for n in range(0, len(patches), size)]

    def wait_for_prefetch(self) -> None:
        """Wait for the prefetch thread: some threading layers of numba do not allow two threads."""
        if self.prefetched is not None:
            self.prefetched[1].result()

    def _draw_patches(self, iteration: int) -> list[PatchSpec] | list[Patch]:
        """Draw patches, and extract them if that happens on the CPU."""
        seeds = ([self.config.seed, iteration, number] for number in self.patch_indices)
        specs = [self.sampler.draw(np.random.default_rng(seed)) for seed in seeds]
        if isinstance(self.extractor, HostPatchExtractor):
            return [self._extract(spec) for spec in specs]
        return specs

    def _extract(self, spec: PatchSpec) -> Patch:
        return self.extractor.extract(spec, self.sampler.output_edge)

    def _make_micro_batch(self, patches: Sequence[Patch]) -> tuple[Tensor, Tensor, Tensor]:
        raw = torch.stack([grey for grey, _ in patches]).unsqueeze(1)
        codes = torch.stack([target for _, target in patches]).to(self.device)
        raw = raw.to(self.device, memory_format=torch.channels_last_3d)
        return raw, (codes == FOREGROUND).long(), codes < OUTSIDE
