"""Annotations in the precomputed format of neuroglancer, encoded in memory.

::

    info               geometry, properties, where they are
    spatial0/0_0_0     count, all records, all ids: the client reads them at once
    by_id/7            one record: for the annotation that is selected

A record has the geometry as float32, nm along (x, y, z), then its properties.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.view.layers import NM
from asem.view.served_content import Content, MemoryContent

Geometry = Literal["point", "ellipsoid", "line", "axis_aligned_bounding_box"]
UINT64 = np.dtype("<u8")
PROPERTY_DTYPES = {"float32": "<f4", "uint32": "<u4", "int32": "<i4", "uint8": "u1", "rgb": "u1"}
"""In the order of records: the longest first, as each is aligned to its length."""


@dataclass(frozen=True)
class Property:
    """A property of annotations.

    Parameters
    ----------
    name
        Lower-case letters, digits and ``_``.
    type
        Of `PROPERTY_DTYPES`.
    values
        (n,); (n, 3) for rgb.
    description
        What it is.
    labels
        Text of the values 0, 1, ... of uint8; empty: they are numbers.
    """

    name: str
    type: str
    values: npt.NDArray[Any]
    description: str = ""
    labels: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the description in ``info``."""
        spec: dict[str, Any] = {"id": self.name, "type": self.type}
        if self.description:
            spec["description"] = self.description
        if self.labels:
            spec |= {"enum_values": list(range(len(self.labels))), "enum_labels": self.labels}
        return spec


@dataclass(frozen=True)
class Annotations:
    """Annotations of one geometry, a source of the server.

    Parameters
    ----------
    geometry
        Points; ellipsoids (centre, radii), lines (start, end) or boxes (corners).
    coordinates
        nm, (n, 3), or (n, 6) for two positions; along (z, y, x).
    ids
        (n,), unique.
    properties
        Values of each annotation.
    """

    geometry: Geometry
    coordinates: npt.NDArray[np.float64]
    ids: npt.NDArray[np.uint64]
    properties: Sequence[Property] = ()

    def open(self, key: str) -> Content | None:
        """Return ``info``, all annotations, or one of them; None for another key."""
        folder, _, name = key.partition("/")
        if key == "info":
            return MemoryContent(json.dumps(self._info()).encode())
        if key == "spatial0/0_0_0":
            return MemoryContent(self._encoded)
        if folder == "by_id" and name.isascii() and name.isdigit() and int(name) in self._rows:
            return MemoryContent(self._records[self._rows[int(name)]].tobytes())
        return None

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {number: row for row, number in enumerate(self.ids.tolist())}

    @cached_property
    def _sorted(self) -> list[Property]:
        order = list(PROPERTY_DTYPES)
        return sorted(self.properties, key=lambda one: order.index(one.type))

    @cached_property
    def _encoded(self) -> bytes:
        count = np.array(len(self.ids), UINT64).tobytes()
        return count + self._records.tobytes() + self.ids.astype(UINT64).tobytes()

    @cached_property
    def _records(self) -> npt.NDArray[np.void]:
        fields: list[Any] = [("geometry", "<f4", (self.coordinates.shape[1],))]
        for number, one in enumerate(self._sorted):
            shape = (3,) if one.type == "rgb" else ()
            fields.append((f"property{number}", PROPERTY_DTYPES[one.type], shape))
        length = np.dtype(fields).itemsize
        fields.append(("padding", "u1", (-length % 4,)))
        records = np.zeros(len(self.ids), np.dtype(fields))
        records["geometry"] = np.concatenate(
            [self.coordinates[:, 2::-1], self.coordinates[:, :2:-1]], axis=1
        )
        for number, one in enumerate(self._sorted):
            records[f"property{number}"] = one.values
        return records

    def _info(self) -> dict[str, Any]:
        low, high = (corner[::-1] for corner in self.extent_nm())
        spatial = {
            "key": "spatial0",
            "grid_shape": [1, 1, 1],
            "chunk_size": [max(1.0, b - a) for a, b in zip(low, high, strict=True)],
            "limit": max(1, len(self.ids)),
        }
        return {
            "@type": "neuroglancer_annotations_v1",
            "dimensions": {name: list(NM) for name in "xyz"},
            "lower_bound": low,
            "upper_bound": high,
            "annotation_type": self.geometry,
            "properties": [one.to_json() for one in self._sorted],
            "relationships": [],
            "by_id": {"key": "by_id"},
            "spatial": [spatial],
        }

    def extent_nm(self) -> tuple[NmZYX, NmZYX]:
        """Return the first and last corner of the box of all annotations, nm along (z, y, x)."""
        first, second = self.coordinates[:, :3], self.coordinates[:, 3:]
        if self.geometry == "ellipsoid":
            corners = [first - second, first + second]
        else:
            corners = [first, second] if second.size else [first]
        low = np.min([one.min(axis=0) for one in corners], axis=0).tolist()
        high = np.max([one.max(axis=0) for one in corners], axis=0).tolist()
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])
