"""OME-NGFF images, 0.4 (Zarr 2) and 0.5 (Zarr 3), local or remote; two to five axes by name.

::

    axes t, c, z, y, x       t must have one entry; c is chosen with --channel
    scale, translation       of each level, then those of the whole image; of voxel centres

Images that asem wrote (`asem.volume.ngff`) state more: contrast window, padding, original grid.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import ValidationError
from yaozarrs import v04, v05

from asem.config import NmZYX, shorten
from asem.volume import ngff
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats.array_placement import select_volume
from asem.volume.formats.chunked_array import ChunkedArray
from asem.volume.formats.folder import FolderMetadata
from asem.volume.formats.label_attributes import find_kind, read_label_values
from asem.volume.formats.source_image import SourceImage, SourceLevel, SourceOptions
from asem.volume.formats.stores import open_store
from asem.volume.length_units import unit_nm
from asem.volume.roi import per_axis
from asem.volume.volume import VolumeKind

NAME = "OME-Zarr"
Multiscale = v04.Multiscale | v05.Multiscale
ImageMetadata = v04.Image | v05.Image


def is_format(folder: FolderMetadata) -> bool:
    """Return whether a folder is an OME-NGFF image."""
    return bool(_find_metadata(folder)[0])


def open_folder(
    folder: FolderMetadata, options: SourceOptions, kind: VolumeKind | None
) -> SourceImage:
    """Open an OME-NGFF image.

    Parameters
    ----------
    folder
        The image group.
    options
        Channel.
    kind
        Requested kind; the metadata may state another.

    Raises
    ------
    ValueError
        The metadata is invalid, an axis is missing, there are several time points, or several
        channels and none is selected.
    """
    attributes, driver = _find_metadata(folder)
    metadata = attributes["ome"] if driver == "zarr3" else attributes
    image = _validate(metadata, folder.address, driver)
    multiscale = image.multiscales[0]
    axes = [axis.name.lower() for axis in multiscale.axes]
    _check_axes(axes, folder.address)
    if axes == ["z", "y", "x"] and driver == "zarr3" and not folder.address.is_remote:
        return _open_local_folder(folder, attributes, options.channel)
    names = _channel_names(metadata)
    arrays = [
        _open_level(folder.address.join(dataset.path), driver, axes, names, options.channel)
        for dataset in multiscale.datasets
    ]
    levels = _make_levels(arrays, multiscale, axes)
    dtype = arrays[0].dtype
    stated = find_kind(folder.address, dtype, [attributes])
    opened = SourceImage(
        folder.address,
        NAME,
        levels,
        _identify(folder, multiscale, arrays),
        kind="labels" if "image-label" in metadata else stated,
        label_values=read_label_values(folder.address, dtype, [attributes]),
        channel_names=tuple(names) if "c" in axes else (),
        is_label_image="image-label" in metadata,
    )
    source = f"{folder.address}/zarr.json, 'asem'"
    own = attributes.get("asem", {}) if driver == "zarr3" else {}
    return _with_asem_metadata(opened, ngff.AsemMetadata.from_dict(own, source=source))


def find_level(folder: FolderMetadata, path: str) -> int | None:
    """Return the number of the level that is stored at a path in an image; None: none is."""
    attributes, driver = _find_metadata(folder)
    multiscales = (attributes["ome"] if driver == "zarr3" else attributes).get("multiscales")
    first = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    datasets = first.get("datasets") if isinstance(first, dict) else None
    listed = datasets if isinstance(datasets, list) else []
    paths = [one.get("path") if isinstance(one, dict) else None for one in listed]
    return paths.index(path) if path in paths else None


def _open_local_folder(
    folder: FolderMetadata, attributes: dict[str, Any], channel: str | None
) -> SourceImage:
    """Open a local image of 0.5 with the axes (z, y, x)."""
    if channel is not None:
        select_channel([0], _channel_names(attributes["ome"]), channel, str(folder.address))
    image = _open_local_image(folder, ngff.read_image_metadata(folder.address.path))
    dtype = image.levels[0].array.dtype
    values = read_label_values(folder.address, dtype, [attributes])
    stated = find_kind(folder.address, dtype, [attributes]) if values else None
    return replace(image, label_values=values, kind=image.kind or stated)


def _open_local_image(folder: FolderMetadata, metadata: ngff.ImageMetadata) -> SourceImage:
    """Open an image as asem writes it: its files are checked, and it may have asem's metadata."""
    multiscale = metadata.ome.multiscales[0]
    levels = _make_levels(ngff.open_levels(metadata), multiscale, ["z", "y", "x"])
    address = Address(str(metadata.path))
    kind: VolumeKind | None = "labels" if metadata.kind == "labels" else None
    identity = _identify(folder, multiscale)
    image = SourceImage(address, NAME, levels, identity, kind=kind, is_label_image=kind is not None)
    return _with_asem_metadata(image, metadata.asem_metadata)


