"""Combine the pores of several cells: one table, statistics of all and of each cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asem.measure.pores.statistics import describe_table
from asem.measure.pores.table import CELL_DESCRIPTION, PORE_COLUMNS
from asem.workflows.combine_tables import TableKind, combine_tables

DIAMETERS = "diameters.png"


def combine_pores(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Combine the tables of several cells.

    Parameters
    ----------
    folders
        Folders that `asem.workflows.pores.measure_pores` wrote; the name of each one is that of the
        cell.
    out
        Folder to write: ``pores.csv`` and ``pores.parquet`` with a column ``cell``,
        ``statistics.json`` of all pores and of each cell, ``diameters.png``, ``provenance.json``.
    overwrite
        Replace earlier results in `out`.

    Returns
    -------
    dict
        ``cells``, ``pores`` and ``used``, their numbers, ``median_nm`` of all, and ``out``.

    Raises
    ------
    FileNotFoundError, ValueError
        A folder has no table of pores, a damaged one, or one that is combined already; two folders
        have the same name.
    """
    combined = combine_tables(PORE_TABLES, folders, out, overwrite=overwrite)
    pooled = combined.pop("statistics")
    return {
        **combined,
        "used": pooled["n"]["used"],
        "median_nm": pooled["median_nm"],
        "out": str(out),
    }


def _draw(tables: dict[str, pd.DataFrame]) -> dict[str, bytes]:
    """Return the figure of the distributions of all pores and of each cell."""
    from asem.report.figures import encode_png
    from asem.report.pore_figures import plot_diameters

    return {DIAMETERS: encode_png(plot_diameters(tables))}


PORE_TABLES = TableKind(
    name="pores",
    columns=PORE_COLUMNS,
    texts=("flags", "notes"),
    cell_description=CELL_DESCRIPTION,
    describe=describe_table,
    figures=(DIAMETERS,),
    draw=_draw,
)
