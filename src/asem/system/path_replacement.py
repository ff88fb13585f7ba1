"""Transactional replacement or deletion of one path, with temporary names and a lock.

::

    check(path)  ->  exchange  ->  changed since the check?  ->  delete what was checked
                                   yes: exchange back, raise

New and old files have temporary names next to the path, with an ID that follows from its name::

    .asem-ID.partial    incomplete: being made, or being deleted
    .asem-ID.deleted    complete: about to be moved to the path, or moved away from it
    .asem-ID.lock       locked while the process that made the other two runs

An interruption may occur between any two steps: `PathReplacement.recover` derives from the names
which steps are left.
"""

import errno
import logging
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asem.system.atomic_rename import check_not_link, exchange_names, rename_no_replace
from asem.system.files import fsync_folder, name_path_in_errors, temporary_path
from asem.system.folder_snapshot import FolderSnapshot, delete_snapshot, snapshot_folder
from asem.system.locks import acquire_lock, release_lock
from asem.system.overwrite_policy import appeared_error

LOG = logging.getLogger(__name__)
DeletionCheck = Callable[[Path], None]
"""Raises FileExistsError where a path may not be deleted, also after it was moved."""
RESERVE_TIMEOUT_S = 1.0
"""Time for another process that only checks whether this lock is held."""


@dataclass
class PathReplacement:
    """A path, and the temporary names next to it that one process has reserved for it.

    Parameters
    ----------
    path
        File or folder to be replaced or deleted; not a link.
    check
        Raises where the existing file or folder may not be deleted.
    lock
        The lock file, from which the other two names follow.
    """

    path: Path
    check: DeletionCheck
    lock: Path
    checked_snapshot: FolderSnapshot | None = None
    """Content of the path when it was first checked: nothing else is replaced or deleted."""
    new_snapshot: FolderSnapshot | None = None
    """Content that replaces it."""

    @property
    def partial(self) -> Path:
        """Name of an incomplete file or folder."""
        return self.lock.with_suffix(".partial")

    @property
    def moved_aside(self) -> Path:
        """Name of a complete file or folder that is not at `path`."""
        return self.lock.with_suffix(".deleted")

    def publish(self, new: Path) -> None:
        """Flush a complete file or folder to disk; rename it to `path`, in place of the old one."""
        for file in [new] if new.is_file() else filter(Path.is_file, new.iterdir()):
            final = self.path / file.relative_to(new)
            with file.open("rb") as opened, name_path_in_errors(final, file):
                os.fsync(opened.fileno())
        self.new_snapshot = snapshot_folder(new)
        try:
            move_to_free_path(new, self.path)
        except FileExistsError:
            self._replace_existing(new)
        fsync_folder(self.path.parent)

    def _replace_existing(self, new: Path) -> None:
        if self.path.is_dir() != new.is_dir():
            kind = "folder" if new.is_dir() else "file"
            raise FileExistsError(f"{self.path} is not a {kind}; give another name")
        unchanged = snapshot_folder(self.path) == self.checked_snapshot
        self._check_deletion(self.path)
        if not unchanged:
            raise appeared_error(self.path)
        try:
            self._exchange(new)
        finally:  # an interruption may occur between any two steps
            self.recover()

    def _exchange(self, new: Path) -> None:
        """Exchange the new and the old one, which has the name `moved_aside` afterwards."""
        new.rename(self.moved_aside)
        if exchange_names(self.moved_aside, self.path):
            return
        self.moved_aside.rename(new)
        self.path.rename(self.moved_aside)
        self._publish_or_preserve(new)

    def _publish_or_preserve(self, new: Path) -> None:
        """Rename `new` to `path`; if that exists by now, preserve the old one and raise."""
        try:
            move_to_free_path(new, self.path)
        except FileExistsError as error:
            preserved = self.preserve(self.moved_aside)
            raise FileExistsError(f"{error}; what was there before is now {preserved}") from error

    def recover(self) -> None:
        """Delete what was moved aside; move it back where `path` is free or `check` forbids it."""
        if not os.path.lexists(self.moved_aside):
            return
        if not os.path.lexists(self.path):
            move_to_free_path(self.moved_aside, self.path)
            return
        snapshot = snapshot_folder(self.moved_aside)
        if snapshot not in (self.new_snapshot, self.checked_snapshot):
            try:
                self._check_deletion(self.moved_aside)
            except (OSError, ValueError) as error:
                if self.new_snapshot is None:  # left by a process that has ended
                    raise
                self.restore()
                raise deletion_error(self.path, self._check_deletion) from error
        self.delete(self.moved_aside, snapshot)

    def restore(self) -> None:
        """Move what is aside back to `path`, and delete what replaced it."""
        if self.new_snapshot is None or not os.path.lexists(self.path):  # it was not replaced
            self._publish_or_preserve(self.moved_aside)
            return
        replacement = self.moved_aside
        if not exchange_names(self.moved_aside, self.path):
            in_partial = self.partial.is_dir()
            replacement = self.partial / uuid.uuid4().hex if in_partial else self.partial
            self.path.rename(replacement)
            move_to_free_path(self.moved_aside, self.path)
        self.delete(replacement, self.new_snapshot)

    def delete(self, target: Path, snapshot: FolderSnapshot) -> None:
        """Delete the entries of a snapshot; preserve any others, and log a warning.

        A process that is killed meanwhile leaves a partial folder.
        """
        if target.is_dir() and not os.path.lexists(self.partial):
            target = target.rename(self.partial)
        if not delete_snapshot(target, snapshot, self._can_delete):
            preserved = self.preserve(target)
            LOG.warning("what was added to %s during its deletion is now %s", self.path, preserved)

    def release(self, lock_file: IO[bytes]) -> None:
        """Unlock; the lock file stays while there is something for `recover_leftovers` to do."""
        if os.path.lexists(self.moved_aside) or os.path.lexists(self.partial):
            lock_file.close()
        else:
            release_lock(lock_file, self.lock)

    def preserve(self, source: Path) -> Path:
        """Rename data that must not be lost to a visible name; return it."""
        return source.rename(self.path.with_name(f"asem-kept-{uuid.uuid4().hex[:8]}"))

    def _check_deletion(self, path: Path) -> None:
        check_not_link(path)
        self.check(path)

    def _can_delete(self, path: Path) -> bool:
        try:
            self._check_deletion(path)
        except (OSError, ValueError):
            return False
        return True


