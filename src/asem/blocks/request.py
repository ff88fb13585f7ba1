"""The first line of a journal: the request of an unfinished output.

It identifies a run wherever blocks are computed, also on other machines.
"""

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from asem.blocks.log import MOST_LINE
from asem.system.documents import parse_json
from asem.system.own_files import open_own

NAME, JOURNAL = ".asem", "journal.jsonl"
BEGINS = (b'{"request": ', b'{"done": ')
"""Of the first line of a journal, and of the others."""
DAMAGED = "is damaged; give --overwrite to begin again"


@dataclass(frozen=True)
class Claim:
    """That an output belongs to one run, checked wherever its blocks are written.

    It is called before each write and raises OSError where the output was deleted, and perhaps
    begun anew with another request. It can be pickled.

    Parameters
    ----------
    folder
        The output.
    first
        The first line of its journal.
    """

    folder: Path
    first: bytes

    def __call__(self) -> None:
        """Raise OSError unless the journal of the run is still there."""
        if first_line(self.folder) != self.first:
            raise lost(self.folder)


def value_of(line: Any, key: str) -> Any:
    """Return the value of a line of a journal; None where it has none, or one that has no place."""
    found = line.get(key) if isinstance(line, dict) else None
    return found if isinstance(found, str | dict) else None


def lost(folder: Path) -> OSError:
    """Return the error of a run whose output is no longer its own."""
    return OSError(
        f"{folder} was deleted, moved or begun anew while it was being written; nothing more is "
        "written there"
    )


def first_line(folder: Path) -> bytes:
    """Return the first line of a journal; empty where there is none, or it was cut off.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    """
    try:
        file = open_own(folder / NAME / JOURNAL, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    with BufferedReader(file) as lines:
        found = lines.readline(MOST_LINE)
    return found if found.endswith(b"\n") else b""


def request_of(folder: Path) -> dict[str, Any]:
    """Return the request of an unfinished output; empty where there is none.

    Raises
    ------
    ValueError
        Its journal is damaged.
    """
    if not (first := first_line(folder)):
        return {}
    path = folder / NAME / JOURNAL
    request = value_of(parse_json(first, source=f"{path}, line 1"), "request")
    if not isinstance(request, dict):
        raise ValueError(f"{path} {DAMAGED}")
    return request


def is_unfinished(folder: Path) -> bool:
    """Whether an output under way lies in `folder`, with a journal that says what it is."""
    return first_line(folder).startswith(BEGINS[0])
