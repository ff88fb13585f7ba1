"""Journal of an unfinished output: its request, and the blocks that are done.

One JSON document per line, appended and fsynced; a block is recorded after its data is written, so
that a killed run can be resumed. A lock (`asem.blocks.output_lock`) excludes other processes::

    out/.asem/lock             held from the check of the destination until the output is finished
    out/.asem/journal.jsonl    {"request": {...}}, then {"done": "clahe 0:256,0:256,0:256"}, ...

Users may delete the folder of both files during a run. The lock and the journal are therefore
checked again before each record (`Journal.check_ownership`) and each write (`OwnershipCheck`).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from asem.blocks.append_only_log import AppendOnlyLog
from asem.blocks.output_lock import LOCK_FILE, lock_output
from asem.blocks.output_ownership import (
    JOURNAL_FILE,
    JOURNAL_FOLDER,
    LINE_PREFIXES,
    OwnershipCheck,
    make_ownership_error,
    read_first_line,
    value_of,
)
from asem.system.locks import is_lock_held
from asem.system.overwrite_policy import advise_restart

MAX_MESSAGE_VALUE_LENGTH = 100
"""Characters of a value in a message: its last ones, which contain the numbers of an identity."""


class Journal:
    """The journal of the output in `folder`, locked while it is open.

    Parameters
    ----------
    folder
        The output; the journal is in its folder `.asem`.
    request
        All settings that determine the content of the output, as JSON values. The request of an
        existing journal must be equal.
    lock
        Lock of the folder (`lock_output`), if it is locked already; closed with the journal.

    Raises
    ------
    BlockingIOError
        Another process has the journal open.
    ValueError
        The journal has another request, or is damaged.
    """

    def __init__(
        self, folder: Path, request: dict[str, Any], lock: IO[bytes] | None = None
    ) -> None:
        self.folder, self.path = folder, folder / JOURNAL_FOLDER / JOURNAL_FILE
        self._lock = lock or lock_output(folder)
        try:
            self._log = AppendOnlyLog(self.path, LINE_PREFIXES)
        except (OSError, ValueError):
            self._lock.close()
            raise
        try:
            self.done_blocks = self._read_done_blocks(folder, json.loads(json.dumps(request)))
            self.ownership_check = OwnershipCheck(folder, read_first_line(folder))
        except (OSError, ValueError):
            self.close()
            raise

    @property
    def paths(self) -> tuple[Path, ...]:
        """The path of the journal, as a tuple."""
        return (self.path,)

    def check_ownership(self) -> None:
        """Raise OSError unless this run still owns the output and holds its lock."""
        if not (
            self._log.is_in_place
            and is_lock_held(self._lock, self.folder / JOURNAL_FOLDER / LOCK_FILE)
        ):
            raise make_ownership_error(self.folder)

    def record(self, *blocks: str) -> None:
        """Record `blocks` as written; raise OSError if this run no longer owns the output."""
        if blocks:
            self.check_ownership()
            self._log.append(*({"done": block} for block in blocks))
            self.done_blocks.update(blocks)

    def close(self) -> None:
        """Close and unlock the journal; the file remains."""
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

    def _read_done_blocks(self, folder: Path, request: dict[str, Any]) -> set[str]:
        """Return the blocks done so far; write the first line if the journal is empty."""
        try:
            lines = list(self._log.read())
        except ValueError as error:
            raise ValueError(advise_restart(error)) from error
        if not lines:
            self.check_ownership()  # else it may be the journal of another run that just started
            self._log.append({"request": request})
            return set()
        if not isinstance(old := value_of(lines[0], "request"), dict):
            raise ValueError(advise_restart(f"{self.path} is damaged"))
        if old != request:
            raise ValueError(
                f"{folder} is an unfinished output of another request (it differs in "
                f"{'; '.join(_find_differences(old, request))}); finish that one, or give "
                "--overwrite"
            )
        done = {value_of(line, "done") for line in lines[1:]}
        if not all(isinstance(block, str) for block in done):
            raise ValueError(advise_restart(f"{self.path} is damaged"))
        return done


def _find_differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what differs between requests; that of other commands is the command."""
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [
        f"{key}: {_abbreviate(old.get(key))} then, {_abbreviate(new.get(key))} now"
        for key in (["command"] if "command" in keys else keys)
    ]


class JournalGroup:
    """Journals of outputs that are written together: a block is done if it is done in all of them.

    Parameters
    ----------
    journals
        At least one.
    """

    def __init__(self, journals: Sequence[Journal]) -> None:
        self.journals = journals

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all journals."""
        return tuple(journal.path for journal in self.journals)

    @property
    def done_blocks(self) -> set[str]:
        """Blocks that are written in all outputs."""
        return set.intersection(*(journal.done_blocks for journal in self.journals))

    def record(self, *blocks: str) -> None:
        """Record `blocks` as written in all outputs."""
        for journal in self.journals:
            journal.record(*blocks)


def _abbreviate(value: Any) -> str:
    text = str(value)
    return (
        text if len(text) <= MAX_MESSAGE_VALUE_LENGTH else f"...{text[-MAX_MESSAGE_VALUE_LENGTH:]}"
    )
