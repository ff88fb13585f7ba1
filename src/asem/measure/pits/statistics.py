"""Statistics of pits and vesicles by group: numbers, lengths, and the two clusters of the paper.

"Coated pits with open necks (>40 nm) had shallow, ~50-nm invaginations; those with narrower necks
(~10-40 nm) had deep, ~100-130 nm invaginations" (paper, Fig. 8).
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from asem.measure.flags_and_notes import count_names
from asem.measure.pits.groups import ENDOCYTIC_PITS, SECRETORY_PITS, find_groups
from asem.measure.pits.table import is_used
from asem.measure.sample_statistics import Statistics, describe_sample, find_median_interval

MEASURES = {
    "height_nm": "_nm",
    "width_nm": "_nm",
    "neck_nm": "_nm",
    "major_nm": "_nm",
    "minor_nm": "_nm",
    "eccentricity": "",
    "angle_to_membrane_deg": "_deg",
}
"""Columns that are described, and the ending of the names of their statistics."""
QUARTILES = (25, 75)
OPEN_NECK_NM, NARROWEST_NECK_NM = 40.0, 10.0
"""A neck is open above the first; narrow from the second to the first."""


def describe_table(table: pd.DataFrame) -> Statistics:
    """Return the numbers of objects, and the statistics of the used ones of each group.

    Parameters
    ----------
    table
        Of pits (`asem.measure.pits.table.PIT_COLUMNS`).

    Returns
    -------
    dict
        ``n`` (`count_objects`), and ``groups``: for each name of `asem.measure.pits.groups.GROUPS`
        its ``n`` and, by the names of `MEASURES`, those of `describe_measure`; for coated pits also
        ``necks`` (`describe_necks`). JSON values, without nan.
    """
    groups = {}
    for name, chosen in find_groups(table).items():
        part = table[chosen]
        used = part[is_used(part)]
        groups[name] = {
            "n": count_objects(part),
            **{column: describe_measure(used, column) for column in MEASURES},
        }
        if name in (ENDOCYTIC_PITS, SECRETORY_PITS):
            groups[name]["necks"] = describe_necks(used)
    return {"n": count_objects(table), "groups": groups}


def count_objects(table: pd.DataFrame) -> Statistics:
    """Return the numbers of objects: all, used in the statistics, with each flag and each note."""
    return {
        "all": len(table),
        "used": int(is_used(table).sum()),
        "flags": count_names(table["flags"]),
        "notes": count_names(table["notes"]),
    }


def describe_measure(table: pd.DataFrame, column: str) -> Statistics:
    """Return number, median, quartiles, mean, SD and the 95 % interval of the median of a column.

    Parameters
    ----------
    table
        Of the objects that count; those without a value in `column` do not.
    column
        One of `MEASURES`.
    """
    values = read_finite(table, column)
    unit = MEASURES[column]
    interval = find_median_interval(values)
    return {
        "n": len(values),
        **describe_sample(values, QUARTILES, unit),
        f"median_interval_95{unit}": None if interval is None else list(interval),
    }


def read_finite(table: pd.DataFrame, column: str) -> npt.NDArray[np.float64]:
    """Return the values of a column that are finite."""
    values = table[column].to_numpy(np.float64)
    return np.asarray(values[np.isfinite(values)])


def describe_necks(table: pd.DataFrame) -> Statistics:
    """Return the shares of pits with open and with narrow necks, and the statistics of their depth.

    Parameters
    ----------
    table
        Of the pits that count; those without height or neck do not.

    Returns
    -------
    dict
        ``n``; ``open`` (neck above 40 nm), ``narrow`` (10 to 40 nm) and ``narrower``, each with
        ``definition``, ``n``, ``share`` of all of these, and ``height_nm`` (`describe_measure`).
    """
    complete = table[np.isfinite(table[["height_nm", "neck_nm"]].to_numpy(np.float64)).all(axis=1)]
    necks = complete["neck_nm"].to_numpy(np.float64)
    clusters = {
        "open": (f"neck above {OPEN_NECK_NM:g} nm", necks > OPEN_NECK_NM),
        "narrow": (
            f"neck of {NARROWEST_NECK_NM:g} to {OPEN_NECK_NM:g} nm",
            (necks >= NARROWEST_NECK_NM) & (necks <= OPEN_NECK_NM),
        ),
        "narrower": (f"neck below {NARROWEST_NECK_NM:g} nm", necks < NARROWEST_NECK_NM),
    }
    result: Statistics = {"n": len(necks)}
    for name, (definition, chosen) in clusters.items():
        result[name] = {
            "definition": definition,
            "n": int(chosen.sum()),
            "share": float(chosen.mean()) if len(necks) else None,
            "height_nm": describe_measure(complete[chosen], "height_nm"),
        }
    return result
