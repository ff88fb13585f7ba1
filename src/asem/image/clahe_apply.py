"""Apply CLAHE mappings to voxels: interpolate between the mappings of the nearest tiles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

from asem.image.clahe import HISTOGRAM_BINS, TileMappings, prepare_bin_lookup
from asem.volume.roi import IntZYX, per_axis
from asem.volume.volume import ArrayLike, Volume


def apply_mappings(
    voxels: npt.NDArray[Any], offset: IntZYX, mappings: TileMappings
) -> npt.NDArray[np.uint8]:
    """Equalize a box of a volume: the second pass of CLAHE.

    Parameters
    ----------
    voxels
        Shape (z, y, x).
    offset
        First voxel of the box, in voxels of the volume.
    mappings
        Those of the whole volume (`asem.image.clahe.compute_mappings`).

    Returns
    -------
    ndarray
        Shape of `voxels`, uint8, rounded half up.
    """
    starts, tile_slices = [], []
    for first, size, kernel, origin, tiles in zip(
        offset,
        voxels.shape,
        mappings.kernel,
        mappings.origin,
        mappings.table.shape[:3],
        strict=True,
    ):
        start = first - origin + kernel // 2  # counted from half a tile before the first
        low = max(0, start // kernel - 1)
        high = min(tiles, (start + size - 1) // kernel + 1)
        low = min(low, tiles - 1)
        starts.append(start - low * kernel)
        tile_slices.append(slice(low, max(high, low + 1)))
    table = np.ascontiguousarray(mappings.table[(*tile_slices, slice(0, HISTOGRAM_BINS))])
    indices, bin_of = prepare_bin_lookup(np.ascontiguousarray(voxels), mappings.window)
    return np.asarray(_interpolate(indices, bin_of, table, np.array(mappings.kernel), *starts))


@njit(cache=True)
def _adjacent_tiles(position, kernel, tiles):  # type: ignore[no-untyped-def]
    """Return the tiles before and after a position, and the weight of the latter.

    `position` counts voxels from half a tile before the first.
    """
    after = position // kernel
    weight = np.float32((position % kernel) / kernel)
    return max(0, min(after - 1, tiles - 1)), max(0, min(after, tiles - 1)), weight


@njit(cache=True, parallel=True)
def _interpolate(voxels, bin_of, table, kernel, z0, y0, x0):  # type: ignore[no-untyped-def]
    """Interpolate the mappings around each voxel: those of a plane, of a row, then of the voxel."""
    depth, height, width = voxels.shape
    tiles = table.shape
    out = np.empty(voxels.shape, np.uint8)
    half = np.float32(0.5)
    for i in prange(depth):
        before, after, weight = _adjacent_tiles(z0 + i, kernel[0], tiles[0])
        plane = table[before] + (table[after] - table[before]) * weight
        for j in range(height):
            up, down, weight_y = _adjacent_tiles(y0 + j, kernel[1], tiles[1])
            row = plane[up] + (plane[down] - plane[up]) * weight_y
            k = 0
            while k < width:
                left, right, _ = _adjacent_tiles(x0 + k, kernel[2], tiles[2])
                run = min(width - k, kernel[2] - (x0 + k) % kernel[2])
                a, b = row[left], row[right]
                inside = (x0 + k) % kernel[2]
                for n in range(run):
                    grey_bin = bin_of[voxels[i, j, k + n]]
                    weight_x = np.float32(inside + n) / np.float32(kernel[2])
                    grey = a[grey_bin] + (b[grey_bin] - a[grey_bin]) * weight_x
                    out[i, j, k + n] = np.uint8(grey + half)
                k += run
    return out


def equalize_lazily(volume: Volume, mappings: TileMappings) -> Volume:
    """Return a lazily equalized view of a volume: same voxels, uint8, window 0 to 255."""
    view = _EqualizedArray(volume.array, mappings)
    return volume.with_array(view, window=(0.0, 255.0), padding=(), name=f"{volume.name} (CLAHE)")


@dataclass(frozen=True)
class _EqualizedArray:
    """An array that is equalized at each read."""

    array: ArrayLike
    mappings: TileMappings
    dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, index: tuple[slice, slice, slice], /) -> npt.NDArray[np.uint8]:
        voxels = np.asarray(self.array[index])
        offset = per_axis(lambda part, size: part.indices(size)[0], index, self.shape)
        return apply_mappings(voxels, offset, self.mappings)
