"""Settings of the network and its training; the defaults are the paper's. Loads no torch."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from asem.config import MOST_COUNT, Config, VoxelSize
from asem.model.recipes import Resolved, completed
from asem.model.voxel_range import VoxelSizeRange, checked_range
from asem.structures import Structure, structure
from asem.system.documents import read_toml

TABLES = ("model", "optimizer", "sampling", "augment")
"""Tables of a training file that its recipe completes."""
MOST_WEIGHTS = 10**10
"""Of a network: 1,700 times the paper's. They and what an optimizer keeps of them take 160 GB."""
LARGEST_PATCH = 2048
"""Voxels: 34 GB for its grey values alone, before the network has made 32 maps of them."""
LONGEST_NM = 1e6
"""Of a length of augmentation; a patch of 2,048 voxels of 488 nm is as long."""
MOST_PATCHES = 8
"""Lengths of augmentation are at most so many patches; from there on there is nothing to see."""
Count = Annotated[int, Field(ge=1, le=MOST_COUNT)]
CutOn = Literal["processor", "device"]
"""Where patches are cut: both draw the same, but not the same noise."""
Preset = Annotated[Structure, BeforeValidator(lambda x: structure(x) if isinstance(x, str) else x)]
"""A structure, or the name of one of ours."""


class ModelConfig(Config):
    """Shape of the 3D U-Net (paper, Model architecture; Fig. S3 A)."""

    features: int = Field(32, ge=1, le=4096)
    """Feature maps of the first level; a convolution between 4,096 maps has 453 million weights."""
    growth: int = Field(2, ge=1, le=16)
    """Times as many feature maps on each further level."""
    levels: int = Field(4, ge=1, le=8)
    """Levels of resolution; there are levels - 1 poolings."""
    convolutions: int = Field(2, ge=1, le=16)
    """3 x 3 x 3 convolutions on each level, on the way down and up; 16 take 32 voxels there, on
    the fourth level 256 of raw's."""
    norm: Literal["none", "batch"] = "none"
    """Batch norm is one factor a feature map at inference; group, instance and layer norm look
    across space, so that results would depend on the tile."""

    @model_validator(mode="after")
    def _can_be_built(self) -> Self:
        if self.weights > MOST_WEIGHTS:
            raise ValueError(
                f"a network of {self.features} features, growth {self.growth}, {self.levels} "
                f"levels and {self.convolutions} convolutions has {self.weights:.3g} weights; at "
                f"most {MOST_WEIGHTS:.0g} are allowed, take fewer features or levels"
            )
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Feature maps of each level, the finest first."""
        return tuple(self.features * self.growth**level for level in range(self.levels))

    @property
    def weights(self) -> int:
        """Weights of all convolutions, without biases and norms.

        Examples
        --------
        >>> ModelConfig().weights
        5836320
        """
        widths = self.widths
        inner = (self.convolutions - 1) * sum(width**2 for width in (*widths, *widths[:-1]))
        down = sum(a * b for a, b in zip((1, *widths), widths, strict=False))
        up = sum((a + b) * a for a, b in pairwise(widths))
        return 3**3 * (inner + down + up + 2 * widths[0])


class OptimizerConfig(Config):
    """How the weights move (paper, Training: Pipeline details).

    The defaults are the paper's; those of a training are each optimizer's own
    (`asem.model.recipes.OPTIMIZERS`).
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(3e-5, gt=0, le=1e30)
    """Adam moves each weight by about so much in an iteration; weights are about 0.1. Far below the
    largest allowed, the loss is no number soon, and the training stops."""
    weight_decay: float = Field(3e-5, ge=0, le=1000)
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: down to zero at the last iteration. A run that is resumed with more iterations goes
    on where the longer curve is by then, which is higher."""
    warmup: int = Field(0, ge=0, le=MOST_COUNT)
    """Iterations in which the learning rate rises linearly from zero."""
    average: float = Field(0, ge=0, lt=1)
    """Validated and saved is a running mean of the weights; each iteration leaves this share of
    the mean as it was. 0: the weights themselves."""


class SamplingConfig(Config):
    """Which blocks are trained on (paper, Training: Data sampling)."""

    min_foreground: float = Field(0.05, ge=0, le=1)
    """A block with a smaller share of foreground is rejected with probability `reject`."""
    reject: float = Field(0.9, ge=0, lt=1)
    max_outside: float = Field(0.25, ge=0, lt=1)
    """A block with a larger share outside the mask or of unknown label is rejected always."""


class AugmentConfig(Config):
    """Random changes of each patch; an amplitude or probability of 0 leaves it as it is.

    The defaults are the paper's (Table S8), which gives lengths in voxels of 5 nm.
    """

    mirror: bool = True
    transpose: bool = True
    """Exchange axes of equal voxel size."""
    rotate_p: float = Field(1, ge=0, le=1)
    """Probability of a rotation by 0 to 90 degrees in a plane of similar voxel sizes."""
    scale: float = Field(0, ge=0, le=0.5)
    """Objects become larger or smaller by up to this share."""
    elastic_p: float = Field(1, ge=0, le=1)
    """Probability of an elastic deformation."""
    elastic_spacing_nm: float = Field(160, gt=0, le=LONGEST_NM)
    """Distance of its control points; at least a voxel is taken."""
    elastic_sigma_nm: float = Field(10, ge=0, le=LONGEST_NM)
    """Standard deviation of their displacement along each axis."""
    shift_p: float = Field(0.05, ge=0, le=1)
    """Share of planes along one axis at which all that follows is shifted in the plane."""
    shift_nm: float = Field(10, ge=0, le=LONGEST_NM)
    """By at most this along each of the plane's axes, relative to the plane before."""
    contrast: float = Field(0.15, ge=0, lt=1)
    """Grey values are scaled about their mean by 1 - contrast to 1 + contrast."""
    brightness: float = Field(0.15, ge=0, le=10)
    """Grey values in [0, 1] are shifted by up to this, then clipped."""
    intensity_p: float = Field(0.5, ge=0, le=1)
    """Probability of each of the four changes that follow."""
    drift: float = Field(0, ge=0, le=10)
    """Contrast and brightness vary within a patch, with this standard deviation."""
    drift_nm: float = Field(600, gt=0, le=LONGEST_NM)
    """Distance over which they vary; at least a voxel is taken."""
    gamma: float = Field(0, ge=0, le=100)
    """Grey values in [0, 1] are raised to a power of 1 / (1 + gamma) to 1 + gamma."""
    noise: float = Field(0, ge=0, le=10)
    """Largest standard deviation of normal noise."""
    blur_nm: float = Field(0, ge=0, le=LONGEST_NM)
    """Largest standard deviation of a Gaussian blur."""

    @classmethod
    def off(cls, **changes: Any) -> Self:
        """Return settings that change nothing, but for `changes`; no recipe adds to them."""
        amplitudes = (
            *("rotate_p", "scale", "elastic_p", "shift_p", "contrast", "brightness"),
            *("drift", "gamma", "noise", "blur_nm"),
        )
        nothing = {"mirror": False, "transpose": False, **dict.fromkeys(amplitudes, 0)}
        return cls(**{**nothing, **changes})


