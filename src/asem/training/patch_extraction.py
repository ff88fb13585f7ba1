"""Extract drawn patches from their regions: on the CPU, or on the training device."""

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asem.model.checkpoint_info import PatchDevice
from asem.training.augmentation import SpatialTransform
from asem.training.intensity_cpu import apply_intensity
from asem.training.labelled_regions import LabelledRegion, is_in_memory
from asem.training.patch_sampling import PatchSpec
from asem.training.spatial_cpu import warp_codes, warp_grey
from asem.training.targets import OUTSIDE
from asem.training.transforms_torch import (
    apply_intensity_on_device,
    source_coordinates_on_device,
    warp_codes_on_device,
    warp_grey_on_device,
)
from asem.volume.roi import IntZYX, Roi

LOG = logging.getLogger(__name__)
MAX_DEVICE_MEMORY_SHARE = 0.3
"""Fraction of a device's free memory that training regions may use."""


class PatchExtractor(Protocol):
    """Extracts patches."""

    cut_on: PatchDevice

    def extract(self, patch: PatchSpec, edge: int) -> tuple[Tensor, Tensor]:
        """Return raw float32 (z, y, x) in [-1, 1] and codes uint8 of its middle `edge` voxels."""


class HostPatchExtractor:
    """Extracts patches on the CPU, from memory or disk.

    Parameters
    ----------
    regions
        `PatchSpec.region_index` is an index of them.
    """

    cut_on: PatchDevice = "processor"

    def __init__(self, regions: Sequence[LabelledRegion]) -> None:
        self.regions = regions

    def extract(self, patch: PatchSpec, edge: int) -> tuple[Tensor, Tensor]:
        """Return one patch, see `PatchExtractor`."""
        region, inner = self.regions[patch.region_index], (edge, edge, edge)
        centre = patch.centre + region.target_offset
        array = region.raw.array
        if not isinstance(array, np.ndarray):
            box = source_roi(patch.spatial, centre, patch.spatial.shape)
            array, centre = region.read_uint8(box), centre - box.offset
        grey, mean = warp_grey(array, centre, patch.spatial)
        target, centre = region.target, patch.centre
        if not isinstance(target, np.ndarray):
            box = source_roi(patch.spatial, centre, inner).intersect(Roi.of_shape(target.shape))
            target, centre = np.asarray(target[box.slices]), centre - box.offset
        codes = warp_codes(target, centre, patch.spatial, output_shape=inner, outside=OUTSIDE)
        grey = apply_intensity(grey, mean, patch.intensity)
        return torch.from_numpy(grey), torch.from_numpy(codes)


class DevicePatchExtractor:
    """Extracts patches on the training device, from copies of the regions in its memory.

    Parameters
    ----------
    regions
        In memory (`cache_regions_as_uint8`).
    device
        Device that they are copied to.
    """

    cut_on: PatchDevice = "device"

    def __init__(self, regions: Sequence[LabelledRegion], device: torch.device) -> None:
        self.target_offsets = [np.array(region.target_offset) for region in regions]
        self.raw = [torch.from_numpy(np.asarray(r.raw.array)).to(device) for r in regions]
        self.target = [torch.from_numpy(np.asarray(r.target)).to(device) for r in regions]

    def extract(self, patch: PatchSpec, edge: int) -> tuple[Tensor, Tensor]:
        """Return one patch, see `PatchExtractor`."""
        index = patch.region_index
        centre = patch.centre + self.target_offsets[index]
        raw, target = self.raw[index], self.target[index]
        source = source_coordinates_on_device(patch.spatial, raw.device)
        grey = warp_grey_on_device(raw, centre, patch.spatial, source)
        codes = warp_codes_on_device(target, patch.centre, source, edge=edge, outside=OUTSIDE)
        return apply_intensity_on_device(grey, patch.intensity), codes


def source_roi(transform: SpatialTransform, centre: npt.NDArray[np.float64], shape: IntZYX) -> Roi:
    """Return the box of source voxels that the central part of a patch interpolates.

    Parameters
    ----------
    transform
        Spatial transform of the patch.
    centre
        Of the patch, in source voxels.
    shape
        Voxels of the central part.
    """
    extent = transform.source_half_extent(shape)
    first, last = np.floor(centre - extent).astype(int), np.ceil(centre + extent).astype(int)
    return Roi.from_bounds(tuple(first - 1), tuple(last + 2))


def make_patch_extractor(
    regions: Sequence[LabelledRegion], device: torch.device, previous: PatchDevice | None = None
) -> PatchExtractor:
    """Return the fastest extractor: on a GPU if the regions fit into its memory with the network.

    Parameters
    ----------
    regions
        In memory or on disk.
    device
        Device of the training.
    previous
        `cut_on` of a resumed run; used again if possible.
    """
    if device.type != "cuda" or previous == "processor":
        return HostPatchExtractor(regions)
    if all(is_in_memory(region) for region in regions):
        needed = sum(np.asarray(a).nbytes for r in regions for a in (r.raw.array, r.target))
        free, _ = torch.cuda.mem_get_info(device)
        sizes = f"the regions need {needed / 1e9:.2f} GB; {free / 1e9:.1f} GB of {device} are free"
        if needed <= MAX_DEVICE_MEMORY_SHARE * free:
            LOG.info("patches are extracted on %s: %s", device, sizes)
            return DevicePatchExtractor(regions, device)
        LOG.info("patches are extracted on the CPU: %s", sizes)
    if previous == "device":
        LOG.warning(
            "the regions no longer fit into memory: patches were extracted on the GPU before the "
            "interruption and are now on the CPU, with different noise"
        )
    return HostPatchExtractor(regions)
