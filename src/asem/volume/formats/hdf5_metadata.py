"""Axes, voxel size and position of an HDF5 dataset, by the attributes that programs write.

::

    axistags, axis_units           ilastik (vigra): JSON; names, steps and units of the axes
    axes, axis_names, axis labels  names of the axes
    element_size_um                Fiji, PlantSeg: (z, y, x), micrometres
    resolution, voxel_size         funlib, CREMI: along the axes of space, nm, or in `units`
    offset                         as these; the corner of the first voxel, 0 where it is missing
"""

import math
from typing import Any

import numpy as np

from asem.config import MAX_VOXEL_NM, NmZYX
from asem.system.json_toml import parse_json
from asem.volume.address import Address
from asem.volume.formats.array_placement import (
    FUNLIB_KEYS,
    Placement,
    have_colours_last,
    place_by_funlib,
)
from asem.volume.formats.hdf5_file import DatasetInfo
from asem.volume.formats.source_image import StatedVoxelSize
from asem.volume.length_units import unit_nm
from asem.volume.roi import per_axis

AXES = {
    "z": "z", "y": "y", "x": "x", "c": "c", "t": "t", "channel": "c", "channels": "c", "time": "t",
}  # fmt: skip
"""Names of axes, lower case."""
DEFAULT_ELEMENT_SIZE = [1.0, 1.0, 1.0]
"""Programs write this where the voxel size is not stated."""


def find_axes(info: DatasetInfo) -> str:
    """Return the letters of the stored axes: z, y, x, and c and t.

    Where the names are not stated, three axes are (z, y, x); axes of one entry are dropped before
    them (written as t); with a voxel size of three entries, the first of four axes is c, or the
    last one if it has at most 4 entries.

    Raises
    ------
    ValueError
        The axes cannot be determined.

    Examples
    --------
    >>> find_axes(DatasetInfo("/raw", (8, 9, 10)))
    'zyx'
    >>> find_axes(DatasetInfo("/raw", (8, 9, 10, 1)))
    'zyxt'
    """
    rank = len(info.shape)
    for names in (_tag_names(info), *_named_axes(info)):
        letters = "".join(AXES.get(name.lower().rstrip("^"), "?") for name in names)
        if (
            len(letters) == rank
            and len(set(letters)) == rank
            and set("zyx") <= set(letters)
            and ("?" not in letters)
        ):
            return letters
    if rank == 3:
        return "zyx"
    single = [axis for axis, size in enumerate(info.shape) if size == 1][: max(0, rank - 3)]
    if rank > 3 and len(single) == rank - 3:
        space = iter("zyx")
        return "".join("t" if axis in single else next(space) for axis in range(rank))
    if rank == 4 and len(_numbers(info, "resolution") or _numbers(info, "voxel_size")) == 3:
        return "zyxc" if have_colours_last(info.shape) else "czyx"
    raise ValueError(
        f"has shape {info.shape} and no names of its axes (axistags, axes); save a volume with "
        "three axes (z, y, x), and colours as grey values"
    )


def find_placement(info: DatasetInfo, letters: str, address: Address) -> Placement:
    """Return voxel size and position.

    Parameters
    ----------
    info
        The dataset.
    letters
        Its axes (`find_axes`).
    address
        Of the dataset, for messages.

    Raises
    ------
    ValueError
        Attributes have another number of entries, or ``axis_units`` is damaged.
    """
    lists = {key: numbers for key in (*FUNLIB_KEYS, "offset") if (numbers := _numbers(info, key))}
    placement = place_by_funlib({**lists, "units": _units(info)}, letters, address)
    if placement.voxel_size != (None, None, None):
        return placement
    elements = _numbers(info, "element_size_um")
    if len(elements) == 3 and elements != DEFAULT_ELEMENT_SIZE:
        z, y, x = elements
        return Placement(_to_nm((z, y, x), (1e3, 1e3, 1e3)))
    return Placement(_tag_steps(info, address))


def _tags(info: DatasetInfo) -> list[dict[str, Any]]:
    """Return the entries of vigra's axistags, in the order of the stored axes."""
    text = _text(info.attributes.get("axistags"))
    document = parse_json(text, source="axistags") if text else {}
    axes = document.get("axes") if isinstance(document, dict) else None
    return [one for one in axes if isinstance(one, dict)] if isinstance(axes, list) else []


def _tag_names(info: DatasetInfo) -> list[str]:
    return [str(tag.get("key", "?")) for tag in _tags(info)]


def _tag_steps(info: DatasetInfo, address: Address) -> StatedVoxelSize:
    """Return the voxel size of axistags with axis_units (ilastik 1.4.1 and later)."""
    text = _text(info.attributes.get("axis_units"))
    units = parse_json(text, source=f"{address}: axis_units") if text else {}
    if not isinstance(units, dict):
        return (None, None, None)
    steps = {str(tag.get("key")): tag.get("resolution") for tag in _tags(info)}
    edges = per_axis(lambda axis: _edge(steps.get(axis)), "zyx")
    return _to_nm(edges, per_axis(lambda axis: unit_nm(units.get(axis)), "zyx"))


def _edge(step: Any) -> float:
    """Return the edge of a voxel; 0 where it is no number, or none that a voxel can have."""
    return float(step) if isinstance(step, int | float) and 0 < step <= MAX_VOXEL_NM else 0.0


def _named_axes(info: DatasetInfo) -> list[list[str]]:
    """Return the names of the axes by each attribute that may state them."""
    return [
        *(_texts(info.attributes.get(name)) for name in ("axes", "axis_names")),
        list(info.axis_labels),
    ]


def _units(info: DatasetInfo) -> str | list[str]:
    """Return the units of each axis, or of all; empty where they are not stated."""
    units = _texts(info.attributes.get("units"))
    return units if len(units) > 1 else "".join(units)


def _to_nm(edges: NmZYX, units_nm: StatedVoxelSize) -> StatedVoxelSize:
    return per_axis(
        lambda edge, unit: edge * unit if unit is not None and edge > 0 else None, edges, units_nm
    )


def _numbers(info: DatasetInfo, name: str) -> list[float]:
    """Return an attribute of finite numbers; empty where it is none."""
    try:
        values = np.asarray(info.attributes.get(name, []), np.float64).ravel().tolist()
    except (TypeError, ValueError):
        return []
    return values if all(map(math.isfinite, values)) else []


def _texts(value: Any) -> list[str]:
    """Return an attribute of texts; one text of several letters is one per letter."""
    if isinstance(value, np.ndarray | list | tuple):
        return [_text(one) for one in np.asarray(value).ravel().tolist()]
    text = _text(value)
    parts = text.replace(",", " ").split()
    return list(text) if len(parts) == 1 and set(text.lower()) <= set("tczyx") else parts


def _text(value: Any) -> str:
    """Return a text or bytes as text, also an array of characters; else an empty text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SU" and value.dtype.itemsize <= 4:
        characters = value.ravel().tolist()  # of UTF-8, each may be a part of a letter
        return _text(b"".join(characters)) if value.dtype.kind == "S" else "".join(characters)
    return value if isinstance(value, str) else ""


def read_characters(attributes: dict[str, Any], name: str) -> str:
    """Return an attribute that is stored as an array of characters, or as text (Imaris)."""
    return _text(attributes.get(name)).strip("\0 ")
