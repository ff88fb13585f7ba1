"""3D U-Net of the paper with valid convolutions; its valid input sizes, output sizes and context.

::

    in   1 -> 32 -> 32 ------------ crop, concatenate ----------> 32 -> 32 -> 2  out
                    |  pool 2                     upsample 2, crop |
                   64 -> 64 ------- crop, concatenate ---> 64 -> 64
                         |                               |
                       128 -> 128 - concatenate -> 128 -> 128
                               |                 |
                              256 -> 256 ---------        each arrow a 3 x 3 x 3 convolution
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from asem.model.config import ModelConfig

KERNEL = 3
CLASSES = 2
"""Background, foreground."""
BATCH_NORM_MOMENTUM = 0.05
"""Statistics at inference average over about the last 20 batches, since batches are small."""


class UNet(nn.Module):
    """3D U-Net of the paper (Model architecture; 5,837,730 parameters at the defaults).

    Parameters
    ----------
    config
        Shape of the network.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.features_per_level
        inputs = [1, *widths]
        self.down = nn.ModuleList(
            _make_level(inputs[level], width, config) for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(
            _make_level(width + below, width, config) for width, below in pairwise(widths)
        )
        self.head = nn.Conv3d(widths[0], CLASSES, KERNEL)

    def forward(self, raw: Tensor) -> Tensor:
        """Compute the logits of the two classes.

        Parameters
        ----------
        raw
            Shape (n, 1, z, y, x), grey values scaled to [-1, 1]; each axis of a valid size (see
            `output_size`).

        Returns
        -------
        Tensor
            Shape (n, 2, z - 2c, y - 2c, x - 2c) with the context c.
        """
        skips: list[Tensor] = []
        x = raw
        for level, block in enumerate(self.down):
            x = block(functional.max_pool3d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for level in reversed(range(len(self.up))):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            sizes = [crop_size(self.config, level, size) for size in x.shape[2:]]
            x = self.up[level](
                torch.cat([_crop_center(skips[level], sizes), _crop_center(x, sizes)], 1)
            )
        logits: Tensor = self.head(x)
        return logits


def _make_level(features_in: int, features: int, config: ModelConfig) -> nn.Sequential:
    def layers() -> Iterator[nn.Module]:
        for number in range(config.convolutions):
            normed = config.norm == "batch"
            yield nn.Conv3d(features if number else features_in, features, KERNEL, bias=not normed)
            if normed:
                yield nn.BatchNorm3d(features, momentum=BATCH_NORM_MOMENTUM)
            yield nn.ReLU(inplace=True)

    return nn.Sequential(*layers())


def _crop_center(x: Tensor, sizes: list[int]) -> Tensor:
    z, y, w = ((size - cropped) // 2 for size, cropped in zip(x.shape[2:], sizes, strict=True))
    return x[:, :, z : z + sizes[0], y : y + sizes[1], w : w + sizes[2]]


def initialize_weights(net: nn.Module, generator: torch.Generator) -> None:
    """Draw random weights for ReLU layers (He et al., 2015); set biases to zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _shrinkage(config: ModelConfig) -> int:
    """Return the voxels that the convolutions of one level consume along an axis."""
    voxels: int = config.convolutions * (KERNEL - 1)
    return voxels


def crop_size(config: ModelConfig, level: int, size: int) -> int:
    """Return the size to which `size` upsampled voxels are cropped at a level of the decoder.

    The output size of the convolutions that follow is a multiple of all poolings from this level
    down, which makes the network equivariant to shifts by `lattice` voxels.
    """
    pooled, shrinkage = 1 << (config.levels - 1 - level), _shrinkage(config)
    return (size - shrinkage) // pooled * pooled + shrinkage


def lattice(config: ModelConfig) -> int:
    """Return the shift in voxels to which the network is equivariant: 8 for the paper's."""
    return 1 << (config.levels - 1)


def output_size(config: ModelConfig, size: int) -> int | None:
    """Return the output size for an input of `size` voxels; None if that is no valid input size.

    Examples
    --------
    >>> output_size(ModelConfig(), 204), output_size(ModelConfig(), 205)
    (110, None)
    """
    shrinkage = _shrinkage(config)
    for level in range(config.levels):
        if level:
            if size % 2:
                return None
            size //= 2
        size -= shrinkage
        if size < 1:
            return None
    for level in reversed(range(config.levels - 1)):
        size = crop_size(config, level, 2 * size) - shrinkage
        if size < 1:
            return None
    size -= KERNEL - 1
    return size if size >= 1 else None


def level_crops(config: ModelConfig) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return what each decoder level crops, the same for every valid input size.

    Returns
    -------
    list
        For each level but the coarsest, the finest first: voxels cropped at the start and at the
        end of the skip connection's feature maps, and of the upsampled ones.

    Examples
    --------
    >>> level_crops(ModelConfig())
    [((42, 42), (2, 2)), ((16, 16), (0, 0)), ((4, 4), (0, 0))]
    """
    sizes, size = [], valid_input_size(config)
    for level in range(config.levels):
        size = (size // 2 if level else size) - _shrinkage(config)
        sizes.append(size)
    crops = []
    for level in reversed(range(config.levels - 1)):
        cropped = crop_size(config, level, 2 * size)
        excess = (sizes[level] - cropped, 2 * size - cropped)
        skip, upsampled = ((voxels // 2, voxels - voxels // 2) for voxels in excess)
        crops.append((skip, upsampled))
        size = cropped - _shrinkage(config)
    return crops[::-1]


def valid_input_size(config: ModelConfig, at_least: int = 1) -> int:
    """Return the smallest input size whose output has `at_least` so many voxels.

    Examples
    --------
    >>> valid_input_size(ModelConfig(), 104), valid_input_size(ModelConfig())
    (204, 100)
    """
    size = at_least
    while (output_size(config, size) or 0) < at_least:
        size += 1
    return size


def output_margin(config: ModelConfig) -> int:
    """Return the voxels to crop from each side, so that a multiple of the lattice remains.

    Examples
    --------
    >>> output_margin(ModelConfig())
    3
    """
    size = output_size(config, valid_input_size(config, lattice(config)))
    assert size is not None
    return size % lattice(config) // 2


def context(config: ModelConfig) -> int:
    """Return the voxels that valid convolutions consume on each side: 47 for the paper's network.

    Examples
    --------
    >>> context(ModelConfig())
    47
    """
    size = valid_input_size(config)
    output = output_size(config, size)
    assert output is not None
    return (size - output) // 2


def context_behind(config: ModelConfig) -> int:
    """Return the largest distance of an input voxel behind an output voxel that depends on it.

    The smallest tile has one lattice step of output; this is what it reads behind its first voxel.

    Examples
    --------
    >>> context_behind(ModelConfig())
    60
    """
    return valid_input_size(config, lattice(config)) - context(config) - 1
