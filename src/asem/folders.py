"""Folders and files that take the place of others, without the loss of what somebody put there.

::

    replaced_folder(path, check)     a folder that appears as a whole
    replaced_by(path, check)         the same for a file that is made in a folder of its own
    delete_folder(path, check)       a folder that disappears as a whole
    remove_leftovers(path, check)    what killed processes left of the three

What lies at `path` is replaced only where ``check(path)`` raises nothing, and it is looked at again
once it has left its place::

    check(path)  ->  exchange  ->  what was at path since the check?  ->  delete what was checked
                                   foreign: exchange back, refuse

Everything is made beside `path`, under names that say which path they belong to::

    .asem-ID.partial    half of something: being made, or being deleted
    .asem-ID.deleted    a whole, on its way into its place or out of it
    .asem-ID.lock       locked while the process lives that made the other two

Of a process that has ended, a half is deleted. A whole returns to `path` where nothing has that
name by now (the file system could not exchange names, and the process was killed between two
renames); else it is deleted where `check` allows it, and stays where not.
"""

import errno
import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asem.files import (
    errors_named,
    is_temporary,
    remove_tree,
    sync_folder,
    temporary_beside,
    temporary_prefix,
)
from asem.locks import lock_file, unlock
from asem.names import exchange_names, give_name, refuse_link

LOG = logging.getLogger(__name__)
Check = Callable[[Path], None]
"""Raises FileExistsError where what lies at a path may not be deleted, wherever it was before."""
Contents = dict[Path, tuple[int, ...]]
"""Everything in a folder by its path in it; a file's number, size and time tell it from others."""
LOCK_PATIENCE_S = 1.0
"""For a process that just sees whether another one lives."""
ATTEMPTS = 20
"""How often a folder is deleted in which other processes may be making lock files."""


@contextmanager
def replaced_folder(path: Path, check: Check) -> Iterator[Path]:
    """Yield a folder that takes the place of `path` once the block has filled it.

    Until then, and if the block fails, `path` is what it was and nothing is left of the new folder.
    It has the rights that `mkdir` gives; its parents are made. An empty folder at `path` is
    replaced in any case.

    Parameters
    ----------
    path
        The folder.
    check
        Called with `path`, and again with what was there after it was moved.

    Raises
    ------
    FileExistsError
        There is something at `path` that may not be replaced; it stays.
    OSError
        A file cannot be written; the message names it as if it were in `path`.
    """
    with _beside(path, check) as place:
        with errors_named(place.path, place.partial):
            yield place.partial
            for file in filter(Path.is_file, place.partial.iterdir()):
                with file.open("rb") as opened, errors_named(file, file):
                    os.fsync(opened.fileno())
        place.publish(place.partial)


@contextmanager
def replaced_by(path: Path, check: Check) -> Iterator[tuple[Path, Callable[[Path], None]]]:
    """Yield an empty folder, and a function that gives a file made in it the name `path`.

    The folder is deleted afterwards. The parents of `path` are made.

    Parameters
    ----------
    path
        The file.
    check
        As of `replaced_folder`.

    Raises
    ------
    FileExistsError
        There is something at `path` that may not be replaced; it stays.
    """
    with _beside(path, check) as place:
        yield place.partial, place.publish


def delete_folder(folder: Path, check: Check | None = None) -> None:
    """Delete a folder under another name, so that half of it never passes for the whole.

    Parameters
    ----------
    folder
        The folder.
    check
        Called with the folder after it was moved, so that nothing can be added any more by its
        name. Where it raises, the folder returns to its place. Without, everything is deleted.

    Raises
    ------
    FileExistsError
        `check` raised.
    """
    folder = folder.resolve()
    with _locked(folder, check) as place:
        folder.rename(place.aside)
        if check is None:
            remove_tree(place.aside.rename(place.partial))
            return
        found = contents(place.aside)
        try:
            check(place.aside)
        except (OSError, ValueError) as error:
            place.put_back()
            raise _refusal(folder, check) from error
        place.delete(place.aside, found)


def remove_leftovers(path: Path, check: Check | None = None) -> None:
    """Delete, or return to its place, what killed processes left that was made for `path`.

    Parameters
    ----------
    path
        The place, whether something is there or not.
    check
        Raises where a whole folder may not be deleted; None: none may.
    """
    path = path.resolve()
    prefix = temporary_prefix(path)
    locks: list[Path] = []
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        locks = [file for file in path.parent.iterdir() if file.name.startswith(prefix)]
    for lock in locks:
        if lock.suffix == ".lock":
            with suppress(BlockingIOError, PermissionError):  # it lives, or is another user's
                _remove_leftover(_Place(path, check or _refuse_all, lock))


def _remove_leftover(place: "_Place") -> None:
    file = lock_file(place.lock)
    try:
        place.settle()
        if place.partial.is_dir() and not place.partial.is_symlink():
            remove_tree(place.partial)
    except (OSError, ValueError) as error:
        LOG.warning("left of a process that was killed: %s", error)
    finally:
        place.release(file)


def _refuse_all(path: Path) -> None:
    raise FileExistsError(f"{path} is not deleted")


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


