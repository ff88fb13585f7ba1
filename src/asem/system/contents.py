"""What is in a folder, so that nothing else in it is deleted than what was seen.

::

    contents(path)                 everything in it, and what tells a file from one that replaces it
    foreign_file(folder, known)    a file that its program never makes
    delete_listed(path, listed)    deletes what is listed, as far as it is still the same
"""

import errno
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from asem.system.files import is_temporary

Contents = dict[Path, tuple[int, ...]]
"""Everything in a folder by its path in it; a file's number, size and time tell it from others."""


def contents(path: Path) -> Contents:
    """Return what is in a folder, at all depths; of a file itself. No link is followed.

    Returns
    -------
    dict
        From paths relative to `path` (``.`` for itself) to device, number, size in bytes and time
        of the last change in ns of a file or link, and to an empty tuple for a folder.
    """
    found: Contents = {}
    waiting = [Path()]
    while waiting:
        name = waiting.pop()
        with suppress(FileNotFoundError):  # deleted meanwhile
            state = (path / name).lstat()
            found[name] = _identity(state)
            if stat.S_ISDIR(state.st_mode):
                waiting += [name / inner.name for inner in (path / name).iterdir()]
    return found


def foreign_file(folder: Path, known: re.Pattern[str]) -> Path | None:
    """Return a file or link in a folder, at any depth, that the program which fills it never makes.

    Parameters
    ----------
    folder
        The folder.
    known
        Matches the whole path of each file that the program makes, relative to `folder`, where a
        folder with a temporary name stands as ``*``. Files with a temporary name are known.

    Returns
    -------
    Path or None
        Relative to `folder`.
    """
    for path, identity in contents(folder).items():
        above = ["*" if is_temporary(name) else name for name in path.parts[:-1]]
        is_known = is_temporary(path.name) or known.fullmatch("/".join([*above, path.name]))
        if identity and (not is_known or not (folder / path).is_file()):
            return path
        if identity and (folder / path).is_symlink():
            return path
    return None


def _identity(state: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(state.st_mode):
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def delete_listed(path: Path, listed: Contents) -> None:
    """Delete what is listed of a folder (or a file), as far as it is still the same.

    Parameters
    ----------
    path
        The folder. It stays where something else is in it.
    listed
        From `contents`.
    """
    for name in sorted(listed, key=lambda name: len(name.parts), reverse=True):
        inner = path / name
        try:
            if _identity(inner.lstat()) != listed[name]:
                continue
            if listed[name]:
                inner.unlink()
            else:
                inner.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # something was added
                raise
