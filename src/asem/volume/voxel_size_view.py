"""Lazy view of a volume at another voxel size.

Voxel i of the view spans [i, i + 1) times its voxel size from the outer face of the first voxel of
the original grid, so that voxel positions are independent of blocks and crops::

    original grid   |  0  |  1  |  2  |  3  |  4  |        4 nm
    view            |     0     |     1     |     2     |  8 nm: whole bins, see `downsample`
    view            |   0   |   1   |   2   |   3   |      5.2 nm: see `Resampling`
"""

import logging
from dataclasses import dataclass
from math import ceil, floor, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.volume.downsample import downsample, whole_factors
from asem.volume.resample import FACE_TOLERANCE, Resampling, voxel_size_ratios
from asem.volume.roi import IntZYX, Roi, negate, per_axis, subtract
from asem.volume.volume import (
    ArrayLike,
    OriginalGrid,
    Volume,
    VolumeKind,
    format_nm,
    same_voxel_size,
)

LOG = logging.getLogger(__name__)
MAX_RATIO = 64
"""Largest ratio of two voxel sizes along an axis; 262,144 voxels per coarser voxel."""
MAX_VOXELS_WITHOUT_WARNING = 16
"""Largest ratio of the volumes of two voxels without a warning."""


def view_at_voxel_size(
    volume: Volume, voxel_size: NmZYX, *, allow_resampling: bool = True
) -> Volume:
    """Return a view of `volume` at another voxel size; computed when read.

    For integer multiples, the mean (labels: the mode) of whole bins, see `downsample`; for any
    other see `Resampling`. Axes may differ: 5.2 x 4 x 4 nm viewed at 5 x 5 x 5 nm.

    The voxels start at the first voxel of the original grid, so that a crop of the volume gives
    the same values wherever it has the voxels they are computed from. Those at either end may
    extend beyond the array: they are computed from its existing voxels.

    Parameters
    ----------
    volume
        An image or labels.
    voxel_size
        Along (z, y, x), nm.
    allow_resampling
        Whether another voxel size than the volume's is allowed.

    Raises
    ------
    ValueError
        The voxel sizes differ although `allow_resampling` is False, or by more than `MAX_RATIO`.
    """
    if same_voxel_size(volume.voxel_size, voxel_size):
        return volume
    if not allow_resampling:
        raise ValueError(
            f"{volume.name} has voxels of {format_nm(volume.voxel_size)} nm, the model of "
            f"{format_nm(voxel_size)} nm, and resampling is switched off; leave out --no-resample "
            "(resample = false), or take a model and data of one voxel size"
        )
    ratio = max(per_axis(lambda a, b: max(a / b, b / a), volume.voxel_size, voxel_size))
    if ratio > MAX_RATIO:
        raise ValueError(
            f"{volume.name} has voxels of {format_nm(volume.voxel_size)} nm, the model of "
            f"{format_nm(voxel_size)} nm: they differ by a factor of {ratio:.3g} along an axis, at "
            f"most {MAX_RATIO} is resampled; check that both are nm"
        )
    factors = whole_factors(volume.voxel_size, voxel_size)
    return coarsen(volume, factors) if factors else _view_resampled(volume, voxel_size)


def warn_about_resampling(volume: Volume, voxel_size: NmZYX) -> None:
    """Log a warning where `view_at_voxel_size` interpolates, or merges more than 16 voxels."""
    if same_voxel_size(volume.voxel_size, voxel_size):
        return
    if whole_factors(volume.voxel_size, voxel_size) is None:
        LOG.warning(
            "%s: voxels of %s nm are interpolated to the model's %s nm; a model of the data's "
            "voxel size or a whole multiple of it reads them unblurred (--no-resample raises an "
            "error instead)",
            volume.name,
            format_nm(volume.voxel_size),
            format_nm(voxel_size),
        )
    ratio = prod(voxel_size_ratios(volume.voxel_size, voxel_size))
    if max(ratio, 1 / ratio) > MAX_VOXELS_WITHOUT_WARNING:
        LOG.warning(
            "%s: voxels of %s nm are resampled to the model's %s nm: %s; check that both are nm, "
            "and that the model was trained for such images",
            volume.name,
            format_nm(volume.voxel_size),
            format_nm(voxel_size),
            f"{ratio:.3g} to one" if ratio > 1 else f"one to {1 / ratio:.3g}",
        )