class Region(Config):
    """A labelled part of a volume."""

    raw: Path
    labels: Path
    roi: str | None = None
    """z0:z1,y0:y1,x0:x1 in the voxels of raw; None: wherever there are labels."""
    mask: Path | None = None
    """Where the sample is; what lies outside counts for nothing."""


class TrainConfig(Config):
    """A training file; paths are relative to it.

    The defaults here are the paper's. What a training file leaves out its `recipe` sets; the same
    holds for keyword arguments in Python, where a table is a dict or its `Config`, of which the
    fields that were set are those of a table in a file. All fields of a table are set afterwards.
    """

    recipe: Literal["paper", "fast"] = "fast"
    """paper: the published settings; fast: those that reach the same score sooner."""
    structure: Preset
    """Width of the exclusion zone of the validation score: one of ours by its name, a TOML file, or
    a table."""
    voxel_size: VoxelSize
    """nm, of the model; data of another voxel size is resampled."""
    voxel_size_range: VoxelSizeRange | None = None
    """The smallest and the largest voxel size, nm: data within is used as it is, not resampled, in
    training and by the network afterwards (METHOD, Network and training: 5.2 x 4 x 4 with
    3.2 x 4 x 4 nm). Lengths of augmentation are those of `voxel_size`."""
    resample: bool = True
    """False: data of another voxel size is refused."""
    train: tuple[Region, ...] = Field(min_length=1)
    validation: tuple[Region, ...] = ()
    iterations: Count = 100_000
    validate_every: Count = 1_000
    """Iterations between two validations, each with a checkpoint."""
    batch: int = Field(1, ge=1, le=65_536)
    """Blocks of one iteration, over all devices."""
    accumulate: int = Field(1, ge=1, le=65_536)
    """Parts of a batch that a device takes one after the other, to save memory. Dice and batch norm
    then see a part at a time, as they see the part of one device with `devices`."""
    patch: int = Field(204, ge=1, le=LARGEST_PATCH)
    """Edge of a block that the network takes in, voxels."""
    loss: Literal["balanced", "cross_entropy+dice"] = "balanced"
    precision: Literal["auto", "32", "bf16"] = "auto"
    """auto: bf16 where the device computes in it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    devices: int = Field(1, ge=1, le=1024)
    """GPUs, or processes on a CPU, that share each batch."""
    compile: bool | Literal["auto"] = False
    """Compile the network (torch.compile): it starts a minute later and then runs faster. auto: on
    a GPU, where what compiling needs is installed."""
    seed: int = Field(0, ge=0, lt=2**63)
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="before")
    @classmethod
    def _by_recipe(cls, data: Any) -> Any:
        if not isinstance(data, dict) or isinstance(data, Resolved):
            return data
        tables = {name: cls.model_fields[name].default.model_dump() for name in TABLES}
        return completed(data, tables)

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        checked_range(self.voxel_size, self.voxel_size_range)
        if self.batch % (self.devices * self.accumulate):
            raise ValueError(
                f"'batch': {self.batch} blocks are not shared evenly by 'devices' ({self.devices}) "
                f"times 'accumulate' ({self.accumulate}); take a multiple of "
                f"{self.devices * self.accumulate}"
            )
        self._lengths_fit()
        return self

    def _lengths_fit(self) -> None:
        """Refuse lengths of augmentation that leave the patch far behind."""
        longest = MOST_PATCHES * self.patch * min(self.voxel_size)
        for name in ("elastic_sigma_nm", "shift_nm", "blur_nm"):
            length = getattr(self.augment, name)
            if length > longest:
                raise ValueError(
                    f"'augment.{name}': {length:g} nm is more than {MOST_PATCHES} patches of "
                    f"{self.patch} voxels, {longest:g} nm"
                )

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a training file; the paths in it are taken as relative to it."""
        return cls.placed(read_toml(path), path)

    @classmethod
    def placed(cls, data: dict[str, Any], path: Path) -> Self:
        """Validate the settings of the training file `path`, and make its paths absolute."""
        folder = path.resolve().parent
        named = data.get("structure")
        if isinstance(named, str) and named.endswith(".toml"):
            data = {**data, "structure": Structure.from_toml(folder / named).model_dump()}
        config = cls.checked(data, source=str(path))

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
    published: int | None = Field(None, ge=0, le=MOST_COUNT)
    """Number of the published model, where it was said to be one (`asem models list`)."""


