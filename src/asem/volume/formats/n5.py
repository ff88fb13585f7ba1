"""N5: single arrays and pyramids ``s0``, ``s1``, ... of COSEM, BigDataViewer, Paintera and funlib.

Lists in N5 are in the order (x, y, z), as ``dimensions`` is. The placement of a level is, in order
of precedence (names as in ``attributes.json``)::

    transform                        COSEM, of the array, or of the group in multiscales;
                                     by the names of its axes; translate is a centre
    pixelResolution, resolution      of the array, else of the group above it; x the level's
                                     downsamplingFactors, or the group's scales; a list without
                                     unit in pixelResolution is micrometres (n5-viewer)
    voxel_size, axis_names           funlib from 0.5 on, in the order (z, y, x)
    offset                           funlib: the corner of voxel 0, which is 0 where it is missing
                                     beside resolution or voxel_size; Paintera: its centre

A level that is downsampled by f begins (f - 1) / 2 voxels of the finest level later.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.formats.array_placement import (
    Placement,
    corner_to_centre,
    name_axes,
    place_axes,
    place_by_transform,
    read_numbers,
    read_voxel_size,
    select_volume,
)
from asem.volume.formats.folder import FolderMetadata
from asem.volume.formats.label_attributes import find_kind, read_label_values
from asem.volume.formats.n5_compression import read_compression
from asem.volume.formats.source_image import SourceImage, SourceLevel, SourceOptions
from asem.volume.formats.stores import digest_documents, open_store, read_optional_document
from asem.volume.length_units import unit_nm
from asem.volume.volume import VolumeKind

NAME = "N5"
DOCUMENT = "attributes.json"
MAX_LEVELS = 32
"""Largest number of levels of a pyramid: each is half as long as the one before."""
STORAGE_KEYS = ("dimensions", "blockSize", "dataType", "compression")
"""Attributes that define how the voxels are stored."""
PAINTERA_KEYS = ("painteraData", "multiScale")
"""Attributes of groups of Paintera, whose ``offset`` is the centre of the first voxel."""
Attributes = dict[str, Any]


@dataclass(frozen=True)
class _Array:
    """Attributes of an array, of the group above it, and its number in a pyramid."""

    address: Address
    attributes: Attributes
    group: Attributes
    level: int


def is_format(folder: FolderMetadata) -> bool:
    """Return whether a folder is an array of N5, or a pyramid of such arrays."""
    if set(folder.documents) - {DOCUMENT}:
        return False
    attributes = folder.get(DOCUMENT)
    return _is_array(attributes) or bool(_read_level(*_find_pyramid(folder), 0))


def open_folder(
    folder: FolderMetadata, options: SourceOptions, kind: VolumeKind | None
) -> SourceImage:
    """Open an array, or the pyramid of a group.

    Parameters
    ----------
    folder
        Of the array or group.
    options
        Channel.
    kind
        Requested kind; not used.

    Raises
    ------
    ValueError
        The attributes are invalid, or the array is not a volume.
    """
    arrays = _read_arrays(folder)
    levels = tuple(_open_level(array, options.channel) for array in arrays)
    stated, dtype = [arrays[0].attributes, arrays[0].group], levels[0].array.dtype
    return SourceImage(
        folder.address,
        NAME,
        levels,
        _identify(folder.address, arrays),
        kind=find_kind(arrays[0].address, dtype, stated),
        label_values=read_label_values(folder.address, dtype, stated),
    )


def _is_array(attributes: Attributes) -> bool:
    return "dimensions" in attributes and "dataType" in attributes


def _find_pyramid(folder: FolderMetadata) -> tuple[Address, Attributes]:
    """Return the group that contains the levels; Paintera has them in ``data``."""
    attributes = folder.get(DOCUMENT)
    if "painteraData" not in attributes:
        return folder.address, attributes
    data = folder.address.join("data")
    return data, {**attributes, **read_optional_document(data.join(DOCUMENT))}


def _level_name(group: Attributes, number: int) -> str | None:
    """Return the path of a level, as COSEM lists it, else ``s`` and its number."""
    paths = [str(dataset["path"]) for dataset in _listed_datasets(group)]
    if paths:
        return paths[number] if number < len(paths) else None
    return f"s{number}"


def _listed_datasets(group: Attributes) -> list[Attributes]:
    multiscales = group.get("multiscales")
    first = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    datasets = first.get("datasets") if isinstance(first, dict) else None
    listed = datasets if isinstance(datasets, list) else []
    return [one for one in listed if isinstance(one, dict) and "path" in one]


def _read_level(address: Address, group: Attributes, number: int) -> _Array | None:
    """Return a level of a pyramid; None where it does not exist."""
    name = _level_name(group, number)
    if name is None:
        return None
    level = address.join(name)
    attributes = read_optional_document(level.join(DOCUMENT))
    return _Array(level, attributes, group, number) if _is_array(attributes) else None


def _read_arrays(folder: FolderMetadata) -> list[_Array]:
    """Return the array of a folder, or those of its pyramid, the finest first."""
    attributes = folder.get(DOCUMENT)
    if not _is_array(attributes):
        address, group = _find_pyramid(folder)
        levels = (_read_level(address, group, number) for number in range(MAX_LEVELS))
        arrays: list[_Array] = []
        for level in levels:
            if level is None:
                break
            arrays.append(level)
        return arrays
    group = read_optional_document(folder.address.parent().join(DOCUMENT))
    name = folder.address.name
    paths = [str(dataset["path"]) for dataset in _listed_datasets(group)]
    if name in paths:
        number = paths.index(name)
    else:
        number = int(name[1:]) if re.fullmatch(r"s\d{1,2}", name) else 0
    return [_Array(folder.address, attributes, group, number)]


def _identify(address: Address, arrays: list[_Array]) -> str:
    if address.is_remote:
        return digest_documents(address, [[one.attributes, one.group] for one in arrays])
    return identify_files(address.path, [one.address.path / DOCUMENT for one in arrays])


def _open_level(array: _Array, channel: str | None) -> SourceLevel:
    metadata = {key: array.attributes[key] for key in STORAGE_KEYS if key in array.attributes}
    if "compressionType" in array.attributes:  # N5 before 2.0
        metadata.setdefault("compression", {"type": array.attributes["compressionType"]})
    metadata["compression"] = read_compression(metadata.get("compression"), array.address)
    # tensorstore itself would refuse voxel sizes and units of other programs
    store = open_store(array.address, "n5", metadata=metadata, assume_metadata=True)
    axes = name_axes(_listed_axes(array), store.shape[::-1], array.address)
    placement = _place(array, axes)
    voxels = select_volume(array.address, store, axes[::-1], channel=channel)
    return placement.make_level(voxels)


def _find_transform(array: _Array) -> Attributes | None:
    """Return the ``transform`` of an array, its own or that of the group."""
    own = array.attributes.get("transform")
    if isinstance(own, dict):
        return own
    transforms = (
        one.get("transform")
        for one in _listed_datasets(array.group)
        if one["path"] == array.address.name
    )
    return next((one for one in transforms if isinstance(one, dict)), None)


def _listed_axes(array: _Array) -> list[str] | None:
    """Return the names of the axes in the order of numpy; None: not stated."""
    transform = _find_transform(array) or {}
    axes = transform.get("axes")
    if isinstance(axes, list):
        order = transform.get("order") or transform.get("ordering")
        is_reversed = order == "F" or (order is None and str(axes[:1]).lower() == "['x']")
        return axes[::-1] if is_reversed else axes
    for attributes in (array.attributes, array.group):
        if isinstance(names := attributes.get("axis_names"), list):
            return names
        if isinstance(axes := attributes.get("axes"), list):
            return axes[::-1]
    return None


def _place(array: _Array, axes: Sequence[str]) -> Placement:
    """Return voxel size and offset of an array whose axes are in the order of numpy."""
    if transform := _find_transform(array):
        is_reversed = (transform.get("order") or transform.get("ordering")) == "F"
        return place_by_transform(transform, axes[::-1] if is_reversed else axes, array.address)
    for owner in (array.attributes, array.group):
        base, units = _read_voxel_size(owner, array.address)
        if base:
            break
    else:
        return Placement()
    names = axes if len(base) == len(axes) else [name for name in axes if name in "zyx"]
    factors = _read_factors(array, owner, len(base))
    scale = [size * factor for size, factor in zip(base, factors, strict=True)]
    shift = [size * (factor - 1) / 2 for size, factor in zip(base, factors, strict=True)]
    centre, is_assumed = _read_centre(array, owner, scale, shift)
    placement = place_axes(names, scale, centre, units, array.address)
    return replace(placement, is_offset_assumed=is_assumed)


def _read_voxel_size(
    attributes: Attributes, address: Address
) -> tuple[list[float], list[float | None]]:
    """Return voxel size and units in the order of numpy; empty where they are not stated."""
    pixels = attributes.get("pixelResolution")
    if isinstance(pixels, dict):
        size = (read_numbers(pixels, "dimensions", address) or [])[::-1]
        return size, [unit_nm(pixels.get("unit"))] * len(size)
    if isinstance(pixels, list):
        size = (read_numbers(attributes, "pixelResolution", address) or [])[::-1]
        return size, [unit_nm("um")] * len(size)
    if "resolution" in attributes:
        size, units = read_voxel_size(attributes, "resolution", address)
        return size[::-1], units[::-1]
    return read_voxel_size(attributes, "voxel_size", address)


def _read_factors(array: _Array, owner: Attributes, count: int) -> list[float]:
    """Return the downsampling of a level in the order of numpy.

    A group lists those of all levels. They do not apply to a voxel size of the array itself.
    """
    factors = read_numbers(array.attributes, "downsamplingFactors", array.address)
    if factors is None and owner is array.group:
        for key in ("scales", "downsamplingFactors"):
            levels = array.group.get(key)
            if isinstance(levels, list) and len(levels) > array.level:
                factors = read_numbers({key: levels[array.level]}, key, array.address)
                break
    if factors is None:
        return [1.0] * count
    if len(factors) != count:
        raise ValueError(
            f"{array.address} has {len(factors)} downsampling factors for {count} axes"
        )
    return factors[::-1]


def _read_centre(
    array: _Array, owner: Attributes, scale: list[float], shift: list[float]
) -> tuple[list[float] | None, bool]:
    """Return the centre of the first voxel in the order of numpy, and whether it is assumed.

    None: not stated. `owner` states the voxel size.
    """
    is_paintera = any(array.group.get(key) or array.attributes.get(key) for key in PAINTERA_KEYS)
    source = array.attributes if "offset" in array.attributes else owner
    offset = read_numbers(source, "offset", array.address)
    if offset is None:
        if "pixelResolution" not in owner and not is_paintera:
            return corner_to_centre([0.0] * len(scale), scale), True
        return (shift, True) if any(shift) else (None, False)
    if "voxel_size" not in source:
        offset = offset[::-1]
    if is_paintera:
        return [start + step for start, step in zip(offset, shift, strict=False)], False
    return corner_to_centre(offset, scale), False
