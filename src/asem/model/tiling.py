"""Tiles of a prediction, which leave no seams: their positions, and the size that memory allows.

The U-Net is equivariant to shifts by its lattice (8 voxels for the paper's network). If a tile
starts on the lattice of the original grid and keeps a multiple of it, the values of its voxels
therefore do not depend on the size of the tile::

    read      |<-- context -->|<------ kept: 8 k ------>|<- 6 ->|<-- context -->|
    out                       |<-------- 8 k + 6 -------------->|
    kept                      |<----------------------->|
"""

from dataclasses import dataclass
from functools import partial

import torch

from asem.model.config import ModelConfig
from asem.model.device import Precision
from asem.model.receptive_field import estimate_memory_bytes
from asem.model.tiled_forward import PIECE_EDGE
from asem.model.unet import context, lattice, valid_input_size
from asem.volume.block_grid import split_evenly
from asem.volume.roi import Roi, per_axis

DEFAULT_TILE = {"cpu": 104, "cuda": 200}
"""Output edge of a forward pass, voxels, independent of memory: 104 is the paper's block."""
MAX_TILE = {"cpu": 264, "cuda": 520}
"""Output edge of a forward pass, voxels, if memory allows; larger tiles save little. One tile
covers a block of 256 or 512 voxels, wherever the block starts."""
MAX_MEMORY_FRACTION = 0.5
"""Fraction of the free memory that a tile may take."""


@dataclass(frozen=True)
class Tiling:
    """Tiles by which a Roi is predicted.

    Parameters
    ----------
    roi
        Predicted Roi in model voxels; 0 is the first voxel of the original grid.
    tiles
        Output of each forward pass: equal shapes that together cover `roi`.
    read_roi
        Raw voxels that all tiles read.
    """

    roi: Roi
    tiles: tuple[Roi, ...]
    read_roi: Roi


def input_roi(config: ModelConfig, tile: Roi) -> Roi:
    """Return the input of a forward pass for a tile, whose shape is a multiple of the lattice."""
    voxels = context(config)
    offset = tile.grow((voxels, voxels, voxels)).offset
    return Roi(offset, per_axis(partial(valid_input_size, config), tile.shape))


def plan_tiles(config: ModelConfig, roi: Roi, tile: int) -> Tiling:
    """Cover `roi` by tiles on the lattice, of at most `tile` voxels along an axis."""
    step = lattice(config)
    if tile < step or tile % step:
        raise ValueError(f"--tile {tile} must be a multiple of {step} for this network")
    start = per_axis(lambda offset: offset - offset % step, roi.offset)
    tiles = split_evenly(Roi.from_bounds(start, roi.end), (tile, tile, tile), multiple=step)
    first, last = input_roi(config, tiles[0]), input_roi(config, tiles[-1])
    return Tiling(roi, tuple(tiles), Roi.from_bounds(first.offset, last.end))


def default_tile(config: ModelConfig, device: torch.device) -> int:
    """Return the default tile of a device, independent of its memory: about `DEFAULT_TILE`."""
    step = lattice(config)
    return max(step, DEFAULT_TILE[device.type] // step * step)


def find_largest_tile(
    config: ModelConfig,
    precision: Precision,
    device: torch.device,
    free_bytes: int,
    *,
    memory_fraction: float = MAX_MEMORY_FRACTION,
) -> int:
    """Return the largest tile that memory allows, a multiple of the lattice.

    Parameters
    ----------
    config, precision, device
        The network, ``"32"`` or ``"bf16"``, and the device.
    free_bytes
        Free memory of the device.
    memory_fraction
        Fraction of it that a tile may take.
    """
    step = lattice(config)

    def fits(edge: int) -> bool:
        required = tile_memory_bytes(config, precision, device, edge)
        return required <= memory_fraction * free_bytes

    edges = range(max(step, MAX_TILE[device.type] // step * step), step, -step)
    return next((edge for edge in edges if fits(edge)), step)


def tile_memory_bytes(
    config: ModelConfig, precision: Precision, device: torch.device, edge: int
) -> int:
    """Return the memory that a tile of `edge` voxels takes on a device, bytes."""
    return estimate_memory_bytes(
        config,
        (edge, edge, edge),
        item_bytes=2 if precision == "bf16" else 4,
        piece_edge=PIECE_EDGE[device.type],
    )
