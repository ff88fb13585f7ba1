"""Write TOML with comments, which Python's own reader has no counterpart of."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class TomlTable:
    """One table of a TOML file.

    Parameters
    ----------
    header
        ``[name]`` or ``[[name]]`` as it is written; empty for the keys before the first table.
    values
        Keys and values: text, numbers, booleans, and lists of these.
    comments
        Lines before the keys.
    """

    header: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    comments: tuple[str, ...] = ()


def format_toml(tables: Iterable[TomlTable]) -> str:
    r"""Return tables as the text of a TOML file.

    Examples
    --------
    >>> print(format_toml([TomlTable("", {"a": [1, 2.5]}), TomlTable("[[b]]", {"c": "x\n"})]))
    a = [1, 2.5]
    <BLANKLINE>
    [[b]]
    c = "x\n"
    <BLANKLINE>
    """
    return "\n".join("\n".join((*_lines(table), "")) for table in tables)


def format_value(value: Any) -> str:
    """Return a value as TOML.

    Examples
    --------
    >>> format_value(("er", True, 3e-5))
    '["er", true, 3e-05]'
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(format_value, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def _lines(table: TomlTable) -> Iterable[str]:
    if table.header:
        yield table.header
    for comment in table.comments:
        yield f"# {_printable(comment)}"
    for key, value in table.values.items():
        yield f"{key if _BARE_KEY.fullmatch(key) else format_value(key)} = {format_value(value)}"


def _printable(text: str) -> str:
    """Return a comment of one line: TOML allows no control characters there."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
