"""Contrast-limited adaptive histogram equalization (CLAHE) in 3D, independent of the block grid.

Paper, Data preprocessing, step 3: kernel 128 voxels, clip limit 0.02 (Zuiderveld 1994). Reflection
and bins as in scikit-image's ``equalize_adapthist``::

    tiles of the original grid   |---- 0 ----|---- 1 ----|---- 2 ----|
    volume                            |------------------|               reflected into tiles 0, 2
    mapping of a voxel                 between the two nearest tile centres, along each axis

The mapping of a tile is the cumulative histogram of its voxels, each bin clipped to a fraction of
them; padding (`Volume.padding`) is not counted, and a tile of padding only has the identity as its
mapping. The value of a voxel is looked up in the mappings of the eight nearest tiles and
interpolated. Neither step depends on the block grid: the first pass (here) fills the table of
mappings, the second (`asem.image.clahe_apply`) applies it, to a volume or lazily to what is read.
"""

from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange
from pydantic import Field

from asem.blocks.output_image import OutputImage
from asem.config import Config
from asem.volume.block_grid import split_into_blocks
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.roi import IntZYX, Roi, per_axis
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import WriteFuture, ZarrArray

HISTOGRAM_BINS = 256
GREY_LEVELS = 2**14
"""As in scikit-image: grey values from 0 to 16,383, 65 in each bin."""
GREY_LEVELS_PER_BIN = 1 + GREY_LEVELS // HISTOGRAM_BINS
MAX_KERNEL_EDGE = 1024
"""Voxels, eight times the paper's: a tile is read as a whole, here at least 2 GB."""
KernelEdge = Annotated[int, Field(ge=8, le=MAX_KERNEL_EDGE)]
TILE_GROUP_EDGE = 256
"""Edge in voxels of the group of tiles that one block measures."""


class ClaheConfig(Config):
    """Settings of CLAHE."""

    kernel: tuple[KernelEdge, KernelEdge, KernelEdge] = (128, 128, 128)
    """Edges of a tile in voxels (paper: 128)."""
    clip_limit: float = Field(0.02, gt=0, le=1)
    """Largest fraction of the voxels of a tile in one bin."""


@dataclass(frozen=True)
class TileMappings:
    """The grey value to which each tile maps each bin.

    Parameters
    ----------
    table
        Shape (tiles z, y, x, 256), float32, 0 to 255.
    kernel
        Edges of a tile, voxels.
    origin
        First voxel of the first tile, in voxels of the volume; at most 0.
    window
        Grey values of black and white in the volume.
    padding
        Grey values that are not counted.
    """

    table: Any
    kernel: IntZYX
    origin: IntZYX
    window: tuple[float, float]
    padding: tuple[float, ...] = ()


