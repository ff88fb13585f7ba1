"""Configuration of the network; the defaults are the paper's. Loads no torch."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from asem.config import Config

MAX_WEIGHTS = 10**10
"""Of a network: 1,700 times the paper's. With the optimizer's moments they take 160 GB."""


class ModelConfig(Config):
    """Shape of the 3D U-Net (paper, Model architecture; Fig. S3 A)."""

    features: int = Field(32, ge=1, le=4096)
    """Feature maps of the first level; a convolution between 4,096 maps has 453 million weights."""
    growth: int = Field(2, ge=1, le=16)
    """Factor from the feature maps of a level to those of the next coarser one."""
    levels: int = Field(4, ge=1, le=8)
    """Levels of resolution, with levels - 1 poolings between them."""
    convolutions: int = Field(2, ge=1, le=16)
    """3 x 3 x 3 convolutions on each level, in encoder and decoder. 16 of them consume 32 voxels of
    their level, on the fourth level 256 voxels of raw."""
    norm: Literal["none", "batch"] = "none"
    """Batch norm is one factor per feature map at inference. Group, instance and layer norm average
    over space, so that results would depend on the tile."""

    @model_validator(mode="after")
    def _check_weight_count(self) -> Self:
        if self.weight_count > MAX_WEIGHTS:
            raise ValueError(
                f"a network of {self.features} features, growth {self.growth}, {self.levels} "
                f"levels and {self.convolutions} convolutions has {self.weight_count:.3g} "
                f"weights; at most {MAX_WEIGHTS:.0g} are allowed, take fewer features or levels"
            )
        return self

    @property
    def features_per_level(self) -> tuple[int, ...]:
        """Number of feature maps of each level, the finest first."""
        return tuple(self.features * self.growth**level for level in range(self.levels))

    @property
    def weight_count(self) -> int:
        """Number of weights of all convolutions, without biases and norms.

        Examples
        --------
        >>> ModelConfig().weight_count
        5836320
        """
        widths = self.features_per_level
        inner = (self.convolutions - 1) * sum(width**2 for width in (*widths, *widths[:-1]))
        down = sum(a * b for a, b in zip((1, *widths), widths, strict=False))
        up = sum((a + b) * a for a, b in pairwise(widths))
        return 3**3 * (inner + down + up + 2 * widths[0])
