"""A log that a crash cannot spoil: it is only added to.

It has one JSON value a line, fsynced. A line counts once its newline is on disk; what stands
behind the last one was cut off in mid-write and is dropped::

    {"done": "a"}
    {"done": "b"}
    {"do                <- dropped when the log is opened
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asem.documents import parse_json


class AppendedLog:
    """The log at `path`, begun if there is none. One process at a time may have it open.

    Parameters
    ----------
    path
        The file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._end = path.read_bytes().rfind(b"\n") + 1
        self._file.truncate(self._end)

    def read(self) -> Iterator[Any]:
        """Yield the values, one of each line.

        Raises
        ------
        ValueError
            A line is no JSON; names the file and the line.
        """
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                yield parse_json(line, source=f"{self.path}, line {number}")

    def append(self, *values: Any) -> None:
        """Add JSON values; they are on disk when this returns.

        Raises
        ------
        OSError
            They could not be written, for instance on a full disk; what there is of them is taken
            away by the next append.
        """
        lines = "".join(json.dumps(value) + "\n" for value in values).encode()
        self._file.truncate(self._end)  # what an append that failed has left
        written = 0
        while written < len(lines):
            written += self._file.write(lines[written:])
        os.fsync(self._file.fileno())
        self._end += len(lines)

    def close(self) -> None:
        """Close it."""
        self._file.close()
