"""Snapshots of a folder tree, and deletion of only what a snapshot lists.

::

    snapshot_folder(path)                       list all files with their identity
    find_foreign_file(folder, known_pattern)    find a file that its program does not write
    delete_snapshot(path, snapshot, allowed)    delete what is listed, and later files if allowed
    remove_tree(folder)                         delete everything

An NFS client renames a deleted file that a process has open to ``.nfs...`` until it is closed, and
does not delete that name (EBUSY). Such files stay, and so do their folders.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from asem.system.files import TEMPORARY_NAME_PATTERN, is_temporary_name

FolderSnapshot = dict[str, tuple[int, ...]]
"""Entries of a folder by relative path; inode, size and mtime identify a file."""
ROOT = ""
"""Path of a folder relative to itself."""
TEMPORARY_FOLDER_PATTERN = re.compile(rf"(?<![^/])({TEMPORARY_NAME_PATTERN.pattern})(?=/)")
NFS_OPEN_FILE_PATTERN = re.compile(r"\.nfs[0-9a-fA-F]{8,}")
"""Name that an NFS client gives a file that was deleted and is still open."""
MAX_DELETE_ATTEMPTS = 20
"""Attempts to delete a folder in which other processes may be creating lock files."""


def snapshot_folder(path: Path) -> FolderSnapshot:
    """List a folder at all depths, or a single file; no link is followed.

    Returns
    -------
    dict
        From paths relative to `path` (empty for itself), folders before their entries, to device,
        inode, size in bytes and mtime in ns of a file or link, and to an empty tuple for a folder.
    """
    try:
        snapshot = {ROOT: _file_identity(path.lstat())}
    except FileNotFoundError:
        return {}
    if snapshot[ROOT]:
        return snapshot
    for name, entry in _walk(path):
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            snapshot[name] = () if is_folder else _file_identity(entry.stat(follow_symlinks=False))
        except FileNotFoundError:  # deleted meanwhile
            continue
    return snapshot


def find_foreign_file(folder: Path, known_pattern: re.Pattern[str]) -> Path | None:
    """Return a file or link in a folder, at any depth, that its program does not write.

    Parameters
    ----------
    folder
        The folder.
    known_pattern
        Matches the whole path of each file that the program writes, relative to `folder`, with
        ``*`` for a folder with a temporary name. Files with a temporary name are known, and so are
        deleted files that are still open. A file that another process deletes or renames meanwhile
        is not returned.

    Returns
    -------
    Path or None
        Relative to `folder`.
    """
    if os.path.lexists(folder) and not stat.S_ISDIR(folder.lstat().st_mode):
        return Path()
    for name, entry in _walk(folder):
        if entry.is_dir(follow_symlinks=False):
            continue
        is_known = (
            known_pattern.fullmatch(TEMPORARY_FOLDER_PATTERN.sub("*", name))
            or is_temporary_name(entry.name)
            or NFS_OPEN_FILE_PATTERN.fullmatch(entry.name)
        )
        if is_known and entry.is_file(follow_symlinks=False):
            continue
        if os.path.lexists(entry.path):
            return Path(name)
    return None


def _walk(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield relative path and entry of all that is in a folder, at all depths; follow no link."""
    pending = [""]
    while pending:
        parent = pending.pop()
        try:
            listing = os.scandir(os.path.join(folder, parent))  # noqa: PTH118
        except FileNotFoundError:  # deleted meanwhile
            continue
        with listing:
            for entry in listing:
                name = parent + entry.name
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{name}/")
                yield name, entry


def _file_identity(state: os.stat_result) -> tuple[int, ...]:
    if stat.S_ISDIR(state.st_mode):
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def delete_unchanged(path: Path, snapshot: FolderSnapshot) -> set[str]:
    """Delete the entries of a snapshot that are unchanged.

    Parameters
    ----------
    path
        The folder or file. A folder stays where it has other entries.
    snapshot
        From `snapshot_folder`.

    Returns
    -------
    set
        Paths of files that were deleted before and are still open (`NFS_OPEN_FILE_PATTERN`); they
        stay.
    """
    still_open = set()
    for name, identity in reversed(snapshot.items()):
        inner = os.path.join(path, name) if name else os.fspath(path)  # noqa: PTH118
        try:
            if _file_identity(os.lstat(inner)) != identity:
                continue
            if identity:
                os.unlink(inner)  # noqa: PTH108
            else:
                os.rmdir(inner)  # noqa: PTH106
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            base_name = os.path.basename(name)  # noqa: PTH119
            if error.errno == errno.EBUSY and NFS_OPEN_FILE_PATTERN.fullmatch(base_name):
                still_open.add(name)
            elif error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # something was added
                raise
    return still_open


def delete_snapshot(
    path: Path, snapshot: FolderSnapshot, can_delete: Callable[[Path], bool]
) -> bool:
    """Delete the entries of a snapshot, and later entries as long as `can_delete` allows it.

    Parameters
    ----------
    path
        The folder or file.
    snapshot
        From `snapshot_folder`.
    can_delete
        Returns whether all current entries may be deleted.

    Returns
    -------
    bool
        False where something stays; files that are still open and their folders do not count.
    """
    for _ in range(MAX_DELETE_ATTEMPTS):
        still_open = delete_unchanged(path, snapshot)
        snapshot = snapshot_folder(path)
        if not snapshot:
            return True
        if still_open and {name for name, identity in snapshot.items() if identity} <= still_open:
            return True
        if not can_delete(path):
            return False
    return False


def remove_tree(folder: Path) -> None:
    """Delete a folder in which another process may be creating a lock file.

    Raises
    ------
    OSError
        Something in it cannot be deleted.
    """
    if not delete_snapshot(folder, snapshot_folder(folder), lambda _: True):
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(folder))