def find_touched_tiles(volume: Volume, kernel: IntZYX) -> Roi:
    """Return the tiles of the original grid that a volume overlaps, in units of tiles."""
    first = volume.original_offset
    return Roi.from_bounds(
        per_axis(lambda offset, edge: offset // edge, first, kernel),
        per_axis(
            lambda offset, size, edge: -(-(offset + size) // edge), first, volume.shape, kernel
        ),
    )


def compute_mappings(output: OutputImage, volume: Volume, config: ClaheConfig) -> TileMappings:
    """Compute the mappings of all tiles of a volume: the first pass.

    Parameters
    ----------
    output
        Runs the blocks and stores the table.
    volume
        Any real dtype, with a contrast window unless it is uint8.
    config
        Kernel and clip limit.
    """
    kernel, group = config.kernel, _tiles_per_group(config.kernel)
    tiles = find_touched_tiles(volume, kernel)
    origin = per_axis(
        lambda tile, edge, first: tile * edge - first, tiles.offset, kernel, volume.original_offset
    )
    table = output.scratch_array(
        "mappings", (*tiles.shape, HISTOGRAM_BINS), np.float32, (*group, HISTOGRAM_BINS)
    )
    mappings = TileMappings(table, kernel, origin, contrast_window_of(volume), volume.padding)
    output.run(
        partial(_write_mappings, volume=volume, mappings=mappings, clip_limit=config.clip_limit),
        list(split_into_blocks(Roi.of_shape(tiles.shape), group)),
        stage="histograms",
        block_bytes=tile_group_bytes(volume, kernel),
    )
    return mappings


def _tiles_per_group(kernel: IntZYX) -> IntZYX:
    """Return the number of tiles that one block measures, along each axis."""
    return per_axis(lambda edge: max(1, TILE_GROUP_EDGE // edge), kernel)


def tile_group_bytes(volume: Volume, kernel: IntZYX) -> int:
    """Return the memory in bytes of the tiles that one block measures."""
    tiles = prod(_tiles_per_group(kernel))
    return tiles * (prod(kernel) * clahe_voxel_bytes(volume) + 50 * HISTOGRAM_BINS)


def clahe_voxel_bytes(volume: Volume) -> int:
    """Return the memory in bytes of each voxel that is read and binned."""
    return 2 * volume.dtype.itemsize + (0 if volume.dtype in (np.uint8, np.uint16) else 13)


def _write_mappings(
    tiles: Roi, *, volume: Volume, mappings: TileMappings, clip_limit: float
) -> WriteFuture:
    """Write the mappings of a box of tiles into the table."""
    start = per_axis(lambda tile, edge: tile * edge, tiles.offset, mappings.kernel)
    stop = per_axis(lambda tile, edge: tile * edge, tiles.end, mappings.kernel)
    voxels = volume.read(Roi.from_bounds(start, stop).shift(mappings.origin))
    counts = compute_histograms(voxels, mappings)
    table: ZarrArray = mappings.table
    return table.write(tiles.slices, clipped_cdf(counts, clip_limit))


def compute_histograms(voxels: npt.NDArray[Any], mappings: TileMappings) -> npt.NDArray[np.int64]:
    """Count the voxels in each bin of whole tiles, without padding; shape (tiles z, y, x, 256)."""
    kernel = np.array(mappings.kernel)
    counts = _count_tile_bins(*prepare_bin_lookup(voxels, mappings.window), kernel)
    for value in mappings.padding:
        grey = np.array([value if voxels.dtype.kind == "f" else int(value)], voxels.dtype)
        is_padding = (voxels == grey).view(np.uint8)
        (bin_of_padding,) = _bin_indices(grey, mappings.window)
        counts[..., bin_of_padding] -= _count_tile_bins(is_padding, _IDENTITY_BINS, kernel)[..., 1]
    return np.asarray(counts)


_IDENTITY_BINS = np.arange(HISTOGRAM_BINS).astype(np.uint8)


def prepare_bin_lookup(
    voxels: npt.NDArray[Any], window: tuple[float, float]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return voxels as uint8 or uint16 indices, and the bin of each index.

    Grey values of 8 and 16 bits are the indices; other values are binned here.
    """
    if voxels.dtype in (np.uint8, np.uint16):
        return voxels, _bin_indices(np.arange(np.iinfo(voxels.dtype).max + 1), window)
    return _bin_indices(voxels, window), _IDENTITY_BINS


def _bin_indices(grey: npt.NDArray[Any], window: tuple[float, float]) -> npt.NDArray[np.uint8]:
    greys = np.rint(scale_to_unit(grey, window) * np.float32(GREY_LEVELS - 1))
    return np.asarray(greys.astype(np.int32) // GREY_LEVELS_PER_BIN, np.uint8)


@njit(cache=True, parallel=True)
def _count_tile_bins(voxels, bin_of, kernel):  # type: ignore[no-untyped-def]
    """Count the voxels in each bin of whole tiles; shape (tiles z, y, x, 256)."""
    d, h, w = kernel
    depth, height, width = voxels.shape[0] // d, voxels.shape[1] // h, voxels.shape[2] // w
    counts = np.zeros((depth, height, width, HISTOGRAM_BINS), np.int64)
    for n in prange(depth * height * width):
        z, y, x = n // (height * width), n // width % height, n % width
        part = voxels[z * d : (z + 1) * d, y * h : (y + 1) * h, x * w : (x + 1) * w]
        _count_box_bins(part, bin_of, counts[z, y, x])
    return counts


@njit(cache=True)
def _count_box_bins(voxels, bin_of, counts):  # type: ignore[no-untyped-def]
    for i in range(voxels.shape[0]):
        for j in range(voxels.shape[1]):
            for k in range(voxels.shape[2]):
                counts[bin_of[voxels[i, j, k]]] += 1


def clipped_cdf(counts: npt.NDArray[np.int64], clip_limit: float) -> npt.NDArray[np.float32]:
    """Turn histograms into mappings to 0..255.

    ::

        h' = min(h, c n) + excess spread evenly over bins below c n      n voxels, clip limit c
        mapping(b) = 255 / n * sum_(a <= b) h'(a);  b itself where n = 0

    Parameters
    ----------
    counts
        Shape (..., 256).
    clip_limit
        c.

    Examples
    --------
    >>> clipped_cdf(np.eye(1, 256, dtype=int) * 1024, 0.25)[0, [0, 1, 254, 255]].round(3).tolist()
    [63.75, 64.5, 254.25, 255.0]
    """
    voxels = counts.sum(-1, keepdims=True).astype(np.float64)
    limit = np.maximum(clip_limit * voxels, 1)
    clipped = np.minimum(counts, limit)
    # The evenly spread excess fills some bins to the limit; the rest is spread over the others.
    for _ in range(HISTOGRAM_BINS):
        excess = voxels - clipped.sum(-1, keepdims=True)
        excess = np.where(excess < 1e-6 * voxels, 0, excess)  # tiles converge independently
        below = clipped < limit
        if not (below & (excess > 0)).any():
            break
        increment = excess / np.maximum(1, below.sum(-1, keepdims=True))
        clipped = np.where(below, np.minimum(clipped + increment, limit), clipped)
    cdf = np.minimum(np.cumsum(clipped, -1) / np.maximum(1, voxels), 1)
    return np.where(voxels > 0, cdf * 255, np.arange(HISTOGRAM_BINS)).astype(np.float32)
