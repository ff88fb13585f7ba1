"""Open a source in any format as a `Volume` of a kind.

::

    open_volume(address)     an input of a command; must state its voxel size
    open_levels(address)     the same, with the coarser levels of its pyramid
    open_labels(address)     an input that holds labels
    open_source(address)     the source of `asem import`, which may take voxel size and offset
"""

import logging
from dataclasses import replace
from functools import lru_cache

from asem.config import NmZYX
from asem.volume.address import Address, AddressLike
from asem.volume.band_reading import decodes_whole_planes
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.source_image import (
    DEFAULT_SOURCE_OPTIONS,
    LabelValues,
    SourceImage,
    SourceOptions,
)
from asem.volume.label_views import dtype_of, view_as_image, view_as_labels
from asem.volume.roi import per_axis
from asem.volume.volume import (
    ArrayLike,
    Volume,
    VolumeKind,
    check_geometry,
    same_voxel_size,
)
from asem.volume.voxel_size_resolution import (
    format_stated,
    resolve_voxel_size,
    warn_about_voxel_size,
    with_voxel_size,
)

LOG = logging.getLogger(__name__)


def open_volume(address: AddressLike, *, kind: VolumeKind | None = None) -> Volume:
    """Open an image, in any format, that states its voxel size.

    Parameters
    ----------
    address
        Path or URL.
    kind
        Kind where the source states none; None: an image.

    Raises
    ------
    FileNotFoundError
        Nothing exists at the address.
    OSError
        It cannot be read.
    ValueError
        It is not a finished image, or states no voxel size.
    """
    address = Address.parse(address)
    return _open_finest_level(open_source_image(address, kind=kind), address, kind)


def open_levels(address: AddressLike) -> tuple[Volume, ...]:
    """Open an image with its pyramid; each level as `open_volume` opens it by its own address.

    Parameters
    ----------
    address
        Path or URL; its level is the finest of those that are opened.

    Returns
    -------
    tuple of Volume
        The finest first: ``raw``, ``raw#1``, ``raw#2``, ...

    Raises
    ------
    FileNotFoundError
        Nothing exists at the address.
    OSError
        It cannot be read.
    ValueError
        It is not a finished image, it has no such level, or a level states no voxel size.
    """
    address = Address.parse(address)
    pyramid = open_source_image(replace(address, level=None))
    finest = _open_finest_level(pyramid.select_level(address.level), address, None)
    coarser = [
        _open_finest_level(pyramid.select_level(number), replace(address, level=number), None)
        for number in range((address.level or 0) + 1, len(pyramid.levels))
    ]
    return (finest, *coarser)


def _open_finest_level(image: SourceImage, address: Address, kind: VolumeKind | None) -> Volume:
    """Return the volume of the finest level of an image.

    Parameters
    ----------
    image
        The image, without the levels that are finer.
    address
        Of the level: the name of the volume.
    kind
        Kind where the image states none; None: an image.
    """
    size, array = image.levels[0].voxel_size, image.levels[0].array
    if None in size:
        stated = "" if size == (None,) * 3 else f" (it states {format_stated(size)})"
        is_labels = (image.kind or kind) == "labels"
        output = "cell.zarr/labels/NAME --kind labels" if is_labels else "cell.zarr/raw"
        raise ValueError(
            f"{address} ({image.format}) does not state its voxel size{stated}; first import it: "
            f"asem import {address} {output} --voxel-size z,y,x"
        )
    if decodes_whole_planes(array):
        _warn_of_compressed_planes(str(address))
    resolved_kind = image.kind or kind or "image"
    if resolved_kind == "labels" and kind is None and dtype_of(array).kind == "f":
        resolved_kind = "image"  # `open_labels` raises the error
    view = view_as_image(array)
    if resolved_kind == "labels":
        view = _view_as_labels(image, str(address))
    return _make_volume(
        replace(image, address=address), per_axis(lambda nm: nm or 0.0, size), resolved_kind, view
    )


def open_labels(address: AddressLike) -> Volume:
    """Open a volume of labels; raise ValueError where it is an image."""
    labels = open_volume(address, kind="labels")
    if labels.kind != "labels":
        raise ValueError(f"{address} is an image; import labels with --kind labels")
    return labels


