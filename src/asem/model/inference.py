"""Tiled inference of an array, without seams between tiles.

The U-Net is equivariant to shifts by its lattice (8 voxels for the paper's network). If a tile
starts on the lattice of the original grid and keeps a multiple of it, the values of its voxels
therefore do not depend on the size of the tile::

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
from asem.model.device import Precision, resolve_precision, to_device, to_host
from asem.model.fused_upsampling import FusedWeights
from asem.model.receptive_field import estimate_memory_bytes
from asem.model.tiled_forward import tiled_logits
from asem.model.unet import UNet, context, lattice, output_size, valid_input_size
from asem.volume.block_grid import split_evenly
from asem.volume.contrast import fits_float32, scale_to_unit
from asem.volume.roi import IntZYX, Roi, add, negate, per_axis, subtract

DEFAULT_TILE = {"cpu": 104, "cuda": 200}
"""Output edge of a forward pass, voxels, independent of memory: 104 is the paper's block."""
MAX_TILE = {"cpu": 264, "cuda": 520}
"""Output edge of a forward pass, voxels, if memory allows; larger tiles save little. One tile
covers a block of 256 or 512 voxels, wherever the block starts."""
MAX_MEMORY_FRACTION = 0.5
"""Fraction of the free memory that a tile may take."""

FractionCallback = Callable[[float], None]
"""Progress callback: called with the fraction of the work that is done."""
PIECE_EDGE = {"cpu": 64, "cuda": 256}
"""Edge of the pieces of `tiled_logits`, voxels: small for a CPU's cache, large for a GPU."""
MIRROR_COUNT = 8
"""Mirror images of a tile, itself included."""


@dataclass(frozen=True)
class NetworkRunner:
    """Network on a device.

    Parameters
    ----------
    net
        In evaluation mode, on `device`; its weights are converted once.
    device, precision
        Device and precision of the computation; with ``"bf16"`` the softmax is float32.
    """

    net: UNet
    device: torch.device
    precision: Precision

    @cached_property
    def fused_weights(self) -> FusedWeights:
        """Weights for `asem.model.tiled_forward`."""
        bf16 = resolve_precision(self.precision, self.device) == "bf16"
        return FusedWeights.from_network(self.net, torch.bfloat16 if bf16 else torch.float32)

    def logits(
        self,
        raw: npt.NDArray[np.float32],
        tile_shape: IntZYX,
        *,
        report_progress: FractionCallback | None = None,
    ) -> Tensor:
        """Return the logits of one tile.

        Parameters
        ----------
        raw
            The voxels of `input_roi`, in [-1, 1].
        tile_shape
            Output shape of the tile.
        report_progress
            Called after every piece of the tile with the fraction that is done.

        Returns
        -------
        Tensor
            float32, shape (2, *tile_shape), on the device.
        """
        return self._logits(self._prepare_input(raw, None), tile_shape, report_progress)

    def probability(
        self,
        raw: npt.NDArray[Any],
        tile_shape: IntZYX,
        *,
        window: tuple[float, float] | None = None,
        mirror: bool = False,
        report_progress: FractionCallback | None = None,
    ) -> Tensor:
        """Return the probability of foreground in one tile.

        Parameters
        ----------
        raw, tile_shape, report_progress
            As in `logits`.
        window
            Grey values of black and white, if `raw` is not scaled yet.
        mirror
            Return the mean over the tile and its seven mirror images: eight times the work.

        Returns
        -------
        Tensor
            float32, shape `tile_shape`, on the device; an inference tensor unless mirrored.

        Notes
        -----
        A mirrored tile ends where the tile starts. Its output is on the lattice, too, but the
        voxels that are kept are the last ones::

            out         |<--- kept ---->|< 6 >|
            mirrored    |< 6 >|<--- kept ---->|
        """
        scaled = self._prepare_input(raw, window)
        if not mirror:
            return self._probability(scaled, tile_shape, report_progress)
        output_shape = per_axis(partial(_output_size, self.net.config), raw.shape)
        excess = subtract(output_shape, tile_shape)
        total = torch.zeros(tile_shape, device=self.device)
        for number, flips in enumerate(product((False, True), repeat=3)):
            axes = [axis for axis in range(3) if flips[axis]]
            skipped = per_axis(lambda voxels, flip: voxels if flip else 0, excess, flips)
            report = report_progress and partial(report_part, report_progress, number, MIRROR_COUNT)
            mirrored = self._probability(scaled.flip(axes), add(tile_shape, skipped), report)
            total += mirrored[tuple(slice(voxels, None) for voxels in skipped)].flip(axes)
        return total / MIRROR_COUNT

    def _prepare_input(self, raw: npt.NDArray[Any], window: tuple[float, float] | None) -> Tensor:
        """Copy voxels to the device, and scale them there."""
        if window is not None and not fits_float32(raw.dtype):
            raw, window = scale_to_unit(raw, window), (0.0, 1.0)
        elif window is not None and raw.dtype != np.uint8:
            raw = raw.astype(np.float32)
        scaled = to_device(raw, self.device).float()
        if window is not None:
            black, white = window
            scaled = scaled.sub_(black).div_(white - black).clamp_(0, 1).mul_(2).sub_(1)
        return scaled.to(self.fused_weights.head[0].dtype)

    def _probability(
        self, scaled: Tensor, tile_shape: IntZYX, report_progress: FractionCallback | None
    ) -> Tensor:
        """Return the softmax of the foreground, e^b / (e^a + e^b) = 1 / (1 + e^(a - b)).

        It overwrites the logits b.
        """
        with torch.inference_mode():
            background, foreground = self._logits(scaled, tile_shape, report_progress)
            probability: Tensor = foreground.sub_(background).sigmoid_()
        return probability

    def _logits(
        self, scaled: Tensor, tile_shape: IntZYX, report_progress: FractionCallback | None
    ) -> Tensor:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, allow_tf32=False),  # "32" is not TF32
        ):
            return tiled_logits(
                self.fused_weights,
                scaled,
                tile_shape,
                piece_edge=PIECE_EDGE[self.device.type],
                report_progress=report_progress,
            ).float()


