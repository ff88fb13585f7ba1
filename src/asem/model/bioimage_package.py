"""A model as a bioimage.io package: a zip of weights, test arrays and their description.

The package takes 8-bit raw and scales it to [-1, 1] itself. Programs that predict tile by tile put
the outputs side by side, so that these must be multiples of the network's lattice, or the tiles
would show: the package's network cuts a margin off the output, too::

    raw, uint8       |-- context --|- margin -|------ 8 k ------|- margin -|-- context --|
    probability                               |------ 8 k ------|

A halo in the format's sense will not do: bioimageio.core pads the input by it, to sizes that the
network does not take.
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

from asem.model.config import CheckpointInfo, ModelConfig
from asem.model.onnx_graph import GAIN, INPUT, OFFSET, OPSET, OUTPUT, SPATIAL
from asem.model.unet import context, lattice, output_size, valid_input

PAPER = ("Gallusser et al., J Cell Biol 2022, the method", "10.1083/jcb.202208005")
MODEL, RAW, PROBABILITY, README = "model.onnx", "raw.npy", "probability.npy", "README.md"
DESCRIPTION = "rdf.yaml"
LONGEST_NAME = 64


def margin(config: ModelConfig) -> int:
    """Return what is cut off each side of the output, so that a multiple of the lattice is left.

    Examples
    --------
    >>> margin(ModelConfig())
    3
    """
    size = output_size(config, valid_input(config, lattice(config)))
    assert size is not None
    return size % lattice(config) // 2


def lost(config: ModelConfig) -> int:
    """Return by how much the package's output is smaller than its input on each side."""
    return context(config) + margin(config)


def write_package(
    destination: Path,
    info: CheckpointInfo,
    *,
    folder: Path,
    example: tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]],
    authors: Sequence[str] = (),
    license_id: str | None = None,
) -> None:
    """Write a package; nothing is looked up on the net.

    Parameters
    ----------
    destination
        The zip file to write.
    info
        What the checkpoint says of itself.
    folder
        Holds ``model.onnx``; the other files of the package are written there first.
    example
        Grey values and the probability that the network gives for them, both (1, 1, z, y, x).
    authors
        Names of those who made the model.
    license_id
        SPDX identifier; None: the package states no license.

    Raises
    ------
    ValueError
        The format does not allow what was given; one line.
    """
    (folder / README).write_text(_documentation(info))
    np.save(folder / RAW, example[0])
    np.save(folder / PROBABILITY, example[1])
    # Checking files and addresses would ask the net; what is left checks the description itself.
    with ValidationContext(root=folder, perform_io_checks=False, log_warnings=False):
        try:
            description = _description(info, authors=authors, license_id=license_id)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"bioimage.io does not allow this: {where}: {first['msg']}") from error
        save_bioimageio_yaml_only(description, folder / DESCRIPTION)
    with ZipFile(destination, "w", ZIP_DEFLATED) as package:
        for name in (DESCRIPTION, README, MODEL, RAW, PROBABILITY):
            package.write(folder / name, name)


def _description(
    info: CheckpointInfo, *, authors: Sequence[str], license_id: str | None
) -> bio.ModelDescr:
    return bio.ModelDescr(
        name=_name(info),
        description=(
            f"3D U-Net that finds {info.structure} in FIB-SEM volumes of "
            f"{_times(info.voxel_size)} nm voxels: probability of foreground from 8-bit raw."
        ),
        authors=[bio.Author(name=name) for name in authors],
        license=None if license_id is None else _license(license_id),
        cite=[bio.CiteEntry(text=PAPER[0], doi=bio.Doi(PAPER[1]))],
        documentation=bio.FileDescr(source=_file(README)),
        tags=["3d", "electron-microscopy", "unet", "semantic-segmentation", info.structure],
        inputs=[_input(info)],
        outputs=[_output(info)],
        weights=bio.WeightsDescr(
            onnx=bio.OnnxWeightsDescr(
                source=_file(MODEL), opset_version=OPSET, comment=_provenance(info)
            )
        ),
        config=bio.Config(asem=json.loads(info.model_dump_json(exclude={"training", "inputs"}))),
    )


def _license(name: str) -> bio.LicenseId:
    try:
        return bio.LicenseId(name)
    except ValidationError as error:
        raise ValueError(
            f"unknown license '{name}'; give an SPDX identifier such as CC-BY-4.0 or MIT "
            "(https://spdx.org/licenses)"
        ) from error