class CheckpointInfo(Config):
    """What stands beside the weights of a checkpoint, in `state.json`."""

    asem: str
    """Version that wrote it."""
    iteration: int = Field(ge=0, le=MOST_COUNT)
    """Iterations of training; 0 for a converted model, whose training is not known."""
    structure: str
    voxel_size: VoxelSize
    voxel_size_range: VoxelSizeRange | None = None
    """Data of these voxel sizes is not resampled; None: of `voxel_size` only."""
    model: ModelConfig
    training: TrainConfig | None = None
    """None for a converted model."""
    inputs: tuple[str, ...]
    """Identity of every volume that it was trained and validated on."""
    device: str
    precision: str
    started_from: str | None = None
    """Fine-tuning: the checkpoint and the SHA-256 of its weights."""
    origin: Origin | None = None
    """None for a model that asem trained."""

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        """Read a training as it was, whatever the recipes are by now.

        What was written when there were no recipes warps nothing.
        """
        training = data.get("training") if isinstance(data, dict) else None
        if not isinstance(training, dict):
            return data
        if "recipe" not in training:
            augment = {"rotate_p": 0, "elastic_p": 0, "shift_p": 0, **training.get("augment", {})}
            training = {**training, "recipe": "paper", "augment": augment}
        return {**data, "training": Resolved(training)}


class RunState(Config):
    """How far a run got: `run.json`."""

    state: Literal["running", "finished"]
    iteration: int = Field(ge=0, le=MOST_COUNT)
    best: int | None
    """Iteration of the best checkpoint: the middle of the fit regime, else the highest F1."""
    first_fit: int | None = None
    """Iteration of the first checkpoint of the fit regime, to start fine-tuning from."""
    losses: tuple[float, int] = (0.0, 0)
    """Sum and number of the training losses since the last validation."""
    seconds: float = 0
    """Spent on training and validation."""
    went_back_to: int | None = None
    """Iteration of the checkpoint that it is gone on with from (`--resume-at`), until finished."""
    cut_on: CutOn | None = None
    """Where its patches are cut, so that a run that goes on draws the same noise."""
    checkpoint: CheckpointInfo
    """What all its checkpoints share, with the number of the last."""
    metrics: tuple[dict[str, Any], ...]
    """One row a validation, as in `metrics.csv`."""