def _with_asem_metadata(image: SourceImage, own: ngff.AsemMetadata) -> SourceImage:
    """Return an image with what asem's own metadata state."""
    return replace(
        image,
        identity=own.uuid or image.identity,
        kind=own.kind or image.kind,
        is_label_image=own.kind == "labels" if own.kind else image.is_label_image,
        stated_grid=own.original,
        window=own.window,
        padding=own.padding,
        made_by=own.made_by,
    )


def _identify(
    folder: FolderMetadata, multiscale: Multiscale, arrays: Sequence[ChunkedArray] = ()
) -> str:
    """Return an identity of the group and all its arrays; `arrays`: opened, if it is remote."""
    document = ".zarray" if isinstance(multiscale, v04.Multiscale) else "zarr.json"
    paths = [f"{dataset.path}/{document}" for dataset in multiscale.datasets]
    metadata: list[Any] = [array.metadata for array in arrays] or [None] * len(paths)
    return folder.identity(dict(zip(paths, metadata, strict=True)))


def _make_levels(
    arrays: Sequence[Any], multiscale: Multiscale, axes: list[str]
) -> tuple[SourceLevel, ...]:
    datasets: Sequence[v04.Dataset | v05.Dataset] = multiscale.datasets
    transformations = [dataset.coordinateTransformations for dataset in datasets]
    return tuple(
        SourceLevel(array, *_placement(multiscale, steps, axes))
        for array, steps in zip(arrays, transformations, strict=True)
    )


def _find_metadata(folder: FolderMetadata) -> tuple[dict[str, Any], str]:
    """Return the attributes that contain NGFF metadata, and the driver; empty if there are none."""
    zarr3, zarr2 = folder.get("zarr.json").get("attributes"), folder.get(".zattrs")
    ome = zarr3.get("ome") if isinstance(zarr3, dict) else None
    if isinstance(zarr3, dict) and isinstance(ome, dict) and "multiscales" in ome:
        return zarr3, "zarr3"
    multiscales = zarr2.get("multiscales")
    first = multiscales[0] if isinstance(multiscales, list) and multiscales else None
    return (zarr2, "zarr") if isinstance(first, dict) and "axes" in first else ({}, "")


def _validate(metadata: dict[str, Any], address: Address, driver: str) -> ImageMetadata:
    ngff.check_list_lengths(metadata["multiscales"], address)
    model = v05.Image if driver == "zarr3" else v04.Image
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names and units are checked by asem
            image: ImageMetadata = model.model_validate(
                {key: value for key, value in metadata.items() if key != "omero"}
            )
            return image
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{address}: bad OME-NGFF metadata at {key}: {first['msg']}") from error


def _check_axes(axes: Sequence[str], address: Address) -> None:
    unknown = set(axes) - set("tczyx")
    if not set("zyx") <= set(axes) or unknown or len(set(axes)) != len(axes):
        listed = shorten(", ".join(axes), str)
        raise ValueError(
            f"{address} has the axes ({listed}); a volume has (z, y, x), and may have c and t"
        )


def _channel_names(metadata: dict[str, Any]) -> list[str]:
    omero = metadata.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return []
    return [str(one.get("label", "")) if isinstance(one, dict) else "" for one in channels]


def _open_level(
    address: Address, driver: str, axes: list[str], names: list[str], channel: str | None
) -> ChunkedArray:
    """Open the array of one level; select its channel and drop time."""
    store = open_store(address, driver)
    if store.rank != len(axes):
        raise ValueError(
            f"{address} has {store.rank} axes; its image states {len(axes)}: {', '.join(axes)}"
        )
    return select_volume(address, store, axes, channel=channel, channel_names=names)


def _placement(
    multiscale: Multiscale, transformations: Sequence[Any], axes: list[str]
) -> tuple[Any, NmZYX | None]:
    """Return voxel size and offset of a level, nm; None where an axis has no unit of length."""
    order = [axes.index(name) for name in "zyx"]
    units = [unit_nm(getattr(multiscale.axes[i], "unit", None)) for i in order]
    size, offset = np.ones(len(axes)), np.zeros(len(axes))
    with np.errstate(all="ignore"):  # `Volume` raises where a value is not finite
        for step in (*transformations, *(multiscale.coordinateTransformations or ())):
            if hasattr(step, "scale"):
                size, offset = size * step.scale, offset * step.scale
            else:
                offset = offset + step.translation

    def to_nm(axis: int, unit: float | None) -> float | None:
        return None if unit is None else float(size[axis] * unit)

    z, y, x = (to_nm(axis, unit) for axis, unit in zip(order, units, strict=True))
    if None in units:
        return (z, y, x), None
    return (z, y, x), per_axis(lambda axis, unit: float(offset[axis] * unit), order, units)
