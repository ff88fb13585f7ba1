"""Contrast limited adaptive histogram equalization in 3D, independent of blocks.

Paper, Data preprocessing, step 3: kernel 128 voxels, clip limit 0.02 (Zuiderveld 1994). Padding and
bins are those of scikit-image's ``equalize_adapthist``::

    tiles of the original grid   |---- 0 ----|---- 1 ----|---- 2 ----|
    volume                            |------------------|               reflected into tiles 0, 2
    mapping of a voxel                 between the two nearest tile centres, along each axis

A tile's mapping is the cumulated histogram of its voxels, each bin clipped to a share of them;
padding (`Volume.padding`) is not counted, and a tile of nothing else leaves values as they are. A
voxel's value is looked up in the mappings of the eight nearest tiles and interpolated. Neither step
knows of blocks: one pass fills the table of mappings, another one applies it, to a volume or on the
fly to what is read (`equalized`).
"""

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from pydantic import Field

from asem.blocks.output import Output
from asem.config import Config
from asem.volume.arrays import Promise, Stored
from asem.volume.contrast import to_unit, window_of
from asem.volume.grid import tile
from asem.volume.roi import Roi, Triple
from asem.volume.volume import Lazy, Volume

BINS = 256
GREYS = 2**14
"""scikit-image counts grey values from 0 to 16,383, 65 to a bin."""
GREYS_OF_BIN = 1 + GREYS // BINS
LARGEST_KERNEL = 1024
"""Voxels, eight times the paper's: a tile is read as a whole, and this one takes 2 GB at least."""
Edge = Annotated[int, Field(ge=8, le=LARGEST_KERNEL)]
GROUP = 256
"""Edge in voxels of what is measured at a time."""


class ClaheConfig(Config):
    """Settings of the equalization."""

    kernel: tuple[Edge, Edge, Edge] = (128, 128, 128)
    """Edges of a tile in voxels (paper: 128)."""
    clip_limit: float = Field(0.02, gt=0, le=1)
    """Largest share of a tile's voxels in one bin."""


@dataclass(frozen=True)
class Mappings:
    """The grey value that each tile gives to each bin.

    Parameters
    ----------
    table
        Shape (tiles z, y, x, 256), float32, 0 to 255.
    kernel
        Edges of a tile, voxels.
    origin
        Where the first tile begins, in the voxels of the volume; at most 0.
    window
        Grey values of black and white in the volume.
    padding
        Grey values that are not counted.
    """

    table: Any
    kernel: Triple
    origin: Triple
    window: tuple[float, float]
    padding: tuple[float, ...] = ()


