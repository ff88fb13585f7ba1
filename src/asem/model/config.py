"""Settings of the network and its training; the defaults are the paper's. Loads no torch."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from asem.config import Config, Nm3
from asem.structures import structure

Voxel = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class ModelConfig(Config):
    """Shape of the 3D U-Net (paper, Model architecture; Fig. S3 A)."""

    features: PositiveInt = 32
    """Feature maps of the first level."""
    growth: PositiveInt = 2
    """Times as many feature maps on each further level."""
    levels: int = Field(4, ge=1, le=8)
    """Levels of resolution; there are levels - 1 poolings."""
    convolutions: PositiveInt = 2
    """3 x 3 x 3 convolutions on each level, on the way down and up."""
    norm: Literal["none", "batch"] = "none"
    """Batch norm is one factor a feature map at inference; group, instance and layer norm look
    across space, so that results would depend on the tile."""


class OptimizerConfig(Config):
    """How the weights move (paper, Training: Pipeline details)."""

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: PositiveFloat = 3e-5
    weight_decay: float = Field(3e-5, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: down to zero at the last iteration."""
    warmup: int = Field(0, ge=0)
    """Iterations in which the learning rate rises linearly from zero."""


class SamplingConfig(Config):
    """Which blocks are trained on (paper, Training: Data sampling)."""

    min_foreground: float = Field(0.05, ge=0, le=1)
    """A block with a smaller share of foreground is rejected with probability `reject`."""
    reject: float = Field(0.9, ge=0, lt=1)
    max_outside: float = Field(0.25, ge=0, lt=1)
    """A block with a larger share outside the mask or of unknown label is rejected always."""


class AugmentConfig(Config):
    """Random changes of each block (paper, Table S8), those that cost next to nothing."""

    mirror: bool = True
    transpose: bool = True
    """Exchange axes of equal voxel size."""
    contrast: float = Field(0.15, ge=0, lt=1)
    """Grey values are scaled about their mean by 1 - contrast to 1 + contrast."""
    brightness: float = Field(0.15, ge=0)
    """Grey values in [0, 1] are shifted by up to this, then clipped."""


class Region(Config):
    """A labelled part of a volume."""

    raw: Path
    labels: Path
    roi: str | None = None
    """z0:z1,y0:y1,x0:x1 in the voxels of raw; None: wherever there are labels."""
    mask: Path | None = None
    """Where the sample is; what lies outside counts for nothing."""


class TrainConfig(Config):
    """A training file; paths are relative to it."""

    structure: str
    """Preset: width of the exclusion zone of the validation score."""
    voxel_size: Voxel
    """nm, of the model; data of a smaller voxel size is averaged."""
    train: tuple[Region, ...] = Field(min_length=1)
    validation: tuple[Region, ...] = ()
    iterations: PositiveInt = 100_000
    validate_every: PositiveInt = 1_000
    """Iterations between two validations, each with a checkpoint."""
    batch: PositiveInt = 1
    """Blocks of one iteration."""
    patch: PositiveInt = 204
    """Edge of a block that the network takes in, voxels."""
    loss: Literal["balanced", "cross_entropy+dice"] = "balanced"
    precision: Literal["auto", "32", "bf16"] = "auto"
    """auto: bf16 where the device computes in it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    seed: int = Field(0, ge=0)
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="after")
    def _known_structure(self) -> Self:
        structure(self.structure)
        return self

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a training file; the paths in it are taken as relative to it."""
        config = super().from_toml(path)
        folder = path.resolve().parent

        def placed(regions: tuple[Region, ...]) -> tuple[Region, ...]:
            return tuple(
                region.model_copy(
                    update={
                        "raw": folder / region.raw,
                        "labels": folder / region.labels,
                        "mask": region.mask and folder / region.mask,
                    }
                )
                for region in regions
            )

        regions = {"train": placed(config.train), "validation": placed(config.validation)}
        return config.model_copy(update=regions)


class Origin(Config):
    """Where the weights of a converted model come from."""

    file: str
    """Name of the checkpoint that was read."""
    sha256: str
    """Of that file."""
    published: int | None = None
    """Number of the published model, where it was said to be one (`asem models list`)."""


class CheckpointInfo(Config):
    """What stands beside the weights of a checkpoint, in `state.json`."""

    asem: str
    """Version that wrote it."""
    iteration: int
    """Iterations of training; 0 for a converted model, whose training is not known."""
    structure: str
    voxel_size: Nm3
    model: ModelConfig
    training: TrainConfig | None = None
    """None for a converted model."""
    inputs: tuple[str, ...]
    """Identity of every volume that it was trained and validated on."""
    device: str
    precision: str
    origin: Origin | None = None
    """None for a model that asem trained."""


class RunState(Config):
    """How far a run got: `run.json`."""

    state: Literal["running", "finished"]
    iteration: int
    best: int | None
    """Iteration of the best checkpoint."""
    checkpoint: CheckpointInfo
    """What all its checkpoints share, with the number of the last."""
    metrics: tuple[dict[str, Any], ...]
    """One row a validation, as in `metrics.csv`."""
