"""Say what a volume is: the fields of `asem info`."""

from pathlib import Path
from typing import Any

from asem.volume import ngff
from asem.volume.formats import image_metadata


def describe_volume(path: Path) -> dict[str, Any]:
    """Describe a finished image without reading a voxel.

    Parameters
    ----------
    path
        The image group.

    Returns
    -------
    dict
        ``shape``, ``dtype``, ``voxel_size`` and ``offset_nm`` (nm, of the finest level),
        ``levels`` (the shape of each), ``chunk``, ``shard``, and besides ``kind``, ``window``,
        ``original`` (the grid it was cut from), ``made_by`` and, of imported labels, ``voxels``
        (how many are foreground, background, unlabelled).
    """
    stated = image_metadata(path)
    volume, arrays = ngff.open_image(stated), ngff.open_levels(stated)
    own = stated.own
    facts = (own.made_by or {}).get("facts")
    counted = {"voxels": facts["voxels"]} if isinstance(facts, dict) and "voxels" in facts else {}
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
            "shape": list(volume.grid.shape),
            "origin_nm": list(volume.grid.origin_nm),
        },
        **counted,
        "made_by": own.made_by,
    }
