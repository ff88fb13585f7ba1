"""The record of an output under way: what is made of what, and which blocks are done.

One JSON document a line, appended and fsynced; a block is recorded after its data is written, so
that a run that was killed is resumed. A lock beside it keeps a second run out::

    out/.asem/lock             held from the check of what is there to the metadata of the output
    out/.asem/journal.jsonl    {"request": {...}}, then {"done": "clahe 0:256,0:256,0:256"}, ...

Both lie in a folder that anybody may delete while a run is under way. So the lock and the journal
are checked again before anything is written for good (`Journal.check`, `Claim`).
"""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from asem.blocks.log import AppendedLog
from asem.blocks.request import (
    BEGINS,
    DAMAGED,
    JOURNAL,
    NAME,
    Claim,
    first_line,
    is_unfinished,
    lost,
    request_of,
    value_of,
)
from asem.system.files import is_temporary
from asem.system.folders import delete_folder, remove_leftovers
from asem.system.locks import is_held, lock_file
from asem.system.names import refuse_link
from asem.system.own_files import own_folder
from asem.system.places import Check

LOG = logging.getLogger(__name__)
LOCK = "lock"
PATIENCE_S = 1.0
"""For a process that holds the lock only to see what there is."""
MOST_LETTERS = 100
"""Of a value in a message; the end is kept, where an identity has its numbers."""

__all__ = [
    "JOURNAL",
    "LOCK",
    "NAME",
    "Journal",
    "Journals",
    "claim",
    "finish",
    "is_unfinished",
    "is_vacant",
    "locked",
    "refuse_if_locked",
    "request_of",
]


class Journal:
    """The journal of the output in `folder`, locked while it is open.

    Parameters
    ----------
    folder
        The output; the journal lies in its folder `.asem`.
    request
        Everything that decides the content of the output, as JSON values. A journal begun with
        another request is refused.
    lock
        Of the folder (`locked`), where it is locked already; it is closed with the journal.

    Raises
    ------
    BlockingIOError
        Another process has it open.
    ValueError
        It belongs to another request.
    """

    def __init__(
        self, folder: Path, request: dict[str, Any], lock: IO[bytes] | None = None
    ) -> None:
        self.folder, self.path = folder, folder / NAME / JOURNAL
        self._lock = lock or locked(folder)
        try:
            self._log = AppendedLog(self.path, BEGINS)
        except (OSError, ValueError):
            self._lock.close()
            raise
        try:
            self.done = self._resume(folder, json.loads(json.dumps(request)))
            self.claim = Claim(folder, first_line(folder))
        except (OSError, ValueError):
            self.close()
            raise

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its own, in a tuple."""
        return (self.path,)

    def check(self) -> None:
        """Raise OSError unless the output is still that of this run, which holds its lock."""
        if not (self._log.is_there and is_held(self._lock, self.folder / NAME / LOCK)):
            raise lost(self.folder)

    def record(self, *blocks: str) -> None:
        """Note that `blocks` are written; OSError where the output is not that of this run now."""
        if blocks:
            self.check()
            self._log.append(*({"done": block} for block in blocks))
            self.done.update(blocks)

    def close(self) -> None:
        """Close and unlock; the record stays."""
        self._log.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _resume(self, folder: Path, request: dict[str, Any]) -> set[str]:
        """Return the blocks done so far; begin the journal if it is empty."""
        try:
            lines = list(self._log.read())
        except ValueError as error:
            raise ValueError(f"{error}; give --overwrite to begin again") from error
        if not lines:
            self.check()  # else it may be the journal of a run that has just begun
            self._log.append({"request": request})
            return set()
        if not isinstance(old := value_of(lines[0], "request"), dict):
            raise ValueError(f"{self.path} {DAMAGED}")
        if old != request:
            keys = sorted({*old, *request})
            theirs = [
                f"{key}: {_short(old.get(key))} then, {_short(request.get(key))} now"
                for key in keys
                if old.get(key) != request.get(key)
            ]
            raise ValueError(
                f"{folder} is an unfinished output of another request (it differs in "
                f"{'; '.join(theirs)}); finish that one, or give --overwrite"
            )
        done = {value_of(line, "done") for line in lines[1:]}
        if not all(isinstance(block, str) for block in done):
            raise ValueError(f"{self.path} {DAMAGED}")
        return done


class Journals:
    """The journals of outputs that are filled together: done is what is done in all of them.

    Parameters
    ----------
    journals
        At least one.
    """

    def __init__(self, journals: Sequence[Journal]) -> None:
        self.journals = journals

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of all of them."""
        return tuple(journal.path for journal in self.journals)

    @property
    def done(self) -> set[str]:
        """Blocks that are written everywhere."""
        return set.intersection(*(journal.done for journal in self.journals))

    def record(self, *blocks: str) -> None:
        """Note that `blocks` are written everywhere."""
        for journal in self.journals:
            journal.record(*blocks)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MOST_LETTERS else f"...{text[-MOST_LETTERS:]}"