def _output_size(config: ModelConfig, size: int) -> int:
    output = output_size(config, size)
    assert output is not None
    return output


def report_part(report_progress: FractionCallback, index: int, total: int, fraction: float) -> None:
    """Report the fraction of the whole when `fraction` of part `index` of `total` is done."""
    report_progress((index + fraction) / total)


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


def default_tile_of(runner: NetworkRunner) -> int:
    """Return the default tile of a device, independent of its memory: about `DEFAULT_TILE`."""
    step = lattice(runner.net.config)
    return max(step, DEFAULT_TILE[runner.device.type] // step * step)


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


def predict_array(
    runner: NetworkRunner,
    raw: npt.NDArray[Any],
    tiling: Tiling,
    *,
    window: tuple[float, float] | None = None,
    mirror: bool = False,
    report_progress: FractionCallback | None = None,
) -> npt.NDArray[np.uint8]:
    """Predict the probability of foreground in tiles.

    Parameters
    ----------
    runner
        The network.
    raw
        The voxels of ``tiling.read_roi``, in [-1, 1] unless there is a `window`.
    tiling
        From `plan_tiles`.
    window
        Grey values of black and white, to scale to -1 and 1.
    mirror
        Return the mean over each tile and its mirror images.
    report_progress
        Called with the fraction that is done.

    Returns
    -------
    ndarray
        Shape ``tiling.roi.shape``, rint(255 p); 128 and more is p >= 0.5.
    """
    predicted = np.empty(tiling.roi.shape, np.uint8)
    for number, tile in enumerate(tiling.tiles):
        source = input_roi(runner.net.config, tile).shift(negate(tiling.read_roi.offset))
        report = report_progress and partial(
            report_part, report_progress, number, len(tiling.tiles)
        )
        probability = runner.probability(
            raw[source.slices], tile.shape, window=window, mirror=mirror, report_progress=report
        )
        with torch.inference_mode():
            encoded = to_host(probability.mul_(255).round_().to(torch.uint8))
        common = tile.intersect(tiling.roi)
        target = common.shift(negate(tiling.roi.offset)).slices
        predicted[target] = encoded[common.shift(negate(tile.offset)).slices]
    return predicted
