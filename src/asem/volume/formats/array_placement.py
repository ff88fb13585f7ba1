"""Axes, voxel size and offset of an array whose attributes no standard defines.

::

    transform               {axes, scale, translate, units}; translate is the centre of voxel 0
    voxel size and offset   lists along the spatial axes; offset is the corner of voxel 0, and 0
                            where it is missing beside `FUNLIB_KEYS`

Used for Zarr arrays and HDF5 datasets (funlib, gunpowder, daisy, CREMI) and for N5 (COSEM,
BigDataViewer, Paintera).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import tensorstore as ts

from asem.config import NmZYX, shorten
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats.chunked_array import ChunkedArray, make_chunked_array
from asem.volume.formats.source_image import SourceLevel, StatedVoxelSize
from asem.volume.length_units import unit_nm
from asem.volume.volume import ArrayLike

FUNLIB_KEYS = ("voxel_size", "resolution")
"""Voxel size in the attributes of funlib, gunpowder and CREMI."""
AXES_BY_RANK = {3: "zyx", 4: "czyx", 5: "tczyx"}
"""Axes of an array without names, in the order of numpy."""
MAX_COLOURS = 4
"""Largest number of channels that are taken as the last axis of an array without names."""
OTHER_AXIS_NAMES = {"time": "t", "channel": "c", "channels": "c"}
"""Names of axes that are no single letter. funlib marks them with ``^``."""


@dataclass(frozen=True)
class Placement:
    """Voxel size and offset of an array along (z, y, x).

    Parameters
    ----------
    voxel_size
        nm; None where it is not stated.
    offset_nm
        World position of the centre of voxel (0, 0, 0), nm; None: not stated.
    is_offset_assumed
        As in `asem.volume.formats.source_image.SourceLevel`.
    """

    voxel_size: StatedVoxelSize = (None, None, None)
    offset_nm: NmZYX | None = None
    is_offset_assumed: bool = False

    def make_level(self, array: ArrayLike) -> SourceLevel:
        """Return a level of a pyramid with this placement."""
        return SourceLevel(array, self.voxel_size, self.offset_nm, self.is_offset_assumed)


def name_axes(names: Any, shape: Sequence[int], address: Address) -> tuple[str, ...]:
    """Return the name of each axis of an array, in the order of numpy: z, y, x, c, t or another.

    Parameters
    ----------
    names
        Names in the metadata, in the order of numpy. Where z, y and x are not among them, the axes
        are (z, y, x), (c, z, y, x), (t, c, z, y, x), or (z, y, x, c) for colours
        (`have_colours_last`).
    shape
        Of the array.
    address
        Its folder, for messages.

    Raises
    ------
    ValueError
        The array has fewer than three or more than five axes.
    """
    if isinstance(names, list | tuple) and len(names) == len(shape):
        plain = [str(name).lower().rstrip("^") for name in names]
        short = tuple(OTHER_AXIS_NAMES.get(name, name) for name in plain)
        if set("zyx") <= set(short) and len(set(short)) == len(short):
            return short
    if len(shape) not in AXES_BY_RANK:
        raise ValueError(
            f"{address} has {len(shape)} axes, shape {tuple(shape)}; a volume has three (z, y, x), "
            "and may have c and t"
        )
    return tuple("zyxc" if have_colours_last(shape) else AXES_BY_RANK[len(shape)])


def have_colours_last(shape: Sequence[int]) -> bool:
    """Return whether the last of four axes has at most 4 entries, and the first has more.

    Examples
    --------
    >>> have_colours_last((61, 83, 107, 3)), have_colours_last((2, 61, 83, 107))
    (True, False)
    """
    return len(shape) == 4 and shape[-1] <= MAX_COLOURS < shape[0]


def select_volume(
    address: Address,
    store: Any,
    axes: Sequence[str],
    *,
    channel: str | None = None,
    channel_names: Sequence[str] = (),
) -> ChunkedArray:
    """Return the array (z, y, x) of one channel.

    Parameters
    ----------
    address
        Folder of the array, for messages.
    store
        From `asem.volume.formats.stores.open_store`.
    axes
        Name of each axis of `store`.
    channel
        Number or name of the channel; None: the only one.
    channel_names
        Names of the channels; those without a name have their number.

    Raises
    ------
    ValueError
        There are several channels and none is selected, several time points, or another axis.
    """
    if "t" in axes and store.shape[axes.index("t")] != 1:
        times = store.shape[axes.index("t")]
        raise ValueError(f"{address} is a time series of {times} points; save one of them")
    if "c" in axes:
        axis = axes.index("c")
        number = select_channel(range(store.shape[axis]), channel_names, channel, str(address))
        store = store[ts.d[axis][number : number + 1]]
    elif channel is not None:
        select_channel([0], channel_names, channel, str(address))
    z, y, x = (axes.index(name) for name in "zyx")
    return make_chunked_array(address, store, (z, y, x))


def read_numbers(attributes: dict[str, Any], key: str, address: Address) -> list[float] | None:
    """Return a list of numbers of the attributes; None where it is missing.

    Raises
    ------
    ValueError
        It is not a list of numbers.
    """
    value = attributes.get(key)
    if value is None:
        return None
    numbers = value if isinstance(value, list) else []
    if not numbers or not all(isinstance(one, Real) for one in numbers):
        raise ValueError(f"{address}: its {key} is {shorten(value)}; it must be a list of numbers")
    return [float(one) for one in numbers]


def place_by_transform(
    transform: dict[str, Any], axes: Sequence[str], address: Address
) -> Placement:
    """Return the placement of a COSEM ``transform``, whose translation is that of voxel centres.

    Parameters
    ----------
    transform
        ``axes``, ``scale``, ``translate`` and ``units``, all in the same order.
    axes
        Names of the axes in the order of these lists, where ``axes`` names no z, y, x.
    address
        Of the array, for messages.
    """
    scale = read_numbers(transform, "scale", address)
    shift = read_numbers(transform, "translate", address)
    listed = transform.get("axes")
    names = [str(name).lower() for name in listed] if isinstance(listed, list) else []
    names = names if set("zyx") <= set(names) else list(axes)
    units = spread_units(transform.get("units"), len(names))
    return place_axes(names, scale, shift, units, address)


def read_voxel_size(
    attributes: dict[str, Any], key: str, address: Address
) -> tuple[list[float], list[float | None]]:
    """Return the voxel size of funlib and the unit of each axis in nm, in the stored order.

    Both are empty where they are not stated. funlib writes voxels of 1 and empty units where it
    was given neither.
    """
    size = read_numbers(attributes, key, address) or []
    units = attributes.get("units")
    is_default = not units or (isinstance(units, list) and not any(units))
    if is_default and key == "voxel_size" and set(size) == {1.0}:
        return [], []
    return size, spread_units(units, len(size))


def place_by_funlib(attributes: dict[str, Any], axes: Sequence[str], address: Address) -> Placement:
    """Return the placement of `FUNLIB_KEYS` and ``offset``, the corner of the first voxel.

    Parameters
    ----------
    attributes
        Lists with an entry for each axis, or for each of z, y and x, in the order of `axes`.
    axes
        Names of the stored axes.
    address
        Of the array, for messages.
    """
    for key in FUNLIB_KEYS:
        size, units = read_voxel_size(attributes, key, address)
        if size:
            break
    else:
        return Placement()
    names = axes if len(size) == len(axes) else [name for name in axes if name in "zyx"]
    corner = read_numbers(attributes, "offset", address)
    centre = corner_to_centre(corner or [0.0] * len(size), size)
    placement = place_axes(names, size, centre, units, address)
    return replace(placement, is_offset_assumed=corner is None)


def spread_units(units: Any, count: int) -> list[float | None]:
    """Return the unit of each axis in nm; a missing or empty one is nm."""
    listed = units if isinstance(units, list) else [units] * count
    return [unit_nm(unit) if unit not in (None, "") else 1.0 for unit in listed]


def place_axes(
    names: Sequence[str],
    scale: Sequence[float] | None,
    centre: Sequence[float] | None,
    units: Sequence[float | None],
    address: Address,
) -> Placement:
    """Return the placement of lists with one entry for each of `names`.

    Parameters
    ----------
    names
        Axes; z, y and x among them.
    scale
        Voxel size in `units`; None: not stated.
    centre
        Centre of the first voxel in `units`; None: not stated.
    units
        nm; None: no unit of length.
    address
        Of the array, for messages.

    Raises
    ------
    ValueError
        A list has another length.
    """
    for values in (scale, centre, units):
        if values is not None and len(values) != len(names):
            raise ValueError(
                f"{address}: its attributes list {len(values)} values for the axes "
                f"({', '.join(names)}); one is needed for each axis"
            )

    def to_nm(values: Sequence[float] | None, name: str) -> float | None:
        axis = names.index(name)
        unit = units[axis]
        return None if values is None or unit is None else values[axis] * unit

    z, y, x = (to_nm(centre, name) for name in "zyx")
    offset_nm = None if z is None or y is None or x is None else (z, y, x)
    return Placement((to_nm(scale, "z"), to_nm(scale, "y"), to_nm(scale, "x")), offset_nm)


def corner_to_centre(
    corner: Sequence[float] | None, scale: Sequence[float] | None
) -> list[float] | None:
    """Return the centre of the first voxel, half a voxel from its corner.

    Examples
    --------
    >>> corner_to_centre([0.0, 8.0], [4.0, 4.0])
    [2.0, 10.0]
    """
    if corner is None or scale is None or len(corner) != len(scale):
        return None if corner is None or scale is None else list(corner)
    return [start + size / 2 for start, size in zip(corner, scale, strict=True)]
