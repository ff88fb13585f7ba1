"""A volume at another voxel size, as a view that is computed when read.

Voxel i of the view spans [i, i + 1) times its voxel size from the outer face of the first voxel of
the original grid, so that neither a block nor a crop moves a voxel::

    original grid   |  0  |  1  |  2  |  3  |  4  |        4 nm
    view            |     0     |     1     |     2     |  8 nm: whole bins, see `downsample`
    view            |   0   |   1   |   2   |   3   |      5.2 nm: see `resample`
"""

import logging
from dataclasses import dataclass
from math import ceil, floor, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import Nm3
from asem.volume.downsample import downsample, whole_factors
from asem.volume.resample import TOLERANCE, Resampling, ratios
from asem.volume.roi import Roi, Triple, negative
from asem.volume.volume import Kind, Lazy, OriginalGrid, Volume, nm, same_voxel_size

LOG = logging.getLogger(__name__)
MOST_RATIO = 64
"""Of two voxel sizes along an axis: a coarser voxel would be made of more than 262,144 others."""
MOST_MEETING = 16
"""Voxels of an image in one of the model, or the other way round, without a warning."""


def at_voxel_size(volume: Volume, voxel_size: Nm3, *, resample: bool = True) -> Volume:
    """View `volume` at another voxel size; computed when read.

    Whole multiples take the mean (labels: the mode) of whole bins, see `downsample`; for any other
    see `Resampling`. Axes may differ: 5.2 x 4 x 4 nm seen at 5 x 5 x 5 nm.

    The voxels begin at the first voxel of the original grid, so that a crop of the volume gives
    the same values wherever it has the voxels they are made from. Those at either end may reach
    beyond the array: they are made from what there is of it.

    Parameters
    ----------
    volume
        An image or labels.
    voxel_size
        Along (z, y, x), nm.
    resample
        Whether another voxel size than the volume's is allowed at all.

    Raises
    ------
    ValueError
        The voxel sizes differ although `resample` is False, or by more than `MOST_RATIO`.
    """
    if same_voxel_size(volume.voxel_size, voxel_size):
        return volume
    if not resample:
        raise ValueError(
            f"{volume.name} has voxels of {nm(volume.voxel_size)} nm, the model of "
            f"{nm(voxel_size)} nm, and resampling is switched off; leave out --no-resample "
            "(resample = false), or take a model and data of one voxel size"
        )
    farthest = max(max(a / b, b / a) for a, b in zip(volume.voxel_size, voxel_size, strict=True))
    if farthest > MOST_RATIO:
        raise ValueError(
            f"{volume.name} has voxels of {nm(volume.voxel_size)} nm, the model of "
            f"{nm(voxel_size)} nm: they differ by a factor of {farthest:.3g} along an axis, at "
            f"most {MOST_RATIO} is resampled; check that both are nm"
        )
    factors = whole_factors(volume.voxel_size, voxel_size)
    return coarsened(volume, factors) if factors else _resampled(volume, voxel_size)


def warn_of_resampling(volume: Volume, voxel_size: Nm3) -> None:
    """Log a warning where `at_voxel_size` interpolates, or makes more than 16 voxels one."""
    if same_voxel_size(volume.voxel_size, voxel_size):
        return
    if whole_factors(volume.voxel_size, voxel_size) is None:
        LOG.warning(
            "%s: voxels of %s nm are interpolated to the model's %s nm; a model of the data's "
            "voxel size or a whole multiple of it sees them unblurred (--no-resample refuses)",
            volume.name,
            nm(volume.voxel_size),
            nm(voxel_size),
        )
    meeting = prod(ratios(volume.voxel_size, voxel_size))
    if max(meeting, 1 / meeting) > MOST_MEETING:
        LOG.warning(
            "%s: voxels of %s nm meet the model's of %s nm: %s; check that both are nm, and that "
            "the model is one for such images",
            volume.name,
            nm(volume.voxel_size),
            nm(voxel_size),
            f"{meeting:.3g} to one" if meeting > 1 else f"one to {1 / meeting:.3g}",
        )


