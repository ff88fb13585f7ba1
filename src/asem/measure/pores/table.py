"""The table of pores: its columns, in order, what each one is, and its flags and notes."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

PORE_COLUMNS: Mapping[str, str] = {
    "pore_id": "id of the pore: its label, or 1, 2, ... where all pores have one label",
    "z_nm": "world position of the centre of the pore, z",
    "y_nm": "world position of the centre of the pore, y",
    "x_nm": "world position of the centre of the pore, x",
    "normal_z": "normal of the envelope at the pore, of length 1, z",
    "normal_y": "normal of the envelope at the pore, of length 1, y",
    "normal_x": "normal of the envelope at the pore, of length 1, x",
    "diameter_nm": "median distance of the membranes along the lines through the centre; empty: "
    "not measured",
    "diameter_sd_nm": "standard deviation of the distances along these lines",
    "diameter_se_nm": "standard error of diameter_nm",
    "volume_nm3": "number of voxels of the mask times the volume of a voxel",
    "axis_long_nm": "longest axis of the mask: of the ellipsoid of equal covariance",
    "axis_mid_nm": "middle axis of the mask",
    "axis_short_nm": "shortest axis of the mask",
    "lines_used": "number of lines, of 18, along which both membranes were found",
    "flags": "why the pore is left out of the statistics, joined by ;",
    "notes": "remarks that exclude nothing, joined by ;",
}
"""Columns of a table of pores, in this order, and their descriptions."""
CELL_DESCRIPTION = "name of the folder that the pore is from"
PORE_FLAGS: Mapping[str, str] = {
    "small": "the mask has less than a quarter of the volume of a typical one, or is a speck",
    "short": "the shortest axis of the mask is less than half of that of a typical one",
    "merged": "the mask is that of several pores that could not be separated",
    "cut": "the mask, or the image of the rim, reaches the border of a volume",
    "outlier": "the pore is far from the plane of its neighbours, and not in the envelope",
    "no_rim": "the image has no pore there",
    "duplicate": "another mask has the same pore: its centre is within half a diameter",
    "rejected": "a person rejected the pore (review)",
}
"""Why a pore is left out of the statistics."""
PORE_NOTES: Mapping[str, str] = {
    "fragments": "the mask was in several parts, which were joined",
    "split": "the mask touched that of another pore, and was separated",
    "neighbour_normal": "the normal was first that of the plane of the neighbours",
    "mask_normal": "the normal was first the short axis of the mask",
    "off_plane": "the pore is far from the plane of its neighbours, but in the envelope",
    "few_lines": "fewer than 14 of the 18 lines were used",
    "accepted": "a person accepted the pore (review): short, merged and outlier are then notes",
}
"""Remarks that exclude nothing."""
OVERRIDABLE_FLAGS = frozenset({"short", "merged", "outlier"})
"""Flags that become notes where a person accepts the pore; with the others, its diameter is not
measured, not complete, or counted already."""


def is_used(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which pores count in the statistics: without a flag, and measured."""
    measured = np.isfinite(table["diameter_nm"].to_numpy(np.float64))
    return np.asarray((table["flags"] == "").to_numpy() & measured)
