"""A log that a crash cannot spoil: it is only added to.

It has one JSON value a line, fsynced. A line counts once its newline is on disk; what stands
behind the last one was cut off in mid-write and is dropped::

    {"done": "a"}
    {"done": "b"}
    {"do                <- dropped by the next append

A file that is no such log stays as it is: nothing is cut off that does not begin as a line does.
"""

import json
import os
import shutil
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from asem.system.documents import parse_json
from asem.system.own_files import is_at, open_own, replaced_own

MOST_LINE = 2**26
"""Bytes of a line; a request that names 10,000 planes takes a hundredth."""
COPY_BYTES = 2**20


class AppendedLog:
    """The log at `path`, begun if there is none. One process at a time may have it open.

    Parameters
    ----------
    path
        The file, no symbolic link; its folder exists.
    begins
        How each line begins.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file.
    ValueError
        It does not begin as a log does, or does not end as one that was cut off.
    """

    def __init__(self, path: Path, begins: tuple[bytes, ...] = (b"",)) -> None:
        self.path = path
        self._file = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            self._end = self._last_line()
            self._check(begins)
            if os.fstat(self._file.fileno()).st_nlink > 1:
                self._file = self._copied()
        except (OSError, ValueError):
            self._file.close()
            raise

    def _copied(self) -> FileIO:
        """Replace the file by a copy: under its other name (a backup's) nothing is added to it."""
        with self._file as old, replaced_own(self.path) as copy:
            old.seek(0)
            shutil.copyfileobj(old, copy)
        return open_own(self.path, os.O_RDWR | os.O_APPEND)

    @property
    def is_there(self) -> bool:
        """Whether the file is still at its path: not deleted, moved or replaced."""
        return is_at(self._file, self.path)

    def read(self) -> Iterator[Any]:
        """Yield the values, one of each line.

        Raises
        ------
        ValueError
            A line is no JSON; names the file and the line.
        """
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            lines.seek(0)
            number = 0
            while lines.tell() < self._end:
                number += 1
                line = lines.readline(MOST_LINE)
                yield parse_json(line, source=f"{self.path}, line {number}")

    def append(self, *values: Any) -> None:
        """Add JSON values; they are on disk when this returns.

        Raises
        ------
        OSError
            They could not be written, for instance on a full disk, or where the file was deleted or
            moved; what there is of them is taken away by the next append.
        """
        lines = "".join(json.dumps(value) + "\n" for value in values).encode()
        if not self._file.closed and not self.is_there:
            raise OSError(f"{self.path} was deleted, moved or replaced while it was open")
        self._file.truncate(self._end)  # what an append that failed has left
        written = 0
        while written < len(lines):
            written += self._file.write(lines[written:])
        os.fsync(self._file.fileno())
        self._end += len(lines)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _last_line(self) -> int:
        """Return where the last whole line ends, read from the end on."""
        end = os.fstat(self._file.fileno()).st_size
        while end > 0:
            start = max(0, end - COPY_BYTES)
            found = os.pread(self._file.fileno(), end - start, start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
        return 0

    def _check(self, begins: tuple[bytes, ...]) -> None:
        """Raise ValueError where the beginning, or what was cut off, is none of a line."""
        longest = max(map(len, begins))
        for at in (0, self._end):
            # A file system may leave zeros where it had no time to write.
            found = os.pread(self._file.fileno(), longest, at).rstrip(b"\0")
            if not any(found.startswith(b[: len(found)]) for b in begins):
                raise ValueError(
                    f"{self.path} is no log of asem, or damaged; it is not added to: move it away"
                )
