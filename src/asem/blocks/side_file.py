"""A file beside an image, such as the table of its objects: no file of others is replaced.

With ``--overwrite`` a file is replaced that begins as the command writes it, wherever it came from;
nothing within an image or a run is.

A run that is resumed may replace the file that it was to overwrite when it began, and what it wrote
itself before it was interrupted; both are recorded, by path and SHA-256, in the folder of the
output's journal, and gone with it::

    out/.asem/beside.json    {"/data/sizes.csv": ["sha256 of the file to overwrite", "... written"]}
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO

from asem.blocks.enclosing import refuse_within_output
from asem.blocks.journal import NAME
from asem.system.documents import read_json
from asem.system.files import open_regular, replaced
from asem.system.names import give_name
from asem.system.own_files import replaced_own


@dataclass(frozen=True)
class SideFile:
    """A file that is written together with an output.

    Parameters
    ----------
    path
        The file.
    output
        The folder of the output that it belongs to.
    overwrite
        Whether this call may replace a file at `path` that begins with `header`, or is empty.
    header
        The first line of the file, without its end.
    sources
        What is read, and so must not hold the file.
    """

    path: Path
    output: Path
    overwrite: bool = False
    header: str = ""
    sources: tuple[Path, ...] = ()

    def check(self) -> None:
        """Refuse a path at which something lies that may not be replaced.

        Raises
        ------
        FileExistsError
            A folder, a link, or a file that neither `overwrite` nor the record allows to replace;
            or `path` lies within the output, an input, or anything else that asem made.
        NotADirectoryError
            There can be no folder for it.
        """
        self._refuse_within()
        above = next(parent for parent in self.path.absolute().parents if os.path.lexists(parent))
        if not above.is_dir():
            raise NotADirectoryError(f"{self.path} cannot be written: {above} is no folder")
        if self.path.is_dir():
            raise FileExistsError(f"{self.path} is a folder; name a file")
        if not os.path.lexists(self.path) or self._is_ours():
            return
        if not self.overwrite:
            raise self._foreign("give another name, or --overwrite to begin again and replace it")
        if not self._is_such_a_file():
            raise FileExistsError(
                f"{self.path} is no file that asem wrote with this command, and is not replaced; "
                "give another name"
            )

    def _refuse_within(self) -> None:
        """Refuse a place that is, or lies within, the output, an input or another output."""
        path, output = self.path.resolve(), self.output.resolve()
        if output.is_relative_to(path):
            raise FileExistsError(f"{self.path} is to hold {self.output}; name another file")
        for folder, what in ((self.output, "output"), *((one, "input") for one in self.sources)):
            if path.is_relative_to(folder.resolve()):
                raise FileExistsError(
                    f"{self.path} lies within the {what} {folder}; name a file outside of it"
                )
        refuse_within_output(self.path)

    def _is_such_a_file(self) -> bool:
        """Whether a regular file, no link, begins with the header, or is empty."""
        if self.path.is_symlink():
            return False
        header = self.header.encode()
        with open_regular(self.path) as file:
            first = file.readline(len(header) + 2)
        return first in (b"", header, header + b"\n", header + b"\r\n")

    def _foreign(self, advice: str) -> FileExistsError:
        return FileExistsError(
            f"{self.path} exists already and was not written by this run; {advice}"
        )

    def begin(self) -> None:
        """Check again, record what is to be overwritten, and make the folder.

        Called with the output's journal open, which keeps other runs out.
        """
        self.check()
        if self.overwrite and self.path.exists():
            self._record(_digest(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def write(self) -> Iterator[IO[str]]:
        """Yield a text file that appears at `path`, whole, when the block ends without an error.

        Raises
        ------
        FileExistsError
            Something appeared at `path` meanwhile; it stays, and nothing is written.
        """
        with replaced(self.path, finish=self._give_name) as file:
            text = TextIOWrapper(file, newline="")
            yield text
            text.detach()  # flushes, and leaves the file open

    def _give_name(self, finished: Path) -> None:
        """Give the finished file its name, unless something that is not ours has it by now."""
        replace = os.path.lexists(self.path)
        if replace and not self._is_ours():  # what was to be overwritten is recorded
            raise self._foreign("it appeared meanwhile: move it away, or give another name")
        self._record(_digest(finished))
        if replace:
            finished.replace(self.path)
        else:
            give_name(finished, self.path)

    def _is_ours(self) -> bool:
        allowed = self._recorded().get(str(self.path.resolve()), [])
        regular = self.path.is_file() and not self.path.is_symlink()
        return bool(allowed) and regular and _digest(self.path) in allowed

    def _recorded(self) -> dict[str, list[str]]:
        file = self.output / NAME / "beside.json"
        if not file.is_file():
            return {}
        try:
            found = read_json(file)
        except ValueError as error:
            raise OSError(f"{error}; begin again with --overwrite") from error
        if not all(isinstance(digests, list) for digests in found.values()):
            raise OSError(f"{file} is damaged; begin again with --overwrite")
        return found

    def _record(self, digest: str) -> None:
        """Allow to replace a file of this content, also after an interruption."""
        found, key = self._recorded(), str(self.path.resolve())
        found[key] = [*found.get(key, []), digest]
        with replaced_own(self.output / NAME / "beside.json") as file:
            file.write(json.dumps(found).encode())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
