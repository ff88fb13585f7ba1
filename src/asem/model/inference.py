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
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asem.model.config import ModelConfig
from asem.model.device import Precision, on_device, on_host, resolve_precision
from asem.model.extent import memory_of
from asem.model.folded import Weights
from asem.model.piecewise import logits
from asem.model.unet import UNet, context, lattice, output_size, valid_input
from asem.volume.contrast import fits_float32, to_unit
from asem.volume.grid import split_evenly
from asem.volume.roi import Roi, Triple, negative

DEFAULT_TILE = {"cpu": 104, "cuda": 200}
"""Edge of what a forward pass keeps, voxels, whatever the memory: 104 is the paper's block."""
LARGEST_TILE = {"cpu": 264, "cuda": 520}
"""Where there is memory; a larger one saves little. A block of 256 or 512 voxels is covered by one,
wherever it begins."""
MOST_MEMORY = 0.5
"""Share of the free memory that a tile may take."""

Told = Callable[[float], None]
"""Called with the share that is done."""
PIECE = {"cpu": 64, "cuda": 256}
"""Edge of what is computed at a time: a core's cache is small, a GPU wants much at once."""


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

    def logits(
        self, raw: npt.NDArray[np.float32], kept: Triple, *, told: Told | None = None
    ) -> Tensor:
        """Run one tile.

        Parameters
        ----------
        raw
            The voxels of `input_roi`, in [-1, 1].
        kept
            Shape of what the tile keeps.
        told
            Called after every piece of it with the share that is done.

        Returns
        -------
        Tensor
            float32, shape (2, *kept), on the device.
        """
        return self._logits(self._there(raw, None), kept, told)

    def probability(
        self,
        raw: npt.NDArray[Any],
        kept: Triple,
        *,
        window: tuple[float, float] | None = None,
        mirror: bool = False,
        told: Told | None = None,
    ) -> Tensor:
        """Return the probability of foreground in one tile.

        Parameters
        ----------
        raw, kept, told
            As `logits` takes them.
        window
            Grey values of black and white, where `raw` is not scaled yet.
        mirror
            Take the mean over the tile and its seven mirror images, eight times the work.

        Returns
        -------
        Tensor
            float32, shape `kept`, on the device; an inference tensor unless mirrored.

        Notes
        -----
        A mirrored tile ends where the tile begins. What it gives lies on the lattice, too, but the
        voxels that are kept are the last ones there::

            out         |<--- kept ---->|< 6 >|
            mirrored    |< 6 >|<--- kept ---->|
        """
        there = self._there(raw, window)
        if not mirror:
            return self._probability(there, kept, told)
        behind = [_given(self.net.config, n) - k for n, k in zip(raw.shape, kept, strict=True)]
        total = torch.zeros(kept, device=self.device)
        for number, turned in enumerate(product((False, True), repeat=3)):
            axes = [axis for axis in range(3) if turned[axis]]
            skipped = [more if turn else 0 for more, turn in zip(behind, turned, strict=True)]
            z, y, x = (size + more for size, more in zip(kept, skipped, strict=True))
            share = told and partial(tell_part, told, number, 8)
            found = self._probability(there.flip(axes), (z, y, x), share)
            total += found[tuple(slice(more, None) for more in skipped)].flip(axes)
        return total / 8

    def _there(self, raw: npt.NDArray[Any], window: tuple[float, float] | None) -> Tensor:
        """Bring voxels to the device as they are, and scale them there."""
        if window is not None and not fits_float32(raw.dtype):
            raw, window = to_unit(raw, window), (0.0, 1.0)
        elif window is not None and raw.dtype != np.uint8:
            raw = raw.astype(np.float32)
        there = on_device(raw, self.device).float()
        if window is not None:
            black, white = window
            there = there.sub_(black).div_(white - black).clamp_(0, 1).mul_(2).sub_(1)
        return there.to(self.weights.head[0].dtype)

    def _probability(self, there: Tensor, kept: Triple, told: Told | None) -> Tensor:
        """Softmax over two classes, e^b / (e^a + e^b) = 1 / (1 + e^(a - b)), in place of b."""
        with torch.inference_mode():
            background, foreground = self._logits(there, kept, told)
            probability: Tensor = foreground.sub_(background).sigmoid_()
        return probability

    def _logits(self, there: Tensor, kept: Triple, told: Told | None) -> Tensor:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # "32" is not 19 bits
        ):
            piece = PIECE[self.device.type]
            return logits(self.weights, there, kept, piece=piece, told=told).float()


def _given(config: ModelConfig, size: int) -> int:
    given = output_size(config, size)
    assert given is not None
    return given


def tell_part(told: Told, number: int, total: int, share: float) -> None:
    """Tell the share of the whole when `share` of the part `number` of `total` is done."""
    told((number + share) / total)


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
    first, last = (input_roi(config, tiles[end]) for end in (0, -1))
    return Tiling(roi, tuple(tiles), Roi.between(first.offset, last.end))


def default_tile(runner: Runner) -> int:
    """Return the tile for a device that does not depend on its memory: about `DEFAULT_TILE`."""
    step = lattice(runner.net.config)
    return max(step, DEFAULT_TILE[runner.device.type] // step * step)


def fitting_tile(
    config: ModelConfig,
    precision: Precision,
    device: torch.device,
    free: int,
    *,
    share: float = MOST_MEMORY,
) -> int:
    """Return the largest tile that memory allows, a multiple of the lattice.

    Parameters
    ----------
    config, precision, device
        The network, ``"32"`` or ``"bf16"``, and where it computes.
    free
        Bytes of the device.
    share
        Of these that a tile may take.
    """
    step, item, kind = lattice(config), 2 if precision == "bf16" else 4, device.type

    def fits(edge: int) -> bool:
        needed = memory_of(config, (edge, edge, edge), item=item, piece=PIECE[kind])
        return needed <= share * free

    tiles = range(max(step, LARGEST_TILE[kind] // step * step), step, -step)
    return next((edge for edge in tiles if fits(edge)), step)


def predict(
    runner: Runner,
    raw: npt.NDArray[Any],
    tiling: Tiling,
    *,
    window: tuple[float, float] | None = None,
    mirror: bool = False,
    told: Told | None = None,
) -> npt.NDArray[np.uint8]:
    """Predict the probability of foreground.

    Parameters
    ----------
    runner
        The network.
    raw
        The voxels of ``tiling.read``, in [-1, 1] unless `window` says otherwise.
    tiling
        From `plan_tiles`.
    window
        Grey values of black and white; they become -1 and 1.
    mirror
        Take the mean over each tile and its mirror images.
    told
        Called with the share that is done.

    Returns
    -------
    ndarray
        Shape ``tiling.roi.shape``, rint(255 p); 128 and more is p >= 0.5.
    """
    out = np.empty(tiling.roi.shape, np.uint8)
    back = negative(tiling.roi.offset)
    for number, tile in enumerate(tiling.tiles):
        wanted = tile.intersect(tiling.roi)
        source = input_roi(runner.net.config, tile).shift(negative(tiling.read.offset))
        share = told and partial(tell_part, told, number, len(tiling.tiles))
        here = raw[source.slices]
        found = runner.probability(here, tile.shape, window=window, mirror=mirror, told=share)
        with torch.inference_mode():
            stored = on_host(found.mul_(255).round_().to(torch.uint8))
        out[wanted.shift(back).slices] = stored[wanted.shift(negative(tile.offset)).slices]
    return out
