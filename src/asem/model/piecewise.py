"""What a network gives for a large tile: level by level, each level piece by piece.

`UNet.forward` makes whole feature maps, of which the finest take most of the memory and are read
and written at the speed of memory. Here each level is computed in pieces that stay near the
processor, and of each level just what the output needs (`asem.model.extent`)::

    raw --pieces--> skip 0, pooled --pieces--> skip 1, pooled --> ... lowest level
                      |                          |                      |
    out <--pieces-- level 0 <------pieces----- level 1 <-- ... <--------+

The numbers are those of `UNet.forward` but for rounding.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional

from asem.model.config import ModelConfig
from asem.model.device import describe
from asem.model.extent import Cut, grown, inputs_of, needed, read_of, twice
from asem.model.folded import Layer, Up, Weights
from asem.model.unet import KERNEL, crops
from asem.volume.grid import tile
from asem.volume.roi import Roi, Triple, negative

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Map:
    """A part of a feature map.

    Parameters
    ----------
    values
        (1, features, z, y, x).
    offset
        Place of its first voxel in the map that `UNet.forward` makes.
    """

    values: Tensor
    offset: Triple

    @classmethod
    def empty(cls, features: int, roi: Roi, like: Tensor) -> "Map":
        """Return room for a part."""
        values = torch.empty(
            (1, features, *roi.shape),
            dtype=like.dtype,
            device=like.device,
            memory_format=torch.channels_last_3d,
        )
        return cls(values, roi.offset)

    def __getitem__(self, roi: Roi) -> Tensor:
        """Return a box, which may be written to."""
        z, y, x = roi.shift(negative(self.offset)).slices
        return self.values[:, :, z, y, x]


def logits(
    weights: Weights,
    raw: Tensor,
    kept: Triple,
    *,
    piece: int,
    told: Callable[[float], None] | None = None,
) -> Tensor:
    """Compute the two classes' logits of a tile.

    Parameters
    ----------
    weights
        The network.
    raw
        Shape (z, y, x), grey values scaled to [-1, 1], on the device of the weights and of their
        dtype: a size that `UNet.forward` takes and that gives at least `kept`.
    kept
        Voxels that are wanted: the first ones of those that `UNet.forward` would give.
    piece
        Edge of what is computed at a time, voxels of each level.
    told
        Called after every piece with the share of the pieces that are done.

    Returns
    -------
    Tensor
        Shape (2, *kept), the dtype of the weights.
    """
    config, head = weights.config, weights.head
    need = needed(config, kept)
    half = max(1, piece // 2)
    levels = [(roi, half) for roi in need.source[1:]]
    levels += [(roi, piece) for roi in (*need.given[1:], Roi.whole(kept))]
    pieces = _Pieces(sum(1 for roi, edge in levels for _ in _cut(roi, edge)), told)
    source, skips = Map(raw[None, None], (0, 0, 0)), []
    for layers, pooled, skip in zip(weights.down, need.source[1:], need.skip, strict=False):
        source, skipped = _down(config, layers, source, pooled, skip, half, pieces)
        skips.append(skipped)
    give = partial(_convolved_from, config, source, weights.down[-1])
    for level in reversed(range(len(weights.up))):
        coarser = pieces.collect(need.given[level + 1], piece, give)
        give = partial(_up, config, weights.up[level], crops(config)[level], skips.pop(), coarser)
    out = pieces.collect(
        Roi.whole(kept),
        piece,
        lambda part: functional.conv3d(give(grown(part, KERNEL - 1)), *head),
    )
    return out.values[0]


class _Pieces:
    """Feature maps made piece by piece.

    Parameters
    ----------
    number
        Of all the pieces there are to be.
    told
        Called after every piece with the share that is done.
    """

    def __init__(self, number: int, told: Callable[[float], None] | None) -> None:
        self.number, self.told, self.done = number, told, 0

    def collect(self, roi: Roi, piece: int, give: Callable[[Roi], Tensor]) -> Map:
        """Collect what `give` returns for the pieces of a box."""
        whole = None
        for part in _cut(roi, piece):
            values = give(part)
            if whole is None:
                whole = Map.empty(values.shape[1], roi, values)
            whole[part].copy_(values)
            self.done += 1
            if self.told is not None:
                self.told(self.done / self.number)
        assert whole is not None
        return whole


def _cut(roi: Roi, piece: int) -> Iterator[Roi]:
    """Cut a box into pieces of about the same size, at most `piece` voxels along an axis."""
    z, y, x = (-(-size // -(-size // piece)) for size in roi.shape)
    return tile(roi, (z, y, x), origin=roi.offset)


def _convolved(x: Tensor, layers: Sequence[Layer]) -> Tensor:
    for layer in layers:
        x = _relu_of(x, layer)
    return x


def _relu_of(x: Tensor, layer: Layer, added: Tensor | None = None) -> Tensor:
    """Convolve, add, and set what is negative to 0: on NVIDIA's GPUs in one pass over the result.

    There, bias and ReLU by themselves take half as long as the convolution of 32 features.
    """
    weight, bias = layer
    if x.is_cuda and torch.version.hip is None:
        fused = _fused(x, layer, added)
        if fused is not None:
            return fused
    out = functional.conv3d(x, weight, bias)
    return (out if added is None else out.add_(added)).relu_()


def _fused(x: Tensor, layer: Layer, added: Tensor | None) -> Tensor | None:
    """Convolve, add and set what is negative to 0 in one step; None where cuDNN has no such one."""
    weight, bias = layer
    how = bias, (1, 1, 1), (0, 0, 0), (1, 1, 1), 1  # stride, padding, dilation, groups
    try:
        if added is None:
            return torch.cudnn_convolution_relu(x, weight, *how)
        return torch.cudnn_convolution_add_relu(x, weight, added, 1.0, *how)
    except RuntimeError as error:
        if "engine" not in str(error):
            raise  # else cuDNN has none for this card, or no memory for it
        _warn_of_fallback(describe(x.device), str(x.dtype))
        return None


@lru_cache
def _warn_of_fallback(card: str, dtype: str) -> None:
    """Log, once in a process for each card and dtype, that there is no fused convolution."""
    LOG.warning(
        "cuDNN finds no fused convolution, bias and ReLU for %s on %s: they run one after the "
        "other, with the same result but slower",
        dtype,
        card,
    )


def _convolved_from(
    config: ModelConfig, source: Map, layers: Sequence[Layer], given: Roi
) -> Tensor:
    """Return a part of what a level's convolutions on the way down give."""
    return _convolved(source[read_of(config, given)], layers)


