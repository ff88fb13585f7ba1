"""Names that are given or exchanged in one step, without the loss of a file that has one.

::

    give_name(finished, path)     a file gets a name that is free
    exchange_names(one, other)    two files or folders, which both exist, exchange their names
    refuse_link(path)             a symbolic link is no place to write to

The kernel does it in one step on most file systems (``renameat2``). Where it cannot, as on NFS,
`give_name` takes another way that is as safe, and `exchange_names` does nothing.
"""

import ctypes
import errno
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

NO_REPLACE, EXCHANGE = 1, 2
CURRENT_FOLDER = -100
"""AT_FDCWD."""
UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def give_name(finished: Path, path: Path) -> None:
    """Give a finished file its name; never instead of something that has it already.

    Parameters
    ----------
    finished
        On the same file system; it has only the new name afterwards.
    path
        The name.

    Raises
    ------
    FileExistsError
        Something lies at `path`.
    """
    try:
        if not _rename(finished, path, NO_REPLACE):
            _link(finished, path)
    except FileExistsError as error:
        raise FileExistsError(
            f"{path} appeared while it was being made; it is not replaced: move it away"
        ) from error


def _link(finished: Path, path: Path) -> None:
    """Give a file its name by a hard link, or by an empty file of that name that it replaces."""
    try:
        os.link(finished, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        finished.replace(path)
    with suppress(FileNotFoundError):
        finished.unlink()


def exchange_names(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders, so that neither name is missing at any moment.

    Returns
    -------
    bool
        False where the kernel or the file system cannot; nothing has changed then.
    """
    return _rename(one, other, EXCHANGE)


def refuse_link(path: Path) -> None:
    """Raise FileExistsError where a symbolic link lies at `path`; links above it are allowed."""
    if path.is_symlink():
        raise FileExistsError(
            f"{path} is a symbolic link; name the place that it leads to, or another one"
        )


def _rename(source: Path, target: Path, how: int) -> bool:
    """Call ``renameat2``; False where there is none."""
    call = getattr(_c_library(), "renameat2", None)
    if call is None:
        return False
    names = os.fsencode(source), os.fsencode(target)
    if call(CURRENT_FOLDER, names[0], CURRENT_FOLDER, names[1], how) == 0:
        return True
    code = ctypes.get_errno()
    if code in UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))


@cache
def _c_library() -> Any:
    return ctypes.CDLL(None, use_errno=True)
