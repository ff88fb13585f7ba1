"""Describe an image, or what else `asem info` is given."""

from pathlib import Path
from typing import Any

from asem.blocks.output_nesting import CHECKPOINT_FILES, RUN_FILE
from asem.volume import ngff
from asem.volume.sources import read_any_metadata


def describe(path: Path) -> dict[str, Any]:
    """Describe an image, a run directory, a checkpoint or a converted model.

    Parameters
    ----------
    path
        One of them.

    Returns
    -------
    dict
        As from `describe_volume`, or from `asem.workflows.describe_run`.
    """
    if (path / RUN_FILE).is_file():
        from asem.workflows.describe_run import describe_run  # torch imports slowly

        return describe_run(path)
    if all((path / name).is_file() for name in CHECKPOINT_FILES):
        from asem.workflows.describe_run import describe_model

        return describe_model(path)
    return describe_volume(path)


def describe_volume(path: Path) -> dict[str, Any]:
    """Describe a finished image without reading voxels.

    Parameters
    ----------
    path
        The image group.

    Returns
    -------
    dict
        ``shape``, ``dtype``, ``voxel_size`` and ``offset_nm`` (nm, of the finest level),
        ``levels`` (the shape of each), ``chunk``, ``shard``, ``kind``, ``window``, ``original``
        (the grid from which it was cropped), ``made_by`` and, for imported labels, ``voxels``
        (numbers of foreground, background and unlabelled voxels).
    """
    metadata = read_any_metadata(path)
    volume, arrays = ngff.open_image(metadata), ngff.open_levels(metadata)
    made_by = metadata.asem_metadata.made_by
    facts = (made_by or {}).get("facts")
    counts = {"voxels": facts["voxels"]} if isinstance(facts, dict) and "voxels" in facts else {}
    return {
        "shape": list(volume.shape),
        "dtype": volume.dtype.name,
        "voxel_size": list(volume.voxel_size),
        "offset_nm": list(volume.offset_nm),
        "levels": [list(array.shape) for array in arrays],
        "chunk": list(arrays[0].chunk),
        "shard": list(arrays[0].shard),
        "kind": volume.kind,
        "window": volume.window and list(volume.window),
        "original": {
            "shape": list(volume.original_grid.shape),
            "origin_nm": list(volume.original_grid.origin_nm),
        },
        **counts,
        "made_by": made_by,
    }
