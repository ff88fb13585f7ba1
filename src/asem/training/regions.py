"""Labelled regions at the model's voxel size: read once, kept in memory, or read when needed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import Nm3
from asem.model.config import Region, TrainConfig
from asem.model.voxel_range import seen_voxel_size
from asem.system.resources import free_memory
from asem.training.targets import BLOCK, Coded, Target, known_part
from asem.volume.contrast import to_unit, window_of
from asem.volume.formats import open_labels, open_volume, refuse_labels
from asem.volume.grid import tile
from asem.volume.roi import Roi, Triple, add, negative, parse_roi
from asem.volume.volume import Lazy, Volume
from asem.volume.voxel_size import at_voxel_size, voxels_within, warn_of_resampling

LOG = logging.getLogger(__name__)
WHITE = 255
MOST_MEMORY = 0.5
"""Share of the free memory that regions may take."""
MOST_TARGET = 0.1
"""Share of it that the labels of one region may take before it is known what all take."""


@dataclass(frozen=True)
class Sample:
    """A labelled region at the model's voxel size.

    ::

        +------------------------+      raw: real voxels around the target, or the whole volume;
        |    +---------------+   |      what lies beyond is reflected when read
        |    |    target     |   |      target: the smallest box of all that is labelled inside of
        |    +---------------+   |      roi, placed by world position
        +------------------------+

    Parameters
    ----------
    raw
        On disk as `load_sample` gives it, in memory after `kept` or `kept_grey`.
    target
        uint8 codes (`asem.training.targets`), in memory or on disk.
    window
        Grey values of black and white.
    place
        Target's first voxel in raw.
    origin
        Place of target's first voxel on the original grid, in model voxels.
    known
        Number of voxels that are background or foreground.
    inputs
        Identity of raw, labels and mask, each behind its name.
    foreground
        Number of voxels that are foreground.
    name
        How messages call it: raw, labels and roi.
    """

    raw: Volume
    target: Lazy
    window: tuple[float, float]
    place: Triple
    origin: Triple
    known: int
    inputs: tuple[str, ...]
    foreground: int
    name: str

    def around(self, margin: Triple) -> Roi:
        """Return target grown by `margin` voxels, as far as raw goes."""
        home = Roi.whole(self.target.shape).shift(self.place)
        return home.grow(margin).intersect(self.raw.roi)

    def grey(self, roi: Roi) -> npt.NDArray[np.uint8]:
        """Read a box of raw as uint8, black to white as 0 to 255."""
        return as_grey(self.raw.read(roi), self.window)


def as_grey(voxels: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Map a contrast window to 0-255, rounded; uint8 of the full window stays as it is."""
    if voxels.dtype == np.uint8 and window == (0.0, float(WHITE)):
        return voxels
    grey: npt.NDArray[np.uint8] = np.rint(to_unit(voxels, window) * WHITE).astype(np.uint8)
    return grey


def load_sample(region: Region, config: TrainConfig) -> Sample:
    """Read the labels of a region, and say where its raw is to be read.

    Parameters
    ----------
    region
        Where raw, labels and mask lie.
    config
        The model's voxel size, and the range of those that are used as they are.

    Raises
    ------
    ValueError
        Labels miss raw, voxel sizes do not fit, nothing is labelled.
    """
    fine = open_volume(region.raw)
    refuse_labels(fine)
    voxel_size = seen_voxel_size(fine.voxel_size, config.voxel_size, config.voxel_size_range)
    raw = at_voxel_size(fine, voxel_size, resample=config.resample)
    warn_of_resampling(fine, voxel_size)
    labels = open_labels(region.labels)
    covered = fine.common(labels)
    inside = parse_roi(region.roi, fine.shape) if region.roi else fine.roi
    roi = voxels_within(covered.intersect(inside), fine, raw)
    if roi.size == 0:
        raise ValueError(f"{region.raw} and {labels.name} have no voxel in common{_within(region)}")
    codes = _on_bins(fine, labels.like(Coded(labels.array)), voxel_size)
    sources, sample = [fine, labels], None
    if region.mask is not None:
        mask = open_volume(region.mask)
        fine.common(mask)
        # Read as labels: how many voxels of a bin are sample, not how bright they are.
        sample = _on_bins(fine, mask.like(mask.array, kind="labels"), voxel_size)
        sources.append(mask)
    place, target, (known, foreground) = _labelled(Target(raw, codes, sample, roi), config.devices)
    if known == 0:
        raise ValueError(f"{labels.name} names no voxel of {region.raw}: all are unknown or masked")
    return Sample(
        raw,
        target,
        window_of(fine),
        place,
        add(place, raw.original_offset),
        known,
        tuple(f"{volume.name}: {volume.identity}" for volume in sources),
        foreground,
        f"{fine.name} with {labels.name}{f' within {region.roi}' if region.roi else ''}",
    )


