"""Read the first line of a journal, and check by it that an output still belongs to this run.

It identifies a run on all workers, also on other machines.
"""

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from asem.blocks.append_only_log import MAX_LINE_BYTES
from asem.system.json_toml import parse_json
from asem.system.nofollow_files import open_nofollow
from asem.system.overwrite_policy import advise_restart

JOURNAL_FOLDER, JOURNAL_FILE = ".asem", "journal.jsonl"
LINE_PREFIXES = (b'{"request": ', b'{"done": ')
"""Start of the first line of a journal, and of the other lines."""


@dataclass(frozen=True)
class OwnershipCheck:
    """Check that an output still belongs to a run, called before each write of a block.

    Raises OSError if the output was deleted, and perhaps restarted with another request. It can be
    pickled.

    Parameters
    ----------
    folder
        The output.
    first_line
        The first line of its journal.
    """

    folder: Path
    first_line: bytes

    def __call__(self) -> None:
        """Raise OSError unless the journal of the run still exists."""
        if read_first_line(self.folder) != self.first_line:
            raise make_ownership_error(self.folder)


def value_of(line: Any, key: str) -> Any:
    """Return the value of a journal line; None if it has no such key, or an invalid value."""
    value = line.get(key) if isinstance(line, dict) else None
    return value if isinstance(value, str | dict) else None


def make_ownership_error(folder: Path) -> OSError:
    """Return the error of a run that no longer owns its output."""
    return OSError(
        f"{folder} was deleted, moved or restarted while it was being written; nothing more is "
        "written there"
    )


def read_first_line(folder: Path) -> bytes:
    """Return the first line of a journal; empty if there is none, or it was cut off.

    Raises
    ------
    OSError
        The journal cannot be read, or is not a regular file.
    """
    try:
        file = open_nofollow(folder / JOURNAL_FOLDER / JOURNAL_FILE, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    with BufferedReader(file) as lines:
        line = lines.readline(MAX_LINE_BYTES)
    return line if line.endswith(b"\n") else b""


def read_request(folder: Path) -> dict[str, Any]:
    """Return the request of an unfinished output; empty if there is none.

    Raises
    ------
    ValueError
        The journal is damaged.
    """
    if not (line := read_first_line(folder)):
        return {}
    path = folder / JOURNAL_FOLDER / JOURNAL_FILE
    request = value_of(parse_json(line, source=f"{path}, line 1"), "request")
    if not isinstance(request, dict):
        raise ValueError(advise_restart(f"{path} is damaged"))
    return request


def is_unfinished_output(folder: Path) -> bool:
    """Return whether `folder` is an unfinished output, with a journal that contains its request."""
    return read_first_line(folder).startswith(LINE_PREFIXES[0])