def view_roi_within(part: Roi, volume: Volume, view: Volume) -> Roi:
    """Return the voxels of a view that are computed from voxels of `volume` in `part` only.

    ::

        volume    | a b c | d e f | g h .      a view of three times the voxel size
        part            c   d e f   g h
        view                  1       2

    Parameters
    ----------
    part
        In the voxels of `volume`.
    volume, view
        The view is from `view_at_voxel_size`.

    Returns
    -------
    Roi
        In the voxels of `view`; empty where there is none.
    """
    start, stop = [], []
    ratios = voxel_size_ratios(volume.voxel_size, view.voxel_size)
    for axis, ratio in enumerate(ratios):
        volume_start, view_start = volume.original_offset[axis], view.original_offset[axis]
        low, high = part.offset[axis], part.end[axis]
        first = ceil((volume_start + low - FACE_TOLERANCE) / ratio) - view_start
        start.append(0 if low == 0 else first)
        last = floor((volume_start + high + FACE_TOLERANCE) / ratio) - view_start
        stop.append(view.shape[axis] if high == volume.shape[axis] else last)
    return Roi.from_bounds(start, stop)


def coarsen(volume: Volume, factors: IntZYX) -> Volume:
    """Return a view of `volume` whose voxels are bins of `factors` voxels; computed when read.

    The bins start at the first voxel of the original grid, so that a crop of the volume gives the
    same values wherever it contains whole bins.
    """
    start = per_axis(lambda offset, f: offset % f, volume.original_offset, factors)

    def centre(origin: NmZYX, before: IntZYX) -> NmZYX:
        """Return the centre of the bin that starts `before` voxels ahead of `origin`, nm."""
        return per_axis(
            lambda nm, b, f, size: nm + ((f - 1) / 2 - b) * size,
            origin,
            before,
            factors,
            volume.voxel_size,
        )

    grid = volume.original_grid
    grid_shape = per_axis(lambda voxels, f: -(-voxels // f), grid.shape, factors)
    return volume.with_array(
        _BinnedArray(volume.array, volume.dtype, factors, start, volume.kind),
        voxel_size=per_axis(lambda size, f: size * f, volume.voxel_size, factors),
        offset_nm=centre(volume.offset_nm, start),
        stated_grid=OriginalGrid(grid_shape, centre(grid.origin_nm, (0, 0, 0))),
    )


@dataclass(frozen=True)
class _BinnedArray:
    """Lazy array of the bins of another array."""

    source: ArrayLike
    dtype: np.dtype[Any]
    factors: IntZYX
    start: IntZYX
    kind: VolumeKind

    @property
    def shape(self) -> tuple[int, ...]:
        return per_axis(
            lambda start, size, f: -(-(start + size) // f),
            self.start,
            self.source.shape,
            self.factors,
        )

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        def in_source(bounds: list[int]) -> IntZYX:
            return per_axis(lambda b, f, start: b * f - start, bounds, self.factors, self.start)

        bins = Roi.from_bounds(
            in_source([s.start for s in index]), in_source([s.stop for s in index])
        )
        roi = bins.intersect(Roi.of_shape(self.source.shape))
        voxels = np.asarray(self.source[roi.slices])
        start = subtract(roi.offset, bins.offset)
        return downsample(voxels, self.factors, self.kind, start=start)


def _view_resampled(volume: Volume, voxel_size: NmZYX) -> Volume:
    ratios, grid = voxel_size_ratios(volume.voxel_size, voxel_size), volume.original_grid
    resampling = Resampling(ratios, volume.roi.shift(volume.original_offset), volume.kind)
    grid_roi = Resampling(ratios, Roi.of_shape(grid.shape), volume.kind).target_roi

    def centre(voxel: IntZYX) -> NmZYX:
        """Return the world position of the centre of a voxel of the view, nm."""
        return per_axis(
            lambda origin, i, ratio, size: origin + ((i + 0.5) * ratio - 0.5) * size,
            grid.origin_nm,
            voxel,
            ratios,
            volume.voxel_size,
        )

    return volume.with_array(
        _ResampledArray(volume.array, volume.dtype, resampling),
        voxel_size=per_axis(lambda size, ratio: size * ratio, volume.voxel_size, ratios),
        offset_nm=centre(resampling.target_roi.offset),
        stated_grid=OriginalGrid(grid_roi.shape, centre((0, 0, 0))),
    )


@dataclass(frozen=True)
class _ResampledArray:
    """Lazy array that is resampled when it is read."""

    source: ArrayLike
    dtype: np.dtype[Any]
    resampling: Resampling

    @property
    def shape(self) -> tuple[int, ...]:
        return self.resampling.target_roi.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        roi = Roi.from_bounds([s.start for s in index], [s.stop for s in index])
        target = roi.shift(self.resampling.target_roi.offset)
        needed = self.resampling.source_roi_of(target).shift(
            negate(self.resampling.source_roi.offset)
        )
        return self.resampling.apply(np.asarray(self.source[needed.slices]), target)
