"""Groups of pits and vesicles: what the paper compares."""

import numpy as np
import numpy.typing as npt
import pandas as pd

ENDOCYTIC_PITS, CAVEOLAE = "endocytic_coated_pits", "caveolae"
ENDOCYTIC_VESICLES = "endocytic_coated_vesicles"
SECRETORY_PITS, SECRETORY_VESICLES = "secretory_coated_pits", "secretory_coated_vesicles"
OTHERS = "others"
GROUPS = (
    ENDOCYTIC_PITS,
    CAVEOLAE,
    ENDOCYTIC_VESICLES,
    SECRETORY_PITS,
    SECRETORY_VESICLES,
    OTHERS,
)
"""Names of the groups; each object is in one. Others: uncoated vesicles, uncoated pits that are
not of the plasma membrane, and objects of unknown kind or location."""


def find_groups(table: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which objects each group has, by the names of `GROUPS`, (n,) each.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`), (n,).
    """
    is_pit = (table["kind"] == "pit").to_numpy()
    is_endocytic = (table["location"] == "endocytic").to_numpy()
    is_secretory = (table["location"] == "secretory").to_numpy()
    is_coated = table["coated"].to_numpy(np.bool_)
    groups = {
        ENDOCYTIC_PITS: is_coated & is_endocytic & is_pit,
        CAVEOLAE: ~is_coated & is_endocytic & is_pit,
        ENDOCYTIC_VESICLES: is_coated & is_endocytic & ~is_pit,
        SECRETORY_PITS: is_coated & is_secretory & is_pit,
        SECRETORY_VESICLES: is_coated & is_secretory & ~is_pit,
    }
    groups[OTHERS] = ~np.logical_or.reduce(list(groups.values()))
    return groups
