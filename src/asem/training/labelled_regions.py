"""Load labelled regions at the model's voxel size; cache them in memory where they fit."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.common_roi import find_common_roi
from asem.image.morphology import radii_in_voxels
from asem.model.voxel_size_range import network_voxel_size
from asem.system.resources import free_memory_bytes
from asem.training.config import SamplingConfig, TrainConfig
from asem.training.region_config import TrainingRegion
from asem.training.targets import (
    READ_BLOCK,
    TargetArray,
    TargetCodes,
    WidenedCodes,
    find_labelled_box,
)
from asem.volume.block_grid import split_into_blocks
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.label_views import select_ids
from asem.volume.roi import IntZYX, Roi, add, negate, parse_roi
from asem.volume.sources import check_is_image, open_labels, open_volume
from asem.volume.value_checks import warn_of_grey_values
from asem.volume.volume import ArrayLike, Volume
from asem.volume.voxel_size_view import view_at_voxel_size, view_roi_within, warn_about_resampling

LOG = logging.getLogger(__name__)
WHITE = 255
MAX_MEMORY_SHARE = 0.5
"""Fraction of the free memory that cached regions may use."""
MAX_TARGET_MEMORY_SHARE = 0.1
"""Fraction of the free memory that the labels of one region may use while they are loaded."""


@dataclass(frozen=True)
class LabelledRegion:
    """A labelled region at the model's voxel size.

    ::

        +------------------------+      raw: image around the target, or the whole volume;
        |    +---------------+   |      reading beyond it reflects
        |    |    target     |   |      target: bounding box of the labelled voxels within roi,
        |    +---------------+   |      located by world position
        +------------------------+

    Parameters
    ----------
    raw
        On disk after `load_region`, in memory after `cache_regions` or `cache_regions_as_uint8`.
    target
        uint8 codes (`asem.training.targets`), in memory or on disk.
    window
        Grey values of black and white.
    target_offset
        First voxel of target in raw.
    original_offset
        First voxel of target on the original grid, in model voxels.
    labelled_voxels
        Number of voxels that are background or foreground.
    inputs
        Of raw, labels and mask: "name: identity" (`input_identity`).
    foreground_voxels
        Number of voxels that are foreground.
    name
        Raw, labels and roi, for messages.
    """

    raw: Volume
    target: ArrayLike
    window: tuple[float, float]
    target_offset: IntZYX
    original_offset: IntZYX
    labelled_voxels: int
    inputs: tuple[str, ...]
    foreground_voxels: int
    name: str

    def padded_target_roi(self, margin: IntZYX) -> Roi:
        """Return the box of target in raw, grown by `margin` voxels within raw."""
        target = Roi.of_shape(self.target.shape).shift(self.target_offset)
        return target.grow(margin).intersect(self.raw.roi)

    def read_uint8(self, roi: Roi) -> npt.NDArray[np.uint8]:
        """Read a box of raw as uint8, 0 to 255 from black to white."""
        return window_to_uint8(self.raw.read(roi), self.window)


def window_to_uint8(voxels: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Map a contrast window to 0-255, rounded; return uint8 of the full window unchanged."""
    if voxels.dtype == np.uint8 and window == (0.0, float(WHITE)):
        return voxels
    grey: npt.NDArray[np.uint8] = np.rint(scale_to_unit(voxels, window) * WHITE).astype(np.uint8)
    return grey


def load_region(region: TrainingRegion, config: TrainConfig) -> LabelledRegion:
    """Load a region: its labels as codes, its raw as a view at the model's voxel size.

    Parameters
    ----------
    region
        Addresses of raw, labels and mask.
    config
        The model's voxel size, and the range of voxel sizes that are not resampled.

    Raises
    ------
    ValueError
        Labels do not overlap with raw, voxel sizes do not fit, nothing is labelled.
    """
    fine = open_volume(region.raw)
    check_is_image(fine)
    voxel_size = network_voxel_size(fine.voxel_size, config.voxel_size, config.voxel_size_range)
    raw = view_at_voxel_size(fine, voxel_size, allow_resampling=config.resample)
    warn_about_resampling(fine, voxel_size)
    ids = open_labels(region.labels)
    warn_of_grey_values(ids)
    labels = select_ids(ids, region.ids)
    overlap = find_common_roi(fine, labels)
    selected = parse_roi(region.roi, fine.shape) if region.roi else fine.roi
    roi = view_roi_within(overlap.intersect(selected), fine, raw)
    within = f" within {region.roi}" if region.roi else ""
    within += f" (ids {region.ids})" if region.ids else ""
    if roi.size == 0:
        raise ValueError(
            f"{region.raw} and {labels.name} overlap in no whole voxel of the model{within}"
        )
    codes = _view_on_grid(fine, _widen(labels, config.sampling), voxel_size)
    sources, specimen = [fine, labels], None
    if region.mask is not None:
        mask = open_volume(region.mask)
        find_common_roi(fine, mask)
        # Binned as labels: the majority of a bin's voxels counts, not their mean grey value.
        specimen = _view_on_grid(fine, mask.with_array(mask.array, kind="labels"), voxel_size)
        sources.append(mask)
    offset, target, (labelled, foreground) = _crop_to_labelled(
        TargetArray(raw, codes, specimen, roi), config.devices
    )
    if labelled == 0:
        raise ValueError(
            f"{labels.name} has no labelled voxel in {region.raw}: all are unlabelled or masked; "
            "check `labels`, `roi` and `mask`"
        )
    return LabelledRegion(
        raw,
        target,
        contrast_window_of(fine),
        offset,
        add(offset, raw.original_offset),
        labelled,
        tuple(f"{volume.name}: {volume.identity}" for volume in sources),
        foreground,
        f"{region.name}, " * (region.name is not None) + f"{fine.name} with {labels.name}{within}",
    )


