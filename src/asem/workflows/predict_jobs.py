"""The jobs of a prediction: images, and the networks that predict each, as a file states them."""

from collections import Counter
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from asem.blocks.enclosing import refuse_nested
from asem.config import Config
from asem.model.device import Precision
from asem.system.documents import read_toml

LARGEST_TILE = 4096


class ModelJob(Config):
    """One network for one input."""

    checkpoint: Path
    """A run directory (its best checkpoint), a checkpoint, or a converted model."""
    out: Path
    """The image group to write."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """Write whether the probability reaches this, as labels; None: the probability."""
    mirror: bool = False
    """Take the mean over eight mirror images, for eight times the work."""
    precision: Precision = "auto"
    """``"auto"``, ``"32"`` or ``"bf16"``."""
    tile: int | None = Field(default=None, ge=1, le=LARGEST_TILE)
    """Edge of what one forward pass keeps, model voxels; None: what an interrupted run had, else as
    much as the free memory allows (264 on a CPU, 520 on a GPU at most). Above 4,096 nothing would
    change: a block of 512 of raw's voxels has fewer of an eighth of their edge."""


class InputJob(Config):
    """One image and the networks that predict it: it is read once for all of them."""

    raw: Path
    """The image."""
    roi: str | None = None
    """Predict only ``z0:z1,y0:y1,x0:x1`` in its voxels; neighbours outside are read."""
    mask: Path | None = None
    """A volume that is not 0 where the sample is; outside the result is 0, blocks are skipped."""
    clahe: bool = False
    """Equalize the contrast of what is read, as `asem clahe` would have of the whole volume."""
    resample: bool = True
    """Whether image and network may have different voxel sizes."""
    model: tuple[ModelJob, ...] = Field(min_length=1)
    """The networks."""


class PredictJobs(Config):
    """A file of inputs and networks."""

    device: str = "auto"
    """``"auto"`` (all GPUs, or the CPU), ``"cpu"``, ``"cuda"`` (all), ``"cuda:N"``."""
    input: tuple[InputJob, ...] = Field(min_length=1)
    """The images, one after the other."""

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a file of jobs; the paths in it are taken as relative to it."""
        config, folder = cls.checked(read_toml(path), source=str(path)), path.resolve().parent

        def placed(job: InputJob) -> InputJob:
            models = tuple(
                one.model_copy(
                    update={"checkpoint": folder / one.checkpoint, "out": folder / one.out}
                )
                for one in job.model
            )
            mask = job.mask and folder / job.mask
            return job.model_copy(update={"raw": folder / job.raw, "mask": mask, "model": models})

        placed_jobs = tuple(map(placed, config.input))
        outs = [one.out.resolve() for job in placed_jobs for one in job.model]
        twice = next((out for out, number in Counter(outs).items() if number > 1), None)
        if twice is not None:
            raise ValueError(f"{path}: two models would write {twice}")
        refuse_nested(outs)
        return config.model_copy(update={"input": placed_jobs})


def one_job(checkpoint: Path, raw: Path, destination: Path, **options: Any) -> InputJob:
    """Return the job of one network for one image, from the options of `predict_volume`."""
    of_model = {key: options.pop(key) for key in tuple(options) if key in ModelJob.model_fields}
    model = ModelJob.checked(
        {"checkpoint": checkpoint, "out": destination, **of_model}, source="predict"
    )
    return InputJob.checked({"raw": raw, "model": [model], **options}, source="predict")
