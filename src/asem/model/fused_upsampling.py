"""Weights for `tiled_forward`: batch norm folded in, upsampling fused with the next convolution.

- Batch norm is a factor and an offset per feature; the factor is multiplied into the weights.
- A 3-wide convolution of a map that was upsampled by 2 reads, along each axis, two voxels of the
  coarser map: the weights w0, w1, w2 act as w0 + w1 and w2 on an even output voxel, as w0 and
  w1 + w2 on an odd one. That is one 2 x 2 x 2 convolution of the coarser map with eight times as
  many features, one set per parity: 8 products instead of 27.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asem.model.config import ModelConfig
from asem.model.unet import UNet

ConvolutionWeights = tuple[Tensor, Tensor]
"""Weight and bias of a convolution."""


@dataclass(frozen=True)
class UpLevelWeights:
    """Convolutions of a decoder level.

    Parameters
    ----------
    skip
        Part of the first convolution that reads the skip connection.
    upsampled
        Part of the first convolution that reads the coarser map: (8 n, coarser features, 2, 2, 2),
        ordered by the parity (z, y, x) of the output voxel, then by feature.
    following
        The further convolutions.
    """

    skip: ConvolutionWeights
    upsampled: Tensor
    following: tuple[ConvolutionWeights, ...]


@dataclass(frozen=True)
class FusedWeights:
    """Weights of a network for `tiled_logits`.

    Parameters
    ----------
    config
        Shape of the network.
    down, up
        Per level of encoder and decoder, the finest first; the coarsest level has no `up`.
    head
        The last convolution.
    """

    config: ModelConfig
    down: tuple[tuple[ConvolutionWeights, ...], ...]
    up: tuple[UpLevelWeights, ...]
    head: ConvolutionWeights

    @classmethod
    @torch.no_grad()
    def from_network(cls, net: UNet, dtype: torch.dtype) -> "FusedWeights":
        """Convert a network in evaluation mode to the precision of `dtype`."""
        down = [_fold_batch_norm(block) for block in net.down]
        (head,) = _fold_batch_norm(net.head)
        ups = []
        for layers, block in zip(down, net.up, strict=False):
            (weight, bias), *rest = _fold_batch_norm(block)
            features = len(layers[-1][1])
            upsampled = _fuse_upsampling(weight[:, features:])
            ups.append(UpLevelWeights((weight[:, :features], bias), upsampled, tuple(rest)))

        def converted(weight: Tensor) -> Tensor:
            return weight.to(dtype).contiguous(memory_format=torch.channels_last_3d)

        def convert(layers: Iterable[ConvolutionWeights]) -> tuple[ConvolutionWeights, ...]:
            return tuple((converted(weight), bias.to(dtype)) for weight, bias in layers)

        return cls(
            net.config,
            tuple(map(convert, down)),
            tuple(
                UpLevelWeights(
                    convert([up.skip])[0], converted(up.upsampled), convert(up.following)
                )
                for up in ups
            ),
            convert([head])[0],
        )


def _fold_batch_norm(block: nn.Module) -> list[ConvolutionWeights]:
    """Return convolutions with the batch norm that follows each folded in, float64."""
    layers: list[ConvolutionWeights] = []
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


def _fuse_upsampling(weight: Tensor) -> Tensor:
    """Convert weights (n, m, 3, 3, 3) on upsampled voxels to (8 n, m, 2, 2, 2) on coarser ones."""
    even, odd = [[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]
    sums = weight.new_tensor([even, odd])  # (parity, coarser voxel, upsampled voxel)
    return torch.einsum("nmzyx,paz,qby,rcx->pqrnmabc", weight, sums, sums, sums).flatten(0, 3)
