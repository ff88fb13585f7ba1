"""Imaris files (``.ims``): HDF5 with a fixed layout.

::

    DataSetInfo/Image                                 ExtMin0..2, ExtMax0..2: borders along x, y, z
    DataSet/ResolutionLevel 0/TimePoint 0/Channel 0   Data (z, y, x), padded; ImageSizeX, Y, Z

Attributes are arrays of characters, lengths are micrometres where no unit is stated.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import h5py

from asem.config import NmZYX
from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats.hdf5_array import make_array
from asem.volume.formats.hdf5_file import (
    DatasetInfo,
    find_object,
    open_hdf5,
    read_attributes,
    read_info,
)
from asem.volume.formats.hdf5_metadata import read_characters
from asem.volume.formats.single_file import SingleFile
from asem.volume.formats.source_image import (
    SourceImage,
    SourceLevel,
    SourceOptions,
    StatedVoxelSize,
)
from asem.volume.length_units import unit_nm
from asem.volume.roi import IntZYX, per_axis

NAME = "Imaris"
MAX_LEVELS = 32
AXIS_NUMBERS = {"z": 2, "y": 1, "x": 0}
"""Numbers of the axes in names of attributes."""
ATTRIBUTES = (
    "Name", "Unit", "ExtMin0", "ExtMin1", "ExtMin2", "ExtMax0", "ExtMax1", "ExtMax2",
    "ImageSizeX", "ImageSizeY", "ImageSizeZ",
)  # fmt: skip


@dataclass
class _Layout:
    """What an Imaris file states.

    Parameters
    ----------
    image
        Attributes of ``DataSetInfo/Image``.
    levels
        Attributes of the channel and its dataset, of each level; the finest first.
    channel_names
        By number.
    time_points
        Number of time points.
    reason
        Why it cannot be read, as text; empty where it can.
    """

    image: dict[str, Any] = field(default_factory=dict)
    levels: list[tuple[dict[str, Any], DatasetInfo]] = field(default_factory=list)
    channel_names: dict[int, str] = field(default_factory=dict)
    time_points: int = 0
    reason: str = ""


def is_format(file: SingleFile) -> bool:
    """Return whether an HDF5 file has the layout of Imaris."""
    with open_hdf5(file) as opened:
        return all(
            isinstance(opened.get(name, getlink=True), h5py.HardLink)
            for name in ("DataSet", "DataSetInfo")
        )


def open_file(file: SingleFile, options: SourceOptions) -> SourceImage:
    """Open an Imaris file with its pyramid.

    Raises
    ------
    ValueError
        It is damaged, a time series, or has several channels and none is selected.
    """
    first = _read_layout(file, None)
    if first.time_points > 1:
        raise ValueError(f"{file.path} is a time series of {first.time_points} points; save one")
    numbers = sorted(first.channel_names)
    if not numbers or numbers != list(range(len(numbers))):
        raise ValueError(f"{file.path} has no channels of Imaris; copy it again")
    names = [first.channel_names[number] for number in numbers]
    channel = select_channel(numbers, names, options.channel, str(file.path))
    layout = _read_layout(file, channel)
    if layout.reason or not layout.levels:
        raise ValueError(f"{file.path} is damaged: {layout.reason or 'it has no data'}")
    levels = []
    for attributes, info in layout.levels:
        shape = _find_shape(attributes, info, file)
        size, offset_nm = _find_placement(layout.image, shape)
        array = make_array(file, info, (0, 1, 2), {}, shape=shape)
        levels.append(SourceLevel(array, size, offset_nm))
    identity = identify_files(file.path, [file.path])
    return SourceImage(Address(str(file.path)), NAME, tuple(levels), identity)


def _read_layout(file: SingleFile, channel: int | None) -> _Layout:
    """Read channels and time points; with a channel, its levels."""
    layout = _Layout()
    with open_hdf5(file) as opened:
        layout.image = _attributes_at(opened, "DataSetInfo/Image")
        first = _names_in(opened, "DataSet/ResolutionLevel 0")
        layout.time_points = sum(name.startswith("TimePoint ") for name in first)
        for name in _names_in(opened, "DataSet/ResolutionLevel 0/TimePoint 0"):
            if match := re.fullmatch(r"Channel (\d{1,4})", name):
                attributes = _attributes_at(opened, f"DataSetInfo/{name}")
                layout.channel_names[int(match[1])] = read_characters(attributes, "Name")
        for level in range(MAX_LEVELS if channel is not None else 0):
            group = f"DataSet/ResolutionLevel {level}/TimePoint 0/Channel {channel}"
            name, reason = find_object(opened, f"{group}/Data")
            if reason:
                layout.reason = layout.reason if layout.levels else reason
                break
            layout.levels.append((_attributes_at(opened, group), read_info(opened, name)))
    return layout


def _group_at(file: h5py.File, path: str) -> h5py.Group | None:
    name, reason = find_object(file, path)
    if reason:
        return None
    identifier = h5py.h5o.open(file.id, name.encode())
    return h5py.Group(identifier) if isinstance(identifier, h5py.h5g.GroupID) else None


def _attributes_at(file: h5py.File, path: str) -> dict[str, Any]:
    group = _group_at(file, path)
    return {} if group is None else read_attributes(group, ATTRIBUTES)


def _names_in(file: h5py.File, path: str) -> list[str]:
    group = _group_at(file, path)
    return [] if group is None else list(group)


def _find_shape(attributes: dict[str, Any], info: DatasetInfo, file: SingleFile) -> IntZYX:
    """Return the voxels of a level; the dataset may be padded to whole chunks."""
    if len(info.shape) != 3:
        raise ValueError(f"{file.path}:{info.name} has shape {info.shape}, not three axes")
    texts = per_axis(lambda axis: read_characters(attributes, f"ImageSize{axis}"), "ZYX")
    sizes = per_axis(lambda text, n: int(text) if text.isdecimal() else n, texts, info.shape)
    if not all(1 <= size <= stored for size, stored in zip(sizes, info.shape, strict=True)):
        raise ValueError(
            f"{file.path}:{info.name} has shape {info.shape}, but states {sizes} voxels"
        )
    return sizes


def _find_placement(image: dict[str, Any], shape: IntZYX) -> tuple[StatedVoxelSize, NmZYX | None]:
    """Return voxel size and position of the first voxel's centre; the borders are stated."""
    factor = unit_nm(read_characters(image, "Unit") or "um")
    low = per_axis(lambda axis: _number(image, f"ExtMin{AXIS_NUMBERS[axis]}"), "zyx")
    high = per_axis(lambda axis: _number(image, f"ExtMax{AXIS_NUMBERS[axis]}"), "zyx")
    lengths = per_axis(lambda a, b: b - a, low, high)
    if factor is None or not all(length > 0 for length in lengths):  # NaN, too
        return (None, None, None), None
    size = per_axis(lambda length, n: length * factor / n, lengths, shape)
    return size, per_axis(lambda start, edge: start * factor + edge / 2, low, size)


def _number(attributes: dict[str, Any], name: str) -> float:
    """Return an attribute as a number; NaN where it is none."""
    try:
        value = float(read_characters(attributes, name))
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
