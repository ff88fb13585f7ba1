"""Convert published checkpoints; export models to ONNX and bioimage.io."""

import hashlib
import logging
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from asem import __version__
from asem.blocks.output_nesting import check_output_path
from asem.config import MAX_VOXEL_NM, MIN_VOXEL_NM, NmZYX
from asem.model.checkpoint import (
    CONVERTED_MODEL,
    find_checkpoint,
    load_checkpoint,
    save_model,
)
from asem.model.checkpoint_info import CheckpointInfo, Origin
from asem.model.exported_files import EXPORTED_MODEL
from asem.model.published_checkpoint import read_published_checkpoint
from asem.model.published_models import PublishedModel, find_published_model
from asem.model.unet import UNet, context, lattice, valid_input_size
from asem.model.voxel_size_range import VoxelSizeRange, format_voxel_size_range
from asem.structures import load_structure
from asem.system.folder_replacement import replace_file_from_folder

if TYPE_CHECKING:
    import numpy.typing as npt

LOG = logging.getLogger(__name__)
ExportFormat = Literal["onnx", "bioimageio"]
MAX_DIFFERENCE = 1e-4
"""Largest difference in probability between a network and its export."""
UNKNOWN = "unknown"


def convert_model(
    file: Path,
    destination: Path,
    *,
    structure: str | None = None,
    voxel_size: NmZYX | None = None,
    published: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Convert a checkpoint of the published pipeline to a model for `asem predict`.

    Parameters
    ----------
    file
        A torch file with the key ``model_state_dict``; only tensors are unpickled.
    destination
        The folder to write.
    structure
        Structure that the network detects: name of a preset, or a TOML file with a preset.
    voxel_size
        nm, of the training images; data of any other voxel size is resampled.
    published
        Number of a published model (`asem.model.published_models`), which states both and the range
        of voxel sizes that are not resampled; `structure` and `voxel_size` override it.
    overwrite
        Replace a converted model at `destination`.

    Returns
    -------
    dict
        ``model`` (the folder), ``structure``, ``voxel_size``, ``voxel_size_range``, ``network``
        (its shape) and ``parameters``.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        The file does not exist or is no such checkpoint, or the metadata is incomplete.
    """
    name, size, accepted = _resolve_metadata(structure, voxel_size, published)
    check_output_path(destination)
    CONVERTED_MODEL.check_replaceable(destination, overwrite=overwrite)
    config, weights = read_published_checkpoint(file)
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    info = CheckpointInfo(
        asem=__version__,
        iteration=0,
        structure=name,
        voxel_size=size,
        voxel_size_range=accepted,
        model=config,
        inputs=(),
        device=UNKNOWN,
        precision=UNKNOWN,
        origin=Origin(file=file.name, sha256=digest, published=published),
    )
    save_model(destination, info, weights, overwrite=overwrite)
    return {
        "model": str(destination),
        "structure": name,
        "voxel_size": list(size),
        "voxel_size_range": accepted and [list(end) for end in accepted],
        "network": config.model_dump(),
        "parameters": sum(value.numel() for value in weights.values()),
    }


def _resolve_metadata(
    structure: str | None, voxel_size: NmZYX | None, published: int | None
) -> tuple[str, NmZYX, VoxelSizeRange | None]:
    """Return structure, voxel size and accepted range: those given, else of a published model.

    A given voxel size is the only one that is not resampled.
    """
    name = None if structure is None else load_structure(structure).name
    if voxel_size is not None and not all(
        MIN_VOXEL_NM <= size <= MAX_VOXEL_NM for size in voxel_size
    ):
        given = ",".join(f"{size:g}" for size in voxel_size)
        raise ValueError(
            f"--voxel-size {given}: the sizes of a voxel in nm must be positive, "
            f"{MIN_VOXEL_NM:g} to {MAX_VOXEL_NM:g}"
        )
    accepted = None
    if published is not None:
        model = find_published_model(published)
        _warn_of_override(model, name, voxel_size)
        name = name or model.structure
        if voxel_size is None:
            voxel_size, accepted = model.voxel_size, model.voxel_size_range
    if name is None or voxel_size is None:
        raise ValueError(
            "a checkpoint does not state its structure and voxel size; give --structure NAME and "
            "--voxel-size z,y,x, or --published NUMBER (`asem models list`)"
        )
    return name, voxel_size, accepted


def _warn_of_override(model: PublishedModel, name: str | None, voxel_size: NmZYX | None) -> None:
    """Log a warning if options differ from the published model."""
    sizes = format_voxel_size_range(model.voxel_size, model.voxel_size_range)
    if name not in (None, model.structure):
        LOG.warning(
            "--structure %s overrides the structure of the published model %d, %s",
            name,
            model.number,
            model.structure,
        )
    if voxel_size is not None and format_voxel_size_range(voxel_size, None) != sizes:
        LOG.warning(
            "--voxel-size %s overrides the voxel size of the published model %d, %s nm; data of "
            "any other voxel size will be resampled",
            ",".join(f"{size:g}" for size in voxel_size),
            model.number,
            sizes,
        )


def export_model(
    checkpoint: Path,
    destination: Path,
    *,
    format: ExportFormat,  # noqa: A002 - the option's name
    authors: Sequence[str] = (),
    license_id: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Export a network for other programs, after comparing its output with that of PyTorch.

    Parameters
    ----------
    checkpoint
        A run directory (its best checkpoint), a checkpoint, or a converted model.
    destination
        The file to write.
    format
        ``"onnx"``: the network from raw in [-1, 1] to the probability of foreground
        (`asem.model.onnx_graph`); ``"bioimageio"``: a bioimage.io package of it for 8-bit raw, a
        zip.
    authors, license_id
        Names and SPDX identifier for the package; there are no defaults.
    overwrite
        Replace a file at `destination` if asem exported it.

    Returns
    -------
    dict
        ``file``, ``format``, ``structure``, ``voxel_size`` (nm), ``context``, the ``smallest``
        input size and the ``step`` between valid input sizes (voxels).

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        `destination` exists, there is no checkpoint, or `asem[export]` is not installed.
    """
    _check_export_installed()
    if format == "onnx" and (authors or license_id):
        raise ValueError(
            "--author and --license are stored in packages only; give --format bioimageio"
        )
    check_output_path(destination)
    check = partial(EXPORTED_MODEL.check_replaceable, overwrite=overwrite)
    check(destination)
    net, info = load_checkpoint(find_checkpoint(checkpoint))
    with replace_file_from_folder(destination, check) as (folder, publish):
        exported, margin = folder / "model.onnx", 0
        if format == "bioimageio":
            from asem.model.bioimage_package import write_package
            from asem.model.unet import output_margin

            margin = output_margin(info.model)
        grey, probability = _write_onnx(net, info, exported, margin=margin)
        if format == "bioimageio":
            exported = folder / "package.zip"
            write_package(
                exported,
                info,
                folder=folder,
                example=(grey, probability),
                authors=authors,
                license_id=license_id,
            )
        publish(exported)
    return {
        "file": str(destination),
        "format": format,
        "structure": info.structure,
        "voxel_size": list(info.voxel_size),
        "context": context(info.model) + margin,
        "smallest": valid_input_size(info.model, lattice(info.model)),
        "step": lattice(info.model),
    }


def _check_export_installed() -> None:
    for name in ("onnx", "onnxruntime", "bioimageio"):
        if find_spec(name) is None:
            raise ValueError(f"`asem models export` needs {name}; pip install 'asem[export]'")


def _write_onnx(
    net: UNet, info: CheckpointInfo, file: Path, *, margin: int
) -> tuple["npt.NDArray[np.uint8]", "npt.NDArray[np.float32]"]:
    """Write the ONNX file; return grey values and PyTorch's probability, without the margin."""
    import onnx

    from asem.model.onnx_graph import example_input, make_onnx_model, scale_uint8

    grey = example_input(info.model)
    raw = scale_uint8(grey)
    with torch.inference_mode():
        uncropped = net(torch.from_numpy(raw)).softmax(1)[:, 1:].numpy()
    cropped = slice(margin, uncropped.shape[-1] - margin)
    probability = np.ascontiguousarray(uncropped[..., cropped, cropped, cropped])
    metadata = _onnx_metadata(info) | {
        "context": f"{context(info.model) + margin} voxels on each side"
    }
    onnx.save(make_onnx_model(net, metadata, margin=margin), file)
    difference = float(np.abs(_run_onnx(file, raw) - probability).max())
    if not difference <= MAX_DIFFERENCE:
        raise ValueError(
            f"the exported network differs from PyTorch by {difference:.1e} (at most "
            f"{MAX_DIFFERENCE}); nothing was written; try another version of onnxruntime"
        )
    return grey, probability


def _run_onnx(model: Path, raw: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (probability,) = session.run(None, {"raw": raw})
    return np.asarray(probability, np.float32)


def _onnx_metadata(info: CheckpointInfo) -> dict[str, str]:
    """Return the metadata of the ONNX file."""
    accepted = {"voxel_size_range": format_voxel_size_range(info.voxel_size, info.voxel_size_range)}
    return (accepted if info.voxel_size_range else {}) | {
        "structure": info.structure,
        "voxel_size": ",".join(f"{size:g}" for size in info.voxel_size),
        "voxel_size_unit": "nm, z,y,x",
        "input": "raw, grey values scaled to [-1, 1]: x / 127.5 - 1 for 8 bit",
        "output": "probability of foreground",
        "sizes": f"{valid_input_size(info.model)} + {lattice(info.model)} k voxels",
        "checkpoint": info.model_dump_json(exclude={"training", "inputs"}),
    }
