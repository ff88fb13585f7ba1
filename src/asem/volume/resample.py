"""Resampling to any voxel size, block by block: each voxel depends on its index alone.

Both grids begin with the same outer face::

    source   |  0  |  1  |  2  |  3  |  4  |     4 nm
    coarser  |   0   |   1   |   2   |   3   |   5.2 nm: means over what a voxel covers
    finer    | 0 | 1 | 2 | 3 | 4 | 5 | 6 |       2.9 nm: between the two next centres

Whole factors have a faster way, `downsample`.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.config import Nm3
from asem.volume.reflection import reflected
from asem.volume.roi import Roi
from asem.volume.volume import Kind, Volume

Ratios = tuple[float, float, float]
"""How many voxels of the source make one of the target, along (z, y, x)."""
Taps = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Source voxels and their weights, both (target voxels, taps); a weight of 0 counts for nothing."""
TOLERANCE = 1e-6
"""A face lies on another within this share of a source voxel."""
LEAST_WEIGHT = 1e-7
"""Of a source voxel; what rounding makes of no overlap is less, and no voxel is read for it."""
TIE = 1e-6
"""Parts of a voxel are equal within this share of it."""


def ratios(source: Nm3, target: Nm3) -> Ratios:
    """Return how many voxels of `source` make one of `target`; whole ones within 1e-6 exactly.

    Examples
    --------
    >>> ratios((5.2, 4, 10), (5.2, 8.000001, 5))
    (1.0, 2.0, 0.5)
    """

    def ratio(own: float, other: float) -> float:
        many, few = max(1, round(other / own)), max(1, round(own / other))
        nearest = many / few  # one of them is 1
        exact = other / own
        return nearest if abs(exact - nearest) <= TOLERANCE * nearest else exact

    z, y, x = (ratio(own, other) for own, other in zip(source, target, strict=True))
    return z, y, x


@dataclass(frozen=True)
class Resampling:
    """From one grid to another; voxel 0 of both begins with the same outer face.

    Indices count from there, on either grid. What a voxel is made from depends on its index and on
    `whole` alone, so that any block is the same cut out of the result.

    Images, axis by axis: the mean over what a voxel covers where it is coarser, rounded half up for
    integers; linear between the two next centres where it is finer. Labels: the id that covers the
    largest part of the voxel; of equal ones the smallest that is not zero.

    Parameters
    ----------
    ratios
        Source voxels that make one target voxel.
    whole
        The source voxels that there are. Means are over these; interpolation goes on beyond them
        by numpy's ``reflect``, as `Volume.read` does.
    kind
        ``"image"`` or ``"labels"``.

    Examples
    --------
    >>> halves = Resampling((1, 1, 0.5), Roi((0, 0, 0), (1, 1, 3)), "image")
    >>> halves.needed(Roi((0, 0, 2), (1, 1, 2)))
    Roi(offset=(0, 0, 0), shape=(1, 1, 3))
    >>> halves.apply(np.array([[[0, 100, 200]]], np.uint8), Roi((0, 0, 2), (1, 1, 2))).tolist()
    [[[75, 125]]]
    """

    ratios: Ratios
    whole: Roi
    kind: Kind

    @classmethod
    def between(cls, source: Volume, target: Volume) -> "Resampling":
        """Take `source` to the voxels of `target`, the one a view of the other."""
        whole = source.roi.shift(source.original_offset)
        return cls(ratios(source.voxel_size, target.voxel_size), whole, source.kind)

    @property
    def target(self) -> Roi:
        """The target voxels that overlap the source."""
        lows = zip(self.whole.offset, self.ratios, strict=True)
        highs = zip(self.whole.end, self.ratios, strict=True)
        return Roi.between(
            [floor((low + TOLERANCE) / ratio) for low, ratio in lows],
            [ceil((high - TOLERANCE) / ratio) for high, ratio in highs],
        )

    def needed(self, target: Roi) -> Roi:
        """Return the source voxels that make the voxels of `target`."""
        indices = [index for index, _ in self._taps(target)]
        return Roi.between([int(i.min()) for i in indices], [int(i.max()) + 1 for i in indices])

    def apply(self, voxels: npt.NDArray[Any], target: Roi) -> npt.NDArray[Any]:
        """Make the voxels of `target`.

        Parameters
        ----------
        voxels
            Those of ``needed(target)``.
        target
            Within `Resampling.target`.

        Returns
        -------
        ndarray
            Shape ``target.shape``, the dtype of `voxels`.
        """
        needed = self.needed(target)
        assert voxels.shape == needed.shape  # the kernels do not look
        if self.ratios == (1, 1, 1):
            return voxels
        out = np.empty(target.shape, voxels.dtype)
        pairs = zip(self._taps(target), needed.offset, strict=True)
        z, y, x = ((index - start, weight) for (index, weight), start in pairs)
        source = np.ascontiguousarray(voxels)
        if self.kind == "labels":
            _cover(source, z, y, x, out)
        else:
            _blend(source, z, y, x, np.issubdtype(out.dtype, np.integer), out)
        return out

    def _taps(self, target: Roi) -> list[Taps]:
        spans = zip(target.offset, target.end, self.whole.offset, self.whole.end, strict=True)
        linear = [self.kind == "image" and ratio < 1 for ratio in self.ratios]
        return [
            (_between_centres if interpolate else _overlaps)(ratio, (start, stop), (low, high))
            for ratio, interpolate, (start, stop, low, high) in zip(
                self.ratios, linear, spans, strict=True
            )
        ]