def check_is_image(volume: Volume) -> None:
    """Raise ValueError where a volume has labels instead of grey values."""
    if volume.kind == "labels":
        raise ValueError(f"{volume.name} holds labels; name an image")


def open_source(
    address: AddressLike,
    *,
    voxel_size: NmZYX | None = None,
    offset_nm: NmZYX | None = None,
    kind: VolumeKind | None = None,
    options: SourceOptions = DEFAULT_SOURCE_OPTIONS,
) -> Volume:
    """Open a source of `asem import`, in any format.

    Parameters
    ----------
    address
        Path or URL.
    voxel_size
        nm; required where the source states none. Must agree with a stated one within 1 %.
    offset_nm
        World position of the centre of the first voxel, nm; default where the source states none:
        by the convention of its format, else 0. Not allowed for a source that states its own.
    kind
        ``"image"`` (default where the source states none) or ``"labels"``.
    options
        Channel, inversion, precedence of the voxel size.

    Raises
    ------
    FileNotFoundError
        Nothing exists at the address.
    OSError
        It cannot be read.
    ValueError
        The source cannot be read, or its voxel size is missing or differs from the given one.
    """
    check_geometry(voxel_size, offset_nm, kind)
    address = Address.parse(address)
    image = replace(open_source_image(address, options, kind), address=address)
    return make_source_volume(
        image,
        voxel_size=voxel_size,
        offset_nm=offset_nm,
        kind=kind,
        options=options,
    )


def make_source_volume(
    image: SourceImage,
    *,
    voxel_size: NmZYX | None = None,
    offset_nm: NmZYX | None = None,
    kind: VolumeKind | None = None,
    options: SourceOptions = DEFAULT_SOURCE_OPTIONS,
) -> Volume:
    """Return the volume of an opened image; parameters and errors as those of `open_source`.

    Parameters
    ----------
    image
        Its address is the one that was given.
    voxel_size, offset_nm, kind, options
        As given.
    """
    level, name = image.levels[0], str(image.address)
    states_offset = level.offset_nm is not None and not level.is_offset_assumed
    if states_offset and offset_nm is not None:
        raise ValueError(f"{name} states its own offset; give none")
    size = resolve_voxel_size(
        name, level.voxel_size, voxel_size, override=options.voxel_size_override
    )
    stated = per_axis(lambda own, given: given if own is None else own, level.voxel_size, size)
    resolved_kind = kind or image.kind or "image"
    view = view_as_image(level.array)  # `asem import` converts ids itself
    if resolved_kind == "labels" and image.label_values is not None:
        view = _view_as_labels(image, name)
    volume = _make_volume(image, stated, resolved_kind, view, offset_nm=offset_nm)
    volume = replace(volume, channel=options.channel)
    if not same_voxel_size(size, stated):
        volume = with_voxel_size(volume, size)
    warn_about_voxel_size(size, name)
    return volume


def check_metadata(image: SourceImage) -> None:
    """Raise ValueError where voxel size, offset or contrast window of an image are invalid."""
    size = per_axis(lambda nm: 1.0 if nm is None else nm, image.levels[0].voxel_size)
    _make_volume(image, size, image.kind or "image", image.levels[0].array)


def _view_as_labels(image: SourceImage, name: str) -> ArrayLike:
    values = image.label_values or LabelValues()
    return view_as_labels(
        image.levels[0].array, name, background=values.background, unlabelled=values.unlabelled
    )


@lru_cache(maxsize=256)  # one warning for all readers of a stack in a command
def _warn_of_compressed_planes(name: str) -> None:
    LOG.warning(
        "%s has compressed planes, which are decoded as a whole for each block; `asem import` "
        "stores it for fast reading",
        name,
    )


def _make_volume(
    image: SourceImage,
    voxel_size: NmZYX,
    kind: VolumeKind,
    array: ArrayLike,
    *,
    offset_nm: NmZYX | None = None,
) -> Volume:
    """Return the volume of the finest level, read through a view of its array."""
    level = image.levels[0]
    return Volume(
        array,
        voxel_size,
        offset_nm or level.offset_nm or (0.0, 0.0, 0.0),
        kind=kind,
        stated_grid=image.stated_grid,
        window=image.window,
        padding=image.padding,
        identity=image.identity,
        name=str(image.address),
    )
