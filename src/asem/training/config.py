"""Configuration of a training (training files); the defaults are the paper's.

Does not import torch (commands start faster).
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from asem.config import MAX_COUNT, Config, VoxelSize, check_exists
from asem.model.checkpoint_info import CheckpointInfo
from asem.model.config import ModelConfig
from asem.model.voxel_size_range import VoxelSizeRange, check_voxel_size_range
from asem.structures import Structure, find_preset, load_structure
from asem.training.losses import find_loss
from asem.training.recipes import ResolvedSettings, complete_settings
from asem.training.region_config import TrainingRegion, check_names
from asem.volume.address import local_paths

RECIPE_TABLES = ("model", "optimizer", "sampling", "augment")
"""Tables of a training file whose missing settings its recipe sets."""
MAX_PATCH = 2048
"""Voxels along an edge: 34 GB of grey values alone, without the network's 32 feature maps."""
MAX_AUGMENT_LENGTH_NM = 1e6
"""Limit of augmentation lengths: the edge of a patch of 2,048 voxels of 488 nm."""
MAX_AUGMENT_LENGTH_PATCHES = 8
"""Limit of augmentation lengths, in patches; with larger ones a patch contains no structures."""
MAX_WIDEN_NM = 1000.0
"""Limit of the widening of annotations: ten times a nuclear pore."""
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
StructurePreset = Annotated[
    Structure, BeforeValidator(lambda x: find_preset(x) if isinstance(x, str) else x)
]
"""Structure, or the name of a preset."""