def _overlaps(ratio: float, target: tuple[int, int], source: tuple[int, int]) -> Taps:
    """Weigh source voxels by how much of them a target voxel covers."""
    place = np.arange(*target)[:, None]
    low, high = place * ratio, (place + 1) * ratio
    index = np.floor(low).astype(np.int64) + np.arange(ceil(ratio) + 1)
    ends = np.minimum(np.minimum(index + 1, high), source[1])
    return _used(index, ends - np.maximum(np.maximum(index, low), source[0]))


def _between_centres(ratio: float, target: tuple[int, int], source: tuple[int, int]) -> Taps:
    """Weigh the source voxels before and behind a target voxel's centre by their nearness."""
    centre = (np.arange(*target)[:, None] + 0.5) * ratio - 0.5
    index = np.floor(centre).astype(np.int64) + np.arange(2)
    weight = 1 - np.abs(centre - index)
    first, (low, high) = int(index.min()), source
    inside = reflected(first - low, int(index.max()) + 1 - low, high - low) + low
    return _used(inside[index - first], weight)


def _used(index: npt.NDArray[np.int64], weight: npt.NDArray[np.float64]) -> Taps:
    """Set what rounding left to 0, and point it to a voxel that counts."""
    weight = np.where(weight < LEAST_WEIGHT, 0.0, weight)
    main = np.take_along_axis(index, weight.argmax(1)[:, None], 1)
    some = weight.any(0)
    return np.where(weight > 0, index, main)[:, some].copy(), weight[:, some].copy()


@njit(cache=True, parallel=True)
def _blend(voxels, z_taps, y_taps, x_taps, integer, out):  # type: ignore[no-untyped-def]
    """Take weighted means: planes first, then rows, then within a row, as fast as memory."""
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
            share = weight[t]
            for k in range(len(out)):
                out[k] += share * row[k]


@njit(cache=True, parallel=True)
def _cover(voxels, z_taps, y_taps, x_taps, out):  # type: ignore[no-untyped-def]
    """Take the id that covers most of each voxel."""
    (zi, zw), (yi, yw), (xi, xw) = z_taps, y_taps, x_taps
    for n in prange(out.shape[0]):
        i = np.int64(n)
        most = zi.shape[1] * yi.shape[1] * xi.shape[1]
        ids, parts = np.empty(most, voxels.dtype), np.empty(most)
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = voxels[zi[i, 0], yi[j, 0], xi[k, 0]]
                if _differ(voxels, zi[i], yi[j], xi[k], out[i, j, k]):
                    number = 0
                    for a in range(zi.shape[1]):
                        for b in range(yi.shape[1]):
                            row = voxels[zi[i, a], yi[j, b]]
                            share = zw[i, a] * yw[j, b]
                            number = _add_row(ids, parts, number, row, xi[k], xw[k], share)
                    out[i, j, k] = _largest(ids[:number], parts[:number])


@njit(cache=True)
def _differ(voxels, z, y, x, first):  # type: ignore[no-untyped-def]
    """Whether not all the ids are the first: they mostly are."""
    for a in z:
        for b in y:
            for c in x:
                if voxels[a, b, c] != first:
                    return True
    return False


@njit(cache=True)
def _add_row(ids, parts, number, row, index, weight, share):  # type: ignore[no-untyped-def]
    """Add what a row covers to the parts of its ids, and return how many ids there are."""
    for t in range(len(index)):
        part = share * weight[t]
        if part > 0:
            found = row[index[t]]
            m = 0
            while m < number and ids[m] != found:
                m += 1
            if m == number:
                ids[m], parts[m] = found, 0.0
                number += 1
            parts[m] += part
    return number


@njit(cache=True)
def _largest(ids, parts):  # type: ignore[no-untyped-def]
    """Return the id of the largest part; ties go to the smallest that is not zero."""
    least = parts.max() - TIE * parts.sum()
    best, found = ids[0], False
    for m in range(len(ids)):
        if parts[m] >= least and (not found or best == 0 or 0 < ids[m] < best):
            best, found = ids[m], True
    return best
