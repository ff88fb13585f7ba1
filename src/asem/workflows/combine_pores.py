"""Combine the pores of several cells: one table, statistics of all and of each cell."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from asem.blocks.results_folder import create_results
from asem.measure.pores.statistics import describe_table
from asem.measure.pores.table import CELL_COLUMN, CELL_DESCRIPTION, PORE_COLUMNS
from asem.provenance import identify_files
from asem.tables import read_table
from asem.volume.roi import Roi
from asem.workflows.pores import PORES, STATISTICS, format_statistics

DIAMETERS = "diameters.png"
COMBINED_FILES = (f"{PORES}.csv", f"{PORES}.parquet", STATISTICS, DIAMETERS)
COMBINED_COLUMNS = {CELL_COLUMN: CELL_DESCRIPTION, **PORE_COLUMNS}


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
    if not folders:
        raise ValueError("name at least one folder that asem pores wrote")
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"--out {out} is one of the folders to combine; name another one")
    tables = _read_tables(folders)
    files = [folder / f"{PORES}.parquet" for folder in folders]
    identities = [identify_files(file, [file]) for file in files]
    with create_results(
        out,
        Roi.of_shape((1, 1, 1)),
        files=COMBINED_FILES,
        command="pores",
        request={"combine": identities},
        overwrite=overwrite,
    ) as output:
        cells = [frame.assign(**{CELL_COLUMN: name}) for name, frame in tables.items()]
        table = pd.concat(cells, ignore_index=True)[list(COMBINED_COLUMNS)]
        output.write_table(PORES, table, COMBINED_COLUMNS)
        statistics = {
            "pooled": describe_table(table),
            "cells": {name: describe_table(frame) for name, frame in tables.items()},
        }
        output.provenance |= {"cells": len(tables), "pores": len(table)}
        output.write_file(STATISTICS, format_statistics(statistics))
        output.write_file(DIAMETERS, _draw(tables))
    pooled = statistics["pooled"]
    return {
        "cells": len(tables),
        "pores": len(table),
        "used": pooled["n"]["used"],
        "median_nm": pooled["median_nm"],
        "out": str(out),
    }


def _read_tables(folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Return the table of each folder by its name; raise an error if one cannot be combined."""
    tables: dict[str, pd.DataFrame] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in tables:
            raise ValueError(
                f"two folders are named {name}, and cells are distinguished by that: rename one"
            )
        tables[name] = _read_table(folder)
    return tables


def _read_table(folder: Path) -> pd.DataFrame:
    path = folder / f"{PORES}.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no {path.name}: name folders that asem pores wrote")
    table = read_table(folder / PORES)
    if CELL_COLUMN in table:
        raise ValueError(f"{path} is combined already; name the folders of single cells")
    texts = ("flags", "notes")
    is_valid = list(table.columns) == list(PORE_COLUMNS) and all(
        all(isinstance(v, str) for v in table[name])
        if name in texts
        else is_numeric_dtype(table[name])
        for name in PORE_COLUMNS
    )
    if not is_valid:
        raise ValueError(f"{path} is no table of pores: its columns are not those of asem pores")
    return table


def _draw(tables: dict[str, pd.DataFrame]) -> bytes:
    """Return the figure of the distributions of all pores and of each cell."""
    from asem.report.figures import encode_png
    from asem.report.pore_figures import plot_diameters

    return encode_png(plot_diameters(tables))
