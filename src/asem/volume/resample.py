"""Resample voxels between two grids (mean, linear, largest overlap); independent of blocks.

Both grids start at the same outer face::

    source   |  0  |  1  |  2  |  3  |  4  |     4 nm
    coarser  |   0   |   1   |   2   |   3   |   5.2 nm: mean over the extent of a voxel
    finer    | 0 | 1 | 2 | 3 | 4 | 5 | 6 |       2.9 nm: between the two nearest centres

`downsample` is faster for integer factors.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import NmZYX
from asem.volume.reflection import reflect_indices
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume, VolumeKind

Ratios = tuple[float, float, float]
"""Voxels of the source per voxel of the target, along (z, y, x)."""
Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Source voxels and their weights, both (target voxels, taps); taps of weight 0 are ignored."""
FACE_TOLERANCE = 1e-6
"""Faces coincide within this fraction of a source voxel."""
MIN_WEIGHT = 1e-7
"""Smallest weight of a source voxel; smaller ones are rounding errors of no overlap."""
TIE_TOLERANCE = 1e-6
"""Overlaps with a voxel are equal within this fraction of it."""


def voxel_size_ratios(source: NmZYX, target: NmZYX) -> Ratios:
    """Return the number of `source` voxels per `target` voxel, rounded where within 1e-6.

    Examples
    --------
    >>> voxel_size_ratios((5.2, 4, 10), (5.2, 8.000001, 5))
    (1.0, 2.0, 0.5)
    """

    def ratio(own: float, other: float) -> float:
        numerator, denominator = max(1, round(other / own)), max(1, round(own / other))
        nearest = numerator / denominator  # one of them is 1
        exact = other / own
        return nearest if abs(exact - nearest) <= FACE_TOLERANCE * nearest else exact

    return per_axis(ratio, source, target)


@dataclass(frozen=True)
class Resampling:
    """Resampling from a source to a target grid; voxel 0 of both starts at the same outer face.

    Indices count from that face on both grids. A target voxel depends only on its index and on
    `source_roi`, so that block-wise results equal the whole.

    Images, axis by axis: where the target is coarser, the mean over the extent of a voxel, rounded
    half up for integers; where it is finer, linear interpolation between the two nearest centres.
    Labels: the id with the largest overlap with the voxel; ties: the smallest nonzero id.

    Parameters
    ----------
    ratios
        Source voxels per target voxel.
    source_roi
        The existing source voxels. Means are over these; interpolation beyond them uses numpy's
        ``reflect``, as `Volume.read` does.
    kind
        ``"image"`` or ``"labels"``.

    Examples
    --------
    >>> halves = Resampling((1, 1, 0.5), Roi((0, 0, 0), (1, 1, 3)), "image")
    >>> halves.source_roi_of(Roi((0, 0, 2), (1, 1, 2)))
    Roi(offset=(0, 0, 0), shape=(1, 1, 3))
    >>> halves.apply(np.array([[[0, 100, 200]]], np.uint8), Roi((0, 0, 2), (1, 1, 2))).tolist()
    [[[75, 125]]]
    """

    ratios: Ratios
    source_roi: Roi
    kind: VolumeKind

    @classmethod
    def for_volumes(cls, source: Volume, target: Volume) -> "Resampling":
        """Return the resampling from `source` to `target`, which is a view of it or the source."""
        extent = source.roi.shift(source.original_offset)
        return cls(voxel_size_ratios(source.voxel_size, target.voxel_size), extent, source.kind)

    @property
    def target_roi(self) -> Roi:
        """The target voxels that overlap the source."""
        start, end, ratios = self.source_roi.offset, self.source_roi.end, self.ratios
        return Roi.from_bounds(
            per_axis(lambda low, ratio: floor((low + FACE_TOLERANCE) / ratio), start, ratios),
            per_axis(lambda high, ratio: ceil((high - FACE_TOLERANCE) / ratio), end, ratios),
        )

    def source_roi_of(self, target: Roi) -> Roi:
        """Return the source voxels that the voxels of `target` are computed from."""
        indices = [index for index, _ in self._taps(target)]
        return Roi.from_bounds([int(i.min()) for i in indices], [int(i.max()) + 1 for i in indices])

    def apply(self, voxels: npt.NDArray[Any], target: Roi) -> npt.NDArray[Any]:
        """Compute the voxels of `target`.

        Parameters
        ----------
        voxels
            The source voxels of ``source_roi_of(target)``.
        target
            Within `target_roi`.

        Returns
        -------
        ndarray
            Shape ``target.shape``, the dtype of `voxels`.
        """
        needed = self.source_roi_of(target)
        assert voxels.shape == needed.shape  # the kernels do not check bounds
        if self.ratios == (1, 1, 1):
            return voxels
        out = np.empty(target.shape, voxels.dtype)
        taps = self._taps(target)
        z, y, x = per_axis(lambda tap, start: (tap[0] - start, tap[1]), taps, needed.offset)
        source = np.ascontiguousarray(voxels)
        if self.kind == "labels":
            _largest_overlaps(source, z, y, x, out)
        else:
            _weighted_means(source, z, y, x, np.issubdtype(out.dtype, np.integer), out)
        return out

    def _taps(self, target: Roi) -> list[Taps]:
        spans = zip(
            target.offset, target.end, self.source_roi.offset, self.source_roi.end, strict=True
        )
        linear = [self.kind == "image" and ratio < 1 for ratio in self.ratios]
        return [
            (_linear_taps if interpolate else _overlap_taps)(ratio, (start, stop), (low, high))
            for ratio, interpolate, (start, stop, low, high) in zip(
                self.ratios, linear, spans, strict=True
            )
        ]


