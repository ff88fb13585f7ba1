"""Atomic rename without overwriting, and atomic exchange of two names (renameat2).

::

    rename_no_replace(finished, path)   rename a file to a free name
    exchange_names(first, second)       exchange the names of two existing files or folders
    check_not_link(path)                raise where a symbolic link is at `path`

Most file systems support ``renameat2``. Where one does not, as NFS, `rename_no_replace` uses a
hard link or an empty file, and `exchange_names` does nothing.
"""

import ctypes
import errno
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from asem.system.overwrite_policy import appeared_error

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
AT_FDCWD = -100
"""File descriptor that means the current folder."""
UNSUPPORTED_ERRNOS = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def rename_no_replace(finished: Path, path: Path) -> None:
    """Rename a finished file to `path`; never replace an existing file.

    Parameters
    ----------
    finished
        A file on the file system of `path`; it has only the new name afterwards.
    path
        The new name.

    Raises
    ------
    FileExistsError
        `path` exists.
    """
    try:
        if not _renameat2(finished, path, RENAME_NOREPLACE):
            _rename_by_link(finished, path)
    except FileExistsError as error:
        raise appeared_error(path) from error


def _rename_by_link(finished: Path, path: Path) -> None:
    """Rename by a hard link, or by replacing a new empty file of that name."""
    try:
        os.link(finished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        finished.replace(path)
    with suppress(FileNotFoundError):
        finished.unlink()


def exchange_names(first: Path, second: Path) -> bool:
    """Exchange the names of two files or folders; both names exist at any moment.

    Returns
    -------
    bool
        False where the kernel or the file system does not support it; nothing has changed then.
    """
    return _renameat2(first, second, RENAME_EXCHANGE)


def check_not_link(path: Path) -> None:
    """Raise FileExistsError where `path` is a symbolic link; links above it are allowed."""
    if path.is_symlink():
        raise FileExistsError(
            f"{path} is a symbolic link; give the path that it points to, or another path"
        )


def _renameat2(source: Path, target: Path, flags: int) -> bool:
    """Call ``renameat2``; return False where it is not supported."""
    renameat2 = getattr(_c_library(), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED_ERRNOS:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None, use_errno=True)
