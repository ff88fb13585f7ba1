"""Cut drawn patches out of their regions: on the processor, or on the device that holds them."""

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asem.model.config import CutOn
from asem.training.augment import Warp
from asem.training.on_device import (
    sources_on_device,
    tone_on_device,
    warp_codes_on_device,
    warp_grey_on_device,
)
from asem.training.regions import Sample, lies_in_memory
from asem.training.sampling import Draw
from asem.training.targets import BEYOND
from asem.training.tone import toned
from asem.training.warp import warp_codes, warp_grey
from asem.volume.roi import Roi, Triple

LOG = logging.getLogger(__name__)
MOST_DEVICE_MEMORY = 0.3
"""Share of a device's free memory that training regions may take."""


class Cutter(Protocol):
    """Cuts patches."""

    where: CutOn

    def cut(self, draw: Draw, edge: int) -> tuple[Tensor, Tensor]:
        """Return raw float32 (z, y, x) in [-1, 1] and codes uint8 of its middle `edge` voxels."""


class HostCutter:
    """Cuts on the processor, from memory or disk.

    Parameters
    ----------
    samples
        What the draws' numbers mean.
    """

    where: CutOn = "processor"

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def cut(self, draw: Draw, edge: int) -> tuple[Tensor, Tensor]:
        """Return one patch, as `Cutter` says."""
        sample, inner = self.samples[draw.sample], (edge, edge, edge)
        centre = draw.centre + sample.place
        array = sample.raw.array
        if not isinstance(array, np.ndarray):
            box = source_box(draw.warp, centre, draw.warp.shape)
            array, centre = sample.grey(box), centre - box.offset
        grey, mean = warp_grey(array, centre, draw.warp)
        target, centre = sample.target, draw.centre
        if not isinstance(target, np.ndarray):
            box = source_box(draw.warp, centre, inner).intersect(Roi.whole(target.shape))
            target, centre = np.asarray(target[box.slices]), centre - box.offset
        codes = warp_codes(target, centre, draw.warp, edge=inner, outside=BEYOND)
        return torch.from_numpy(toned(grey, mean, draw.tone)), torch.from_numpy(codes)


class DeviceCutter:
    """Cuts where the network is trained, out of regions that lie there.

    Parameters
    ----------
    samples
        In memory (`kept_grey`).
    device
        Where they go.
    """

    where: CutOn = "device"

    def __init__(self, samples: Sequence[Sample], device: torch.device) -> None:
        self.places = [np.array(sample.place) for sample in samples]
        self.raw = [torch.from_numpy(np.asarray(s.raw.array)).to(device) for s in samples]
        self.target = [torch.from_numpy(np.asarray(s.target)).to(device) for s in samples]

    def cut(self, draw: Draw, edge: int) -> tuple[Tensor, Tensor]:
        """Return one patch, as `Cutter` says."""
        number = draw.sample
        centre = draw.centre + self.places[number]
        raw, target = self.raw[number], self.target[number]
        source = sources_on_device(draw.warp, raw.device)
        grey = warp_grey_on_device(raw, centre, draw.warp, source)
        codes = warp_codes_on_device(target, draw.centre, source, edge=edge, outside=BEYOND)
        return tone_on_device(grey, draw.tone), codes


def source_box(warp: Warp, centre: npt.NDArray[np.float64], shape: Triple) -> Roi:
    """Return the box that the middle of a patch reads, with the neighbours it interpolates.

    Parameters
    ----------
    warp
        Where the patch's voxels come from.
    centre
        Of the patch, in voxels of what is read.
    shape
        Of the middle.
    """
    extent = warp.half_extent(shape)
    first, last = np.floor(centre - extent).astype(int), np.ceil(centre + extent).astype(int)
    return Roi.between(tuple(first - 1), tuple(last + 2))


def make_cutter(
    samples: Sequence[Sample], device: torch.device, before: CutOn | None = None
) -> Cutter:
    """Return what cuts fastest: on a GPU where the regions fit beside the network.

    Parameters
    ----------
    samples
        In memory or on disk.
    device
        Where the network is trained.
    before
        Where the patches of a run that goes on were cut; they still are, if that is possible.
    """
    if device.type != "cuda" or before == "processor":
        return HostCutter(samples)
    if all(lies_in_memory(sample) for sample in samples):
        needed = sum(np.asarray(a).nbytes for s in samples for a in (s.raw.array, s.target))
        free, _ = torch.cuda.mem_get_info(device)
        told = f"the regions take {needed / 1e9:.2f} GB; {free / 1e9:.1f} GB of {device} are free"
        if needed <= MOST_DEVICE_MEMORY * free:
            LOG.info("patches are cut on %s: %s", device, told)
            return DeviceCutter(samples, device)
        LOG.info("patches are cut on the processor: %s", told)
    if before == "device":
        LOG.warning(
            "patches were cut on the GPU before and are now cut on the processor, for want of "
            "memory: their noise will be another"
        )
    return HostCutter(samples)
