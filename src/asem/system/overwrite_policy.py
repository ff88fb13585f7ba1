"""What ``--overwrite`` replaces: outputs of asem of the same kind, without other files.

::

    at the destination                       without, with --overwrite
    nothing, or an empty folder              written     written
    an output of this kind                   error       replaced
    an output that contains other files      error       error
    anything else, also a symbolic link      error       error

The checks are the same in both cases, so that no message suggests ``--overwrite`` where it would be
an error, too. Unfinished images and runs are resumed before this policy applies.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class OutputKind:
    """A kind of output, recognized by its content.

    Parameters
    ----------
    name
        With an article, for messages.
    find_foreign
        Returns what asem did not write: a file in a folder, relative to it; ``Path()`` if the path
        itself is not of this kind; None if there is nothing else.
    is_file
        Whether it is a file, which replaces no empty folder.
    refusal
        Part of the messages: what does not happen to foreign files.
    """

    name: str
    find_foreign: Callable[[Path], Path | None]
    is_file: bool = False
    refusal: str = "it is not replaced, even with --overwrite"

    def check_replaceable(self, path: Path, *, overwrite: bool) -> None:
        """Raise FileExistsError unless an output of this kind may be written to `path`."""
        is_empty_folder = not self.is_file and path.is_dir() and not any(path.iterdir())
        if os.path.lexists(path) and not is_empty_folder:
            self.check_deletable(path)
            if not overwrite:
                raise exists_error(path)

    def check_deletable(self, path: Path) -> None:
        """Raise FileExistsError unless `path` is of this kind, without other files."""
        foreign = self.find_foreign(path)
        if foreign is not None:
            raise self.foreign_error(path, foreign)

    def foreign_error(self, path: Path, foreign: Path | str = "") -> FileExistsError:
        """Return the error for the file `foreign` in an output, or for a path of another kind."""
        problem, advice = f"exists already and is not {self.name} of asem", ""
        if foreign and foreign != Path():
            problem, advice = f"holds more than {self.name} ({foreign})", "move that away, or "
        return FileExistsError(f"{path} {problem}; {self.refusal}: {advice}give another path")


def exists_error(path: Path | str, detail: str = "") -> FileExistsError:
    """Return the error for an existing output that ``--overwrite`` replaces."""
    return FileExistsError(f"{path} exists already{detail}; give --overwrite to replace it")


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
