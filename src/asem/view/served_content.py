"""What the server of a view sends: files below a folder by their keys, and bytes in memory.

::

    /data/TOKEN/raw/0/c/1/2/3
                |   |________|
                |   key: must match a pattern of `FileTree`
                name of the source

A key of a file is matched as a whole against a strict pattern, and every folder on its way is
opened without following symbolic links: nothing else below the folder can be requested.
"""

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO)
"""Errors of names of no regular file."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Content(Protocol):
    """Bytes that are sent; closed after they have been sent."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read(self, start: int, count: int) -> bytes:
        """Return bytes, fewer where the content ends before."""

    def close(self) -> None:
        """Close what was opened."""


class Source(Protocol):
    """What is served by a name in the address."""

    def open(self, key: str) -> Content | None:
        """Return the content of a key; None where there is none. Runs in a thread."""


@dataclass(frozen=True)
class MemoryContent:
    """Bytes in memory.

    Parameters
    ----------
    content
        The bytes.
    """

    content: bytes | memoryview

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self.content)

    def read(self, start: int, count: int) -> bytes:
        """Return bytes."""
        return bytes(self.content[start : start + count])

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class FileContent:
    """An open regular file.

    Parameters
    ----------
    descriptor
        Of the file, open to read.
    size
        Bytes.
    """

    descriptor: int
    size: int

    def read(self, start: int, count: int) -> bytes:
        """Return bytes of the file."""
        return os.pread(self.descriptor, count, start)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


@dataclass(frozen=True)
class FileFolder:
    """Files of one folder that may be requested.

    Parameters
    ----------
    folder
        The folder; it may be reached by symbolic links.
    pattern
        Regular expression of the whole path of a file in it, with ``/``.
    """

    folder: Path
    pattern: str


@dataclass(frozen=True)
class FileTree:
    """Files of several folders, and documents in memory.

    Parameters
    ----------
    folders
        By the first part of a key; an empty one is that of keys without such a part.
    documents
        Content by whole key; used instead of files of this key.
    """

    folders: Mapping[str, FileFolder] = field(default_factory=dict)
    documents: Mapping[str, bytes] = field(default_factory=dict)

    def open(self, key: str) -> Content | None:
        """Return the content of a key; None where it matches no pattern, or there is no file."""
        if key in self.documents:
            return MemoryContent(self.documents[key])
        first, _, rest = key.partition("/")
        name, path = (first, rest) if first in self.folders else ("", key)
        folder = self.folders.get(name)
        if folder is None or not re.fullmatch(folder.pattern, path, flags=re.ASCII):
            return None
        return open_below(folder.folder, path)


def open_below(folder: Path, path: str) -> FileContent | None:
    """Open a regular file below a folder, without following a symbolic link in `path`.

    Returns
    -------
    FileContent or None
        None where there is none, or a part of the path is a link.

    Raises
    ------
    OSError
        There is one that cannot be opened: the client would display a missing one as empty.
    """
    *folders, name = path.split("/")
    if not all([*folders, name]) or {".", ".."} & {*folders, name}:
        return None
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        current = os.open(folder, flags | os.O_DIRECTORY)
        for part in folders:
            inner = _open_and_close(part, flags | os.O_DIRECTORY | os.O_NOFOLLOW, current)
            current = inner
        descriptor = _open_and_close(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, current)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise OSError(error.errno, error.strerror, str(folder / path)) from error
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        os.close(descriptor)
        return None
    return FileContent(descriptor, state.st_size)


def _open_and_close(name: str, flags: int, folder: int) -> int:
    """Open a name in an open folder, and close the folder."""
    try:
        return os.open(name, flags, dir_fd=folder)
    finally:
        os.close(folder)


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and stop of a requested range of bytes; None where the whole is sent.

    Several ranges, and what is no range, are answered with the whole content, as RFC 9110 allows.

    Raises
    ------
    ValueError
        No byte of the content is in the range.

    Examples
    --------
    >>> parse_range("bytes=2-4", 10), parse_range("bytes=7-", 10), parse_range("bytes=-4", 10)
    ((2, 5), (7, 10), (6, 10))
    >>> parse_range(None, 10), parse_range("bytes=1-2,4-5", 10), parse_range("bytes=5-2", 10)
    (None, None, None)
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(0, size - int(match[2])), size
    else:
        start, stop = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= stop:
        raise ValueError(f"no byte of {size} is in the range {header}")
    return start, stop
