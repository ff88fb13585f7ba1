"""Prediction of an array, tile by tile, so that the tiles do not show.

The output of the U-Net is equivariant to shifts by its lattice (8 voxels for the paper's network).
A tile that begins on the lattice of the original grid and keeps a multiple of it therefore gives
every voxel the same value, whatever the size of the tile::

    read      |<-- context -->|<------ kept: 8 k ------>|<- 6 ->|<-- context -->|
    out                       |<-------- 8 k + 6 -------------->|
    kept                      |<----------------------->|
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asem.blocks.memory import free_memory
from asem.model.config import ModelConfig
from asem.model.device import Precision, resolve_precision
from asem.model.piecewise import Weights, logits, memory_of
from asem.model.unet import UNet, context, lattice, valid_input
from asem.volume.grid import split_evenly
from asem.volume.roi import Roi, Triple, negative

DEFAULT_TILE = {"cpu": 104, "cuda": 200}
"""Edge of what a forward pass keeps, voxels, whatever the memory: 104 is the paper's block."""
LARGEST_TILE = {"cpu": 264, "cuda": 520}
"""Where there is memory; a larger one saves little. A block of 256 or 512 voxels is covered by one,
wherever it begins."""
MOST_MEMORY = 0.5
"""Share of the free memory that a tile may take."""

PIECE = {"cpu": 64, "cuda": 256}
"""Edge of what is computed at a time: a core's cache is small, a GPU wants much at once."""
Told = Callable[[float], None]
"""Called with the share that is done."""


@dataclass(frozen=True)
class Runner:
    """A network on a device.

    Parameters
    ----------
    net
        In evaluation mode, on `device`; its weights are read once.
    device, precision
        Where and in what it computes; ``"bf16"`` keeps the softmax in float32.
    """

    net: UNet
    device: torch.device
    precision: Precision

    @cached_property
    def weights(self) -> Weights:
        """What `asem.model.piecewise` takes."""
        bf16 = resolve_precision(self.precision, self.device) == "bf16"
        return Weights.of(self.net, torch.bfloat16 if bf16 else torch.float32)

    def logits(self, raw: npt.NDArray[np.float32], kept: Triple) -> Tensor:
        """Run one tile.

        Parameters
        ----------
        raw
            The voxels of `input_roi`, in [-1, 1].
        kept
            Shape of what the tile keeps.

        Returns
        -------
        Tensor
            float32, shape (2, *kept), on the device.
        """
        dtype = self.weights.head[0].dtype
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # "32" is not 19 bits
        ):
            there = torch.from_numpy(raw).to(self.device, dtype)
            return logits(self.weights, there, kept, piece=PIECE[self.device.type]).float()


@dataclass(frozen=True)
class Tiling:
    """How a Roi is predicted.

    Parameters
    ----------
    roi
        What is wanted; 0 is the first voxel of the original grid, in model voxels.
    tiles
        What each forward pass keeps: equal shapes, together they cover `roi`.
    read
        All the raw voxels that are needed.
    """

    roi: Roi
    tiles: tuple[Roi, ...]
    read: Roi


def input_roi(config: ModelConfig, kept: Roi) -> Roi:
    """Return what a forward pass reads to keep `kept`, whose shape is a multiple of the lattice."""
    before = context(config)
    z, y, x = (valid_input(config, size) for size in kept.shape)
    return Roi(kept.grow((before, before, before)).offset, (z, y, x))


def plan_tiles(config: ModelConfig, roi: Roi, tile: int) -> Tiling:
    """Cover `roi` by tiles on the lattice, each keeping at most `tile` voxels along an axis."""
    step = lattice(config)
    if tile < step or tile % step:
        raise ValueError(f"--tile {tile} must be a multiple of {step} for this network")
    z, y, x = (offset - offset % step for offset in roi.offset)
    tiles = split_evenly(Roi.between((z, y, x), roi.end), (tile, tile, tile), multiple=step)
    inputs = [input_roi(config, one) for one in tiles]
    return Tiling(roi, tuple(tiles), Roi.between(inputs[0].offset, inputs[-1].end))


def default_tile(runner: Runner) -> int:
    """Return the tile for a device that does not depend on its memory: about `DEFAULT_TILE`."""
    step = lattice(runner.net.config)
    return max(step, DEFAULT_TILE[runner.device.type] // step * step)


def fitting_tile(runner: Runner) -> int:
    """Return the largest tile that the free memory allows, a multiple of the lattice."""
    config, kind = runner.net.config, runner.device.type
    step = lattice(config)
    free = torch.cuda.mem_get_info(runner.device)[0] if kind == "cuda" else free_memory()
    item = runner.weights.head[0].element_size()

    def fits(edge: int) -> bool:
        needed = memory_of(config, (edge, edge, edge), item=item, piece=PIECE[kind])
        return needed <= MOST_MEMORY * free

    tiles = range(max(step, LARGEST_TILE[kind] // step * step), step, -step)
    return next((edge for edge in tiles if fits(edge)), step)


def predict(
    runner: Runner, raw: npt.NDArray[np.float32], tiling: Tiling, told: Told | None = None
) -> npt.NDArray[np.uint8]:
    """Predict the probability of foreground.

    Parameters
    ----------
    runner
        The network.
    raw
        The voxels of ``tiling.read``, grey values in [-1, 1].
    tiling
        From `plan_tiles`.
    told
        Called after every tile.

    Returns
    -------
    ndarray
        Shape ``tiling.roi.shape``, rint(255 p); 128 and more is p >= 0.5.
    """
    out = np.empty(tiling.roi.shape, np.uint8)
    back = negative(tiling.roi.offset)
    for number, tile in enumerate(tiling.tiles, 1):
        wanted = tile.intersect(tiling.roi)
        source = input_roi(runner.net.config, tile).shift(negative(tiling.read.offset))
        found = runner.logits(np.ascontiguousarray(raw[source.slices]), tile.shape)
        probability = found.softmax(0)[1].mul(255).round().to(torch.uint8).cpu().numpy()
        out[wanted.shift(back).slices] = probability[wanted.shift(negative(tile.offset)).slices]
        if told is not None:
            told(number / len(tiling.tiles))
    return out