def _widen(labels: Volume, config: SamplingConfig) -> Volume:
    """Return the codes of labels, widened at their own voxel size."""
    codes = TargetCodes(labels.array)
    lengths = config.widen_nm, config.widen_nm + config.tolerance_nm
    widen, ignored = (radii_in_voxels(length, labels.voxel_size) for length in lengths)
    return labels.with_array(WidenedCodes(codes, widen, ignored) if any(ignored) else codes)


def _crop_to_labelled(
    target: TargetArray, processes: int
) -> tuple[IntZYX, ArrayLike, tuple[int, int]]:
    """Crop a target to its labelled voxels: offset in raw, codes, (labelled, foreground) voxels.

    The codes are in memory if they fit easily.
    """
    fits = target.roi.size * processes < MAX_TARGET_MEMORY_SHARE * free_memory_bytes()
    in_memory = np.empty(target.shape, np.uint8) if fits else None
    counts, box = find_labelled_box(target, in_memory)
    roi = box.shift(target.roi.offset)
    if in_memory is None:
        return roi.offset, replace(target, roi=roi), counts
    inner = in_memory[box.slices]
    return roi.offset, inner if box.shape == target.shape else inner.copy(), counts


def cache_regions(
    regions: Sequence[LabelledRegion], margin: IntZYX, *, processes: int = 1
) -> list[LabelledRegion]:
    """Load target, and raw up to `margin` voxels around it, into memory, if all regions fit.

    The free memory is shared by `processes`.
    """
    needed = sum(
        region.padded_target_roi(margin).size * region.raw.dtype.itemsize
        + _target_bytes_on_disk(region)
        for region in regions
    )
    if not _fits_in_memory(needed * processes, "validation"):
        return list(regions)
    return [
        _cache_region(region, margin, region.raw.read, window=region.window) for region in regions
    ]


def cache_regions_as_uint8(
    regions: Sequence[LabelledRegion], margin: IntZYX, *, processes: int = 1
) -> list[LabelledRegion]:
    """Cache training regions like `cache_regions`, raw as uint8: 0 to 255 from black to white."""
    needed = sum(
        region.padded_target_roi(margin).size + _target_bytes_on_disk(region) for region in regions
    )
    if not _fits_in_memory(needed * processes, "training"):
        return list(regions)
    return [
        _cache_region(region, margin, region.read_uint8, window=(0.0, float(WHITE)))
        for region in regions
    ]


def is_in_memory(region: LabelledRegion) -> bool:
    """Return whether raw and target of a region are in memory."""
    return isinstance(region.raw.array, np.ndarray) and isinstance(region.target, np.ndarray)


def input_identity(text: str) -> str:
    """Return the identity of an input that is recorded as "name: identity".

    Examples
    --------
    >>> input_identity("cell.zarr: raw: 12ab")
    '12ab'
    """
    return text.rsplit(": ", 1)[-1]


def _target_bytes_on_disk(region: LabelledRegion) -> int:
    """Return the bytes of a target that is not in memory."""
    return 0 if isinstance(region.target, np.ndarray) else Roi.of_shape(region.target.shape).size


def _fits_in_memory(needed: int, purpose: str) -> bool:
    """Return whether regions of `needed` bytes may be cached in memory, and log it."""
    free = free_memory_bytes()
    sizes = f"{needed / 1e9:.2f} GB needed, {free / 1e9:.1f} GB of memory free"
    if needed > MAX_MEMORY_SHARE * free:
        LOG.warning("%s regions stay on disk and are read patch by patch: %s", purpose, sizes)
        return False
    LOG.info("%s regions are cached in memory: %s", purpose, sizes)
    return True


def _cache_region(
    region: LabelledRegion,
    margin: IntZYX,
    read: Callable[[Roi], npt.NDArray[Any]],
    *,
    window: tuple[float, float],
) -> LabelledRegion:
    raw, padded = region.raw, region.padded_target_roi(margin)
    cached = raw.with_array(
        _read_in_blocks(padded, read),
        offset_nm=raw.position_nm(padded.offset),
        stated_grid=raw.original_grid,
        window=window,
    )
    offset = add(region.target_offset, negate(padded.offset))
    target = region.target
    if not isinstance(target, np.ndarray):
        whole = Roi.of_shape(target.shape)
        target = _read_in_blocks(whole, lambda box: np.asarray(region.target[box.slices]))
    return replace(region, raw=cached, target=target, window=window, target_offset=offset)


def _read_in_blocks(roi: Roi, read: Callable[[Roi], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Read a box block by block, to limit the memory for the finer voxels behind a view."""
    out: npt.NDArray[Any] | None = None
    for block in split_into_blocks(roi, READ_BLOCK, origin=roi.offset):
        voxels = read(block)
        if out is None:
            out = np.empty(roi.shape, voxels.dtype)
        out[block.shift(negate(roi.offset)).slices] = voxels
    assert out is not None
    return out


def _view_on_grid(raw: Volume, other: Volume, voxel_size: NmZYX) -> Volume:
    """View labels or a mask at the voxel size of training, with bins on raw's original grid."""
    return view_at_voxel_size(
        other.with_array(other.array, stated_grid=raw.original_grid), voxel_size
    )
