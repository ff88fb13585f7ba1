"""The tables of objects and contacts: their columns, in order, and what each one is."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from asem.measure.object_columns import ID, Columns
from asem.volume.roi import IntZYX

OBJECT_COLUMNS: Mapping[str, str] = {
    "object_id": "id of the object in the instances",
    "volume_um3": "number of voxels times the volume of a voxel",
    "surface_um2": "area of a smooth mesh of the surface, without cuts at the border of the volume",
    "z_nm": "world position of the centre of mass, z",
    "y_nm": "world position of the centre of mass, y",
    "x_nm": "world position of the centre of mass, x",
    "z_min_nm": "first face of the bounding box, z",
    "z_max_nm": "last face of the bounding box, z",
    "y_min_nm": "first face of the bounding box, y",
    "y_max_nm": "last face of the bounding box, y",
    "x_min_nm": "first face of the bounding box, x",
    "x_max_nm": "last face of the bounding box, x",
    "axis_long_nm": "longest axis of the ellipsoid of equal covariance",
    "axis_mid_nm": "middle axis of the ellipsoid of equal covariance",
    "axis_short_nm": "shortest axis of the ellipsoid of equal covariance",
    "sphericity": "surface of the sphere of equal volume / surface; 1: a sphere; above 1: "
    "cut by the border, or of few voxels",
    "elongation": "axis_long_nm / axis_mid_nm; 1: not elongated",
    "skeleton_length_nm": "length of the centre line, with all branches",
    "branch_points": "branch points of the centre line",
    "skeleton_voxel_size_nm": "voxel size at which the centre line was found, shortest edge",
    "mean_grey": "mean grey value",
    "sd_grey": "standard deviation of the grey values",
    "touches_border": "whether the object reaches the border of the volume: a part may be missing",
    "distance_nm": "shortest distance to another object; empty: none within the search distance",
}
"""Columns of a table of objects, in this order, and their descriptions."""
CONTACT_COLUMNS: Mapping[str, str] = {
    "object_id": "id of the object in the instances",
    "other_id": "id of the other object, in the other labels if they were given",
    "gap_nm": "shortest distance between their voxels; 0: they touch or overlap",
    "area_um2": "area of the surface of the object within the search distance of the other one",
}
"""Columns of a table of contacts, and their descriptions."""


def make_object_table(columns: Columns) -> pd.DataFrame:
    """Return the table of objects, sorted by id, with the columns that were measured.

    Parameters
    ----------
    columns
        `ID` and columns of `OBJECT_COLUMNS`, (n,).
    """
    named = {"object_id": columns[ID], **columns, **_derive_ratios(columns)}
    return pd.DataFrame({name: named[name] for name in OBJECT_COLUMNS if name in named})


def describe_columns(frame: pd.DataFrame, descriptions: Mapping[str, str]) -> dict[str, str]:
    """Return the descriptions of the columns of a table."""
    return {name: descriptions[name] for name in frame.columns}


def find_border_objects(sums: Columns, shape: IntZYX) -> Columns:
    """Return which objects reach a face of a volume of `shape` voxels, bool, (n,).

    Parameters
    ----------
    sums
        Merged columns of `moments.sum_moments`.
    shape
        Voxels along (z, y, x).
    """
    touches = [
        (sums[f"min_{axis}"] == 0) | (sums[f"max_{axis}"] == edge - 1)
        for axis, edge in zip("zyx", shape, strict=True)
    ]
    return {"touches_border": np.logical_or.reduce(touches)}


def _derive_ratios(columns: Columns) -> Columns:
    ratios: Columns = {"elongation": columns["axis_long_nm"] / columns["axis_mid_nm"]}
    if "surface_um2" in columns:
        sphere = np.pi ** (1 / 3) * (6 * columns["volume_um3"]) ** (2 / 3)
        surface = np.where(columns["surface_um2"] > 0, columns["surface_um2"], np.nan)
        ratios["sphericity"] = sphere / surface
    return ratios