class OptimizerConfig(Config):
    """Optimizer and learning rate schedule (paper, Training: Pipeline details).

    The defaults are the paper's; a training file uses the defaults of its optimizer
    (`asem.training.recipes.OPTIMIZER_DEFAULTS`).
    """

    name: Literal["adam", "adamw"] = "adam"
    learning_rate: float = Field(3e-5, gt=0, le=1e30)
    """Adam changes each weight by about this in an iteration; weights are about 0.1. Far below the
    largest value allowed, the loss becomes NaN and the training stops."""
    weight_decay: float = Field(3e-5, ge=0, le=1000)
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: decreases to zero at the last iteration. A run that is resumed with more iterations
    continues on the curve of the new number, with a higher learning rate."""
    warmup: int = Field(0, ge=0, le=MAX_COUNT)
    """Iterations in which the learning rate increases linearly from zero."""
    average: float = Field(0, ge=0, lt=1)
    """Decay of the exponential moving average (EMA) of the weights, which is validated and saved:
    EMA = average * EMA + (1 - average) * weights. 0: the weights themselves."""


class SamplingConfig(Config):
    """Rejection of patches (paper, Training: Data sampling), and what thin annotations need."""

    min_foreground: float = Field(0.05, ge=0, le=1)
    """A patch with a smaller fraction of foreground is rejected with probability `reject`."""
    reject: float = Field(0.9, ge=0, lt=1)
    max_outside: float = Field(0.25, ge=0, lt=1)
    """A patch with a larger fraction outside the mask or unlabelled is always rejected."""
    widen_nm: float = Field(0, ge=0, le=MAX_WIDEN_NM)
    """Background within this distance of annotated foreground, along each axis, is foreground for
    the network, before resampling: of traces of single rows of voxels."""
    tolerance_nm: float = Field(0, ge=0, le=MAX_WIDEN_NM)
    """Background up to this distance beyond is ignored, as unlabelled voxels are: of loose
    annotations."""
    at_objects: float = Field(0, ge=0, le=1)
    """Fraction of patches that are drawn at objects, each object with the same chance, whatever its
    size (`asem.training.object_sampling`); the rules above apply to the others."""


class AugmentConfig(Config):
    """Random augmentation of each patch; an amplitude or probability of 0 disables a change.

    The defaults are the paper's (Table S8), which gives lengths in voxels of 5 nm.
    """

    mirror: bool = True
    transpose: bool = True
    """Swap axes of equal voxel size."""
    rotate_p: float = Field(1, ge=0, le=1)
    """Probability of a rotation by 0 to 90 degrees in a plane of similar voxel sizes."""
    scale: float = Field(0, ge=0, le=0.5)
    """Objects are enlarged or shrunk by up to this fraction."""
    elastic_p: float = Field(1, ge=0, le=1)
    """Probability of an elastic deformation."""
    elastic_spacing_nm: float = Field(160, gt=0, le=MAX_AUGMENT_LENGTH_NM)
    """Distance of its control points; at least one voxel."""
    elastic_sigma_nm: float = Field(10, ge=0, le=MAX_AUGMENT_LENGTH_NM)
    """Standard deviation of their displacement along each axis."""
    shift_p: float = Field(0.05, ge=0, le=1)
    """Fraction of planes along one axis from which on all planes are shifted within the plane."""
    shift_nm: float = Field(10, ge=0, le=MAX_AUGMENT_LENGTH_NM)
    """Largest shift along each axis of the plane, relative to the previous plane."""
    contrast: float = Field(0.15, ge=0, lt=1)
    """Grey values are scaled about their mean by 1 - contrast to 1 + contrast."""
    brightness: float = Field(0.15, ge=0, le=10)
    """Grey values in [0, 1] are shifted by up to this, then clipped."""
    intensity_p: float = Field(0.5, ge=0, le=1)
    """Probability of each of drift, gamma, noise and blur."""
    drift: float = Field(0, ge=0, le=10)
    """Standard deviation of the variation of contrast and brightness within a patch."""
    drift_nm: float = Field(600, gt=0, le=MAX_AUGMENT_LENGTH_NM)
    """Length scale of that variation; at least one voxel."""
    gamma: float = Field(0, ge=0, le=100)
    """Grey values in [0, 1] are raised to a power between 1 / (1 + gamma) and 1 + gamma."""
    noise: float = Field(0, ge=0, le=10)
    """Largest standard deviation of normal noise."""
    blur_nm: float = Field(0, ge=0, le=MAX_AUGMENT_LENGTH_NM)
    """Largest standard deviation of a Gaussian blur."""

    @classmethod
    def disabled(cls, **changes: Any) -> Self:
        """Return settings without augmentation, except `changes`; no recipe adds to them."""
        amplitudes = (
            *("rotate_p", "scale", "elastic_p", "shift_p", "contrast", "brightness"),
            *("drift", "gamma", "noise", "blur_nm"),
        )
        disabled = {"mirror": False, "transpose": False, **dict.fromkeys(amplitudes, 0)}
        return cls(**{**disabled, **changes})


class TrainConfig(Config):
    """Content of a training file; paths are relative to it.

    The defaults here are the paper's. The `recipe` sets what a training file leaves out. In
    Python, a table is a dict or a `Config`, of which only the fields that were set explicitly
    count; the recipe fills in the others.
    """

    file_kind: ClassVar[str] = "training file"

    recipe: Literal["paper", "fast"] = "fast"
    """paper: the published settings; fast: settings that reach the same score sooner."""
    structure: StructurePreset
    """Structure, with the width of the exclusion zone of the validation score: name of a preset,
    TOML file, or table."""
    voxel_size: VoxelSize
    """nm, of the network; data of another voxel size is resampled."""
    voxel_size_range: VoxelSizeRange | None = None
    """The smallest and the largest voxel size, nm: data within is not resampled, neither in
    training nor in predictions (for instance 5.2 x 4 x 4 with 3.2 x 4 x 4 nm).
    Lengths of augmentation are converted by `voxel_size`."""
    resample: bool = True
    """False: data of another voxel size is an error."""
    train: tuple[TrainingRegion, ...] = Field(min_length=1)
    validation: tuple[TrainingRegion, ...] = ()
    iterations: Count = 100_000
    validate_every: Count = 1_000
    """Iterations between two validations, each with a checkpoint."""
    batch: int = Field(1, ge=1, le=65_536)
    """Patches per iteration, over all devices."""
    accumulate: int = Field(1, ge=1, le=65_536)
    """Parts of a batch that a device processes one after the other, to save memory. Dice and batch
    norm are then computed per part, as they are computed per device with `devices`."""
    patch: int = Field(204, ge=1, le=MAX_PATCH)
    """Edge of a patch, the input of the network, voxels."""
    loss: str = "balanced"
    """Name of a loss in `asem.training.losses.LOSSES`."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """auto: bf16 if the device has instructions for it."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    devices: int = Field(1, ge=1, le=1024)
    """GPUs, or processes on a CPU, among which each batch is divided."""
    compile: bool | Literal["auto"] = False
    """Compile the network (torch.compile): training starts a minute later and runs faster. auto: on
    a GPU, if the compilers are installed."""
    seed: int = Field(0, ge=0, lt=2**63)
    model: ModelConfig = ModelConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()

    @model_validator(mode="before")
    @classmethod
    def _complete_by_recipe(cls, data: Any) -> Any:
        if not isinstance(data, dict) or isinstance(data, ResolvedSettings):
            return data
        tables = {name: cls.model_fields[name].default.model_dump() for name in RECIPE_TABLES}
        return complete_settings(data, tables)

    @field_validator("loss")
    @classmethod
    def _check_loss(cls, loss: str) -> str:
        find_loss(loss)
        return loss

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        check_voxel_size_range(self.voxel_size, self.voxel_size_range)
        if self.batch % (self.devices * self.accumulate):
            raise ValueError(
                f"'batch': {self.batch} patches cannot be divided evenly by 'devices' "
                f"({self.devices}) times 'accumulate' ({self.accumulate}); take a multiple of "
                f"{self.devices * self.accumulate}"
            )
        self._check_augment_lengths()
        check_names(self.validation)
        return self

    def _check_augment_lengths(self) -> None:
        """Raise ValueError if lengths of augmentation are far larger than the patch."""
        longest = MAX_AUGMENT_LENGTH_PATCHES * self.patch * min(self.voxel_size)
        for name in ("elastic_sigma_nm", "shift_nm", "blur_nm"):
            length = getattr(self.augment, name)
            if length > longest:
                raise ValueError(
                    f"'augment.{name}': {length:g} nm is more than {MAX_AUGMENT_LENGTH_PATCHES} "
                    f"patches of {self.patch} voxels, {longest:g} nm"
                )

    @classmethod
    def from_toml(cls, path: Path, *, requested_by: str = "") -> Self:
        """Read a training file; paths in it are relative to its folder."""
        return cls.from_settings(cls.read_settings(path, requested_by=requested_by), path)

    @classmethod
    def from_settings(cls, settings: dict[str, Any], file: Path) -> Self:
        """Validate the settings of the training file `file`, and make paths absolute."""
        folder = file.resolve().parent
        structure = settings.get("structure")
        if isinstance(structure, str) and structure.endswith(".toml"):
            preset = load_structure(str(folder / structure), requested_by=f"{file}: 'structure'")
            settings = {**settings, "structure": preset.model_dump()}
        config = cls.from_dict(settings, source=str(file))

        def resolve_paths(regions: tuple[TrainingRegion, ...]) -> tuple[TrainingRegion, ...]:
            return tuple(
                region.model_copy(
                    update={
                        "raw": region.raw.within(folder),
                        "labels": region.labels.within(folder),
                        "mask": region.mask and region.mask.within(folder),
                    }
                )
                for region in regions
            )

        return config.model_copy(
            update={
                "train": resolve_paths(config.train),
                "validation": resolve_paths(config.validation),
            }
        )


def check_region_files(config: TrainConfig, file: Path) -> None:
    """Raise FileNotFoundError if a file of a region does not exist.

    Parameters
    ----------
    config
        The training file.
    file
        Its path, for the message.
    """
    for table in ("train", "validation"):
        regions: tuple[TrainingRegion, ...] = getattr(config, table)
        for number, region in enumerate(regions, 1):
            where = (
                f"[[{table}]] {number} of {len(regions)}" if len(regions) > 1 else f"[[{table}]]"
            )
            for key in ("raw", "labels", "mask"):
                for path in local_paths(getattr(region, key)):
                    check_exists(path, f"{file}: '{key}' of {where}")


def training_config_of(info: CheckpointInfo, *, source: str) -> TrainConfig:
    """Return the settings that a model was trained with, as stored: no recipe changes them.

    Parameters
    ----------
    info
        Metadata of a model that asem trained.
    source
        Where the settings are stored, for messages.

    Raises
    ------
    ValueError
        The settings are damaged; the message names `source`.
    """
    assert info.training is not None  # only a converted model has none
    if "recipe" not in info.training:
        raise ValueError(f"{source} does not state the recipe of its training; train again")
    return TrainConfig.from_dict(ResolvedSettings(info.training), source=source)