@dataclass
class _Place:
    """A path, and the temporary names beside it that one process has reserved for it."""

    path: Path
    check: Check
    lock: Path
    seen: Contents | None = None
    """What was at the path when it was checked."""
    made: Contents | None = None
    """What is to be there."""

    @property
    def partial(self) -> Path:
        return self.lock.with_suffix(".partial")

    @property
    def aside(self) -> Path:
        return self.lock.with_suffix(".deleted")

    def publish(self, new: Path) -> None:
        """Give something complete the name `path`."""
        self.made = contents(new)
        try:
            _give(new, self.path)
        except FileExistsError:
            self._replace(new)
        sync_folder(self.path.parent)

    def _replace(self, new: Path) -> None:
        refuse_link(self.path)
        if self.path.is_dir() != new.is_dir():
            kind = "folder" if new.is_dir() else "file"
            raise FileExistsError(f"{self.path} is no {kind}; give another name")
        self.seen = contents(self.path)
        self.check(self.path)
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
        try:
            _give(new, self.path)
        except FileExistsError as error:
            raise FileExistsError(f"{error}; what was there before is {self.keep()}") from error

    def settle(self) -> None:
        """Delete what has left its place; return it there where it must stay, or nothing is."""
        if not os.path.lexists(self.aside):
            return
        if not os.path.lexists(self.path):
            _give(self.aside, self.path)
            return
        found = contents(self.aside)
        if found not in (self.made, self.seen):
            try:
                self.check(self.aside)
            except (OSError, ValueError) as error:
                if self.made is None:  # of a process that has ended
                    raise
                self.put_back()
                raise _refusal(self.path, self.check) from error
        self.delete(self.aside, found)

    def put_back(self) -> None:
        """Return what is aside to its place, and delete what was made instead of it."""
        if not os.path.lexists(self.path):
            _give(self.aside, self.path)
            return
        if self.made is None:  # a folder that was only to be deleted
            raise FileExistsError(
                f"another process made {self.path} meanwhile; what was there before is "
                f"{self.keep()}"
            )
        ours = self.aside
        if not exchange_names(self.aside, self.path):
            ours = self.partial / uuid.uuid4().hex if self.partial.is_dir() else self.partial
            self.path.rename(ours)
            _give(self.aside, self.path)
        self.delete(ours, self.made)

    def delete(self, doomed: Path, listed: Contents) -> None:
        """Delete what is listed; should anything else be there, it is kept, and a warning says so.

        Of a folder that is being deleted when the process is killed, a half is left.
        """
        if doomed.is_dir() and not os.path.lexists(self.partial):
            doomed = doomed.rename(self.partial)
        for _ in range(ATTEMPTS):
            _delete_listed(doomed, listed)
            if not os.path.lexists(doomed):
                return
            listed = contents(doomed)
            try:
                self.check(doomed)
            except (OSError, ValueError):
                break
        kept = self.keep(doomed)
        LOG.warning("what was added to %s while it was being deleted is %s", self.path, kept)

    def release(self, file: IO[bytes]) -> None:
        """Unlock; the lock file stays while there is something for `remove_leftovers` to do."""
        if os.path.lexists(self.aside) or os.path.lexists(self.partial):
            file.close()
        else:
            unlock(file, self.lock)

    def keep(self, found: Path | None = None) -> Path:
        """Give what must not be lost a name that people see; return it."""
        kept = self.path.with_name(f"asem-kept-{uuid.uuid4().hex[:8]}")
        return (self.aside if found is None else found).rename(kept)


@contextmanager
def _beside(path: Path, check: Check) -> Iterator[_Place]:
    """Check what is at `path` and yield where something is to be made in its stead."""
    refuse_link(path)
    path = path.resolve()
    remove_leftovers(path, check)
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, check) as place:
        try:
            with errors_named(path, place.partial):
                place.partial.mkdir()
            yield place
        finally:
            shutil.rmtree(place.partial, ignore_errors=True)


@contextmanager
def _locked(path: Path, check: Check | None = None) -> Iterator[_Place]:
    """Reserve temporary names beside `path` by a lock that ends with the process."""
    place = _Place(path, check or _allow_all, temporary_beside(path, "lock"))
    with errors_named(path, place.lock):
        file = lock_file(place.lock, LOCK_PATIENCE_S)
    try:
        yield place
    finally:
        if os.path.lexists(place.aside) and not os.path.lexists(path):  # interrupted
            _give(place.aside, path)
        place.release(file)


def _allow_all(path: Path) -> None:
    """Raise nothing."""


def _refusal(path: Path, check: Check | None) -> Exception:
    """Return the error of `check` that names the right place, or one that names no reason."""
    try:
        if check is not None:
            check(path)
    except (OSError, ValueError) as error:
        return error
    return FileExistsError(f"{path} changed while it was to be deleted; it stays: try again")


def _give(new: Path, path: Path) -> None:
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


def _delete_listed(path: Path, listed: Contents) -> None:
    """Delete what is listed of a folder, or a file, as far as it is still the same."""
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
