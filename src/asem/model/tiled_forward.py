"""Forward pass of a large tile with bounded memory: level by level, each level in pieces.

`UNet.forward` computes whole feature maps, of which the finest take most of the memory and are
limited by its bandwidth. Here each level is computed in pieces that fit in the processor's cache,
and only where the output depends on it (`asem.model.receptive_field`)::

    raw --pieces--> skip 0, pooled --pieces--> skip 1, pooled --> ... coarsest level
                      |                          |                      |
    out <--pieces-- level 0 <------pieces----- level 1 <-- ... <--------+

The values equal those of `UNet.forward` up to rounding.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional

from asem.model.config import ModelConfig
from asem.model.device import describe_device
from asem.model.fused_upsampling import ConvolutionWeights, FusedWeights, UpLevelWeights
from asem.model.receptive_field import (
    LevelCrop,
    convolution_input_of,
    find_required_input,
    pad_end,
    pooling_input_of,
    upward_inputs_of,
)
from asem.model.unet import KERNEL, level_crops
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import IntZYX, Roi, negate, per_axis

LOG = logging.getLogger(__name__)
PIECE_EDGE = {"cpu": 64, "cuda": 256}
"""Edge of the pieces of a level, voxels: small for a CPU's cache, large for a GPU."""


@dataclass(frozen=True)
class FeatureMap:
    """Part of a feature map.

    Parameters
    ----------
    values
        (1, features, z, y, x).
    offset
        Position of its first voxel in the whole map of `UNet.forward`.
    """

    values: Tensor
    offset: IntZYX

    @classmethod
    def empty(cls, features: int, roi: Roi, like: Tensor) -> "FeatureMap":
        """Allocate a part, uninitialized."""
        values = torch.empty(
            (1, features, *roi.shape),
            dtype=like.dtype,
            device=like.device,
            memory_format=torch.channels_last_3d,
        )
        return cls(values, roi.offset)

    def __getitem__(self, roi: Roi) -> Tensor:
        """Return a view of a box."""
        z, y, x = roi.shift(negate(self.offset)).slices
        return self.values[:, :, z, y, x]


