"""What ``--overwrite`` replaces: outputs of asem of the same kind, without other files.

::

    at the destination                       without, with --overwrite
    nothing, or an empty folder              written     written
    an output of this kind                   error       replaced
    an output that contains other files      error       error
    anything else, also a symbolic link      error       error

`OutputKind.check_replaceable` makes the same checks in both cases, so that no message suggests
``--overwrite`` where it would be an error, too. An unfinished output is resumed without
``--overwrite``, before this policy applies (`asem.blocks.destination`, trainings).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NOT_REPLACED = "it is not replaced, even with --overwrite"


@dataclass(frozen=True)
class OutputKind:
    """A kind of output, recognized by its content.

    Parameters
    ----------
    name
        With an article, for messages.
    find_foreign
        Returns what asem did not write at a path: a file in it, relative to the path; ``Path()`` if
        the path itself is not of this kind; None if there is nothing else.
    is_file
        Whether it is a file, so that it does not replace an empty folder.
    refusal
        Part of a message: what does not happen to anything else.
    """

    name: str
    find_foreign: Callable[[Path], Path | None]
    is_file: bool = False
    refusal: str = NOT_REPLACED

    def check_replaceable(self, path: Path, *, overwrite: bool) -> None:
        """Raise FileExistsError unless an output of this kind may be written to `path`."""
        if not os.path.lexists(path) or (not self.is_file and _is_empty_folder(path)):
            return
        self.check_deletable(path)
        if not overwrite:
            raise exists_error(path)

    def check_deletable(self, path: Path) -> None:
        """Raise FileExistsError unless `path` is of this kind, without other files."""
        foreign = self.find_foreign(path)
        if foreign is not None:
            raise self.foreign_error(path, foreign)

    def foreign_error(self, path: Path, foreign: Path | None = None) -> FileExistsError:
        """Return the error for a path that is not of this kind, or contains the file `foreign`."""
        if foreign is None or foreign == Path():
            return FileExistsError(
                f"{path} exists already and is not {self.name} of asem; {self.refusal}: give "
                "another path"
            )
        return FileExistsError(
            f"{path} holds more than {self.name} ({foreign}); {self.refusal}: move that away, or "
            "give another path"
        )


def exists_error(
    path: Path | str, detail: str = "", *, action: str = "replace it"
) -> FileExistsError:
    """Return the error for an existing output that ``--overwrite`` replaces.

    Examples
    --------
    >>> str(exists_error("out"))
    'out exists already; give --overwrite to replace it'
    """
    return FileExistsError(f"{path} exists already{detail}; give --overwrite to {action}")


def appeared_error(path: Path) -> FileExistsError:
    """Return the error for what another process put at `path` while its new content was made."""
    return FileExistsError(
        f"{path} appeared while it was being made; it is not replaced: move it away"
    )


def advise_restart(problem: object) -> str:
    """Return the message of a problem of an unfinished output that only a restart solves.

    Examples
    --------
    >>> advise_restart("out/.asem/journal.jsonl is damaged")
    'out/.asem/journal.jsonl is damaged; give --overwrite to restart'
    """
    return f"{problem}; give --overwrite to restart"


def _is_empty_folder(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