def _labelled(target: Target, processes: int) -> tuple[Triple, Lazy, tuple[int, int]]:
    """Cut a target to what is labelled: its place in raw, its codes, known and foreground voxels.

    In memory, where they fit with ease.
    """
    fit = target.roi.size * processes < MOST_TARGET * free_memory()
    held = np.empty(target.shape, np.uint8) if fit else None
    counts, part = known_part(target, held)
    roi = part.shift(target.roi.offset)
    if held is None:
        return roi.offset, replace(target, roi=roi), counts
    inner = held[part.slices]
    return roi.offset, inner if part.shape == target.shape else inner.copy(), counts


def kept(samples: Sequence[Sample], margin: Triple, *, processes: int = 1) -> list[Sample]:
    """Return samples whose raw, as far as `margin` around the target, lies in memory if all fit.

    The memory that is free is shared by `processes`.
    """
    needed = sum(s.around(margin).size * s.raw.dtype.itemsize + _on_disk(s) for s in samples)
    if not _fits(needed * processes, "validation"):
        return list(samples)
    return [_kept(one, margin, one.raw.read, window=one.window) for one in samples]


def kept_grey(samples: Sequence[Sample], margin: Triple, *, processes: int = 1) -> list[Sample]:
    """Return training samples as `kept` does, as uint8: black to white is 0 to 255."""
    needed = sum(sample.around(margin).size + _on_disk(sample) for sample in samples)
    if not _fits(needed * processes, "training"):
        return list(samples)
    return [_kept(one, margin, one.grey, window=(0.0, float(WHITE))) for one in samples]


def lies_in_memory(sample: Sample) -> bool:
    """Whether raw and target of a sample are read from memory."""
    return isinstance(sample.raw.array, np.ndarray) and isinstance(sample.target, np.ndarray)


def _on_disk(sample: Sample) -> int:
    """Return the bytes of a target that is not in memory."""
    return 0 if isinstance(sample.target, np.ndarray) else Roi.whole(sample.target.shape).size


def _fits(needed: int, purpose: str) -> bool:
    """Whether regions of so many bytes may lie in memory; tells what becomes of them."""
    free = free_memory()
    told = f"they take {needed / 1e9:.2f} GB, {free / 1e9:.1f} GB of memory are free"
    if needed > MOST_MEMORY * free:
        LOG.warning("%s regions stay on disk and are read part by part: %s", purpose, told)
        return False
    LOG.info("%s regions lie in memory: %s", purpose, told)
    return True


def _kept(
    sample: Sample,
    margin: Triple,
    read: Callable[[Roi], npt.NDArray[Any]],
    *,
    window: tuple[float, float],
) -> Sample:
    raw, around = sample.raw, sample.around(margin)
    held = raw.like(
        _block_by_block(around, read),
        offset_nm=raw.position_nm(around.offset),
        original=raw.grid,
        window=window,
    )
    place = add(sample.place, negative(around.offset))
    target = sample.target
    if not isinstance(target, np.ndarray):
        whole = Roi.whole(target.shape)
        target = _block_by_block(whole, lambda box: np.asarray(sample.target[box.slices]))
    return replace(sample, raw=held, target=target, window=window, place=place)


def _block_by_block(roi: Roi, read: Callable[[Roi], npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Read a box a part at a time, so that finer voxels take little memory in between."""
    out: npt.NDArray[Any] | None = None
    for block in tile(roi, BLOCK, origin=roi.offset):
        voxels = read(block)
        if out is None:
            out = np.empty(roi.shape, voxels.dtype)
        out[block.shift(negative(roi.offset)).slices] = voxels
    assert out is not None
    return out


def _within(region: Region) -> str:
    return f" within {region.roi}" if region.roi else " that fills one of the model"


def _on_bins(raw: Volume, other: Volume, voxel_size: Nm3) -> Volume:
    """View labels or a mask at the voxel size of training, with bins on raw's original grid."""
    return at_voxel_size(other.like(other.array, original=raw.grid), voxel_size)
