"""The paper's 3D U-Net with valid convolutions, and which sizes it takes.

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
"""The statistics used at inference are those of about the last 20 batches; they are small."""


class UNet(nn.Module):
    """3D U-Net of the paper (Model architecture; 5,837,730 parameters at the defaults).

    Parameters
    ----------
    config
        Its shape.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.features * config.growth**level for level in range(config.levels)]
        ins = [1, *widths]
        self.down = nn.ModuleList(
            _convolutions(ins[level], width, config) for level, width in enumerate(widths)
        )
        self.up = nn.ModuleList(
            _convolutions(width + below, width, config) for width, below in pairwise(widths)
        )
        self.head = nn.Conv3d(widths[0], CLASSES, KERNEL)

    def forward(self, raw: Tensor) -> Tensor:
        """Compute the two classes' logits.

        Parameters
        ----------
        raw
            Shape (n, 1, z, y, x), grey values scaled to [-1, 1]; each axis a size that
            `output_size` takes.

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
            x = self.up[level](torch.cat([_cropped(skips[level], sizes), _cropped(x, sizes)], 1))
        logits: Tensor = self.head(x)
        return logits


def _convolutions(features_in: int, features: int, config: ModelConfig) -> nn.Sequential:
    def layers() -> Iterator[nn.Module]:
        for number in range(config.convolutions):
            normed = config.norm == "batch"
            yield nn.Conv3d(features if number else features_in, features, KERNEL, bias=not normed)
            if normed:
                yield nn.BatchNorm3d(features, momentum=BATCH_NORM_MOMENTUM)
            yield nn.ReLU(inplace=True)

    return nn.Sequential(*layers())


def _cropped(x: Tensor, sizes: list[int]) -> Tensor:
    z, y, w = ((have - want) // 2 for have, want in zip(x.shape[2:], sizes, strict=True))
    return x[:, :, z : z + sizes[0], y : y + sizes[1], w : w + sizes[2]]


def initialize(net: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights for ReLU layers (He et al., 2015); biases are zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _shrinkage(config: ModelConfig) -> int:
    """Voxels that the convolutions of one level take from an axis."""
    taken: int = config.convolutions * (KERNEL - 1)
    return taken


def crop_size(config: ModelConfig, level: int, size: int) -> int:
    """Return what is kept of `size` upsampled voxels before the convolutions of `level`.

    What the convolutions leave is a multiple of all the pooling from this level down, which makes
    the output equivariant to shifts by `lattice` voxels.
    """
    pooled, shrinkage = 1 << (config.levels - 1 - level), _shrinkage(config)
    return (size - shrinkage) // pooled * pooled + shrinkage


def lattice(config: ModelConfig) -> int:
    """Return the shift in voxels to which the output is equivariant: 8 for the paper's network."""
    return 1 << (config.levels - 1)


def output_size(config: ModelConfig, size: int) -> int | None:
    """Return how many voxels come out where `size` go in; None for a size it does not take.

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


def crops(config: ModelConfig) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return what each level on the way up cuts off, the same for every size that is taken.

    Returns
    -------
    list
        For each level but the lowest, the finest first: voxels before and behind that are cut off
        the skipped feature maps, and off the upsampled ones.

    Examples
    --------
    >>> crops(ModelConfig())
    [((42, 42), (2, 2)), ((16, 16), (0, 0)), ((4, 4), (0, 0))]
    """
    sizes, size = [], valid_input(config)
    for level in range(config.levels):
        size = (size // 2 if level else size) - _shrinkage(config)
        sizes.append(size)
    found = []
    for level in reversed(range(config.levels - 1)):
        wanted = crop_size(config, level, 2 * size)
        cuts = [(have - wanted, (have - wanted) // 2) for have in (sizes[level], 2 * size)]
        skip, upsampled = ((before, cut - before) for cut, before in cuts)
        found.append((skip, upsampled))
        size = wanted - _shrinkage(config)
    return found[::-1]


def valid_input(config: ModelConfig, at_least: int = 1) -> int:
    """Return the smallest input size that gives `at_least` so many voxels of output.

    Examples
    --------
    >>> valid_input(ModelConfig(), 104), valid_input(ModelConfig())
    (204, 100)
    """
    size = at_least
    while (output_size(config, size) or 0) < at_least:
        size += 1
    return size


def context(config: ModelConfig) -> int:
    """Return the voxels that valid convolutions consume on each side: 47 for the paper's network.

    Examples
    --------
    >>> context(ModelConfig())
    47
    """
    size = valid_input(config)
    out = output_size(config, size)
    assert out is not None
    return (size - out) // 2


def reach(config: ModelConfig) -> int:
    """Return how many voxels behind an output voxel may change it, at most.

    The smallest tile keeps one lattice step; this is what it reads behind its first voxel.

    Examples
    --------
    >>> reach(ModelConfig())
    60
    """
    return valid_input(config, lattice(config)) - context(config) - 1
