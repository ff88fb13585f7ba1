"""A network's weights, arranged for `asem.model.piecewise`.

- Batch norm is a factor and an offset for each feature, and is multiplied into the weights.
- A 3-wide convolution of voxels that were doubled reads, along each axis, two voxels of the coarser
  map: the weights w0, w1, w2 act as w0 + w1 and w2 on an even output voxel, as w0 and w1 + w2 on an
  odd one. That is one 2 x 2 x 2 convolution of the coarser map with eight times as many features,
  one set for each parity: 8 products instead of 27.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asem.model.config import ModelConfig
from asem.model.unet import UNet

Layer = tuple[Tensor, Tensor]
"""Weight and bias of a convolution."""


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
