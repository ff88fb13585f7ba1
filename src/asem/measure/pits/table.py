"""The table of pits and vesicles: its columns, in order, what each one is, flags and notes."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

PIT_COLUMNS: Mapping[str, str] = {
    "object_id": "id of the object: its label, or 1, 2, ... where all objects have one label",
    "kind": "pit, or vesicle where no neck leads to a membrane",
    "location": "endocytic: a pit of the plasma membrane, or a vesicle within 400 nm of it; else "
    "secretory",
    "coated": "whether the membrane signal is enhanced by a coat; false where nothing was measured",
    "z_nm": "world position of the centre of the outline, z",
    "y_nm": "world position of the centre of the outline, y",
    "x_nm": "world position of the centre of the outline, x",
    "height_nm": "of a pit: from the plane of the surrounding membrane to the deepest point",
    "width_nm": "of a pit: at half of its height; of a vesicle: diameter of the sphere of equal "
    "volume",
    "neck_nm": "of a pit: narrowest width between 8 nm below the plane and the widest place",
    "major_nm": "long axis of the ellipse that fits the outline best; of a vesicle, the longest of "
    "three axes",
    "minor_nm": "short axis of that ellipse; of a vesicle, the second longest axis",
    "eccentricity": "major_nm / minor_nm",
    "angle_to_membrane_deg": "of the long axis to the surrounding membrane, of a vesicle to the "
    "nearest plasma membrane, 0 to 90",
    "height_se_nm": "standard error of height_nm",
    "width_se_nm": "standard error of width_nm",
    "neck_se_nm": "standard error of neck_nm",
    "distance_to_membrane_nm": "from the outline to the plasma membrane; 0 for its pits",
    "plane_axis": "axis across the plane with the largest outline: z, y or x",
    "plane_index": "index of that plane along its axis, in the image",
    "flags": "why the object is left out of the statistics, joined by ;",
    "notes": "remarks that exclude nothing, joined by ;",
    "view_height_nm": "height_nm, measured in that plane alone",
    "view_width_nm": "width_nm, measured in that plane alone",
    "view_neck_nm": "neck_nm, measured in that plane alone",
    "view_major_nm": "major_nm, of the skeleton of the dark pixels of that plane",
    "view_minor_nm": "minor_nm, of the skeleton of the dark pixels of that plane",
}
"""Columns of a table of pits, in this order, and their descriptions. Heights, widths, necks and
axes run to the darkest line of the outline, the membrane with its coat."""
PIT_FLAGS: Mapping[str, str] = {
    "small": "the mask is a speck",
    "cut": "the mask, or the outline in the image, reaches the border of a volume",
    "no_outline": "the image has no pit or vesicle there",
    "no_location": "the plasma membrane is not labelled around it: endocytic or secretory?",
    "duplicate": "another mask has the same pit or vesicle",
    "merged": "the mask has several pits or vesicles, of which this is one",
    "rejected": "a person rejected the object in the review",
}
"""Why an object is left out of the statistics."""
PIT_NOTES: Mapping[str, str] = {
    "open": "nothing narrows below the plane: the neck is the width 8 nm below the plane",
    "view_differs": "the view differs from the fit in 3D by more than 10 nm",
    "fragments": "the mask was in several parts, which were joined",
    "accepted": "a person accepted the object in the review",
}
"""Remarks that exclude nothing."""


OVERRIDABLE_FLAGS = frozenset({"merged"})
"""Flags that become notes where a person accepts the object."""


def is_used(table: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Return which objects count in the statistics: without a flag, and measured."""
    measured = np.isfinite(table["width_nm"].to_numpy(np.float64))
    return np.asarray((table["flags"] == "").to_numpy() & measured)
