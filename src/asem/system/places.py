"""The place of a file or folder that is to be exchanged, and the names beside it meanwhile.

::

    check(path)  ->  exchange  ->  what was at path since the check?  ->  delete what was checked
                                   foreign: exchange back, refuse

What is made, and what leaves, lies beside the path under names that say which path they belong to::

    .asem-ID.partial    half of something: being made, or being deleted
    .asem-ID.deleted    a whole, on its way into its place or out of it
    .asem-ID.lock       locked while the process lives that made the other two

An interruption may come between any two steps: `Place.settle` sees from the names what is to be
done.
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

from asem.system.contents import Contents, contents, delete
from asem.system.files import errors_named, sync_folder, temporary_beside
from asem.system.locks import lock_file, unlock
from asem.system.names import exchange_names, give_name, refuse_link

LOG = logging.getLogger(__name__)
Check = Callable[[Path], None]
"""Raises FileExistsError where what lies at a path may not be deleted, wherever it was before."""
LOCK_PATIENCE_S = 1.0
"""For a process that just sees whether another one lives."""


@dataclass
class Place:
    """A path, and the temporary names beside it that one process has reserved for it.

    Parameters
    ----------
    path
        Of what is to be replaced or deleted; no link.
    check
        Raises where what is there may not be deleted.
    lock
        The name of the lock file, from which the other two names follow.
    """

    path: Path
    check: Check
    lock: Path
    seen: Contents | None = None
    """What was at the path when it was checked."""
    made: Contents | None = None
    """What is to be there."""

    @property
    def partial(self) -> Path:
        """Name of a half."""
        return self.lock.with_suffix(".partial")

    @property
    def aside(self) -> Path:
        """Name of a whole that is not in its place."""
        return self.lock.with_suffix(".deleted")

    def publish(self, new: Path) -> None:
        """Give something complete the name `path`."""
        self.made = contents(new)
        try:
            give(new, self.path)
        except FileExistsError:
            self._replace(new)
        sync_folder(self.path.parent)

    def _replace(self, new: Path) -> None:
        if self.path.is_dir() != new.is_dir():
            kind = "folder" if new.is_dir() else "file"
            raise FileExistsError(f"{self.path} is no {kind}; give another name")
        self.seen = contents(self.path)
        self._refuse(self.path)
        try:
            self._swap(new)
        finally:  # an interruption may come between any two steps
            self.settle()

    def _swap(self, new: Path) -> None:
        """Exchange the new and what is at the path, which has the name `aside` afterwards."""
        new.rename(self.aside)
        if exchange_names(self.aside, self.path):
            return
        self.aside.rename(new)
        self.path.rename(self.aside)
        self._give_or_keep(new)

    def _give_or_keep(self, new: Path) -> None:
        """Give something complete the name `path`; what was there is kept if that is taken."""
        try:
            give(new, self.path)
        except FileExistsError as error:
            kept = self.keep(self.aside)
            raise FileExistsError(f"{error}; what was there before is {kept}") from error

    def settle(self) -> None:
        """Delete what has left its place; return it there where it must stay, or nothing is."""
        if not os.path.lexists(self.aside):
            return
        if not os.path.lexists(self.path):
            give(self.aside, self.path)
            return
        found = contents(self.aside)
        if found not in (self.made, self.seen):
            try:
                self._refuse(self.aside)
            except (OSError, ValueError) as error:
                if self.made is None:  # of a process that has ended
                    raise
                self.put_back()
                raise refusal(self.path, self._refuse) from error
        self.delete(self.aside, found)

    def put_back(self) -> None:
        """Return what is aside to its place, and delete what was made instead of it."""
        if self.made is None or not os.path.lexists(self.path):  # nothing is to be instead of it
            self._give_or_keep(self.aside)
            return
        ours = self.aside
        if not exchange_names(self.aside, self.path):
            ours = self.partial / uuid.uuid4().hex if self.partial.is_dir() else self.partial
            self.path.rename(ours)
            give(self.aside, self.path)
        self.delete(ours, self.made)

    def delete(self, doomed: Path, listed: Contents) -> None:
        """Delete what is listed; should anything else be there, it is kept, and a warning says so.

        Of a folder that is being deleted when the process is killed, a half is left.
        """
        if doomed.is_dir() and not os.path.lexists(self.partial):
            doomed = doomed.rename(self.partial)
        if not delete(doomed, listed, self._allows):
            kept = self.keep(doomed)
            LOG.warning("what was added to %s while it was being deleted is %s", self.path, kept)

    def release(self, file: IO[bytes]) -> None:
        """Unlock; the lock file stays while there is something for `remove_leftovers` to do."""
        if os.path.lexists(self.aside) or os.path.lexists(self.partial):
            file.close()
        else:
            unlock(file, self.lock)

    def keep(self, found: Path) -> Path:
        """Give what must not be lost a name that people see; return it."""
        return found.rename(self.path.with_name(f"asem-kept-{uuid.uuid4().hex[:8]}"))

    def _refuse(self, path: Path) -> None:
        refuse_link(path)
        self.check(path)

    def _allows(self, path: Path) -> bool:
        try:
            self._refuse(path)
        except (OSError, ValueError):
            return False
        return True


@contextmanager
def reserved(path: Path, check: Check | None = None) -> Iterator[Place]:
    """Reserve temporary names beside `path` by a lock that ends with the process."""
    place = Place(path, check or _allow_all, temporary_beside(path, "lock"))
    with errors_named(path, place.lock):
        file = lock_file(place.lock, LOCK_PATIENCE_S)
    try:
        yield place
    finally:
        if os.path.lexists(place.aside) and not os.path.lexists(path):  # interrupted
            give(place.aside, path)
        place.release(file)


def _allow_all(path: Path) -> None:
    """Raise nothing."""


def refusal(path: Path, check: Check | None) -> Exception:
    """Return the error of `check` that names the right place, or one that names no reason."""
    try:
        if check is not None:
            check(path)
    except (OSError, ValueError) as error:
        return error
    return FileExistsError(f"{path} changed while it was to be deleted; it stays: try again")


def give(new: Path, path: Path) -> None:
    """Give something complete a name that is free; for a folder, that of an empty one, too."""
    if not new.is_dir():
        give_name(new, path)
        return
    try:
        new.rename(path)  # which never replaces a folder that holds anything
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise FileExistsError(f"another process made {path} meanwhile") from error
