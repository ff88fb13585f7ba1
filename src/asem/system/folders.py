"""Folders and files that take the place of others, without the loss of what somebody put there.

::

    replaced_folder(path, check)     a folder that appears as a whole
    replaced_by(path, check)         the same for a file that is made in a folder of its own
    delete_folder(path, check)       a folder that disappears as a whole
    remove_leftovers(path, check)    what killed processes left of the three

What lies at `path` is replaced only where ``check(path)`` raises nothing, and it is checked again
once it has left its place (`asem.system.places`), so that what somebody adds meanwhile stays.

Of a process that was killed, a half is deleted. A whole returns to `path` where nothing has that
name by now (the file system could not exchange names, and the process was killed between two
renames); else it is deleted where `check` allows it, and stays where not.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asem.system.contents import contents, remove_tree
from asem.system.files import errors_named, temporary_prefix
from asem.system.locks import lock_file
from asem.system.names import refuse_link
from asem.system.places import Check, Place, refusal, reserved

LOG = logging.getLogger(__name__)


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

    Files in it that are open stay on NFS until they are closed (`asem.system.contents`), under a
    temporary name that `remove_leftovers` deletes later.

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
    with reserved(folder, check) as place:
        folder.rename(place.aside)
        if check is None:
            remove_tree(place.aside.rename(place.partial))
            return
        found = contents(place.aside)
        try:
            check(place.aside)
        except (OSError, ValueError) as error:
            place.put_back()
            raise refusal(folder, check) from error
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
            _remove_leftover(Place(path, check or _refuse_all, lock))


def _remove_leftover(place: Place) -> None:
    try:
        file = lock_file(place.lock)
    except OSError:  # its process lives, or it is another user's
        return
    try:
        place.settle()
        if place.partial.is_dir() and not place.partial.is_symlink():
            remove_tree(place.partial)
    except (OSError, ValueError) as error:
        LOG.warning("a process that was killed left something beside %s: %s", place.path, error)
    finally:
        place.release(file)


def _refuse_all(path: Path) -> None:
    raise FileExistsError(f"{path} was taken away to be deleted; look at it, then delete it")


@contextmanager
def _beside(path: Path, check: Check) -> Iterator[Place]:
    """Check what is at `path` and yield where something is to be made in its stead."""
    refuse_link(path)
    path = path.resolve()
    remove_leftovers(path, check)
    if os.path.lexists(path) and not (path.is_dir() and not any(path.iterdir())):
        check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with reserved(path, check) as place:
        try:
            with errors_named(path, place.partial):
                place.partial.mkdir()
            yield place
        finally:
            shutil.rmtree(place.partial, ignore_errors=True)
