"""Convert a table of objects to one of the page: digits, units, and a limited number of rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from asem.report.page.numbers import NOTHING, format_float, shorten_text
from asem.report.page.parts import Column, Table
from asem.tables import UNITS, find_unit

MAX_ROWS = 1000
"""Rows of a table, those with the largest values."""
FILTER_ROWS = 10
"""Tables with more rows have a filter."""
PRINTED_COLUMNS = 8
"""Columns that fit on paper."""


def make_table(
    frame: pd.DataFrame,
    *,
    caption: str,
    source: str,
    descriptions: Mapping[str, str] | None = None,
    largest_by: str | None = None,
    printed: Sequence[str] = (),
) -> Table:
    """Return a table of the page with at most `MAX_ROWS` rows, in the order of the frame.

    Parameters
    ----------
    frame
        The rows.
    caption
        What a row is.
    source
        The file with all rows, for the note.
    descriptions
        What each column is, by its name.
    largest_by
        Column whose largest values are shown, of more rows than that; None: the first rows.
    printed
        Columns that are also on paper; empty: the first `PRINTED_COLUMNS`.
    """
    shown = _choose_rows(frame, largest_by)
    described = descriptions or {}
    on_paper = set(printed) or set(list(frame.columns)[:PRINTED_COLUMNS])
    columns = [
        Column(
            title=_title_of(str(name)),
            unit=find_unit(str(name)),
            description=described.get(str(name), ""),
            is_number=_is_number(frame[name]),
            is_printed=name in on_paper,
        )
        for name in frame.columns
    ]
    cells = [_format_column(shown[name]) for name in frame.columns]
    note = ""
    if len(shown) < len(frame):
        chosen = "first" if largest_by is None else f"largest by {_title_of(largest_by)}"
        note = f"{len(shown):,} of {len(frame):,} rows, the {chosen}; all are in {source}."
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Table(caption, columns, rows, note, has_filter=len(rows) > FILTER_ROWS)


def _choose_rows(frame: pd.DataFrame, largest_by: str | None) -> pd.DataFrame:
    if len(frame) <= MAX_ROWS:
        return frame
    if largest_by is None or largest_by not in frame:
        return frame.iloc[:MAX_ROWS]
    values = frame[largest_by].to_numpy(np.float64, na_value=np.nan)
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:MAX_ROWS]
    return frame.iloc[np.sort(order)]


def _title_of(name: str) -> str:
    """Return the name of a column without its unit."""
    suffix = next((suffix for suffix in UNITS if name.endswith(suffix)), "")
    return name.removesuffix(suffix).replace("_", " ")


def _is_number(column: "pd.Series[float]") -> bool:
    is_bool = pd.api.types.is_bool_dtype(column.dtype)
    return bool(pd.api.types.is_numeric_dtype(column.dtype) and not is_bool)


def _format_column(column: "pd.Series[float]") -> list[str]:
    """Return the cells of a column: integers without separators, floats with four digits."""
    return [_format_cell(value) for value in column.tolist()]


def _format_cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value is pd.NA:
        return NOTHING
    return format_float(value) if isinstance(value, float) else shorten_text(str(value)) or NOTHING