@contextmanager
def reserve_path(path: Path, check: DeletionCheck | None = None) -> Iterator[PathReplacement]:
    """Reserve temporary names next to `path` by a lock that ends with the process."""
    replacement = PathReplacement(path, check or _allow_deletion, temporary_path(path, "lock"))
    with name_path_in_errors(path, replacement.lock):
        file = acquire_lock(replacement.lock, RESERVE_TIMEOUT_S)
    try:
        yield replacement
    finally:
        if os.path.lexists(replacement.moved_aside) and not os.path.lexists(path):  # interrupted
            move_to_free_path(replacement.moved_aside, path)
        replacement.release(file)


def _allow_deletion(path: Path) -> None:
    """Raise nothing."""


def deletion_error(path: Path, check: DeletionCheck | None) -> Exception:
    """Return the error that `check` raises for `path`, or a general one where it raises none."""
    try:
        if check is not None:
            check(path)
    except (OSError, ValueError) as error:
        return error
    return FileExistsError(f"{path} changed during its deletion and was not deleted: try again")


def move_to_free_path(new: Path, path: Path) -> None:
    """Rename a complete file or folder to a free name; a folder may replace an empty one."""
    if not new.is_dir():
        rename_no_replace(new, path)
        return
    try:
        new.rename(path)  # never replaces a folder that is not empty
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise appeared_error(path) from error
