"""Read JSON and TOML files with bounded size and nesting; errors are one line.

::

    read_toml(path)     settings written by a user
    read_json(path)     a table written by asem or another program
    parse_json(text)    one value of a larger file, such as a line of a log

Only regular files of limited size are read, since they may come from an untrusted source.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from asem.system.files import open_regular_file

MAX_JSON_BYTES, MAX_TOML_BYTES = 2**26, 2**20
"""Largest files, bytes; the metrics of a long training have a hundredth of the first."""
MAX_DOTS_PER_LINE = 1000
"""Dots in a line of TOML: the parser's memory grows with the square of a key's parts."""
MAX_NESTING = 100
"""Depth of nested tables and lists, well below Python's recursion limit."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a byte order mark.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not TOML, not UTF-8, nested too deeply, or too large; one line.
    """
    raw = _read_bytes(path, MAX_TOML_BYTES)
    try:
        if b"\0" in raw:  # UTF-16 or UTF-32; TOML allows no zero byte
            raise UnicodeDecodeError("utf-8", raw, raw.index(b"\0"), raw.index(b"\0") + 1, "zero")
        if max(line.count(b".") for line in raw.split(b"\n")) > MAX_DOTS_PER_LINE:
            raise RecursionError
        table = tomllib.loads(raw.decode("utf-8-sig").replace("\r\n", "\n"))
        _check_nesting(table)
        return table
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"{path} is not valid TOML: it is nested too deeply") from error
    except ValueError as error:  # also raised for numbers with thousands of digits
        raise ValueError(f"{path} is not valid TOML: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a table.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is not a JSON table, nested too deeply, or too large; one line.
    """
    table = parse_json(_read_bytes(path, MAX_JSON_BYTES), source=str(path))
    if not isinstance(table, dict):
        raise ValueError(f"{path} is damaged: it holds no table")
    return table


def parse_json(text: str | bytes, *, source: str) -> Any:
    """Return the JSON value of a text; raise ValueError with a one-line message about `source`."""
    try:
        value = json.loads(text)
        _check_nesting(value)
        return value
    except RecursionError as error:
        raise ValueError(f"{source} is damaged: it is nested too deeply") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number with thousands of digits
        raise ValueError(f"{source} is damaged: {error}") from error


def _check_nesting(value: Any) -> None:
    """Raise RecursionError where tables and lists are nested deeper than `MAX_NESTING`."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_NESTING):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
        if not level:
            return
    raise RecursionError


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    with open_regular_file(path) as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise ValueError(f"{path} has more than {max_bytes >> 20} MiB, too much for a document")
    return raw
