"""Write a model as a bioimage.io package: a zip of weights, test arrays and their description.

The input of the package is 8-bit raw; its preprocessing scales it to [-1, 1]. Programs that predict
in tiles concatenate the outputs, so that output sizes must be multiples of the network's lattice,
or seams would appear: the package's network crops a margin from the output, too::

    raw, uint8       |-- context --|- margin -|------ 8 k ------|- margin -|-- context --|
    probability                               |------ 8 k ------|

A halo as the format defines it does not work: bioimageio.core pads the input by it, to invalid
input sizes.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import numpy.typing as npt
from bioimageio.spec import ValidationContext, save_bioimageio_yaml_only
from bioimageio.spec.model import v0_5 as bio
from pydantic import ValidationError

from asem.model.checkpoint_info import CheckpointInfo
from asem.model.config import ModelConfig
from asem.model.onnx_graph import INPUT, INPUT_GAIN, INPUT_OFFSET, OPSET, OUTPUT, SPATIAL_AXES
from asem.model.unet import context, lattice, output_margin, valid_input_size

PAPER_CITATION = ("Gallusser et al., J Cell Biol 2022, the method", "10.1083/jcb.202208005")
MODEL_FILE, RAW_FILE, PROBABILITY_FILE, README_FILE = (
    "model.onnx",
    "raw.npy",
    "probability.npy",
    "README.md",
)
DESCRIPTION_FILE = "rdf.yaml"
MAX_NAME_CHARACTERS = 64


def package_border(config: ModelConfig) -> int:
    """Return the voxels by which the output of the package is smaller than its input, per side."""
    return context(config) + output_margin(config)


def write_package(
    destination: Path,
    info: CheckpointInfo,
    *,
    folder: Path,
    example: tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]],
    authors: Sequence[str] = (),
    license_id: str | None = None,
) -> None:
    """Write a package, without network access.

    Parameters
    ----------
    destination
        The zip file to write.
    info
        Metadata of the checkpoint.
    folder
        Contains ``model.onnx``; the other files of the package are written there first.
    example
        Grey values and the network's probability for them, both (1, 1, z, y, x).
    authors
        Names of the model's authors.
    license_id
        SPDX identifier; None: the package states no license.

    Raises
    ------
    ValueError
        The format does not allow the metadata, an author or the license.
    """
    (folder / README_FILE).write_text(_format_readme(info))
    np.save(folder / RAW_FILE, example[0])
    np.save(folder / PROBABILITY_FILE, example[1])
    # Checks of files and addresses need network access; without them the description is checked.
    with ValidationContext(root=folder, perform_io_checks=False, log_warnings=False):
        try:
            description = _make_description(info, authors=authors, license_id=license_id)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"bioimage.io does not allow this: {where}: {first['msg']}") from error
        save_bioimageio_yaml_only(description, folder / DESCRIPTION_FILE)
    with ZipFile(destination, "w", ZIP_DEFLATED) as package:
        for name in (DESCRIPTION_FILE, README_FILE, MODEL_FILE, RAW_FILE, PROBABILITY_FILE):
            package.write(folder / name, name)


def _make_description(
    info: CheckpointInfo, *, authors: Sequence[str], license_id: str | None
) -> bio.ModelDescr:
    return bio.ModelDescr(
        name=_package_name(info),
        description=(
            f"3D U-Net that finds {info.structure} in FIB-SEM volumes of "
            f"{_format_voxel_size(info.voxel_size)} nm voxels: probability of foreground from "
            "8-bit raw."
        ),
        authors=[bio.Author(name=name) for name in authors],
        license=None if license_id is None else _parse_license(license_id),
        cite=[bio.CiteEntry(text=PAPER_CITATION[0], doi=bio.Doi(PAPER_CITATION[1]))],
        documentation=bio.FileDescr(source=_relative_path(README_FILE)),
        tags=["3d", "electron-microscopy", "unet", "semantic-segmentation", info.structure],
        inputs=[_describe_input(info)],
        outputs=[_describe_output(info)],
        weights=bio.WeightsDescr(
            onnx=bio.OnnxWeightsDescr(
                source=_relative_path(MODEL_FILE),
                opset_version=OPSET,
                comment=_format_provenance(info),
            )
        ),
        config=bio.Config(asem=json.loads(info.model_dump_json(exclude={"training", "inputs"}))),
    )


def _parse_license(name: str) -> bio.LicenseId:
    try:
        return bio.LicenseId(name)
    except ValidationError as error:
        raise ValueError(
            f"unknown license '{name}'; give an SPDX identifier such as CC-BY-4.0 or MIT "
            "(https://spdx.org/licenses)"
        ) from error


def _describe_input(info: CheckpointInfo) -> bio.InputTensorDescr:
    size = bio.ParameterizedSize(
        min=valid_input_size(info.model, lattice(info.model)), step=lattice(info.model)
    )
    space = [
        bio.SpaceInputAxis(id=bio.AxisId(axis), size=size, scale=scale, unit="nanometer")
        for axis, scale in zip(SPATIAL_AXES, info.voxel_size, strict=True)
    ]
    as_float = bio.EnsureDtypeDescr(kwargs=bio.EnsureDtypeKwargs(dtype="float32"))
    scaled = bio.ScaleLinearDescr(
        kwargs=bio.ScaleLinearKwargs(gain=INPUT_GAIN, offset=INPUT_OFFSET)
    )
    return bio.InputTensorDescr(
        id=bio.TensorId(INPUT),
        description=(
            "Grey values, 8 bit; other images are first scaled so that black is 0 and white is 255."
        ),
        axes=[bio.BatchAxis(), _channel_axis(INPUT), *space],
        test_tensor=bio.FileDescr(source=_relative_path(RAW_FILE)),
        data=bio.IntervalOrRatioDataDescr(type="uint8", range=(0, 255)),
        preprocessing=[as_float, scaled, as_float],
    )


def _describe_output(info: CheckpointInfo) -> bio.OutputTensorDescr:
    space = [
        bio.SpaceOutputAxis(
            id=bio.AxisId(axis),
            size=bio.SizeReference(
                tensor_id=bio.TensorId(INPUT),
                axis_id=bio.AxisId(axis),
                offset=-2 * package_border(info.model),
            ),
            scale=scale,
            unit="nanometer",
        )
        for axis, scale in zip(SPATIAL_AXES, info.voxel_size, strict=True)
    ]
    return bio.OutputTensorDescr(
        id=bio.TensorId(OUTPUT),
        description=f"Probability of {info.structure}.",
        axes=[bio.BatchAxis(), _channel_axis(OUTPUT), *space],
        test_tensor=bio.FileDescr(source=_relative_path(PROBABILITY_FILE)),
        data=bio.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
    )


def _relative_path(name: str) -> bio.RelativeFilePath:
    """Return the path of a file in the package."""
    return bio.RelativeFilePath(Path(name))


def _channel_axis(name: str) -> bio.ChannelAxis:
    return bio.ChannelAxis(channel_names=[bio.Identifier(name)])


def _package_name(info: CheckpointInfo) -> str:
    """Return the name of a package, in the characters that the format allows."""
    text = f"asem U-Net for {info.structure} in FIB-SEM"
    return re.sub(r"[^A-Za-z0-9_+\- ()]", "-", text)[:MAX_NAME_CHARACTERS]


def _format_voxel_size(voxel_size: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in voxel_size)


def _format_provenance(info: CheckpointInfo) -> str:
    if info.origin is None:
        return f"Trained by asem {info.asem} for {info.iteration} iterations."
    number = info.origin.published
    which = "" if number is None else f", the paper's model {number}"
    return (
        f"Converted by asem {info.asem} from {info.origin.file}{which} "
        f"(SHA-256 {info.origin.sha256})."
    )


def _format_readme(info: CheckpointInfo) -> str:
    step, smallest = lattice(info.model), valid_input_size(info.model, lattice(info.model))
    size, border = _format_voxel_size(info.voxel_size), package_border(info.model)
    return f"""# {_package_name(info)}

{_format_provenance(info)}

- Input: 8-bit raw, axes (batch, channel, z, y, x), voxels of {size} nm (z, y,
  x). It is scaled to [-1, 1] as x / 127.5 - 1. Other images are first scaled so that black is 0 and
  white is 255.
- Each axis has {smallest} voxels or any whole multiple of {step} more.
- Output: the probability of {info.structure}; it is smaller by {border} voxels on each
  side. Tiles of it can be put side by side: they do not show.
- bioimageio.core 0.11 predicts such a network for a whole array, not block by block; `asem predict`
  predicts whole cells.

## Validation

This package states no score. To score the model, label a part of your own volume that it was not
trained on, predict that part, and compare: `asem evaluate PREDICTION LABELS --structure STRUCTURE`
gives precision, recall, F1 and IoU, with the zone around the labels' borders left out and with it.
"""
