"""Open and write files in asem's folders without following symbolic links (O_NOFOLLOW).

::

    make_folder_nofollow(folder)   make a folder if it is missing
    open_nofollow(path, flags)     open a regular file in it
    replace_file_nofollow(path)    write a file atomically
    check_no_links(paths)          check that there are only folders and regular files

A path given by a user, and any folder above it, may be a link: `asem.system.files` is for these.
asem makes no links in its own folders; writing through one would damage a file elsewhere.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

from asem.system.files import replace_file


def make_folder_nofollow(folder: Path) -> Path:
    """Make a folder, whose parent exists, unless it exists; return it.

    Raises
    ------
    OSError
        `folder` is a symbolic link or a file; the message names it.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise _wrong_type_error(folder, "a folder") from None
    return folder


def open_nofollow(path: Path, flags: int) -> FileIO:
    """Open a regular file without a buffer; create it with ``os.O_CREAT``.

    Neither `path` nor its folder may be a symbolic link; a pipe does not block.

    Parameters
    ----------
    path
        The file.
    flags
        Flags of `os.open`.

    Raises
    ------
    OSError
        The file cannot be opened, or is not a regular file.
    """
    all_flags = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.lexists(path.parent):
            raise _wrong_type_error(path.parent, "a folder") from error
        raise
    try:
        descriptor = os.open(path.name, all_flags, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _wrong_type_error(path, "a regular file") from error
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _wrong_type_error(path, "a regular file")
    modes = {os.O_RDONLY: "rb", os.O_WRONLY: "wb", os.O_RDWR: "r+b"}
    return FileIO(descriptor, modes[flags & os.O_ACCMODE])


def is_same_file(file: IO[bytes], path: Path) -> bool:
    """Return whether an open file is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def replace_file_nofollow(
    path: Path, check_before_publish: Callable[[], None] | None = None
) -> Iterator[IO[bytes]]:
    """Yield a file that replaces `path` atomically at the end of the block.

    `asem.system.files.replace_file` follows a link, which a user's path may be; this one does not.

    Parameters
    ----------
    path
        The file.
    check_before_publish
        Called just before the file is renamed to `path`; if it raises, `path` is unchanged.

    Raises
    ------
    OSError
        The file cannot be written, or `path` is not a regular file.
    """

    def publish(finished: Path) -> None:
        if check_before_publish is not None:
            check_before_publish()
        finished.replace(path)

    check_no_links([path])
    with replace_file(path, publish) as file:
        yield file


def check_no_links(paths: Iterable[Path]) -> None:
    """Raise OSError unless all existing paths are regular files or folders of such.

    Parameters
    ----------
    paths
        Files and folders; folders are checked at all depths, and nothing is opened.
    """
    pending: list[str] = []
    for path in paths:
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISDIR(mode):
            pending.append(str(path))
        elif not stat.S_ISREG(mode):
            raise _wrong_type_error(path, "a regular file")
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise _wrong_type_error(Path(entry.path), "a regular file")


def _wrong_type_error(path: Path, needed: str) -> OSError:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
    kind = stat.S_IFMT(path.lstat().st_mode) if os.path.lexists(path) else 0
    if kind == stat.S_IFLNK:
        return OSError(
            f"{path} is a symbolic link, but asem stores {needed} of its own there and does not "
            "follow links: delete the link, or replace it by its target"
        )
    actual = kinds.get(kind, "a pipe, a socket or a device")
    return OSError(f"{path} is {actual}, but asem stores {needed} of its own there: move it away")
