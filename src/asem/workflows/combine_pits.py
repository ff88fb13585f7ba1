"""Combine the pits of several cells: one table, statistics of all and of each cell, figures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from asem.measure.pits.statistics import describe_table
from asem.measure.pits.table import PIT_COLUMNS
from asem.workflows.combine_tables import TableKind, combine_tables
from asem.workflows.pit_figures import PIT_FIGURES, draw_pit_figures

CELLS = "cells.png"
CELL_DESCRIPTION = "name of the folder that the object is from"


def combine_pits(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> dict[str, Any]:
    """Combine the tables of several cells.

    Parameters
    ----------
    folders
        Folders that ``asem pits`` wrote; the name of each one is that of the cell.
    out
        Folder to write: ``pits.csv`` and ``pits.parquet`` with a column ``cell``,
        ``statistics.json`` of all objects and of each cell, the figures of all objects, and
        ``cells.png``, the medians of each cell.
    overwrite
        Replace earlier results in `out`.

    Returns
    -------
    dict
        ``cells``, ``pits`` (objects) and ``used``, their numbers, and ``out``.

    Raises
    ------
    FileNotFoundError, ValueError
        A folder has no table of pits, a damaged one, or one that is combined already; two folders
        have the same name.
    """
    combined = combine_tables(PIT_TABLES, folders, out, overwrite=overwrite)
    pooled = combined.pop("statistics")
    return {**combined, "used": pooled["n"]["used"], "out": str(out)}


def _draw(tables: dict[str, pd.DataFrame]) -> dict[str, bytes]:
    """Return the figures of all objects, and that of the medians of each cell."""
    from asem.report.figures import encode_png
    from asem.report.pit_distributions import plot_cells

    pooled = pd.concat(tables.values(), ignore_index=True)
    return {**draw_pit_figures(pooled), CELLS: encode_png(plot_cells(tables))}


PIT_TABLES = TableKind(
    name="pits",
    columns=PIT_COLUMNS,
    texts=("kind", "location", "plane_axis", "flags", "notes"),
    cell_description=CELL_DESCRIPTION,
    describe=describe_table,
    figures=(*PIT_FIGURES, CELLS),
    draw=_draw,
)
