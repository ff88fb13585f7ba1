"""Layers of tables: pores and pits as spheres of their size, objects as points and boxes.

::

    pore_id               spheres of the diameter, coloured by it; normals as lines
    kind, location, ...   spheres of the width, coloured by group (docs/view.md)
    z_min_nm, ...         points at the centres, and boxes
    others                points

Each has the other columns of the table as properties, which the client lists.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from asem.config import MAX_POSITION_NM
from asem.measure.pits.groups import (
    CAVEOLAE,
    ENDOCYTIC_PITS,
    ENDOCYTIC_VESICLES,
    OTHERS,
    SECRETORY_PITS,
    SECRETORY_VESICLES,
    find_groups,
)
from asem.tables import TABLE_SUFFIXES, read_table_file
from asem.view.annotations import Annotations, Geometry, Property
from asem.view.layers import DIMENSIONS, NM

POSITION = ("z_nm", "y_nm", "x_nm")
NORMAL = ("normal_z", "normal_y", "normal_x")
BOX = ("z_min_nm", "y_min_nm", "x_min_nm", "z_max_nm", "y_max_nm", "x_max_nm")
SIZES = ("diameter_nm", "width_nm")
"""Columns of the diameter of a sphere."""
TABLES = ("objects", "pores", "pits")
"""Names of tables that a folder of results may contain."""
MAX_CATEGORIES = 255
DEFAULT_RADIUS_NM, NORMAL_NM = 30.0, 100.0
"""Radius of a sphere whose size was not measured; length of the line of a normal."""
FLAGGED, POINT = (128, 128, 128), (255, 224, 77)
GROUP_COLOURS = {
    ENDOCYTIC_PITS: (255, 140, 26),
    CAVEOLAE: (90, 169, 255),
    ENDOCYTIC_VESICLES: (255, 205, 130),
    SECRETORY_PITS: (214, 95, 179),
    SECRETORY_VESICLES: (240, 180, 222),
    OTHERS: (190, 190, 190),
}
RAMP = ((59, 76, 192), (221, 221, 221), (180, 4, 38))
"""Colours of the smallest, the median and the largest diameter (10 to 90 % of them)."""
SHADER = """#uicontrol bool flagged checkbox(default=true)
#uicontrol float point_size slider(min=2, max=30, default=8)
#uicontrol float opacity slider(min=0, max=1, default=0.5)
void main() {
  if (prop_flagged() == 1u && !flagged) discard;
  setColor(prop_color());
  setPointMarkerSize(point_size);
  setPointMarkerBorderWidth(1.0);
  setLineWidth(1.5);
  setEllipsoidFillColor(vec4(prop_color(), PROJECTION_VIEW ? 1.0 : opacity));
}
"""


@dataclass(frozen=True)
class TableLayer:
    """A layer of a table, without its source's address.

    Parameters
    ----------
    name
        Of the layer.
    annotations
        Its source.
    visible
        Whether the layer is displayed.
    """

    name: str
    annotations: Annotations
    visible: bool = True

    def to_json(self, url: str) -> dict[str, Any]:
        """Return the layer, whose source is served at an address."""
        return {
            "type": "annotation",
            "name": self.name,
            "source": {
                "url": f"{url}/|neuroglancer-precomputed:",
                "transform": {"outputDimensions": {name: list(NM) for name in DIMENSIONS}},
            },
            "tab": "rendering",
            "codeVisible": False,  # of the shader; its controls are
            "shader": SHADER,
            "visible": self.visible,
        }


def find_tables(path: Path) -> list[Path]:
    """Return the tables that a path names: a CSV or Parquet file, or those in a results folder."""
    if path.suffix.lower() in TABLE_SUFFIXES and path.is_file():
        return [path]
    found = []
    for name in TABLES:
        files = [path / f"{name}{suffix}" for suffix in TABLE_SUFFIXES]
        found += [file for file in files if file.is_file()][:1]
    return found


def make_table_layers(path: Path, name: str) -> list[TableLayer]:
    """Return the layers of a table.

    Parameters
    ----------
    path
        CSV or Parquet file.
    name
        Of the layer; others have a suffix.

    Raises
    ------
    ValueError
        It is no table, or has no positions, or some that are infinite.
    """
    frame = read_table_file(path)
    missing = [column for column in POSITION if column not in frame]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]}; a table of asem measure, pores or pits has the "
            f"columns {', '.join(POSITION)}"
        )
    numbers = [name for name in (*POSITION, *NORMAL, *BOX, *SIZES) if name in frame]
    texts = [name for name in numbers if frame[name].dtype.kind not in "iuf"]
    if texts and len(frame):
        raise ValueError(f"{path}: the column {texts[0]} has values that are no numbers")
    beyond = [name for name in numbers if (frame[name].abs() > MAX_POSITION_NM).any()]
    if beyond and len(frame):
        raise ValueError(
            f"{path}: the column {beyond[0]} has values beyond {MAX_POSITION_NM:g} nm; correct "
            "them, or leave them empty"
        )
    frame = frame[frame[list(POSITION)].notna().all(axis=1)]
    if frame.empty:
        raise ValueError(f"{path} has no row with a position")
    return list(_make_layers(frame.reset_index(drop=True), name))


def _make_layers(frame: pd.DataFrame, name: str) -> Iterator[TableLayer]:
    centres, ids = frame[list(POSITION)].to_numpy(np.float64), _find_ids(frame)
    properties = _make_properties(frame)

    def layer(
        geometry: Geometry,
        coordinates: npt.NDArray[np.float64],
        suffix: str = "",
        visible: bool = True,
    ) -> TableLayer:
        annotations = Annotations(geometry, coordinates, ids, properties)
        return TableLayer(name + suffix, annotations, visible)

    size = next((key for key in SIZES if key in frame), None)
    if size is None:
        yield layer("point", centres)
    else:
        radii = frame[size].to_numpy(np.float64, na_value=np.nan) / 2
        radii = np.where(radii > 0, radii, DEFAULT_RADIUS_NM)
        yield layer("ellipsoid", np.hstack([centres, np.repeat(radii[:, None], 3, axis=1)]))
    if set(NORMAL) <= set(frame):
        normals = np.nan_to_num(frame[list(NORMAL)].to_numpy(np.float64)) * NORMAL_NM / 2
        ends = np.hstack([centres - normals, centres + normals])
        yield layer("line", ends, " normals", visible=False)
    if set(BOX) <= set(frame):
        corners = frame[list(BOX)].to_numpy(np.float64)
        corners = np.where(np.isnan(corners), np.tile(centres, 2), corners)
        yield layer("axis_aligned_bounding_box", corners, " boxes", visible=False)


def _find_ids(frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
    """Return the ids of the rows; their numbers from 1 where the table's are not unique."""
    for column in ("object_id", "pore_id"):
        if column in frame and frame[column].dtype.kind in "iu" and frame[column].is_unique:
            return frame[column].to_numpy(np.uint64)
    return np.arange(1, len(frame) + 1, dtype=np.uint64)


