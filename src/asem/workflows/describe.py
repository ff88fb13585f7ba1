"""Describe an image in any format, a run or a model: the fields of `asem info`."""

from typing import Any

from asem.blocks.output_nesting import CHECKPOINT_FILES, RUN_FILE
from asem.volume.address import Address, AddressLike
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.source_image import DEFAULT_SOURCE_OPTIONS, SourceOptions
from asem.volume.sources import check_metadata
from asem.volume.volume import OriginalGrid


def describe(
    address: AddressLike, options: SourceOptions = DEFAULT_SOURCE_OPTIONS
) -> dict[str, Any]:
    """Describe an image, a run directory, a checkpoint or a converted model.

    Parameters
    ----------
    address
        One of them.
    options
        Channel of an image.

    Returns
    -------
    dict
        As from `describe_volume`, or from `asem.workflows.describe_run`.
    """
    return describe_training(address) or describe_volume(address, options)


def describe_training(address: AddressLike) -> dict[str, Any]:
    """Describe a run directory, a checkpoint or a converted model; empty for anything else."""
    path = Address.parse(address).local_path
    if path is not None and (path / RUN_FILE).is_file():
        from asem.workflows.describe_run import describe_run  # torch imports slowly

        return describe_run(path)
    if path is not None and all((path / name).is_file() for name in CHECKPOINT_FILES):
        from asem.workflows.describe_run import describe_model

        return describe_model(path)
    return {}


def describe_volume(
    address: AddressLike, options: SourceOptions = DEFAULT_SOURCE_OPTIONS
) -> dict[str, Any]:
    """Describe an image without reading voxels.

    Parameters
    ----------
    address
        Path or URL.
    options
        Channel, where there are several.

    Returns
    -------
    dict
        ``format``, ``shape``, ``dtype``, ``voxel_size`` and ``offset_nm`` (nm, of the finest level;
        None where the source states none), ``levels`` (the shape of each), ``chunk``, ``shard``
        (None where the format has none), ``kind`` (None: not stated), ``channels`` (names),
        ``window``, ``original`` (the grid from which it was cropped), ``made_by`` and, for imported
        labels, ``voxels`` (numbers of foreground, background and unlabelled voxels).
    """
    image = open_source_image(Address.parse(address), options)
    check_metadata(image)
    level = image.levels[0]
    size, offset_nm, array = level.voxel_size, level.offset_nm, level.array
    facts = (image.made_by or {}).get("facts")
    counts = {"voxels": facts["voxels"]} if isinstance(facts, dict) and "voxels" in facts else {}
    return {
        "format": image.format,
        "shape": list(array.shape),
        "dtype": getattr(array.dtype, "name", str(array.dtype)),
        "voxel_size": list(size),
        "offset_nm": offset_nm and list(offset_nm),
        "levels": [list(level.array.shape) for level in image.levels],
        "chunk": _list_or_none(getattr(array, "chunk", None)),
        "shard": _list_or_none(getattr(array, "shard", None)),
        "kind": image.kind,
        "channels": list(image.channel_names),
        "window": _list_or_none(image.window),
        "original": _describe_grid(image.stated_grid, array.shape, offset_nm),
        **counts,
        "made_by": image.made_by,
    }


def _list_or_none(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _describe_grid(
    grid: OriginalGrid | None, shape: tuple[int, ...], offset_nm: tuple[float, ...] | None
) -> dict[str, Any]:
    return {
        "shape": list(grid.shape if grid else shape),
        "origin_nm": _list_or_none(grid.origin_nm if grid else offset_nm),
    }
