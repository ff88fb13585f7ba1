"""Files in folders that asem itself makes: no symbolic link is followed, nothing foreign written.

::

    own_folder(folder)     a folder, made if need be
    open_own(path, flags)  a regular file in it
    replaced_own(path)     a file that appears as a whole
    refuse_links(paths)    everything there is a folder or a regular file

What a user names may be a link, and so may any folder above it: `asem.system.files` is for these. A
link within our own folders was not made by asem; writing through it would spoil a file elsewhere.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

from asem.system.files import replaced


def own_folder(folder: Path) -> Path:
    """Make a folder, whose parent exists, and return it; one that is there stays.

    Raises
    ------
    OSError
        A symbolic link or a file lies there; the message names it.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise _foreign(folder, "a folder") from None
    return folder


def open_own(path: Path, flags: int) -> FileIO:
    """Open a regular file without a buffer; with ``os.O_CREAT`` it is made.

    Neither `path` nor its folder may be a symbolic link; a pipe is not waited for.

    Parameters
    ----------
    path
        The file.
    flags
        As `os.open` takes them.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file.
    """
    asked = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.lexists(path.parent):
            raise _foreign(path.parent, "a folder") from error
        raise
    try:
        number = os.open(path.name, asked, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _foreign(path, "a regular file") from error
        raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise _foreign(path, "a regular file")
    modes = {os.O_RDONLY: "rb", os.O_WRONLY: "wb", os.O_RDWR: "r+b"}
    return FileIO(number, modes[flags & os.O_ACCMODE])


def is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that lies at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return False


@contextmanager
def replaced_own(path: Path, check: Callable[[], None] | None = None) -> Iterator[IO[bytes]]:
    """Yield a file that takes the place of `path` once the block has written all of it.

    Parameters
    ----------
    path
        The file.
    check
        Called just before the file gets its name; what it raises keeps it from that.

    Raises
    ------
    OSError
        It cannot be written, or something else than a regular file lies at `path`.
    """

    def finish(finished: Path) -> None:
        if check is not None:
            check()
        finished.replace(path)

    refuse_links([path])
    with replaced(path, finish) as file:
        yield file


def refuse_links(paths: Iterable[Path]) -> None:
    """Raise OSError where there is anything but regular files in folders; what is missing may be.

    Parameters
    ----------
    paths
        Files and folders; what is in the folders is checked, too, and nothing opened.
    """
    waiting: list[str] = []
    for path in paths:
        try:
            mode = path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            continue
        if stat.S_ISDIR(mode):
            waiting.append(str(path))
        elif not stat.S_ISREG(mode):
            raise _foreign(path, "a regular file")
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise _foreign(Path(entry.path), "a regular file")


def _foreign(path: Path, needed: str) -> OSError:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
    kind = stat.S_IFMT(path.lstat().st_mode) if os.path.lexists(path) else 0
    if kind == stat.S_IFLNK:
        return OSError(
            f"{path} is a symbolic link, which is not followed where asem keeps {needed} of its "
            "own: delete the link, or replace it by what it names"
        )
    found = kinds.get(kind, "a pipe, a socket or a device")
    return OSError(f"{path} is {found}, where asem keeps {needed} of its own: move it away")
