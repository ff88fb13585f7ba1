"""Content of a checkpoint's `state.json` and of a run's `run.json`. Loads no torch."""

from typing import Any, Literal

from pydantic import Field

from asem.config import MAX_COUNT, Config, VoxelSize
from asem.model.config import ModelConfig
from asem.model.run_metrics import MetricsRow
from asem.model.voxel_size_range import VoxelSizeRange

PatchDevice = Literal["processor", "device"]
"""Where patches are cut: both give the same patches, but different noise."""


class Origin(Config):
    """Source of the weights of a converted model."""

    file: str
    """Name of the converted file."""
    sha256: str
    """SHA-256 of that file."""
    published: int | None = Field(None, ge=0, le=MAX_COUNT)
    """Number of the published model (`asem models list`), if `--published` states one."""


class CheckpointInfo(Config):
    """Metadata of a checkpoint, stored with its weights as `state.json`."""

    asem: str
    """Version of asem that wrote it."""
    iteration: int = Field(ge=0, le=MAX_COUNT)
    """Iterations of training; 0 for a converted model, which does not state them."""
    structure: str
    """Name of the structure that the network detects."""
    voxel_size: VoxelSize
    """nm along (z, y, x), of the network; other data is resampled to it."""
    voxel_size_range: VoxelSizeRange | None = None
    """Range of voxel sizes that are not resampled; None: only `voxel_size`."""
    model: ModelConfig
    """Shape of the network."""
    training: dict[str, Any] | None = None
    """Settings of the training as JSON (`asem.training.config.TrainConfig`, parsed by
    `training_config_of`); None for a converted model."""
    inputs: tuple[str, ...]
    """Path and identity of every volume of the training and its validation."""
    device: str
    """Device of the training."""
    precision: str
    """Precision of the training, ``"32"`` or ``"bf16"``."""
    started_from: str | None = None
    """Of a fine-tuning: the initial checkpoint and the SHA-256 of its weights."""
    origin: Origin | None = None
    """Source of a converted model; None for a model that asem trained."""


class RunState(Config):
    """State of a training run: `run.json`."""

    state: Literal["running", "finished"]
    iteration: int = Field(ge=0, le=MAX_COUNT)
    """Iterations done."""
    best: int | None
    """Iteration of the best checkpoint: the middle of the fit regime (its end, with a decreasing
    learning rate), else the highest F1 score."""
    first_fit: int | None
    """Iteration where fine-tuning starts: the first checkpoint of the fit regime (the last, with a
    decreasing learning rate)."""
    losses: tuple[float, int]
    """Sum and number of the training losses since the last validation."""
    seconds: float
    """Time of training and validation so far."""
    went_back_to: int | None
    """Iteration that `--resume-at` resumed from; None once the run is finished."""
    cut_on: PatchDevice | None
    """Where patches are cut; a resumed run cuts there, too, so that the noise is the same."""
    checkpoint: CheckpointInfo
    """Metadata of its last checkpoint; but for the iteration it is that of all."""
    metrics: tuple[MetricsRow, ...]
    """One row per validation."""
