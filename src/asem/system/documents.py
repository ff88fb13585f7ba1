"""JSON and TOML files as plain values; whatever is wrong with one is one line that names it.

::

    read_toml(path)     settings that people write
    read_json(path)     what asem or another program wrote; a table
    parse_json(text)    one value of a larger file, such as a line of a log

Only regular files are read, and none that is far too large: the bytes may come from anybody.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

from asem.system.files import open_regular

MOST_JSON, MOST_TOML = 2**26, 2**20
"""Bytes of a document; the metrics of a long training take a hundredth of the first."""
MOST_DOTS = 1000
"""In a line of TOML: the parser's memory grows with the square of a key's parts."""
MOST_LEVELS = 100
"""Of tables and lists in each other: far from Python's limit, wherever the value goes."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file as it is, with or without a byte order mark.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    ValueError
        It is not TOML, in another encoding than UTF-8, nested too deeply, or too large; one line.
    """
    raw = _read(path, MOST_TOML)
    try:
        if b"\0" in raw:  # of UTF-16 or UTF-32; TOML allows none
            raise UnicodeDecodeError("utf-8", raw, raw.index(b"\0"), raw.index(b"\0") + 1, "zero")
        if max(line.count(b".") for line in raw.split(b"\n")) > MOST_DOTS:
            raise RecursionError
        found = tomllib.loads(raw.decode("utf-8-sig").replace("\r\n", "\n"))
        _refuse_depth(found)
        return found
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"{path} is not valid TOML: it is nested too deeply") from error
    except ValueError as error:  # also of numbers with thousands of digits
        raise ValueError(f"{path} is not valid TOML: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds a table.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    ValueError
        It holds anything else, is nested too deeply, or too large; one line.
    """
    found = parse_json(_read(path, MOST_JSON), source=str(path))
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds no table")
    return found


def parse_json(text: str | bytes, *, source: str) -> Any:
    """Return the JSON value that a text holds; ValueError of one line that names `source`."""
    try:
        found = json.loads(text)
        _refuse_depth(found)
        return found
    except RecursionError as error:
        raise ValueError(f"{source} is damaged: it is nested too deeply") from error
    except ValueError as error:  # no JSON, no UTF-8, or a number with thousands of digits
        raise ValueError(f"{source} is damaged: {error}") from error


def _refuse_depth(value: Any) -> None:
    """Raise RecursionError where tables and lists are nested more deeply than `MOST_LEVELS`."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_LEVELS):
        inner = [one.values() if isinstance(one, dict) else one for one in level]
        level = [v for values in inner for v in values if isinstance(v, dict | list)]
        if not level:
            return
    raise RecursionError


def _read(path: Path, most: int) -> bytes:
    with open_regular(path) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"{path} has more than {most >> 20} MiB, too much for a document")
    return raw