def _input(info: CheckpointInfo) -> bio.InputTensorDescr:
    size = bio.ParameterizedSize(
        min=valid_input(info.model, lattice(info.model)), step=lattice(info.model)
    )
    space = [
        bio.SpaceInputAxis(id=bio.AxisId(axis), size=size, scale=scale, unit="nanometer")
        for axis, scale in zip(SPATIAL, info.voxel_size, strict=True)
    ]
    as_float = bio.EnsureDtypeDescr(kwargs=bio.EnsureDtypeKwargs(dtype="float32"))
    scaled = bio.ScaleLinearDescr(kwargs=bio.ScaleLinearKwargs(gain=GAIN, offset=OFFSET))
    return bio.InputTensorDescr(
        id=bio.TensorId(INPUT),
        description=(
            "Grey values, 8 bit; other images are first scaled so that black is 0 and white is 255."
        ),
        axes=[bio.BatchAxis(), _channel(INPUT), *space],
        test_tensor=bio.FileDescr(source=_file(RAW)),
        data=bio.IntervalOrRatioDataDescr(type="uint8", range=(0, 255)),
        preprocessing=[
            as_float,
            scaled,
            as_float,
        ],
    )


def _output(info: CheckpointInfo) -> bio.OutputTensorDescr:
    space = [
        bio.SpaceOutputAxis(
            id=bio.AxisId(axis),
            size=bio.SizeReference(
                tensor_id=bio.TensorId(INPUT),
                axis_id=bio.AxisId(axis),
                offset=-2 * lost(info.model),
            ),
            scale=scale,
            unit="nanometer",
        )
        for axis, scale in zip(SPATIAL, info.voxel_size, strict=True)
    ]
    return bio.OutputTensorDescr(
        id=bio.TensorId(OUTPUT),
        description=f"Probability of {info.structure}.",
        axes=[bio.BatchAxis(), _channel(OUTPUT), *space],
        test_tensor=bio.FileDescr(source=_file(PROBABILITY)),
        data=bio.IntervalOrRatioDataDescr(type="float32", range=(0, 1)),
    )


def _file(name: str) -> bio.RelativeFilePath:
    """Name a file of the package."""
    return bio.RelativeFilePath(Path(name))


def _channel(name: str) -> bio.ChannelAxis:
    return bio.ChannelAxis(channel_names=[bio.Identifier(name)])


def _name(info: CheckpointInfo) -> str:
    """Return a name of the characters that the format allows."""
    text = f"asem U-Net for {info.structure} in FIB-SEM"
    return re.sub(r"[^A-Za-z0-9_+\- ()]", "-", text)[:LONGEST_NAME]


def _times(voxel_size: Sequence[float]) -> str:
    return " x ".join(f"{size:g}" for size in voxel_size)


def _provenance(info: CheckpointInfo) -> str:
    if info.origin is None:
        return f"Trained by asem {info.asem} for {info.iteration} iterations."
    number = info.origin.published
    which = "" if number is None else f", the paper's model {number}"
    return (
        f"Converted by asem {info.asem} from {info.origin.file}{which} "
        f"(SHA-256 {info.origin.sha256})."
    )


def _documentation(info: CheckpointInfo) -> str:
    step, smallest = lattice(info.model), valid_input(info.model, lattice(info.model))
    return f"""# {_name(info)}

{_provenance(info)}

- Input: 8-bit raw, axes (batch, channel, z, y, x), voxels of {_times(info.voxel_size)} nm (z, y,
  x). It is scaled to [-1, 1] as x / 127.5 - 1. Other images are first scaled so that black is 0 and
  white is 255.
- Each axis has {smallest} voxels or any whole multiple of {step} more.
- Output: the probability of {info.structure}; it is smaller by {lost(info.model)} voxels on each
  side. Tiles of it can be put side by side: they do not show.
- bioimageio.core 0.11 predicts such a network for a whole array, not block by block; `asem predict`
  predicts whole cells.

## Validation

This package states no score. To score the model, label a part of your own volume that it was not
trained on, predict that part, and compare: `asem evaluate PREDICTION LABELS --structure STRUCTURE`
gives precision, recall, F1 and IoU, with the zone around the labels' borders left out and with it.
"""