def voxels_within(part: Roi, volume: Volume, view: Volume) -> Roi:
    """Return the voxels of a view of `volume` of which all that the volume has lies in `part`.

    ::

        volume    | a b c | d e f | g h .      a view of three times the voxel size
        part            c   d e f   g h
        view                  1       2

    Parameters
    ----------
    part
        In the voxels of `volume`.
    volume, view
        The view is from `at_voxel_size`.

    Returns
    -------
    Roi
        In the voxels of `view`; empty where there is none.
    """
    start, stop = [], []
    sizes = ratios(volume.voxel_size, view.voxel_size)
    for axis, ratio in enumerate(sizes):
        before, first = volume.original_offset[axis], view.original_offset[axis]
        low, high = part.offset[axis], part.end[axis]
        inner = ceil((before + low - TOLERANCE) / ratio) - first
        start.append(0 if low == 0 else inner)
        outer = floor((before + high + TOLERANCE) / ratio) - first
        stop.append(view.shape[axis] if high == volume.shape[axis] else outer)
    return Roi.between(start, stop)


def coarsened(volume: Volume, factors: Triple) -> Volume:
    """View `volume` with bins of `factors` voxels as its voxels; computed when read.

    The bins begin at the first voxel of the original grid, so that a crop of the volume gives the
    same values wherever whole bins lie inside of it.
    """
    start = tuple(o % f for o, f in zip(volume.original_offset, factors, strict=True))
    first = (start[0], start[1], start[2])

    def centre(origin: Nm3, before: Triple) -> Nm3:
        """World position of the centre of the bin that begins `before` voxels ahead of origin."""
        z, y, x = (
            o + ((f - 1) / 2 - b) * size
            for o, b, f, size in zip(origin, before, factors, volume.voxel_size, strict=True)
        )
        return z, y, x

    z, y, x = (-(-size // f) for size, f in zip(volume.grid.shape, factors, strict=True))
    sizes = zip(volume.voxel_size, factors, strict=True)
    coarse_size = tuple(size * f for size, f in sizes)
    return volume.like(
        _Coarse(volume.array, volume.dtype, factors, first, volume.kind),
        voxel_size=(coarse_size[0], coarse_size[1], coarse_size[2]),
        offset_nm=centre(volume.offset_nm, first),
        original=OriginalGrid((z, y, x), centre(volume.grid.origin_nm, (0, 0, 0))),
    )


@dataclass(frozen=True)
class _Coarse:
    """An array of bins of another, reduced when read."""

    fine: Lazy
    dtype: np.dtype[Any]
    factors: Triple
    start: Triple
    kind: Kind

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = zip(self.start, self.fine.shape, self.factors, strict=True)
        return tuple(-(-(s + size) // f) for s, size, f in sizes)

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        def bounds(coarse: list[int]) -> list[int]:
            parts = zip(coarse, self.factors, self.start, strict=True)
            return [c * f - s for c, f, s in parts]

        whole = Roi.whole(self.fine.shape)
        wanted = Roi.between(bounds([s.start for s in index]), bounds([s.stop for s in index]))
        roi = wanted.intersect(whole)
        z, y, x = (o - w for o, w in zip(roi.offset, wanted.offset, strict=True))
        voxels = np.asarray(self.fine[roi.slices])
        return downsample(voxels, self.factors, self.kind, start=(z, y, x))


def _resampled(volume: Volume, voxel_size: Nm3) -> Volume:
    sizes = ratios(volume.voxel_size, voxel_size)
    resampling = Resampling(sizes, volume.roi.shift(volume.original_offset), volume.kind)
    original = Resampling(sizes, Roi.whole(volume.grid.shape), volume.kind).target

    def centre(voxel: tuple[int, int, int]) -> Nm3:
        """World position, by way of the face that both grids begin with."""
        each = zip(volume.grid.origin_nm, voxel, sizes, volume.voxel_size, strict=True)
        z, y, x = (origin + ((i + 0.5) * r - 0.5) * size for origin, i, r, size in each)
        return z, y, x

    z, y, x = (size * r for size, r in zip(volume.voxel_size, sizes, strict=True))
    return volume.like(
        _Resampled(volume.array, volume.dtype, resampling),
        voxel_size=(z, y, x),
        offset_nm=centre(resampling.target.offset),
        original=OriginalGrid(original.shape, centre((0, 0, 0))),
    )


@dataclass(frozen=True)
class _Resampled:
    """An array that is resampled when it is read."""

    source: Lazy
    dtype: np.dtype[Any]
    resampling: Resampling

    @property
    def shape(self) -> tuple[int, ...]:
        return self.resampling.target.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[Any]:
        roi = Roi.between([s.start for s in index], [s.stop for s in index])
        target = roi.shift(self.resampling.target.offset)
        needed = self.resampling.needed(target).shift(negative(self.resampling.whole.offset))
        return self.resampling.apply(np.asarray(self.source[needed.slices]), target)
