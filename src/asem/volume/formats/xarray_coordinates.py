"""Voxel size and offset of a Zarr array by the coordinate arrays that xarray stores beside it.

::

    group/em    _ARRAY_DIMENSIONS or dimension_names: z, y, x
    group/z     one number for each plane: 520.0, 525.24, 530.48, ...; units: nm
    group/y     ...

A coordinate is the position of a voxel's centre. (xarray, "Zarr encoding specification".)
"""

from collections.abc import Sequence

import numpy as np

from asem.volume.address import Address
from asem.volume.formats.array_placement import Placement, place_axes
from asem.volume.formats.folder import ZARR_DOCUMENT_NAMES, FolderMetadata, read_folder
from asem.volume.formats.stores import open_store
from asem.volume.length_units import unit_nm

MAX_COORDINATES = 2**20
"""Most numbers of a coordinate array that are read."""
MAX_UNEVENNESS = 1e-3
"""Largest difference of a coordinate from an even spacing, as a fraction of the spacing."""


def place_by_coordinates(
    address: Address, names: Sequence[str], axes: Sequence[str], shape: Sequence[int]
) -> Placement:
    """Return the placement by coordinate arrays; without voxel size where one of them is missing.

    Parameters
    ----------
    address
        Of the array; its coordinate arrays are in the same group.
    names
        Names of its axes in the metadata.
    axes
        What they are: z, y, x, c or t (`asem.volume.formats.array_placement.name_axes`).
    shape
        Of the array.

    Raises
    ------
    ValueError, OSError
        A coordinate array is damaged or cannot be read.
    """
    scale, first, units = list[float](), list[float](), list[float | None]()
    for axis in "zyx":
        index = axes.index(axis)
        if "/" in names[index]:
            return Placement()
        coordinates = address.parent().join(names[index])
        read = _read_spacing(read_folder(coordinates, ZARR_DOCUMENT_NAMES), shape[index])
        if read is None:
            return Placement()
        scale.append(read[0])
        first.append(read[1])
        units.append(read[2])
    return place_axes("zyx", scale, first, units, address)


def find_array_driver(folder: FolderMetadata) -> str:
    """Return tensorstore's name of the format of a Zarr array; empty where it is none."""
    if folder.get("zarr.json").get("node_type") == "array":
        return "zarr3"
    return "zarr" if ".zarray" in folder.documents else ""


def _read_spacing(folder: FolderMetadata, count: int) -> tuple[float, float, float] | None:
    """Return spacing, first coordinate and unit in nm; None where they do not place voxels."""
    driver = find_array_driver(folder)
    attributes = folder.get("zarr.json").get("attributes") or folder.get(".zattrs")
    unit = unit_nm(attributes.get("units")) if isinstance(attributes, dict) else None
    if not driver or unit is None or not 2 <= count <= MAX_COORDINATES:
        return None
    store = open_store(folder.address, driver)
    if store.shape != (count,) or np.dtype(store.dtype.numpy_dtype).kind not in "iuf":
        return None
    values = np.asarray(store.read().result(), np.float64)
    spacing = float(values[-1] - values[0]) / (count - 1)
    even = values[0] + spacing * np.arange(count)
    if not spacing > 0 or not (np.abs(values - even) <= MAX_UNEVENNESS * spacing).all():
        return None
    return float(f"{spacing:.10g}"), float(values[0]), unit
