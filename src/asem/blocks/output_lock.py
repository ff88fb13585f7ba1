"""Lock of an output folder: one process at a time writes it, or deletes what it replaces.

::

    out/.asem/lock       held from the check of the destination until the output is finished

Users may delete this folder while a run writes the output, so that writers check ownership of the
output again before each write (`asem.blocks.output_ownership.OwnershipCheck`).
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from asem.blocks.output_ownership import JOURNAL_FILE, JOURNAL_FOLDER, read_first_line
from asem.system.atomic_rename import check_not_link
from asem.system.files import is_temporary_name
from asem.system.folder_replacement import delete_atomically, recover_leftovers
from asem.system.locks import acquire_lock
from asem.system.nofollow_files import make_folder_nofollow
from asem.system.path_replacement import DeletionCheck

LOG = logging.getLogger(__name__)
LOCK_FILE = "lock"
LOCK_TIMEOUT_S = 1.0
"""Time to wait for a lock: another process may hold it briefly, to check the output."""


def is_empty_destination(folder: Path, kept: Sequence[str] = ()) -> bool:
    """Return whether `folder` is missing, empty, or has only leftovers of killed processes.

    Files named `kept` do not count.
    """
    if not folder.is_dir():
        return not folder.exists() and not folder.is_symlink()
    names = {name for name in list_names(folder) if not is_temporary_name(name)}
    return names <= {JOURNAL_FOLDER, *kept} and _has_no_record(folder)


def _has_no_record(folder: Path) -> bool:
    """Return whether the journal folder is missing, or has only a lock and an empty journal."""
    names = {name for name in list_names(folder / JOURNAL_FOLDER) if not is_temporary_name(name)}
    others = {name for name in names if not name.startswith(LOCK_FILE)}
    return not others or (others == {JOURNAL_FILE} and not read_first_line(folder))


def list_names(folder: Path) -> list[str]:
    """Return the names in a folder; none if it does not exist (any more)."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def check_not_locked(folder: Path) -> None:
    """Raise BlockingIOError if another process is writing the output in `folder`."""
    try:
        acquire_lock(folder / JOURNAL_FOLDER / LOCK_FILE, LOCK_TIMEOUT_S).close()
    except FileNotFoundError:  # no unfinished output
        return
    except BlockingIOError as error:
        raise _make_locked_error(folder) from error


def lock_output(folder: Path) -> IO[bytes]:
    """Lock `folder` against other processes until the returned file is closed.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            make_folder_nofollow(folder / JOURNAL_FOLDER)
            return acquire_lock(folder / JOURNAL_FOLDER / LOCK_FILE, deadline - time.monotonic())
        except BlockingIOError as error:
            raise _make_locked_error(folder) from error
        except FileNotFoundError:  # the process that held the lock finished and deleted the folder
            if time.monotonic() >= deadline:
                raise


def _make_locked_error(folder: Path) -> BlockingIOError:
    return BlockingIOError(f"another process is writing {folder}; wait for it")


def lock_destination(
    folder: Path,
    check_replaces: Callable[[], bool],
    check_deletable: DeletionCheck | None = None,
    *,
    delete: Callable[[Path], None] | None = None,
) -> IO[bytes]:
    """Lock an output to write it, and delete an existing output if that is allowed.

    ::

        check  ->  lock  ->  check again  ->  (delete, and restart)  ->  locked

    Another process may finish, delete or start the output at any moment before the lock is
    acquired, so that only the second check is decisive; if the first one raises, no file is made.

    Parameters
    ----------
    folder
        The output.
    check_replaces
        Raises if the output may not be written; returns True if an existing output is to be
        deleted, which is an error for a symbolic link.
    check_deletable
        Called with the folder to delete under the lock, and again after it was renamed; raises if
        it may not be deleted, or must be moved back because a file was added meanwhile.
    delete
        Deletes the folder, or all but what is kept; None: `delete_atomically`.

    Returns
    -------
    file
        Closing it releases the lock.

    Raises
    ------
    BlockingIOError
        Another process is writing the output.
    """
    recover_leftovers(folder, check_deletable)
    recover_leftovers(folder / JOURNAL_FOLDER)
    if check_replaces():
        check_not_link(folder)
    while True:
        lock = lock_output(folder)
        try:
            replaces = check_replaces()
            if replaces:
                check_not_link(folder)
                if check_deletable is not None:
                    check_deletable(folder)
        except (OSError, ValueError):
            if _has_no_record(folder):  # only this lock: another process has just finished
                delete_journal(folder)
            lock.close()
            raise
        if not replaces:
            return lock
        try:
            if delete is None:
                delete_atomically(folder, check_deletable)
            else:
                delete(folder)
        finally:
            lock.close()
        recover_leftovers(folder, check_deletable)  # of the lock, which was open until now


def delete_journal(folder: Path) -> None:
    """Delete the journal of an output, whose lock this process holds; closing the lock releases it.

    On NFS, or if a file in it cannot be deleted, a folder with a temporary name remains, which
    `recover_leftovers` deletes once the lock is closed.
    """
    # Atomically, so that no process reads a part of it as a journal.
    try:
        delete_atomically(folder / JOURNAL_FOLDER)
    except FileNotFoundError:
        return
    except OSError as error:
        if os.path.lexists(folder / JOURNAL_FOLDER):
            raise
        LOG.warning("the journal of %s is not wholly deleted: %s", folder, error)