def _overlap_taps(ratio: float, target: tuple[int, int], source: tuple[int, int]) -> Taps:
    """Return the source voxels with their overlap with each target voxel as weights."""
    position = np.arange(*target)[:, None]
    low, high = position * ratio, (position + 1) * ratio
    index = np.floor(low).astype(np.int64) + np.arange(ceil(ratio) + 1)
    ends = np.minimum(np.minimum(index + 1, high), source[1])
    return _drop_zero_weights(index, ends - np.maximum(np.maximum(index, low), source[0]))


def _linear_taps(ratio: float, target: tuple[int, int], source: tuple[int, int]) -> Taps:
    """Return the two source voxels around each target voxel's centre with their linear weights."""
    centre = (np.arange(*target)[:, None] + 0.5) * ratio - 0.5
    index = np.floor(centre).astype(np.int64) + np.arange(2)
    weight = 1 - np.abs(centre - index)
    first, (low, high) = int(index.min()), source
    inside = reflect_indices(first - low, int(index.max()) + 1 - low, high - low) + low
    return _drop_zero_weights(inside[index - first], weight)


def _drop_zero_weights(index: npt.NDArray[np.int64], weight: npt.NDArray[np.float64]) -> Taps:
    """Set weights below `MIN_WEIGHT` to 0, and their index to that of the largest weight."""
    weight = np.where(weight < MIN_WEIGHT, 0.0, weight)
    main = np.take_along_axis(index, weight.argmax(1)[:, None], 1)
    used = weight.any(0)
    return np.where(weight > 0, index, main)[:, used].copy(), weight[:, used].copy()


@njit(cache=True, parallel=True)
def _weighted_means(voxels, z_taps, y_taps, x_taps, integer, out):  # type: ignore[no-untyped-def]
    """Compute weighted means: over planes, then rows, then within a row; memory-bound."""
    (zi, zw), (yi, yw), (xi, xw) = z_taps, y_taps, x_taps
    for n in prange(out.shape[0]):
        i = np.int64(n)
        plane = np.empty((voxels.shape[1], voxels.shape[2]))
        row = np.empty(voxels.shape[2])
        for y in range(voxels.shape[1]):
            _sum_rows(voxels[:, y], zi[i], zw[i], plane[y])
        for j in range(out.shape[1]):
            _sum_rows(plane, yi[j], yw[j], row)
            area = zw[i].sum() * yw[j].sum()
            for k in range(out.shape[2]):
                total = 0.0
                length = 0.0
                for t in range(xi.shape[1]):
                    total += xw[k, t] * row[xi[k, t]]
                    length += xw[k, t]
                mean = total / (area * length)
                out[i, j, k] = np.floor(mean + 0.5) if integer else mean


@njit(cache=True)
def _sum_rows(rows, index, weight, out):  # type: ignore[no-untyped-def]
    out[:] = 0
    for t in range(len(index)):
        if weight[t] > 0:
            row = rows[index[t]]
            row_weight = weight[t]
            for k in range(len(out)):
                out[k] += row_weight * row[k]


@njit(cache=True, parallel=True)
def _largest_overlaps(voxels, z_taps, y_taps, x_taps, out):  # type: ignore[no-untyped-def]
    """Set each voxel to the id with the largest overlap."""
    (zi, zw), (yi, yw), (xi, xw) = z_taps, y_taps, x_taps
    for n in prange(out.shape[0]):
        i = np.int64(n)
        max_ids = zi.shape[1] * yi.shape[1] * xi.shape[1]
        ids, overlaps = np.empty(max_ids, voxels.dtype), np.empty(max_ids)
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = voxels[zi[i, 0], yi[j, 0], xi[k, 0]]
                if _differ(voxels, zi[i], yi[j], xi[k], out[i, j, k]):
                    count = 0
                    for a in range(zi.shape[1]):
                        for b in range(yi.shape[1]):
                            row = voxels[zi[i, a], yi[j, b]]
                            area = zw[i, a] * yw[j, b]
                            count = _add_row(ids, overlaps, count, row, xi[k], xw[k], area)
                    out[i, j, k] = _largest_part(ids[:count], overlaps[:count])


@njit(cache=True)
def _differ(voxels, z, y, x, first):  # type: ignore[no-untyped-def]
    """Return whether any id differs from the first."""
    for a in z:
        for b in y:
            for c in x:
                if voxels[a, b, c] != first:
                    return True
    return False


@njit(cache=True)
def _add_row(ids, overlaps, count, row, index, weight, area):  # type: ignore[no-untyped-def]
    """Add the overlaps of a row to those of its ids, and return the number of ids."""
    for t in range(len(index)):
        overlap = area * weight[t]
        if overlap > 0:
            label = row[index[t]]
            m = 0
            while m < count and ids[m] != label:
                m += 1
            if m == count:
                ids[m], overlaps[m] = label, 0.0
                count += 1
            overlaps[m] += overlap
    return count


@njit(cache=True)
def _largest_part(ids, overlaps):  # type: ignore[no-untyped-def]
    """Return the id of the largest overlap; ties: the smallest nonzero id."""
    min_overlap = overlaps.max() - TIE_TOLERANCE * overlaps.sum()
    best, has_best = ids[0], False
    for m in range(len(ids)):
        if overlaps[m] >= min_overlap and (not has_best or best == 0 or 0 < ids[m] < best):
            best, has_best = ids[m], True
    return best
