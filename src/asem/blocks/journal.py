"""The record of an output under way: what is made of what, and which blocks are done.

One JSON document a line, appended and fsynced; a block is recorded after its data is written, so
that a run that was killed goes on where it was. A lock beside it keeps a second run out.
"""

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from asem.blocks.log import AppendedLog

NAME = ".asem"
MOST_LETTERS = 100
"""Of a value in a message; the end is kept, where an identity has its numbers."""


class Journal:
    """The journal of the output in `folder`, locked while it is open.

    Parameters
    ----------
    folder
        The output; the journal lies in its folder `.asem`.
    request
        Everything that decides the content of the output, as JSON values. A journal begun with
        another request is refused.

    Raises
    ------
    BlockingIOError
        Another process has it open.
    ValueError
        It belongs to another request.
    """

    def __init__(self, folder: Path, request: dict[str, Any]) -> None:
        self.path = folder / NAME / "journal.jsonl"
        self._lock = locked(folder)
        self._log = AppendedLog(self.path)
        try:
            self.done = self._resume(folder, json.loads(json.dumps(request)))
        except ValueError:
            self.close()
            raise

    @property
    def paths(self) -> tuple[Path, ...]:
        """Its own, in a tuple."""
        return (self.path,)

    def record(self, *blocks: str) -> None:
        """Note that `blocks` are written."""
        if blocks:
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
        lines = list(self._log.read())
        if not lines:
            self._log.append({"request": request})
            return set()
        if lines[0]["request"] != request:
            keys = sorted({*lines[0]["request"], *request})
            old = lines[0]["request"]
            theirs = [
                f"{key}: {_short(old.get(key))} then, {_short(request.get(key))} now"
                for key in keys
                if old.get(key) != request.get(key)
            ]
            raise ValueError(
                f"{folder} is an unfinished output of another request (it differs in "
                f"{'; '.join(theirs)}); finish that one, or give --overwrite"
            )
        return {line["done"] for line in lines[1:]}


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


def request_of(folder: Path) -> dict[str, Any]:
    """Return what an output under way was asked to be; empty where there is none."""
    file = folder / NAME / "journal.jsonl"
    if not file.is_file():
        return {}
    with file.open() as lines:
        first = lines.readline()
    if not first.endswith("\n"):
        return {}
    request: dict[str, Any] = json.loads(first)["request"]
    return request


def is_unfinished(folder: Path) -> bool:
    """Whether an output under way lies in `folder`."""
    return (folder / NAME / "journal.jsonl").exists()


def refuse_if_locked(folder: Path) -> None:
    """Raise BlockingIOError if another process is writing the output in `folder`."""
    if (folder / NAME).exists():
        locked(folder).close()


def locked(folder: Path) -> IO[str]:
    """Lock `folder` against other processes until the returned file is closed.

    Raises
    ------
    BlockingIOError
        Another process holds the lock.
    """
    (folder / NAME).mkdir(parents=True, exist_ok=True)
    lock = (folder / NAME / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise BlockingIOError(f"another process is writing {folder}; wait for it") from error
    return lock
