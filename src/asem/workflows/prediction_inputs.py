"""Images and the networks that predict each, as a TOML file lists them."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field

from asem.blocks.output_nesting import check_not_nested
from asem.config import Config, check_exists
from asem.model.device import Precision
from asem.volume.address import Address, AddressLike, local_paths, parse_output_path

MAX_TILE_OPTION = 4096
OutputPath = Annotated[
    Path, BeforeValidator(lambda x: parse_output_path(x) if isinstance(x, str) else x)
]


class PredictionModel(Config):
    """One network of one image."""

    checkpoint: Path
    """A run directory (its best checkpoint), a checkpoint, or a converted model."""
    out: OutputPath
    """The image group to write."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """Write whether the probability reaches this, as labels; None: write the probability."""
    mirror: bool = False
    """Predict the mean over eight mirror images, for eight times the work."""
    precision: Precision = "auto"
    """``"auto"``, ``"32"`` or ``"bf16"``."""
    tile: int | None = Field(default=None, ge=1, le=MAX_TILE_OPTION)
    """Output edge of one forward pass, model voxels; None: that of an interrupted run, else the
    largest that the free memory allows (at most 264 on a CPU, 520 on a GPU). More than 4,096 has
    no effect: a block of 512 voxels of raw has at most 4,096 of an eighth of their edge."""


class PredictionInput(Config):
    """One image and the networks that predict it; it is read once for all of them."""

    raw: Address
    """The image: path or URL."""
    roi: str | None = None
    """Predict only ``z0:z1,y0:y1,x0:x1`` in voxels of raw; the context around it is read, too."""
    mask: Address | None = None
    """A volume that is not 0 where the specimen is; outside the result is 0, blocks are skipped."""
    clahe: bool = False
    """Equalize the contrast of raw as it is read, as `asem clahe` does for a whole volume."""
    resample: bool = True
    """Resample raw if its voxel size is not the network's; False: raise an error instead."""
    model: tuple[PredictionModel, ...] = Field(min_length=1)
    """The networks."""


class PredictionInputs(Config):
    """File of images and networks."""

    file_kind: ClassVar[str] = "list of inputs"

    device: str = "auto"
    """``"auto"`` (all GPUs, or the CPU), ``"cpu"``, ``"cuda"`` (all), ``"cuda:N"``."""
    input: tuple[PredictionInput, ...] = Field(min_length=1)
    """The images, predicted one after the other."""

    @classmethod
    def from_toml(cls, path: Path, *, requested_by: str = "") -> Self:
        """Read a TOML file; paths in it are relative to its folder."""
        config = super().from_toml(path, requested_by=requested_by)
        folder = path.resolve().parent

        def resolve_paths(prediction: PredictionInput) -> PredictionInput:
            models = tuple(
                model.model_copy(
                    update={"checkpoint": folder / model.checkpoint, "out": folder / model.out}
                )
                for model in prediction.model
            )
            mask = prediction.mask and prediction.mask.within(folder)
            update = {"raw": prediction.raw.within(folder), "mask": mask, "model": models}
            return prediction.model_copy(update=update)

        inputs = tuple(map(resolve_paths, config.input))
        outputs = [model.out.resolve() for prediction in inputs for model in prediction.model]
        duplicate = next((out for out, number in Counter(outputs).items() if number > 1), None)
        if duplicate is not None:
            raise ValueError(f"{path}: two models would write {duplicate}")
        check_not_nested(outputs)
        for number, prediction in enumerate(inputs, 1):
            table = f"[[input]] {number}" if len(inputs) > 1 else "[[input]]"
            _check_files(prediction, table, path)
        return config.model_copy(update={"input": inputs})


def _check_files(prediction: PredictionInput, table: str, file: Path) -> None:
    """Raise FileNotFoundError if a file that a table of `file` names does not exist."""
    named: list[tuple[str, AddressLike | None]] = [
        ("raw", prediction.raw),
        ("mask", prediction.mask),
        *(("checkpoint", model.checkpoint) for model in prediction.model),
    ]
    for key, address in named:
        for path in local_paths(address):
            check_exists(path, f"{file}: '{key}' of {table}")


def make_prediction_input(
    checkpoint: Path, raw: AddressLike, destination: Path, **options: Any
) -> PredictionInput:
    """Return the input of one image and one network, from the options of `predict_volume`."""
    model_options = {
        key: options.pop(key) for key in tuple(options) if key in PredictionModel.model_fields
    }
    model = PredictionModel.from_dict(
        {"checkpoint": checkpoint, "out": destination, **model_options}, source="predict"
    )
    return PredictionInput.from_dict({"raw": raw, "model": [model], **options}, source="predict")
