"""Tables: CSV and Parquet in one call, with the unit in each column's name, and their provenance.

::

    out/objects.csv          for spreadsheets: 7 significant digits, UTF-8
    out/objects.parquet      for programs: exact, with dtypes, descriptions and units
    out/provenance.json      what made the tables, and what each column is; written last

Both files of a table have the same columns and rows; an empty cell of the CSV file is a null of the
Parquet file.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from asem.system.files import open_regular_file
from asem.system.nofollow_files import replace_file_nofollow

UNITS = {
    "_nm": "nm",
    "_nm2": "nm²",
    "_nm3": "nm³",
    "_um": "µm",
    "_um2": "µm²",
    "_um3": "µm³",
    "_deg": "degrees",
    "_s": "s",
}
"""Suffix of a column's name, and its unit; other columns have no unit."""
CSV_FLOAT_FORMAT = "%.7g"
PROVENANCE_FILE = "provenance.json"
TABLE_SUFFIXES = (".parquet", ".csv")
MAX_TABLE_BYTES = 2**30
TEXT_COLUMNS = ("flags", "notes")
"""Of these a CSV file may have no value at all."""


def find_unit(column: str) -> str:
    """Return the unit that the name of a column ends in; empty if it has none.

    Examples
    --------
    >>> find_unit("volume_um3"), find_unit("sphericity")
    ('µm³', '')
    """
    return next((unit for suffix, unit in UNITS.items() if column.endswith(suffix)), "")


def write_table(
    stem: Path,
    frame: pd.DataFrame,
    descriptions: Mapping[str, str],
    provenance: Mapping[str, Any],
    *,
    check_before_publish: Callable[[], None] | None = None,
) -> None:
    """Write a table as CSV and Parquet, replacing both files.

    Parameters
    ----------
    stem
        Path without suffix; its folder exists.
    frame
        The rows; its index is not written.
    descriptions
        What each column is; exactly the columns of `frame`.
    provenance
        What made the table, as JSON values; stored in the metadata of the Parquet file.
    check_before_publish
        Called before each file appears; raises if it may not.

    Raises
    ------
    ValueError
        A column has no description, or a description no column.
    OSError
        A file cannot be written, or is a symbolic link.
    """
    if list(descriptions) != list(frame.columns):
        unmatched = sorted(set(descriptions) ^ set(frame.columns)) or "in another order"
        raise ValueError(f"columns and their descriptions differ: {unmatched}")
    with replace_file_nofollow(stem.with_suffix(".csv"), check_before_publish) as file:
        file.write(format_csv(frame))
    with replace_file_nofollow(stem.with_suffix(".parquet"), check_before_publish) as file:
        pq.write_table(_describe_columns(frame, descriptions, provenance), file)


def format_csv(frame: pd.DataFrame) -> bytes:
    """Return the content of the CSV file of a table, without its index.

    Examples
    --------
    >>> format_csv(pd.DataFrame({"id": [1, 2], "volume_nm3": [125.0, 1e9 / 3]})).split()
    [b'id,volume_nm3', b'1,125', b'2,3.333333e+08']
    """
    text = frame.to_csv(index=False, float_format=CSV_FLOAT_FORMAT, lineterminator="\n")
    return text.encode()


def _describe_columns(
    frame: pd.DataFrame, descriptions: Mapping[str, str], provenance: Mapping[str, Any]
) -> pa.Table:
    """Convert a frame to Arrow, with descriptions and units as metadata of its columns."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fields = [
        field.with_metadata(
            {"description": descriptions[field.name], "unit": find_unit(field.name)}
        )
        for field in table.schema
    ]
    metadata = dict(table.schema.metadata or {}) | {b"asem": json.dumps(provenance).encode()}
    return table.cast(pa.schema(fields, metadata=metadata))


def read_table(stem: Path) -> pd.DataFrame:
    """Read a table that `write_table` wrote, from its Parquet file.

    Raises
    ------
    FileNotFoundError, ValueError
        There is none, or it is damaged.
    """
    return _read_parquet(stem.with_suffix(".parquet"))


def read_table_file(path: Path) -> pd.DataFrame:
    """Read a Parquet or CSV file of a table, of `write_table` or of a spreadsheet.

    Texts that a CSV file leaves out are empty, missing numbers are nan.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    ValueError
        It is too large, damaged or no table.
    """
    with open_regular_file(path) as file:
        size = file.seek(0, 2)
    if size > MAX_TABLE_BYTES:
        raise ValueError(f"{path} has {size:,} bytes; at most {MAX_TABLE_BYTES:,} are read")
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    try:
        frame: pd.DataFrame = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str))
    except (ValueError, pd.errors.ParserError) as error:
        raise _make_read_error(path, error) from error
    _check_columns(path, frame)
    return frame.fillna(dict.fromkeys(frame.select_dtypes(exclude=["number", "bool"]).columns, ""))


def _check_columns(path: Path, frame: pd.DataFrame) -> None:
    """Raise ValueError where the cells of a CSV file are not below the names of their columns."""
    names = list(frame.columns)
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        raise ValueError(f"{path} has no commas between its columns; save it as CSV with commas")
    if not isinstance(frame.index, pd.RangeIndex):  # pandas shifts the names
        raise ValueError(
            f"{path} is no table: its rows have more cells than there are names of columns; delete "
            "commas at the ends of rows, or name all columns"
        )


def read_column_names(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet or CSV file; reads no rows.

    Raises
    ------
    OSError, ValueError
        It cannot be read, or is no table.
    """
    with open_regular_file(path):
        pass  # a pipe may block forever
    try:
        if path.suffix.lower() == ".parquet":
            return list(pq.read_schema(path).names)
        return list(pd.read_csv(path, nrows=0).columns)
    except (ValueError, pd.errors.ParserError) as error:
        raise _make_read_error(path, error) from error


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
        return frame
    except (pa.ArrowException, ValueError, TypeError, LookupError) as error:
        raise _make_read_error(path, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _make_read_error(path, error) from error  # of pyarrow, without a path


def _make_read_error(path: Path, error: Exception) -> ValueError:
    wrong = "damaged" if path.suffix.lower() == ".parquet" else "no table"
    return ValueError(f"{path} is {wrong}: {' '.join(str(error).split())}")