def is_vacant(folder: Path) -> bool:
    """Whether nothing is kept at `folder`: it is empty, or has only what a killed process left."""
    if not folder.is_dir():
        return not folder.exists() and not folder.is_symlink()
    kept = {name for name in _names(folder) if not is_temporary(name)}
    return kept <= {NAME} and _is_bare(folder)


def _is_bare(folder: Path) -> bool:
    """Whether the journal's folder does not exist, or holds a lock and a begun journal at most."""
    names = {name for name in _names(folder / NAME) if not is_temporary(name)}
    kept = {name for name in names if not name.startswith(LOCK)}
    return not kept or (kept == {JOURNAL} and not first_line(folder))


def _names(folder: Path) -> list[str]:
    """Return the names in a folder; none where it does not exist (any more)."""
    try:
        return [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def refuse_if_locked(folder: Path) -> None:
    """Raise BlockingIOError if another process is writing the output in `folder`."""
    try:
        lock_file(folder / NAME / LOCK, PATIENCE_S).close()
    except FileNotFoundError:  # there is no output under way
        return
    except BlockingIOError as error:
        raise _is_being_written(folder) from error


def locked(folder: Path) -> IO[bytes]:
    """Lock `folder` against other processes until the returned file is closed.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            own_folder(folder / NAME)
            return lock_file(folder / NAME / LOCK, end - time.monotonic())
        except BlockingIOError as error:
            raise _is_being_written(folder) from error
        except FileNotFoundError:  # the one that held it has finished, and taken its folder away
            if time.monotonic() >= end:
                raise


def _is_being_written(folder: Path) -> BlockingIOError:
    return BlockingIOError(f"another process is writing {folder}; wait for it")


def claim(folder: Path, check: Callable[[], bool], may_delete: Check | None = None) -> IO[bytes]:
    """Lock an output that is to be written, and delete what is there if that is allowed.

    ::

        check  ->  lock  ->  check again  ->  (delete, and begin anew)  ->  locked

    Another process may finish, delete or begin the output at any moment before the lock is held, so
    that only the second check counts; the first one leaves no trace where it refuses.

    Parameters
    ----------
    folder
        The output.
    check
        Raises where nothing may be written; returns True where what is there is to be deleted,
        which is refused for a symbolic link.
    may_delete
        Called with what is to be deleted under the lock, and again once it has left its place;
        raises where it may not be deleted, or must return because something was added meanwhile.

    Returns
    -------
    file
        Unlocks when it is closed.

    Raises
    ------
    BlockingIOError
        Another process is writing it.
    """
    remove_leftovers(folder, may_delete)
    remove_leftovers(folder / NAME)
    if check():
        refuse_link(folder)
    while True:
        lock = locked(folder)
        try:
            delete = check()
            if delete:
                refuse_link(folder)
                if may_delete is not None:
                    may_delete(folder)
        except (OSError, ValueError):
            if _is_bare(folder):
                finish(folder)  # another process has just finished; nothing but the lock is ours
            lock.close()
            raise
        if not delete:
            return lock
        try:
            delete_folder(folder, may_delete)
        finally:
            lock.close()
        remove_leftovers(folder, may_delete)  # of the lock, which was open until now


def finish(folder: Path) -> None:
    """Delete the journal of an output, whose lock this process holds; `close` unlocks it.

    On NFS, or if a file of it cannot be deleted, a folder with a temporary name is left, which
    `remove_leftovers` deletes once the lock is closed.
    """
    # At once, so that no process takes a part of it for a journal.
    try:
        delete_folder(folder / NAME)
    except FileNotFoundError:
        return
    except OSError as error:
        if os.path.lexists(folder / NAME):
            raise
        LOG.warning("the journal of %s is not wholly deleted: %s", folder, error)
