"""Models from and for elsewhere: convert published checkpoints, export to ONNX and bioimage.io."""

import hashlib
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from asem import __version__
from asem.blocks.enclosing import refuse_within_output
from asem.config import LARGEST_VOXEL_NM, SMALLEST_VOXEL_NM, Nm3
from asem.model.checkpoint import find_checkpoint, load_checkpoint, refuse_to_replace, save_model
from asem.model.config import CheckpointInfo, Origin
from asem.model.conversion import read_published
from asem.model.exported import refuse_other_file
from asem.model.published import PublishedModel, published_model
from asem.model.unet import UNet, context, lattice, valid_input
from asem.model.voxel_range import VoxelSizeRange, range_text
from asem.structures import find_structure
from asem.system.contents import contents
from asem.system.files import refuse_undecodable
from asem.system.folders import replaced_by
from asem.system.names import refuse_link
from asem.system.places import Check

if TYPE_CHECKING:
    import numpy.typing as npt

LOG = logging.getLogger(__name__)
Format = Literal["onnx", "bioimageio"]
TOLERANCE = 1e-4
"""Largest difference in probability between a network and its export."""
UNKNOWN = "unknown"


def convert_model(
    file: Path,
    destination: Path,
    *,
    structure: str | None = None,
    voxel_size: Nm3 | None = None,
    published: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Turn a checkpoint of the published pipeline into one that `asem predict` takes.

    Parameters
    ----------
    file
        A torch file with the key ``model_state_dict``; nothing but tensors is unpickled.
    destination
        The folder to write.
    structure
        What the network finds: a preset's name, or a TOML file with a preset.
    voxel_size
        nm, of the images that it was trained on; data of any other is resampled.
    published
        Number of a published model (`asem.model.published`), which says both, and the range of
        voxel sizes that are not resampled; `structure` and `voxel_size` override it.
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
        Something is missing, or is no such checkpoint.
    """
    name, size, accepted = _meaning(structure, voxel_size, published)
    refuse_to_replace(destination, overwrite=overwrite)
    config, weights = read_published(file)
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


def _meaning(
    structure: str | None, voxel_size: Nm3 | None, published: int | None
) -> tuple[str, Nm3, VoxelSizeRange | None]:
    """Return structure, voxel size and accepted range: as given, else those of a published model.

    A voxel size that is given is the only one that is not resampled.
    """
    name = None if structure is None else find_structure(structure).name
    if voxel_size is not None and not all(
        SMALLEST_VOXEL_NM <= size <= LARGEST_VOXEL_NM for size in voxel_size
    ):
        given = ",".join(f"{size:g}" for size in voxel_size)
        raise ValueError(
            f"--voxel-size {given}: the sizes of a voxel in nm must be positive, "
            f"{SMALLEST_VOXEL_NM:g} to {LARGEST_VOXEL_NM:g}"
        )
    accepted = None
    if published is not None:
        model = published_model(published)
        _warn_of_override(model, name, voxel_size)
        name = name or model.structure
        if voxel_size is None:
            voxel_size, accepted = model.voxel_size, model.voxel_size_range
    if name is None or voxel_size is None:
        raise ValueError(
            "a checkpoint does not say what it finds; give --structure NAME and --voxel-size "
            "z,y,x, or --published NUMBER (`asem models list`)"
        )
    return name, voxel_size, accepted


def _warn_of_override(model: PublishedModel, name: str | None, voxel_size: Nm3 | None) -> None:
    """Log a warning where options say something else than the published model."""
    sizes = range_text(model.voxel_size, model.voxel_size_range)
    if name not in (None, model.structure):
        LOG.warning(
            "--structure %s overrides what the published model %d finds, %s",
            name,
            model.number,
            model.structure,
        )
    if voxel_size is not None and range_text(voxel_size, None) != sizes:
        LOG.warning(
            "--voxel-size %s overrides what the published model %d was trained on, %s nm; data of "
            "any other voxel size will be resampled",
            ",".join(f"{size:g}" for size in voxel_size),
            model.number,
            sizes,
        )


def export_model(
    checkpoint: Path,
    destination: Path,
    *,
    format: Format,  # noqa: A002 - the option's name
    authors: Sequence[str] = (),
    license_id: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a network for other programs; what they will compute is checked first.

    Parameters
    ----------
    checkpoint
        A run directory (its best checkpoint), a checkpoint, or a converted model.
    destination
        The file to write.
    format
        ``"onnx"``: the network from raw in [-1, 1] to the probability of foreground
        (`asem.model.onnx_graph`); ``"bioimageio"``: a bioimage.io package of it that takes 8-bit
        raw, a zip.
    authors, license_id
        Names, and an SPDX identifier, for the package; nobody and none are put in by themselves.
    overwrite
        Replace a file at `destination` that asem exported.

    Returns
    -------
    dict
        ``file``, ``format``, and what its users must know: ``voxel_size`` (nm), ``context``,
        ``smallest`` input and ``step`` between the sizes it takes (voxels).

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        One line each; also where `asem[export]` is not installed.
    """
    _require_extra()
    if format == "onnx" and (authors or license_id):
        raise ValueError("--author and --license stand in packages: give --format bioimageio")
    refuse_undecodable(destination)
    may_replace = _check_old(destination, overwrite=overwrite)
    net, info = load_checkpoint(find_checkpoint(checkpoint))
    with replaced_by(destination, may_replace) as (folder, publish):
        made, cut = folder / "model.onnx", 0
        if format == "bioimageio":
            from asem.model.bioimage_package import margin, write_package

            cut = margin(info.model)
        grey, probability = _write_network(net, info, made, margin=cut)
        if format == "bioimageio":
            made = folder / "package.zip"
            write_package(
                made,
                info,
                folder=folder,
                example=(grey, probability),
                authors=authors,
                license_id=license_id,
            )
        publish(made)
    return {
        "file": str(destination),
        "format": format,
        "structure": info.structure,
        "voxel_size": list(info.voxel_size),
        "context": context(info.model) + cut,
        "smallest": valid_input(info.model, lattice(info.model)),
        "step": lattice(info.model),
    }


def _check_old(destination: Path, *, overwrite: bool) -> Check:
    """Refuse what lies there; return a function that refuses all but the file that lies there."""
    refuse_link(destination)
    refuse_within_output(destination)
    if destination.is_dir() or (destination.exists() and not overwrite):
        advice = "give a file" if destination.is_dir() else "give --overwrite to replace it"
        raise FileExistsError(f"{destination} exists already; {advice}")
    refuse_other_file(destination)
    old = contents(destination)

    def check(path: Path) -> None:
        if os.path.lexists(path) and contents(path) != old:
            raise FileExistsError(
                f"{path} appeared while it was being made; it is not replaced: move it away"
            )

    return check


def _require_extra() -> None:
    for name in ("onnx", "onnxruntime", "bioimageio"):
        if find_spec(name) is None:
            raise ValueError(f"`asem models export` needs {name}; pip install 'asem[export]'")


def _write_network(
    net: UNet, info: CheckpointInfo, file: Path, *, margin: int
) -> tuple["npt.NDArray[np.uint8]", "npt.NDArray[np.float32]"]:
    """Write the ONNX file; returns grey values and what PyTorch makes of them, less the margin."""
    import onnx

    from asem.model.onnx_graph import example_input, onnx_model, scaled

    grey = example_input(info.model)
    raw = scaled(grey)
    with torch.inference_mode():
        whole = net(torch.from_numpy(raw)).softmax(1)[:, 1:].numpy()
    kept = slice(margin, whole.shape[-1] - margin)
    probability = np.ascontiguousarray(whole[..., kept, kept, kept])
    facts = _facts(info) | {"context": f"{context(info.model) + margin} voxels on each side"}
    onnx.save(onnx_model(net, facts, margin=margin), file)
    difference = float(np.abs(_run(file, raw) - probability).max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the exported network differs from PyTorch by {difference:.1e} (at most {TOLERANCE}); "
            "nothing was written; try another version of onnxruntime"
        )
    return grey, probability


def _run(model: Path, raw: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (probability,) = session.run(None, {"raw": raw})
    return np.asarray(probability, np.float32)


def _facts(info: CheckpointInfo) -> dict[str, str]:
    """Return what stands in the ONNX file's metadata."""
    accepted = {"voxel_size_range": range_text(info.voxel_size, info.voxel_size_range)}
    return (accepted if info.voxel_size_range else {}) | {
        "structure": info.structure,
        "voxel_size": ",".join(f"{size:g}" for size in info.voxel_size),
        "voxel_size_unit": "nm, z,y,x",
        "input": "raw, grey values scaled to [-1, 1]: x / 127.5 - 1 for 8 bit",
        "output": "probability of foreground",
        "sizes": f"{valid_input(info.model)} + {lattice(info.model)} k voxels",
        "checkpoint": info.model_dump_json(exclude={"training", "inputs"}),
    }