def tiled_logits(
    weights: FusedWeights,
    raw: Tensor,
    tile_shape: IntZYX,
    *,
    piece_edge: int,
    report_progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Compute the logits of the two classes in a tile.

    Parameters
    ----------
    weights
        The network.
    raw
        Shape (z, y, x), grey values scaled to [-1, 1], on the device of the weights and of their
        dtype: a valid input size whose output is at least `tile_shape`.
    tile_shape
        Shape of the output: the first voxels of the output of `UNet.forward`.
    piece_edge
        Edge of the pieces, voxels of each level.
    report_progress
        Called after every piece with the fraction of the pieces that are done.

    Returns
    -------
    Tensor
        Shape (2, *tile_shape), the dtype of the weights.
    """
    config, head = weights.config, weights.head
    required = find_required_input(config, tile_shape)
    half = max(1, piece_edge // 2)
    levels = [(roi, half) for roi in required.inputs[1:]]
    levels += [(roi, piece_edge) for roi in (*required.outputs[1:], Roi.of_shape(tile_shape))]
    pieces = _PieceCollector(
        sum(1 for roi, edge in levels for _ in _split_box(roi, edge)), report_progress
    )
    source, skips = FeatureMap(raw[None, None], (0, 0, 0)), []
    down_levels = zip(weights.down, required.inputs[1:], required.skips, strict=False)
    for layers, pooled_roi, skip_roi in down_levels:
        source, skip = _run_down_level(config, layers, source, pooled_roi, skip_roi, half, pieces)
        skips.append(skip)
    compute = partial(_convolve_box, config, source, weights.down[-1])
    for level in reversed(range(len(weights.up))):
        coarser = pieces.collect(required.outputs[level + 1], piece_edge, compute)
        compute = partial(
            _run_up_level,
            config,
            weights.up[level],
            level_crops(config)[level],
            skips.pop(),
            coarser,
        )
    logits = pieces.collect(
        Roi.of_shape(tile_shape),
        piece_edge,
        lambda piece: functional.conv3d(compute(pad_end(piece, KERNEL - 1)), *head),
    )
    return logits.values[0]


class _PieceCollector:
    """Computes feature maps piece by piece.

    Parameters
    ----------
    total
        Number of pieces of all feature maps.
    report_progress
        Called after every piece with the fraction of the pieces that are done.
    """

    def __init__(self, total: int, report_progress: Callable[[float], None] | None) -> None:
        self.total, self.report_progress, self.done = total, report_progress, 0

    def collect(self, roi: Roi, piece_edge: int, compute: Callable[[Roi], Tensor]) -> FeatureMap:
        """Call `compute` for each piece of a box and assemble the results."""
        whole = None
        for piece in _split_box(roi, piece_edge):
            values = compute(piece)
            if whole is None:
                whole = FeatureMap.empty(values.shape[1], roi, values)
            whole[piece].copy_(values)
            self.done += 1
            if self.report_progress is not None:
                self.report_progress(self.done / self.total)
        assert whole is not None
        return whole


def _split_box(roi: Roi, piece_edge: int) -> Iterator[Roi]:
    """Split a box into pieces of about the same size, at most `piece_edge` voxels along an axis."""
    shape = per_axis(lambda size: -(-size // -(-size // piece_edge)), roi.shape)
    return split_into_blocks(roi, shape, origin=roi.offset)


def _convolve(x: Tensor, layers: Sequence[ConvolutionWeights]) -> Tensor:
    for layer in layers:
        x = _convolve_relu(x, layer)
    return x


def _convolve_relu(x: Tensor, layer: ConvolutionWeights, added: Tensor | None = None) -> Tensor:
    """Return ReLU(convolution + bias + added); on NVIDIA's GPUs in one pass over the result.

    There, separate bias and ReLU take half as long as the convolution of 32 features.
    """
    weight, bias = layer
    if x.is_cuda and torch.version.hip is None:
        fused = _convolve_relu_fused(x, layer, added)
        if fused is not None:
            return fused
    convolved = functional.conv3d(x, weight, bias)
    return (convolved if added is None else convolved.add_(added)).relu_()


def _convolve_relu_fused(
    x: Tensor, layer: ConvolutionWeights, added: Tensor | None
) -> Tensor | None:
    """Return ReLU(convolution + bias + added) by one cuDNN call; None if cuDNN has none for it."""
    weight, bias = layer
    options = bias, (1, 1, 1), (0, 0, 0), (1, 1, 1), 1  # stride, padding, dilation, groups
    try:
        if added is None:
            return torch.cudnn_convolution_relu(x, weight, *options)
        return torch.cudnn_convolution_add_relu(x, weight, added, 1.0, *options)
    except RuntimeError as error:
        if "engine" not in str(error):
            raise  # "engine": none for this GPU, or no memory for it
        _warn_unfused(describe_device(x.device), str(x.dtype))
        return None


@lru_cache
def _warn_unfused(device: str, dtype: str) -> None:
    """Log, once per process, device and dtype, that there is no fused convolution."""
    LOG.warning(
        "cuDNN has no fused convolution, bias and ReLU for %s on %s: they run one after the "
        "other, with the same result but slower",
        dtype,
        device,
    )


def _convolve_box(
    config: ModelConfig, source: FeatureMap, layers: Sequence[ConvolutionWeights], output: Roi
) -> Tensor:
    """Return a box of the output of an encoder level's convolutions."""
    return _convolve(source[convolution_input_of(config, output)], layers)


def _run_down_level(
    config: ModelConfig,
    layers: Sequence[ConvolutionWeights],
    source: FeatureMap,
    pooled_roi: Roi,
    skip_roi: Roi,
    piece_edge: int,
    pieces: _PieceCollector,
) -> tuple[FeatureMap, FeatureMap]:
    """Compute an encoder level: the pooled map for the next level, and the skip connection."""
    skip = FeatureMap.empty(len(layers[-1][1]), skip_roi, source.values)

    def compute(piece: Roi) -> Tensor:
        fine = pooling_input_of(piece)
        values = _convolve_box(config, source, layers, fine)
        common = fine.intersect(skip_roi)
        if common.size:
            skip[common].copy_(FeatureMap(values, fine.offset)[common])
        return functional.max_pool3d(values, 2)

    return pieces.collect(pooled_roi, piece_edge, compute), skip


def _run_up_level(
    config: ModelConfig,
    up: UpLevelWeights,
    crop: LevelCrop,
    skip: FeatureMap,
    coarser: FeatureMap,
    output: Roi,
) -> Tensor:
    """Return a box of the output of a decoder level."""
    skip_roi, coarser_roi = upward_inputs_of(config, output, crop)
    upsampled = _interleave(functional.conv3d(coarser[coarser_roi], up.upsampled))
    # The first upsampled voxel may be the second one of its pair.
    first = per_axis(lambda offset: (offset + crop[1][0]) % 2, output.offset)
    z, y, x = Roi(first, pad_end(skip_roi, 1 - KERNEL).shape).slices
    summed = _convolve_relu(skip[skip_roi], up.skip, upsampled[:, :, z, y, x])
    return _convolve(summed, up.following)


def _interleave(x: Tensor) -> Tensor:
    """Rearrange eight sets of features, one per parity (z, y, x), to eight voxels."""
    _, features, z, y, w = x.shape
    parts = x.permute(0, 2, 3, 4, 1).reshape(z, y, w, 2, 2, 2, features // 8)
    fine = parts.permute(0, 3, 1, 4, 2, 5, 6).reshape(1, 2 * z, 2 * y, 2 * w, features // 8)
    return fine.permute(0, 4, 1, 2, 3)
