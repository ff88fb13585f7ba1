"""What is in a folder, so that nothing else in it is deleted than what was seen.

::

    contents(path)                  everything in it, with what identifies each file
    foreign_file(folder, known)     a file that its program never makes
    delete(path, listed, allowed)   deletes what is listed, and what is added meanwhile if allowed
    remove_tree(folder)             deletes everything

An NFS client that deletes a file which a process has open renames it to ``.nfs...`` until it is
closed, and refuses to delete that name (EBUSY). Such files stay, and the folders that they are in.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from asem.system.files import TEMPORARY, is_temporary

Contents = dict[str, tuple[int, ...]]
"""Everything in a folder by its path in it; a file's number, size and time identify it."""
ITSELF = ""
"""Path of a folder in itself."""
TEMPORARY_FOLDER = re.compile(rf"(?<![^/])({TEMPORARY.pattern})(?=/)")
STILL_OPEN = re.compile(r"\.nfs[0-9a-fA-F]{8,}")
"""Name that an NFS client gives a file that was deleted and is still open."""
ATTEMPTS = 20
"""How often a folder is deleted in which other processes may be making lock files."""


def contents(path: Path) -> Contents:
    """Return what is in a folder, at all depths; of a file itself. No link is followed.

    Returns
    -------
    dict
        From paths relative to `path` (empty for itself), a folder before what is in it, to device,
        number, size in bytes and time of the last change in ns of a file or link, and to an empty
        tuple for a folder.
    """
    try:
        found = {ITSELF: _identity(path.lstat())}
    except FileNotFoundError:
        return {}
    if found[ITSELF]:
        return found
    for name, entry in _entries(path):
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            found[name] = () if is_folder else _identity(entry.stat(follow_symlinks=False))
        except FileNotFoundError:  # deleted meanwhile
            continue
    return found


def foreign_file(folder: Path, known: re.Pattern[str]) -> Path | None:
    """Return a file or link in a folder, at any depth, that the program which fills it never makes.

    Parameters
    ----------
    folder
        The folder.
    known
        Matches the whole path of each file that the program makes, relative to `folder`, where a
        folder with a temporary name stands as ``*``. Files with a temporary name are known, and
        those that are deleted but still open. A file that another process deletes or renames
        meanwhile is not returned.

    Returns
    -------
    Path or None
        Relative to `folder`.
    """
    if os.path.lexists(folder) and not stat.S_ISDIR(folder.lstat().st_mode):
        return Path()
    for name, entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            continue
        is_known = (
            known.fullmatch(TEMPORARY_FOLDER.sub("*", name))
            or is_temporary(entry.name)
            or STILL_OPEN.fullmatch(entry.name)
        )
        if is_known and entry.is_file(follow_symlinks=False):
            continue
        if os.path.lexists(entry.path):
            return Path(name)
    return None


def _entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is in a folder, at all depths, by its path there; no link is followed."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        try:
            listing = os.scandir(os.path.join(folder, above))  # noqa: PTH118
        except FileNotFoundError:  # deleted meanwhile
            continue
        with listing:
            for entry in listing:
                name = above + entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                yield name, entry


def _identity(state: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(state.st_mode):
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def delete_listed(path: Path, listed: Contents) -> set[str]:
    """Delete what is listed of a folder (or a file), as far as it is still the same.

    Parameters
    ----------
    path
        The folder. It stays where something else is in it.
    listed
        From `contents`.

    Returns
    -------
    set
        Paths of files that were deleted before and are still open (`STILL_OPEN`); they stay.
    """
    still_open = set()
    for name, identity in reversed(listed.items()):
        inner = os.path.join(path, name) if name else os.fspath(path)  # noqa: PTH118
        try:
            if _identity(os.lstat(inner)) != identity:
                continue
            if identity:
                os.unlink(inner)  # noqa: PTH108
            else:
                os.rmdir(inner)  # noqa: PTH106
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno == errno.EBUSY and STILL_OPEN.fullmatch(os.path.basename(name)):  # noqa: PTH119
                still_open.add(name)
            elif error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # something was added
                raise
    return still_open


def delete(path: Path, listed: Contents, allowed: Callable[[Path], bool]) -> bool:
    """Delete what is listed, and what other processes add meanwhile as long as that is allowed.

    Parameters
    ----------
    path
        The folder or file.
    listed
        From `contents`.
    allowed
        Whether everything that is in it by now may be deleted.

    Returns
    -------
    bool
        False where something stays; files that are still open and their folders do not count.
    """
    for _ in range(ATTEMPTS):
        still_open = delete_listed(path, listed)
        listed = contents(path)
        if not listed:
            return True
        if still_open and {name for name, identity in listed.items() if identity} <= still_open:
            return True
        if not allowed(path):
            return False
    return False


def remove_tree(folder: Path) -> None:
    """Delete a folder in which another process may just be making a lock file.

    Raises
    ------
    OSError
        Something in it cannot be deleted.
    """
    if not delete(folder, contents(folder), lambda _: True):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))
