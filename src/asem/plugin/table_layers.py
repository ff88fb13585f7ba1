"""Tables as napari layers: pores and pits are points, objects are features of their instances.

::

    pores.parquet     a ring of its diameter around each pore, coloured by diameter
    pits.parquet      a ring of its width around each pit or vesicle, coloured by group
    objects.parquet   features of the labels that were measured; without them, rings as above

All columns are features of the layer: napari shows them below the cursor, and `Colour by column`
colours by any of them.

napari shows a point in planes that are nearer than half a unit of the layer. The unit is the median
diameter, so that a ring is shown in the planes that cut the object; its scale makes positions nm.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from asem.blocks.output_nesting import read_json_or_empty
from asem.measure.pits.groups import find_groups
from asem.plugin.column_colours import choose_limits, colour_values
from asem.system.json_toml import parse_json
from asem.tables import PROVENANCE_FILE, read_column_names, read_table_file
from asem.view.table_layers import FLAGGED, GROUP_COLOURS, POINT, POSITION, TABLES

MAX_DEPTH = 5
"""Levels of folders: cell.zarr/predictions/run/pores/pores.parquet has 4."""
SIZE_COLUMNS = ("diameter_nm", "width_nm", "axis_long_nm")
"""The first of them that a table has is the diameter of its rings."""
COLOUR_COLUMNS = ("group", "diameter_nm", "volume_um3")
"""The first of them that a table has colours its rings."""
DEFAULT_SIZE_NM = 100.0
"""Diameter of the ring of what was not measured."""
BORDER_WIDTH = 0.12
"""Of a ring, as a part of its diameter."""
GROUP = "group"
UNUSED = "not used"
"""Group of the rows with a flag: they do not count in statistics."""
COLOURMAP = "viridis"


@dataclass(frozen=True)
class ObjectTable:
    """A table with a row for each object.

    Parameters
    ----------
    path
        The Parquet or CSV file.
    frame
        Its rows and columns.
    labels
        Identity of the label image that was measured; empty if it is not stated.
    """

    path: Path
    frame: pd.DataFrame
    labels: str = ""

    @property
    def id_column(self) -> str:
        """The first column: the ids of the objects."""
        return str(self.frame.columns[0])


def find_tables(path: Path) -> list[Path]:
    """Return the Parquet tables of objects, pores and pits in a folder.

    Folders whose name starts with a dot are left out.
    """
    found = {
        file
        for depth in range(MAX_DEPTH)
        for name in TABLES
        for file in path.glob("*/" * depth + name + ".parquet")
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    }
    return sorted(found)


def read_object_table(path: Path) -> ObjectTable:
    """Read a table, and which labels were measured.

    Raises
    ------
    ValueError
        The file is damaged, or no table with positions in nm.
    """
    if not has_positions(path):
        raise ValueError(f"{path} has no columns {', '.join(POSITION)}: no positions to show")
    return ObjectTable(path, read_table_file(path), _read_labels_identity(path))


def has_positions(path: Path) -> bool:
    """Return whether each row of a table has a position in nm; reads the names of columns only.

    Raises
    ------
    OSError, ValueError
        The file cannot be read, or is no table.
    """
    return set(POSITION) <= set(read_column_names(path))


def _read_labels_identity(path: Path) -> str:
    """Return the identity of the labels that a table states; empty if it states none."""
    if path.suffix == ".parquet":
        text = (pq.read_schema(path).metadata or {}).get(b"asem", b"{}")
        provenance = parse_json(text, source=str(path))
    else:
        provenance = read_json_or_empty(path.with_name(PROVENANCE_FILE))
    request = provenance.get("request")
    return str(request.get("instances") or "") if isinstance(request, dict) else ""


def make_points(table: ObjectTable, name: str) -> tuple[Any, dict[str, Any], str]:
    """Return a points layer: a ring around each object, coloured by a column.

    Parameters
    ----------
    table
        Rows without a position are left out.
    name
        Of the layer.
    """
    positioned = table.frame[list(POSITION)].notna().all(axis=1)
    frame = table.frame[positioned].reset_index(drop=True)
    if {"kind", "location", "coated"} <= set(frame.columns):
        frame[GROUP] = name_groups(frame)
    sizes = find_sizes(frame)
    unit = float(np.median(sizes)) if len(sizes) else DEFAULT_SIZE_NM
    settings = {
        "name": name,
        "metadata": {"asem": str(table.path)},
        "features": frame,
        "size": sizes / unit,
        "scale": (unit, unit, unit),
        "face_color": "transparent",
        "border_width": BORDER_WIDTH,
        "units": ("nm", "nm", "nm"),
        "axis_labels": ("z", "y", "x"),
        **_colour_rings(frame),
    }
    return frame[list(POSITION)].to_numpy(np.float64) / unit, settings, "points"


def find_sizes(frame: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the diameter of each ring, nm, (n,)."""
    column = next((column for column in SIZE_COLUMNS if column in frame.columns), None)
    if column is None:
        return np.full(len(frame), DEFAULT_SIZE_NM)
    sizes = frame[column].to_numpy(np.float64, na_value=np.nan)
    return np.where(sizes > 0, sizes, DEFAULT_SIZE_NM)


def _colour_rings(frame: pd.DataFrame) -> dict[str, Any]:
    column = next((c for c in COLOUR_COLUMNS if c in frame.columns), None)
    if column is None or len(frame) == 0:
        return {"border_color": np.divide(POINT, 255)}
    if column == GROUP:
        cycle = {_name_group(name): np.divide(rgb, 255) for name, rgb in GROUP_COLOURS.items()}
        cycle |= {UNUSED: np.divide(FLAGGED, 255)}
        return {"border_color": column, "border_color_cycle": cycle}
    values = frame[column].to_numpy(np.float64, na_value=np.nan)
    if not np.isfinite(values).all():  # napari takes none that are missing
        return {"border_color": colour_values(frame[column], COLOURMAP)}
    return {
        "border_color": column,
        "border_colormap": COLOURMAP,
        "border_contrast_limits": choose_limits(values),
    }


def name_groups(pits: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Return the name of the group of each pit or vesicle; `UNUSED` for those with a flag."""
    names = np.full(len(pits), UNUSED, dtype=object)
    used = (pits["flags"] == "").to_numpy() if "flags" in pits.columns else np.full(len(pits), True)
    for name, is_member in find_groups(pits).items():
        names[is_member & used] = _name_group(name)
    return names


def _name_group(name: str) -> str:
    return name.replace("_", " ")


def find_features(labels: str, tables: Iterable[ObjectTable]) -> pd.DataFrame | None:
    """Return the features of labels, with their ids in the column ``index``, as napari needs them.

    Parameters
    ----------
    labels
        Identity of the label image.
    tables
        Of several tables of these labels, the last one counts.
    """
    found = [t for t in tables if labels and t.labels == labels]
    if not found:
        return None
    table = found[-1]
    return table.frame.rename(columns={table.id_column: "index"})
