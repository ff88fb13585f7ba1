"""Combine the tables of several cells: one table, statistics of all and of each cell, figures."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from asem.blocks.results_folder import create_results
from asem.provenance import identify_files
from asem.tables import format_csv, read_table
from asem.volume.roi import Roi
from asem.workflows.statistics_file import STATISTICS, format_statistics

LOG = logging.getLogger(__name__)
CELL_COLUMN = "cell"


@dataclass(frozen=True)
class TableKind:
    """Tables that one command writes, and what is made of several of them.

    Parameters
    ----------
    name
        Of the command, of the objects and of the table's files.
    columns
        Columns of a table, and their descriptions.
    texts
        Those that have text; others have numbers.
    cell_description
        What the column `CELL_COLUMN` of a combined table is.
    describe
        Returns the statistics of a table; ``n`` has the key ``used``.
    figures
        Names of the figures that `draw` returns.
    draw
        Returns the content of the figures from the tables of the cells by their names.
    """

    name: str
    columns: Mapping[str, str]
    texts: Sequence[str]
    cell_description: str
    describe: Callable[[pd.DataFrame], dict[str, Any]]
    figures: Sequence[str]
    draw: Callable[[dict[str, pd.DataFrame]], dict[str, bytes]]

    @property
    def combined_columns(self) -> dict[str, str]:
        """Columns of a combined table, and their descriptions."""
        return {CELL_COLUMN: self.cell_description, **self.columns}

    @property
    def files(self) -> tuple[str, ...]:
        """Files of a folder of combined results."""
        return (f"{self.name}.csv", f"{self.name}.parquet", STATISTICS, *self.figures)


def combine_tables(
    kind: TableKind, folders: Sequence[Path], out: Path, *, overwrite: bool = False
) -> dict[str, Any]:
    """Combine the tables of several cells.

    Parameters
    ----------
    kind
        What the tables are.
    folders
        Folders that the command wrote; the name of each one is that of the cell.
    out
        Folder to write: the table with a column ``cell``, ``statistics.json`` of all objects and of
        each cell, the figures, ``provenance.json``.
    overwrite
        Replace earlier results in `out`.

    Returns
    -------
    dict
        ``cells`` and the number of objects by `kind.name`; ``statistics``, those of all.

    Raises
    ------
    FileNotFoundError, ValueError
        A folder has no table, a damaged one, or one that is combined already; two folders have the
        same name.
    """
    if not folders:
        raise ValueError(f"name at least one folder that asem {kind.name} wrote")
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise ValueError(f"--out {out} is one of the folders to combine; name another one")
    tables = _read_tables(kind, folders)
    files = [folder / f"{kind.name}.parquet" for folder in folders]
    identities = [identify_files(file, [file]) for file in files]
    columns = kind.combined_columns
    with create_results(
        out,
        Roi.of_shape((1, 1, 1)),
        files=kind.files,
        command=kind.name,
        request={"combine": identities},
        overwrite=overwrite,
    ) as output:
        cells = [frame.assign(**{CELL_COLUMN: name}) for name, frame in tables.items()]
        table = pd.concat(cells, ignore_index=True)[list(columns)]
        output.write_table(kind.name, table, columns)
        pooled = kind.describe(table)
        statistics = {
            "pooled": pooled,
            "cells": {name: kind.describe(frame) for name, frame in tables.items()},
        }
        output.provenance |= {"cells": len(tables), kind.name: len(table)}
        output.write_file(STATISTICS, format_statistics(statistics))
        for name, content in kind.draw(tables).items():
            output.write_file(name, content)
    return {"cells": len(tables), kind.name: len(table), "statistics": pooled}


def _read_tables(kind: TableKind, folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """Return the table of each folder by its name; raise an error if one cannot be combined."""
    tables: dict[str, pd.DataFrame] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in tables:
            raise ValueError(
                f"two folders are named {name}, and cells are distinguished by that: rename one"
            )
        tables[name] = _read_table(kind, folder)
    return tables


def _read_table(kind: TableKind, folder: Path) -> pd.DataFrame:
    path = folder / f"{kind.name}.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} has no {path.name}: name folders that asem {kind.name} wrote"
        )
    table = read_table(folder / kind.name)
    if CELL_COLUMN in table:
        raise ValueError(f"{path} is combined already; name the folders of single cells")
    is_valid = list(table.columns) == list(kind.columns) and all(
        all(isinstance(v, str) for v in table[name])
        if name in kind.texts
        else is_numeric_dtype(table[name])
        for name in kind.columns
    )
    if not is_valid:
        raise ValueError(
            f"{path} is no table of {kind.name}: its columns are not those of asem {kind.name}"
        )
    _warn_of_edited_csv(path, table)
    return table


def _warn_of_edited_csv(path: Path, table: pd.DataFrame) -> None:
    """Log a warning where a person changed the CSV file of a table, which is not read."""
    edited = path.with_suffix(".csv")
    if edited.is_file() and edited.read_bytes() != format_csv(table):
        LOG.warning(
            "%s differs from %s, which is used; reject objects in a review, not in the CSV file",
            edited, path.name,
        )  # fmt: skip