def _down(
    config: ModelConfig,
    layers: Sequence[Layer],
    source: Map,
    pooled: Roi,
    skip: Roi,
    piece: int,
    pieces: _Pieces,
) -> tuple[Map, Map]:
    """Compute a level on the way down: what the next one reads, and what the way up will."""
    skipped = Map.empty(len(layers[-1][1]), skip, source.values)

    def give(part: Roi) -> Tensor:
        fine = twice(part)
        values = _convolved_from(config, source, layers, fine)
        common = fine.intersect(skip)
        if common.size:
            skipped[common].copy_(Map(values, fine.offset)[common])
        return functional.max_pool3d(values, 2)

    return pieces.collect(pooled, piece, give), skipped


def _up(config: ModelConfig, up: Up, cut: Cut, skip: Map, coarser: Map, given: Roi) -> Tensor:
    """Return a part of what a level gives on the way up."""
    of_skip, of_coarser = inputs_of(config, given, cut)
    doubled = _interleaved(functional.conv3d(coarser[of_coarser], up.doubled))
    # The first doubled voxel may be the second one of its pair.
    first = [(o + cut[1][0]) % 2 for o in given.offset]
    sizes = grown(of_skip, 1 - KERNEL).shape
    z, y, x = (slice(o, o + size) for o, size in zip(first, sizes, strict=True))
    return _convolved(_relu_of(skip[of_skip], up.skip, doubled[:, :, z, y, x]), up.rest)


def _interleaved(x: Tensor) -> Tensor:
    """Turn eight sets of features, one for each parity (z, y, x), into eight voxels."""
    _, features, z, y, w = x.shape
    parts = x.permute(0, 2, 3, 4, 1).reshape(z, y, w, 2, 2, 2, features // 8)
    fine = parts.permute(0, 3, 1, 4, 2, 5, 6).reshape(1, 2 * z, 2 * y, 2 * w, features // 8)
    return fine.permute(0, 4, 1, 2, 3)
