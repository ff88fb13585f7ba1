"""What a network gives for a large tile: level by level, each level piece by piece.

`UNet.forward` makes whole feature maps, of which the finest take most of the memory and are read
and written at the speed of memory. Here each level is computed in pieces that stay near the
processor, and of each level just what the output needs::

    raw --pieces--> skip 0, pooled --pieces--> skip 1, pooled --> ... lowest level
                      |                          |                      |
    out <--pieces-- level 0 <------pieces----- level 1 <-- ... <--------+

The numbers are those of `UNet.forward` but for rounding. Two things are arranged anew:

- Batch norm is a factor and an offset for each feature, and is multiplied into the weights.
- A 3-wide convolution of voxels that were doubled reads, along each axis, two voxels of the coarser
  map: the weights w0, w1, w2 act as w0 + w1 and w2 on an even output voxel, as w0 and w1 + w2 on an
  odd one. That is one 2 x 2 x 2 convolution of the coarser map with eight times as many features,
  one set for each parity: 8 products instead of 27.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from asem.model.config import ModelConfig
from asem.model.unet import CLASSES, KERNEL, UNet, crops
from asem.volume.grid import tile
from asem.volume.roi import Roi, Triple, add, negative

Layer = tuple[Tensor, Tensor]
"""Weight and bias of a convolution."""
Cut = tuple[tuple[int, int], tuple[int, int]]
"""An item of `crops`."""


@dataclass(frozen=True)
class Up:
    """The convolutions of a level on the way up.

    Parameters
    ----------
    skip
        Of the first one, what reads the skipped map.
    doubled
        Of the first one, what reads the coarser map: (8 n, features below, 2, 2, 2), ordered by the
        parity (z, y, x) of the output voxel, then by feature.
    rest
        The further ones.
    """

    skip: Layer
    doubled: Tensor
    rest: tuple[Layer, ...]


@dataclass(frozen=True)
class Weights:
    """A network's weights, arranged for `logits`.

    Parameters
    ----------
    config
        Shape of the network.
    down, up
        Per level, the finest first; the lowest level has no `up`.
    head
        The last convolution.
    """

    config: ModelConfig
    down: tuple[tuple[Layer, ...], ...]
    up: tuple[Up, ...]
    head: Layer

    @classmethod
    @torch.no_grad()
    def of(cls, net: UNet, dtype: torch.dtype) -> "Weights":
        """Take over a network in evaluation mode, in the precision of `dtype`."""
        down = [_folded(block) for block in net.down]
        (head,) = _folded(net.head)
        ups = []
        for layers, block in zip(down, net.up, strict=False):
            (weight, bias), *rest = _folded(block)
            features = len(layers[-1][1])
            doubled = _doubled(weight[:, features:])
            ups.append(Up((weight[:, :features], bias), doubled, tuple(rest)))

        def stored(weight: Tensor) -> Tensor:
            return weight.to(dtype).contiguous(memory_format=torch.channels_last_3d)

        def layers_of(some: Iterable[Layer]) -> tuple[Layer, ...]:
            return tuple((stored(weight), bias.to(dtype)) for weight, bias in some)

        return cls(
            net.config,
            tuple(map(layers_of, down)),
            tuple(
                Up(layers_of([up.skip])[0], stored(up.doubled), layers_of(up.rest)) for up in ups
            ),
            layers_of([head])[0],
        )


def _folded(block: nn.Module) -> list[Layer]:
    """Return convolutions with their batch norms multiplied in, float64."""
    layers: list[Layer] = []
    for module in block.modules():
        if isinstance(module, nn.Conv3d):
            weight = module.weight.double()
            bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.double()
            layers.append((weight, bias))
        elif isinstance(module, nn.BatchNorm3d):
            assert module.running_mean is not None
            assert module.running_var is not None
            weight, bias = layers.pop()
            gain = module.weight / (module.running_var.double() + module.eps).sqrt()
            bias = (bias - module.running_mean) * gain + module.bias
            layers.append((weight * gain.view(-1, 1, 1, 1, 1), bias))
    return layers


def _doubled(weight: Tensor) -> Tensor:
    """Turn the weights (n, m, 3, 3, 3) on doubled voxels into (8 n, m, 2, 2, 2) on the voxels."""
    even, odd = [[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]
    sums = weight.new_tensor([even, odd])  # (parity, voxel of the coarser map, doubled voxel)
    return torch.einsum("nmzyx,paz,qby,rcx->pqrnmabc", weight, sums, sums, sums).flatten(0, 3)


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


@dataclass(frozen=True)
class Needed:
    """What the output needs of each level, the finest first.

    Parameters
    ----------
    given
        Of what the level gives: on the way up, or at the lowest level.
    skip
        Of what its convolutions on the way down give, for the way up; not of the lowest level.
    source
        Of what goes into the level: raw, or the pooled map.
    """

    given: tuple[Roi, ...]
    skip: tuple[Roi, ...]
    source: tuple[Roi, ...]


def needed(config: ModelConfig, kept: Triple) -> Needed:
    """Work out backwards from the output what it needs."""
    given, skips = [_grown(Roi.whole(kept), KERNEL - 1)], []
    for cut in crops(config):
        of_skip, of_coarser = _inputs(config, given[-1], cut)
        skips.append(of_skip)
        given.append(of_coarser)
    sources = [_read(config, given[-1])]
    for _ in skips:
        sources.append(_read(config, _twice(sources[-1])))
    return Needed(tuple(given), tuple(skips), tuple(sources[::-1]))


def memory_of(config: ModelConfig, kept: Triple, *, item: int, piece: int) -> int:
    """Estimate the bytes that `logits` takes at most at a time.

    Parameters
    ----------
    config
        The network.
    kept
        Shape of what a tile keeps.
    item
        Bytes of a number.
    piece
        Edge of what is computed at a time.
    """
    need = needed(config, kept)
    widths = [config.features * config.growth**level for level in range(config.levels)]
    skips = [w * roi.size for w, roi in zip(widths, need.skip, strict=False)]
    sources = [w * roi.size for w, roi in zip([1, *widths], need.source, strict=False)]
    given = [w * roi.size for w, roi in zip(widths, need.given, strict=True)]
    given[0] = CLASSES * 2 * Roi.whole(kept).size  # and the same in float32
    down = [sum(skips[: n + 1]) + sum(sources[n : n + 2]) for n in range(len(skips))]
    up = [sum(skips[: n + 1]) + sum(given[n : n + 2]) for n in range(len(skips))]
    lowest = sum(skips) + sources[-1] + given[-1]
    # A piece's copies of what it reads, its parities apart and interleaved, two convolutions.
    reads = [_read(config, roi).shape for roi in need.given]
    edges = [
        (w, [min(piece + 8, n) for n in shape]) for w, shape in zip(widths, reads, strict=True)
    ]
    workspace = max(6 * w * z * y * x for w, (z, y, x) in edges)
    return int(item * (max([lowest, *down, *up]) + sources[0] + workspace))


def flops_of(config: ModelConfig, kept: Triple) -> int:
    """Return the operations that the convolutions of a tile take at least.

    A product and a sum are two; the pieces' halos, which are computed twice, do not count.

    Examples
    --------
    >>> round(flops_of(ModelConfig(), (256, 256, 256)) / 256**3)  # of a voxel; 204^3 blocks: 1.18e6
    567236
    """
    need, last = needed(config, kept), config.convolutions - 1
    widths = [config.features * config.growth**level for level in range(config.levels)]
    products: int = Roi.whole(kept).size * widths[0] * CLASSES * KERNEL**3
    for level, (width, source) in enumerate(zip(widths, need.source, strict=True)):
        wide = widths[level - 1] if level else 1
        for number in range(config.convolutions):
            out = _grown(source, -(number + 1) * (KERNEL - 1))
            products += out.size * width * KERNEL**3 * (width if number else wide)
    for width, below, given in zip(widths, widths[1:], need.given, strict=False):
        for number in range(config.convolutions):
            out = _grown(given, (last - number) * (KERNEL - 1))
            read = width * KERNEL**3 + (0 if number else below * 2**3)
            products += out.size * width * read
    return 2 * products


def _inputs(config: ModelConfig, given: Roi, cut: Cut) -> tuple[Roi, Roi]:
    """Return what a level on the way up reads of the skipped and of the coarser map."""
    (skip, _), (doubled, _) = cut
    read = _read(config, given)
    fine = read.shift((doubled, doubled, doubled))
    coarser = Roi.between([o // 2 for o in fine.offset], [-(-e // 2) for e in fine.end])
    return read.shift((skip, skip, skip)), coarser


def _read(config: ModelConfig, given: Roi) -> Roi:
    """Return what the convolutions of a level read to give a box."""
    return _grown(given, config.convolutions * (KERNEL - 1))


def _grown(roi: Roi, by: int) -> Roi:
    return Roi(roi.offset, add(roi.shape, (by, by, by)))


def _twice(roi: Roi) -> Roi:
    return Roi(add(roi.offset, roi.offset), add(roi.shape, roi.shape))


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
        lambda part: functional.conv3d(give(_grown(part, KERNEL - 1)), *head),
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
        how = bias, (1, 1, 1), (0, 0, 0), (1, 1, 1), 1  # stride, padding, dilation, groups
        if added is None:
            return torch.cudnn_convolution_relu(x, weight, *how)
        return torch.cudnn_convolution_add_relu(x, weight, added, 1.0, *how)
    out = functional.conv3d(x, weight, bias)
    return (out if added is None else out.add_(added)).relu_()


def _convolved_from(
    config: ModelConfig, source: Map, layers: Sequence[Layer], given: Roi
) -> Tensor:
    """Return a part of what a level's convolutions on the way down give."""
    return _convolved(source[_read(config, given)], layers)


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
        fine = _twice(part)
        values = _convolved_from(config, source, layers, fine)
        common = fine.intersect(skip)
        if common.size:
            skipped[common].copy_(Map(values, fine.offset)[common])
        return functional.max_pool3d(values, 2)

    return pieces.collect(pooled, piece, give), skipped


def _up(config: ModelConfig, up: Up, cut: Cut, skip: Map, coarser: Map, given: Roi) -> Tensor:
    """Return a part of what a level gives on the way up."""
    of_skip, of_coarser = _inputs(config, given, cut)
    doubled = _interleaved(functional.conv3d(coarser[of_coarser], up.doubled))
    # The first doubled voxel may be the second one of its pair.
    first = [(o + cut[1][0]) % 2 for o in given.offset]
    sizes = _grown(of_skip, 1 - KERNEL).shape
    z, y, x = (slice(o, o + size) for o, size in zip(first, sizes, strict=True))
    return _convolved(_relu_of(skip[of_skip], up.skip, doubled[:, :, z, y, x]), up.rest)


def _interleaved(x: Tensor) -> Tensor:
    """Turn eight sets of features, one for each parity (z, y, x), into eight voxels."""
    _, features, z, y, w = x.shape
    parts = x.permute(0, 2, 3, 4, 1).reshape(z, y, w, 2, 2, 2, features // 8)
    fine = parts.permute(0, 3, 1, 4, 2, 5, 6).reshape(1, 2 * z, 2 * y, 2 * w, features // 8)
    return fine.permute(0, 4, 1, 2, 3)
