"""Arrays of Zarr 2 and Zarr 3 that are not part of an OME-NGFF image (funlib, gunpowder, daisy).

::

    voxel_size, resolution    along the spatial axes, in the order of the array
    offset                    the corner of voxel 0, as in funlib; 0 where it is missing
    units                     of these; nm where it is missing
    axis_names, dimension_names, _ARRAY_DIMENSIONS
                              names of the axes; missing: (z, y, x), (c, z, y, x), (t, c, z, y, x)
    transform                 COSEM; translate is a centre
    arrays z, y, x beside it  xarray's coordinates, where none of these states a voxel size

A level of an OME-NGFF image (cell.zarr/raw/0) has the placement that the image states.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asem.volume.address import Address
from asem.volume.formats import ome_zarr
from asem.volume.formats.array_placement import (
    Placement,
    name_axes,
    place_by_funlib,
    place_by_transform,
    select_volume,
)
from asem.volume.formats.folder import FolderMetadata, read_folder
from asem.volume.formats.label_attributes import find_kind, read_label_values
from asem.volume.formats.source_image import SourceImage, SourceOptions
from asem.volume.formats.stores import open_store
from asem.volume.formats.xarray_coordinates import find_array_driver, place_by_coordinates
from asem.volume.volume import VolumeKind

NAME = "Zarr"
AXIS_NAME_KEYS = ("axis_names", "_ARRAY_DIMENSIONS")
GROUPS_ABOVE = 2
"""Groups above an array in which the image of a level is searched."""


def is_format(folder: FolderMetadata) -> bool:
    """Return whether a folder is an array of Zarr."""
    return bool(find_array_driver(folder))


def open_folder(
    folder: FolderMetadata, options: SourceOptions, kind: VolumeKind | None
) -> SourceImage:
    """Open an array of Zarr.

    Parameters
    ----------
    folder
        Of the array.
    options
        Channel.
    kind
        Requested kind; the attributes may state another.

    Raises
    ------
    ValueError
        The metadata is invalid, the codec is unknown, or the array is not a volume.
    """
    driver = find_array_driver(folder)
    if image := _open_level_of_image(folder.address, driver, options, kind):
        return image
    _check_finished(folder.address)
    store = open_store(folder.address, driver)
    attributes = _read_attributes(folder, driver)
    names = _listed_axes(folder, attributes)
    axes = name_axes(names, store.shape, folder.address)
    placement = _place(attributes, axes, folder.address)
    if placement == Placement() and names is not None and set("zyx") <= set(axes):
        stored = [str(name) for name in names]
        placement = place_by_coordinates(folder.address, stored, axes, store.shape)
    array = select_volume(folder.address, store, axes, channel=options.channel)
    return SourceImage(
        folder.address,
        NAME,
        (placement.make_level(array),),
        folder.identity(),
        kind=find_kind(folder.address, array.dtype, [attributes]),
        label_values=read_label_values(folder.address, array.dtype, [attributes]),
    )


def _open_level_of_image(
    address: Address, driver: str, options: SourceOptions, kind: VolumeKind | None
) -> SourceImage | None:
    """Open an array as the level of an OME-NGFF image; None where it is none.

    A group above that cannot be read is no image: it may be another program's, or denied.
    """
    above, path = address, ""
    document = "zarr.json" if driver == "zarr3" else ".zattrs"
    for _ in range(GROUPS_ABOVE):
        path = f"{above.name}/{path}" if path else above.name
        above = above.parent()
        try:
            group = read_folder(above, [document])
        except (PermissionError, ValueError):
            continue
        if ome_zarr.is_format(group):
            number = ome_zarr.find_level(group, path)
            if number is None:
                return None
            image = ome_zarr.open_folder(group, options, kind).select_level(number)
            return replace(image, address=address)
    return None


def _check_finished(address: Address) -> None:
    """Raise ValueError where the array is part of an unfinished output of asem."""
    group = address.parent()
    if not address.is_remote and (group.path / ".asem" / "journal.jsonl").exists():
        raise ValueError(f"{group} is unfinished; run the same command again to resume")


def _read_attributes(folder: FolderMetadata, driver: str) -> dict[str, Any]:
    if driver == "zarr":
        return folder.get(".zattrs")
    attributes = folder.get("zarr.json").get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _listed_axes(folder: FolderMetadata, attributes: dict[str, Any]) -> Any:
    """Return the names of the axes in the metadata; None: not stated."""
    transform = attributes.get("transform")
    listed = [transform.get("axes") if isinstance(transform, dict) else None]
    listed += [attributes.get(key) for key in AXIS_NAME_KEYS]
    listed.append(folder.get("zarr.json").get("dimension_names"))
    return next((names for names in listed if isinstance(names, list)), None)


def _place(attributes: dict[str, Any], axes: Sequence[str], address: Address) -> Placement:
    transform = attributes.get("transform")
    if isinstance(transform, dict):
        return place_by_transform(transform, axes, address)
    return place_by_funlib(attributes, axes, address)
