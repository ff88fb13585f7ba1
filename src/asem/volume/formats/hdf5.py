"""HDF5: a dataset in a file (``cell.h5:/volumes/raw``), an Imaris or BigDataViewer file."""

from pathlib import Path

import numpy as np

from asem.config import shorten
from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats import bigdataviewer, imaris
from asem.volume.formats.hdf5_array import DTYPES, check_dataset, make_array
from asem.volume.formats.hdf5_file import (
    DatasetInfo,
    find_object,
    list_datasets,
    open_hdf5,
    read_info,
)
from asem.volume.formats.hdf5_metadata import find_axes, find_placement
from asem.volume.formats.single_file import SingleFile
from asem.volume.formats.source_image import SourceImage, SourceOptions
from asem.volume.roi import format_shape, per_axis
from asem.volume.volume import VolumeKind

NAME = "HDF5"
MAX_LISTED = 10
"""Datasets that a message lists."""


def open_path(
    path: Path, options: SourceOptions, kind: VolumeKind | None, dataset: str = ""
) -> SourceImage:
    """Open a dataset in an HDF5 file.

    Parameters
    ----------
    path
        The file.
    options
        Channel, where there is an axis of channels.
    kind
        Not used: the file states none.
    dataset
        Path in the file; empty: the image of an Imaris or BigDataViewer file, else the only
        dataset with three axes.

    Raises
    ------
    ValueError
        The file is damaged, the dataset does not exist, or is not given and there are several, or
        it cannot be read as a volume.
    """
    file = SingleFile.open(path)
    for layout in () if dataset else (imaris, bigdataviewer):
        if layout.is_format(file):
            image: SourceImage = layout.open_file(file, options)
            return image
    return _open_dataset(file, _find_dataset(file, dataset), options.channel)


def _open_dataset(file: SingleFile, info: DatasetInfo, channel: str | None) -> SourceImage:
    address = Address(str(file.path), info.name)
    check_dataset(file, info)
    try:
        letters = find_axes(info)
    except ValueError as error:
        raise ValueError(f"{address} {error}") from error
    placement = find_placement(info, letters, address)
    fixed = _select_entries(info, letters, channel, str(address))
    axes, dtype = per_axis(letters.index, "zyx"), bigdataviewer.unsigned_dtype(info)
    array = make_array(file, info, axes, fixed, dtype=dtype)
    identity = f"{identify_files(file.path, [file.path])}:{info.name}"
    return SourceImage(address, NAME, (placement.make_level(array),), identity)


def _select_entries(
    info: DatasetInfo, letters: str, channel: str | None, name: str
) -> dict[int, int]:
    """Return the index along the axis of channels, by its number; raise for several time points."""
    times = max(
        (n for n, letter in zip(info.shape, letters, strict=True) if letter == "t"), default=1
    )
    if times > 1:
        raise ValueError(f"{name} is a time series of {times} points; save one of them")
    axis = letters.find("c")
    channels = info.shape[axis] if axis >= 0 else 1
    number = select_channel(range(channels), (), channel, name)
    return {axis: number} if axis >= 0 else {}


def _find_dataset(file: SingleFile, dataset: str) -> DatasetInfo:
    """Return the named dataset, else the only one with three axes, else the only volume."""
    if dataset:
        with open_hdf5(file) as opened:
            name, reason = find_object(opened, dataset)
            info = DatasetInfo(dataset) if reason else read_info(opened, name)
        if not reason and (info.shape or info.other_files):
            return info
        listed = _describe(_read_volumes(file))
        raise ValueError(
            f"{file.path}: {shorten(reason, str) or f'{shorten(dataset, str)} is no array'}; "
            f"it holds {listed}"
        )
    volumes = _read_volumes(file)
    exact = [info for info in volumes if len(info.shape) == 3]
    if len(exact) == 1 or len(volumes) == 1:
        return (exact if len(exact) == 1 else volumes)[0]
    advice = f"name one: {file.path}:{volumes[0].name}" if volumes else "a volume has three axes"
    raise ValueError(f"{file.path} holds {_describe(volumes)}; {advice}")


def _read_volumes(file: SingleFile) -> list[DatasetInfo]:
    """Return the datasets of numbers with three axes or more."""
    with open_hdf5(file) as opened:
        infos = [read_info(opened, name) for name in list_datasets(opened)]
    return [
        info
        for info in infos
        if len(info.shape) >= 3
        and info.dtype is not None
        and np.dtype(info.dtype).newbyteorder("=") in DTYPES
    ]


def _describe(infos: list[DatasetInfo]) -> str:
    texts = [
        f"{shorten(i.name, str)} ({format_shape(i.shape)}, {i.dtype and i.dtype.name})"
        for i in infos[:MAX_LISTED]
    ]
    more = f" and {len(infos) - MAX_LISTED} more" if len(infos) > MAX_LISTED else ""
    return ", ".join(texts) + more or "no volume"
