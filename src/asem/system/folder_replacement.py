"""Atomic replacement and deletion of folders, with recovery after a killed process.

::

    replace_folder(path, check)             replace a folder atomically
    replace_file_from_folder(path, check)   replace a file that is made in a temporary folder
    delete_atomically(path, check)          delete a folder atomically
    recover_leftovers(path, check)          clean up what killed processes left of the three

An existing `path` is replaced only where ``check(path)`` raises nothing, and only if it has not
changed when the new one is complete. It is checked again after it was moved aside
(`asem.system.path_replacement`), so that files added meanwhile are not lost.

Of a killed process, incomplete folders are deleted. A complete folder returns to `path` where that
name is free (the process was killed between two renames on a file system without exchange);
otherwise it is deleted where `check` allows it, and stays where not.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asem.system.atomic_rename import check_not_link
from asem.system.files import name_path_in_errors, temporary_prefix
from asem.system.folder_snapshot import remove_tree, snapshot_folder
from asem.system.locks import acquire_lock
from asem.system.path_replacement import (
    DeletionCheck,
    PathReplacement,
    deletion_error,
    reserve_path,
)

LOG = logging.getLogger(__name__)


@contextmanager
def replace_folder(path: Path, check: DeletionCheck) -> Iterator[Path]:
    """Yield a folder that replaces `path` atomically at the end of the block.

    Until then, and if the block fails, `path` is unchanged and the new folder is deleted. It has
    the permissions that `mkdir` sets; its parents are made. An empty folder at `path` is always
    replaced.

    Parameters
    ----------
    path
        The folder.
    check
        Called with `path`, and again with the old folder after it was moved.

    Raises
    ------
    FileExistsError
        `path` exists and may not be replaced; it stays.
    OSError
        A file cannot be written; the message names it as if it were in `path`.
    """
    with _prepare_replacement(path, check) as replacement:
        with name_path_in_errors(replacement.path, replacement.partial):
            yield replacement.partial
        replacement.publish(replacement.partial)


@contextmanager
def replace_file_from_folder(
    path: Path, check: DeletionCheck
) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Yield an empty folder, and a function that publishes a file made in it as `path`.

    For writers that need a path, or further files beside it; others use `files.replace_file`. The
    folder is deleted at the end. The parents of `path` are made.

    Parameters
    ----------
    path
        The file.
    check
        As of `replace_folder`.

    Raises
    ------
    FileExistsError
        `path` exists and may not be replaced; it stays.
    """
    with _prepare_replacement(path, check) as replacement:
        yield replacement.partial, replacement.publish


def delete_atomically(folder: Path, check: DeletionCheck | None = None) -> None:
    """Delete a folder after renaming it, so that a partial folder never has its name.

    On NFS, files in it that are open stay until they are closed (`asem.system.folder_snapshot`),
    under a temporary name that `recover_leftovers` deletes later.

    Parameters
    ----------
    folder
        The folder.
    check
        Called with the folder after it was moved, when nothing can be added by its name. Where it
        raises, the folder is moved back. None: everything is deleted.

    Raises
    ------
    FileExistsError
        `check` raised.
    """
    folder = folder.resolve()
    with reserve_path(folder, check) as replacement:
        folder.rename(replacement.moved_aside)
        if check is None:
            remove_tree(replacement.moved_aside.rename(replacement.partial))
            return
        snapshot = snapshot_folder(replacement.moved_aside)
        try:
            check(replacement.moved_aside)
        except (OSError, ValueError) as error:
            replacement.restore()
            raise deletion_error(folder, check) from error
        replacement.delete(replacement.moved_aside, snapshot)


def recover_leftovers(path: Path, check: DeletionCheck | None = None) -> None:
    """Delete, or move back to `path`, what killed processes left next to it.

    Parameters
    ----------
    path
        The path, which may be missing.
    check
        Raises where a complete folder may not be deleted; None: none may.
    """
    path = path.resolve()
    prefix = temporary_prefix(path)
    locks: list[Path] = []
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        locks = [file for file in path.parent.iterdir() if file.name.startswith(prefix)]
    for lock in locks:
        if lock.suffix == ".lock":
            _recover_leftover(PathReplacement(path, check or _forbid_deletion, lock))


def _recover_leftover(replacement: PathReplacement) -> None:
    try:
        file = acquire_lock(replacement.lock)
    except OSError:  # its process runs, or it is another user's
        return
    try:
        replacement.recover()
        if replacement.partial.is_dir() and not replacement.partial.is_symlink():
            remove_tree(replacement.partial)
    except (OSError, ValueError) as error:
        LOG.warning("a killed process left something next to %s: %s", replacement.path, error)
    finally:
        replacement.release(file)


def _forbid_deletion(path: Path) -> None:
    raise FileExistsError(f"{path} was moved aside to be deleted; check it, then delete it")


@contextmanager
def _prepare_replacement(path: Path, check: DeletionCheck) -> Iterator[PathReplacement]:
    """Check that `path` may be replaced, and yield the temporary names for it."""
    check_not_link(path)
    given, path = path, path.resolve()
    recover_leftovers(path, check)
    checked_snapshot = snapshot_folder(path)
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        check(given)
    path.parent.mkdir(parents=True, exist_ok=True)
    with reserve_path(path, check) as replacement:
        replacement.checked_snapshot = checked_snapshot
        try:
            with name_path_in_errors(path, replacement.partial):
                replacement.partial.mkdir()
            yield replacement
        finally:
            shutil.rmtree(replacement.partial, ignore_errors=True)