def tiles_of(volume: Volume, kernel: Triple) -> Roi:
    """Return the tiles of the original grid that a volume touches, in tiles."""
    start = volume.original_offset
    ends = zip(start, volume.shape, kernel, strict=True)
    return Roi.between(
        [s // k for s, k in zip(start, kernel, strict=True)], [-(-(s + n) // k) for s, n, k in ends]
    )


def measure_mappings(output: Output, volume: Volume, config: ClaheConfig) -> Mappings:
    """Measure the mappings of all tiles of a volume: the first pass.

    Parameters
    ----------
    output
        It runs the blocks and keeps the table.
    volume
        Any real dtype, with a contrast window unless it is uint8.
    config
        Kernel and clip limit.
    """
    kernel, group = config.kernel, _group(config.kernel)
    tiles = tiles_of(volume, kernel)
    z, y, x = (
        t * k - s for t, k, s in zip(tiles.offset, kernel, volume.original_offset, strict=True)
    )
    table = output.scratch("mappings", (*tiles.shape, BINS), np.float32, (*group, BINS))
    mappings = Mappings(table, kernel, (z, y, x), window_of(volume), volume.padding)
    work = partial(_measure, volume=volume, mappings=mappings, clip_limit=config.clip_limit)
    output.run(
        work,
        list(tile(Roi.whole(tiles.shape), group)),
        stage="histograms",
        block_bytes=group_bytes(volume, kernel),
    )
    return mappings


def _group(kernel: Triple) -> Triple:
    """Return how many tiles are measured at a time, along each axis."""
    z, y, x = (max(1, GROUP // edge) for edge in kernel)
    return z, y, x


def group_bytes(volume: Volume, kernel: Triple) -> int:
    """Return the memory of the tiles that are measured at a time."""
    tiles = prod(_group(kernel))
    return tiles * (prod(kernel) * voxel_bytes(volume) + 50 * BINS)


def voxel_bytes(volume: Volume) -> int:
    """Return the memory of a voxel that is read and binned."""
    return 2 * volume.dtype.itemsize + (0 if volume.dtype in (np.uint8, np.uint16) else 13)


def _measure(tiles: Roi, *, volume: Volume, mappings: Mappings, clip_limit: float) -> Promise:
    """Fill the table for a box of tiles."""
    start = [t * k for t, k in zip(tiles.offset, mappings.kernel, strict=True)]
    stop = [t * k for t, k in zip(tiles.end, mappings.kernel, strict=True)]
    voxels = volume.read(Roi.between(start, stop).shift(mappings.origin))
    counts = histograms(voxels, mappings)
    table: Stored = mappings.table
    return table.write(tiles.slices, mapping(counts, clip_limit))


def histograms(voxels: npt.NDArray[Any], mappings: Mappings) -> npt.NDArray[np.int64]:
    """Count the bins of whole tiles, without padding; shape (tiles z, y, x, 256)."""
    kernel = np.array(mappings.kernel)
    counts = _histograms(*binned(voxels, mappings.window), kernel)
    for value in mappings.padding:
        own = np.array([value if voxels.dtype.kind == "f" else int(value)], voxels.dtype)
        padded = voxels == own
        (bin_of_padding,) = _bins(own, mappings.window)
        counts[..., bin_of_padding] -= _histograms(padded.view(np.uint8), _EVERY_BIN, kernel)[
            ..., 1
        ]
    return np.asarray(counts)


_EVERY_BIN = np.arange(BINS).astype(np.uint8)


def binned(
    voxels: npt.NDArray[Any], window: tuple[float, float]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return voxels as small whole numbers, and the bin of each such number.

    8 and 16 bits are looked up as they are; other values are binned here.
    """
    if voxels.dtype in (np.uint8, np.uint16):
        return voxels, _bins(np.arange(np.iinfo(voxels.dtype).max + 1), window)
    return _bins(voxels, window), _EVERY_BIN


def _bins(grey: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    greys = np.rint(to_unit(grey, window) * np.float32(GREYS - 1))
    return np.asarray(greys.astype(np.int32) // GREYS_OF_BIN, np.uint8)


@njit(cache=True, parallel=True)
def _histograms(voxels, bin_of, kernel):  # type: ignore[no-untyped-def]
    """Count the bins of whole tiles; shape (tiles z, y, x, 256)."""
    d, h, w = kernel
    depth, height, width = voxels.shape[0] // d, voxels.shape[1] // h, voxels.shape[2] // w
    counts = np.zeros((depth, height, width, BINS), np.int64)
    for n in prange(depth * height * width):
        z, y, x = n // (height * width), n // width % height, n % width
        part = voxels[z * d : (z + 1) * d, y * h : (y + 1) * h, x * w : (x + 1) * w]
        _count(part, bin_of, counts[z, y, x])
    return counts


@njit(cache=True)
def _count(voxels, bin_of, counts):  # type: ignore[no-untyped-def]
    for i in range(voxels.shape[0]):
        for j in range(voxels.shape[1]):
            for k in range(voxels.shape[2]):
                counts[bin_of[voxels[i, j, k]]] += 1


def mapping(counts: npt.NDArray[np.int64], clip_limit: float) -> npt.NDArray[np.float32]:
    """Turn histograms into mappings to 0..255.

    ::

        h' = min(h, c n) + even share of what was cut, no bin above c n      n voxels, clip limit c
        mapping(b) = 255 / n * sum_(a <= b) h'(a);  b itself where n = 0

    Parameters
    ----------
    counts
        Shape (..., 256).
    clip_limit
        c.

    Examples
    --------
    >>> mapping(np.eye(1, 256, dtype=int) * 1024, 0.25)[0, [0, 1, 254, 255]].round(3).tolist()
    [63.75, 64.5, 254.25, 255.0]
    """
    voxels = counts.sum(-1, keepdims=True).astype(np.float64)
    limit = np.maximum(clip_limit * voxels, 1)
    clipped = np.minimum(counts, limit)
    # What is spread evenly fills some bins to the limit; what they refuse goes to the others.
    for _ in range(BINS):
        left = voxels - clipped.sum(-1, keepdims=True)
        left = np.where(left < 1e-6 * voxels, 0, left)  # each tile stops by itself
        room = clipped < limit
        if not (room & (left > 0)).any():
            break
        share = left / np.maximum(1, room.sum(-1, keepdims=True))
        clipped = np.where(room, np.minimum(clipped + share, limit), clipped)
    shares = np.minimum(np.cumsum(clipped, -1) / np.maximum(1, voxels), 1)
    return np.where(voxels > 0, shares * 255, np.arange(BINS)).astype(np.float32)


def apply(voxels: npt.NDArray[Any], offset: Triple, mappings: Mappings) -> npt.NDArray[np.uint8]:
    """Equalize a box of a volume: the second pass.

    Parameters
    ----------
    voxels
        Shape (z, y, x).
    offset
        Its first voxel, in the voxels of the volume.
    mappings
        Of the whole volume.

    Returns
    -------
    ndarray
        Shape of `voxels`, uint8, rounded half up.
    """
    start, needed = [], []
    for first, size, kernel, origin, tiles in zip(
        offset,
        voxels.shape,
        mappings.kernel,
        mappings.origin,
        mappings.table.shape[:3],
        strict=True,
    ):
        begin = first - origin + kernel // 2  # counted from half a tile before the first
        low = max(0, begin // kernel - 1)
        high = min(tiles, (begin + size - 1) // kernel + 1)
        low = min(low, tiles - 1)
        start.append(begin - low * kernel)
        needed.append(slice(low, max(high, low + 1)))
    table = np.ascontiguousarray(mappings.table[(*needed, slice(0, BINS))])
    numbers, bin_of = binned(np.ascontiguousarray(voxels), mappings.window)
    return np.asarray(_interpolate(numbers, bin_of, table, np.array(mappings.kernel), *start))


@njit(cache=True)
def _neighbours(place, kernel, tiles):  # type: ignore[no-untyped-def]
    """Return the tiles before and after a place, and the weight of the latter.

    `place` counts voxels from half a tile before the first.
    """
    after = place // kernel
    weight = np.float32((place % kernel) / kernel)
    return max(0, min(after - 1, tiles - 1)), max(0, min(after, tiles - 1)), weight


@njit(cache=True, parallel=True)
def _interpolate(voxels, bin_of, table, kernel, z0, y0, x0):  # type: ignore[no-untyped-def]
    """Look up each voxel in the mappings around it; the tables of a row are mixed beforehand."""
    depth, height, width = voxels.shape
    tiles = table.shape
    out = np.empty(voxels.shape, np.uint8)
    half = np.float32(0.5)
    for i in prange(depth):
        before, after, weight = _neighbours(z0 + i, kernel[0], tiles[0])
        plane = table[before] + (table[after] - table[before]) * weight
        for j in range(height):
            up, down, share = _neighbours(y0 + j, kernel[1], tiles[1])
            row = plane[up] + (plane[down] - plane[up]) * share
            k = 0
            while k < width:
                left, right, _ = _neighbours(x0 + k, kernel[2], tiles[2])
                run = min(width - k, kernel[2] - (x0 + k) % kernel[2])
                a, b = row[left], row[right]
                inside = (x0 + k) % kernel[2]
                for n in range(run):
                    one = bin_of[voxels[i, j, k + n]]
                    part = np.float32(inside + n) / np.float32(kernel[2])
                    out[i, j, k + n] = np.uint8(a[one] + (b[one] - a[one]) * part + half)
                k += run
    return out


def equalized(volume: Volume, mappings: Mappings) -> Volume:
    """View a volume equalized, computed when read; same place, uint8, its window 0 to 255."""
    view = _Equalized(volume.array, mappings)
    return volume.like(view, window=(0.0, 255.0), padding=(), name=f"{volume.name} (CLAHE)")


@dataclass(frozen=True)
class _Equalized:
    """An array that is equalized when it is read."""

    array: Lazy
    mappings: Mappings
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[np.uint8]:
        voxels = np.asarray(self.array[index])
        z, y, x = (s.indices(n)[0] for s, n in zip(index, self.shape, strict=True))
        return apply(voxels, (z, y, x), self.mappings)
