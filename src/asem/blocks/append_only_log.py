"""Append-only log of JSON lines that survives a crash.

It has one JSON value per line, fsynced. A line is complete once its newline is on disk; bytes after
the last newline are an incomplete write and are dropped::

    {"done": "a"}
    {"done": "b"}
    {"do                <- dropped by the next append

Incomplete last bytes are dropped only if they start like a line of this log; any other file is an
error and stays unchanged.
"""

import json
import os
import shutil
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

from asem.system.json_toml import parse_json
from asem.system.nofollow_files import is_same_file, open_nofollow, replace_file_nofollow

MAX_LINE_BYTES = 2**26
"""Maximum size of a line; a request with 10,000 planes takes a hundredth of it."""
READ_SIZE_BYTES = 2**20
"""Size of one read in the search for the last newline."""


class AppendOnlyLog:
    """The log at `path`, created if there is none. One process at a time may have it open.

    Parameters
    ----------
    path
        The file, not a symbolic link; its folder exists.
    line_prefixes
        Allowed starts of a line.

    Raises
    ------
    OSError
        The file cannot be opened, or is not a regular file.
    ValueError
        It does not start with a line, or does not end with a line, complete or not.
    """

    def __init__(self, path: Path, line_prefixes: tuple[bytes, ...] = (b"",)) -> None:
        self.path = path
        self._file = open_nofollow(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            self._end_offset = self._find_end_of_last_line()
            self._check_line_prefixes(line_prefixes)
            if os.fstat(self._file.fileno()).st_nlink > 1:
                self._file = self._replace_by_copy()
        except (OSError, ValueError):
            self._file.close()
            raise

    def _replace_by_copy(self) -> FileIO:
        """Replace the file by a copy, so that its other hard links (a backup) do not change."""
        with self._file as old, replace_file_nofollow(self.path) as copy:
            old.seek(0)
            shutil.copyfileobj(old, copy)
        return open_nofollow(self.path, os.O_RDWR | os.O_APPEND)

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still at its path, not deleted, moved or replaced."""
        return is_same_file(self._file, self.path)

    def read(self) -> Iterator[Any]:
        """Yield the value of each line.

        Raises
        ------
        ValueError
            A line is not JSON; the message names the file and the line.
        """
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            lines.seek(0)
            number = offset = 0
            while offset < self._end_offset:
                line = lines.readline(MAX_LINE_BYTES)
                number, offset = number + 1, offset + len(line)
                yield parse_json(line, source=f"{self.path}, line {number}")

    def append(self, *values: Any) -> None:
        """Append JSON values; they are on disk when this returns.

        Raises
        ------
        OSError
            They could not be written, for instance because the disk is full, or the file was
            deleted or moved; the next append removes a partly written line.
        """
        lines = "".join(json.dumps(value) + "\n" for value in values).encode()
        if not self._file.closed and not self.is_in_place:
            raise OSError(f"{self.path} was deleted, moved or replaced while it was open")
        self._file.truncate(self._end_offset)  # remove what a failed append wrote
        written = 0
        while written < len(lines):
            written += self._file.write(lines[written:])
        os.fsync(self._file.fileno())
        self._end_offset += len(lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _find_end_of_last_line(self) -> int:
        """Return the offset of the end of the last complete line, searched backwards."""
        end = os.fstat(self._file.fileno()).st_size
        while end > 0:
            start = max(0, end - READ_SIZE_BYTES)
            newline = os.pread(self._file.fileno(), end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def _check_line_prefixes(self, prefixes: tuple[bytes, ...]) -> None:
        """Raise ValueError if the first line, or an incomplete last one, has no valid prefix."""
        longest = max(map(len, prefixes))
        for offset in (0, self._end_offset):
            # After a crash, a file system may leave zeros that were never written.
            start = os.pread(self._file.fileno(), longest, offset).rstrip(b"\0")
            if not any(start.startswith(prefix[: len(start)]) for prefix in prefixes):
                raise ValueError(
                    f"{self.path} is not a log of asem, or is damaged; nothing is appended: move "
                    "it away"
                )
