"""Inference of a network: the probability of one tile, or of an array in tiles."""

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
from asem.model.tiled_forward import PIECE_EDGE, tiled_logits
from asem.model.tiling import Tiling, input_roi
from asem.model.unet import UNet, output_size
from asem.volume.contrast import fits_float32, scale_to_unit
from asem.volume.roi import IntZYX, add, negate, per_axis, subtract

FractionCallback = Callable[[float], None]
"""Progress callback: called with the fraction of the work that is done."""
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
