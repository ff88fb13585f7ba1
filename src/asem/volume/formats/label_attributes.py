"""Whether an array holds labels, and which of its values are background and unlabelled."""

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from asem.volume.address import Address
from asem.volume.formats.source_image import LabelValues
from asem.volume.volume import VolumeKind

CONTAINER_SUFFIXES = (".n5", ".zarr")
SEGMENTATION_SUFFIX = "_seg"
"""End of the names of segmentations of OpenOrganelle, in ``labels``; predictions end in _pred."""


def find_kind(
    address: Address, dtype: np.dtype[Any], attributes: list[dict[str, Any]]
) -> VolumeKind | None:
    """Return ``"labels"`` where the attributes or the path state it; None: not stated.

    Parameters
    ----------
    address
        Of the array. ``volumes/labels/<name>`` in a container holds labels, as do ids of 32 or 64
        bits and ``<name>_seg`` in a folder ``labels``.
    dtype
        Of the array.
    attributes
        Of the array and of the groups above it.
    """
    if any(_find_annotation(one) or _is_paintera_label(one) for one in attributes):
        return "labels"
    if dtype.kind != "u":
        return None
    parts = list(PurePosixPath(address.location).parts)
    ends = [i for i, part in enumerate(parts) if part.endswith(CONTAINER_SUFFIXES)]
    inside = parts[ends[-1] + 1 :] if ends else parts
    if "labels" not in inside[:-1]:
        return None
    folder = inside.index("labels")
    is_volume = folder > 0 and inside[folder - 1] == "volumes"
    is_named = any(part.endswith(SEGMENTATION_SUFFIX) for part in inside[folder + 1 :])
    return "labels" if is_volume or is_named or dtype.itemsize >= 4 else None


def read_label_values(
    address: Address, dtype: np.dtype[Any], attributes: list[dict[str, Any]]
) -> LabelValues | None:
    """Return the values of background and unlabelled voxels in annotations of CellMap (COSEM).

    The metadata ``cellmap.annotation.annotation_type.encoding`` maps ``absent``, ``unknown`` and
    ``present`` to values (janelia-cellmap/cellmap-schemas).

    Parameters
    ----------
    address
        Of the array, for messages.
    dtype
        Of the array.
    attributes
        Of the array and of the groups above it; the first one that states an encoding is used.

    Raises
    ------
    ValueError
        The value of the structure is the one that means unlabelled in asem.
    """
    for one in attributes:
        kind = _find_annotation(one).get("annotation_type")
        encoding = kind.get("encoding") if isinstance(kind, dict) else None
        if isinstance(encoding, dict):
            present = _integers(encoding.get("present"))
            if dtype.kind == "u" and present == (np.iinfo(dtype).max,):
                raise ValueError(
                    f"{address} has the value {present[0]} where its structure is present, which "
                    f"means unlabelled in {dtype}; save it with the value 1"
                )
            return LabelValues(
                background=_integers(encoding.get("absent")),
                unlabelled=_integers(encoding.get("unknown")),
            )
    return None


def _find_annotation(attributes: dict[str, Any]) -> dict[str, Any]:
    cellmap = attributes.get("cellmap")
    annotation = cellmap.get("annotation") if isinstance(cellmap, dict) else None
    return annotation if isinstance(annotation, dict) else {}


def _is_paintera_label(attributes: dict[str, Any]) -> bool:
    data = attributes.get("painteraData")
    return isinstance(data, dict) and data.get("type") == "label"


def _integers(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) and not isinstance(value, bool) else ()