def _make_properties(frame: pd.DataFrame) -> list[Property]:
    is_flagged = np.zeros(len(frame), np.bool_)
    if "flags" in frame:
        is_flagged = _texts(frame["flags"]).to_numpy(str) != ""
    colours = _find_colours(frame)
    colours[is_flagged] = FLAGGED
    own = [
        Property("color", "rgb", colours),
        Property("flagged", "uint8", is_flagged.astype(np.uint8), "has a flag", ("no", "yes")),
    ]
    columns = [name for name in frame if name not in (*POSITION, *BOX, "color", "flagged")]
    made = (_make_property(str(name), frame[name]) for name in columns)
    return own + [one for one in made if one is not None]


def _make_property(name: str, column: "pd.Series[Any]") -> Property | None:
    """Return a column as a property; None for texts with too many values, and for odd names."""
    if not (name.isascii() and name.isidentifier() and name[0].islower()):
        return None
    if column.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return Property(name, "float32", column.to_numpy(np.float32))
    if column.dtype.kind in "iu":
        values = column.to_numpy()
        is_uint32 = values.min() >= 0 and values.max() < 2**32
        return Property(name, "uint32", values) if is_uint32 else None
    codes, labels = pd.factorize(_texts(column), sort=True)
    if len(labels) > MAX_CATEGORIES:
        return None
    shown = tuple(label or "-" for label in labels)
    return Property(name, "uint8", codes.astype(np.uint8), labels=shown)


def _texts(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column as text, empty where it has no value: a CSV file states no type."""
    return column.map(lambda one: "" if pd.isna(one) else str(one))


def _find_colours(frame: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """Return a colour of each row, (n, 3): of pits by group, of pores by diameter."""
    colours = np.full((len(frame), 3), POINT, np.uint8)
    if {"kind", "location", "coated"} <= set(frame):
        for group, rows in find_groups(frame).items():
            colours[rows] = GROUP_COLOURS[group]
    elif "diameter_nm" in frame:
        diameters = frame["diameter_nm"].to_numpy(np.float64, na_value=np.nan)
        measured = diameters[np.isfinite(diameters)]
        if measured.size:
            stops = np.percentile(measured, (10, 50, 90))
            ramp = np.array(RAMP, np.float64)
            channels = [np.interp(np.nan_to_num(diameters), stops, ramp[:, c]) for c in range(3)]
            colours = np.stack(channels, axis=1).astype(np.uint8)
    return colours
