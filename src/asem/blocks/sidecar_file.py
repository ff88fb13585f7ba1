"""A file written together with an image, such as a table of objects; keeps foreign files.

With ``--overwrite``, an existing file is replaced if it starts with the header that the command
writes; files inside an image or a run are never replaced.

A resumed run may replace the file that it was started to overwrite, and the file that it wrote
before the interruption; both are recorded, by path and SHA-256, in the folder of the output's
journal, and deleted with it::

    out/.asem/beside.json    {"/data/sizes.csv": ["sha256 of the file to overwrite", "... written"]}
"""

import hashlib
import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from asem.blocks.output_nesting import check_not_within_output
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.system.atomic_rename import rename_no_replace
from asem.system.files import open_regular_file, replace_file
from asem.system.json_toml import read_json
from asem.system.nofollow_files import replace_file_nofollow
from asem.system.overwrite_policy import OutputKind, advise_restart, appeared_error, exists_error


@dataclass(frozen=True)
class SidecarFile:
    """A file that is written together with an output.

    Parameters
    ----------
    path
        The file.
    output
        The folder of the output to which it belongs.
    overwrite
        Whether a file at `path` that starts with `header`, or is empty, may be replaced.
    header
        The first line of the file, without the newline.
    sources
        Inputs, which must not contain the file.
    """

    path: Path
    output: Path
    overwrite: bool = False
    header: str = ""
    sources: tuple[Path, ...] = ()

    def check(self) -> None:
        """Raise an error if `path` cannot be written, or exists and may not be replaced.

        Raises
        ------
        FileExistsError
            A folder, a link, or a file that neither `overwrite` nor the record allows to replace;
            or `path` is inside the output, an input, or another output of asem.
        NotADirectoryError
            A parent of `path` is not a folder.
        """
        self._check_not_within()
        above = next(parent for parent in self.path.absolute().parents if os.path.lexists(parent))
        if not above.is_dir():
            raise NotADirectoryError(f"{self.path} cannot be written: {above} is not a folder")
        if not os.path.lexists(self.path) or self._is_recorded():
            return
        OutputKind("a table", self._find_foreign).check_deletable(self.path)
        if not self.overwrite:
            raise exists_error(self.path, " and was not written by this run")

    def _check_not_within(self) -> None:
        """Raise FileExistsError if the file is, or is inside, an output or an input."""
        path, output = self.path.resolve(), self.output.resolve()
        if output.is_relative_to(path):
            raise FileExistsError(f"{self.path} would contain {self.output}; name another file")
        sources = ((source, "input") for source in self.sources)
        for folder, what in ((self.output, "output"), *sources):
            if path.is_relative_to(folder.resolve()):
                raise FileExistsError(
                    f"{self.path} is within the {what} {folder}; name a file outside of it"
                )
        check_not_within_output(self.path)

    def _find_foreign(self, path: Path) -> Path | None:
        """Return None if a file is regular, and starts with the header or is empty."""
        if path.is_symlink() or path.is_dir():
            return Path()
        header = self.header.encode()
        with open_regular_file(path) as file:
            first_line = file.readline(len(header) + 2)
        own = (b"", header, header + b"\n", header + b"\r\n")
        return None if first_line in own else Path()

    def prepare(self) -> None:
        """Check again, record the file to overwrite, and create the folder.

        Called with the output's journal open, which excludes other runs.
        """
        self.check()
        if self.overwrite and self.path.exists():
            self._add_to_record(_sha256(self.path))
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def write(self) -> AbstractContextManager[IO[bytes]]:
        """Return a file that appears at `path` when the context exits without an error.

        Raises
        ------
        FileExistsError
            Another file appeared at `path` meanwhile; it is not replaced.
        """
        return replace_file(self.path, publish=self._move_into_place)

    def _move_into_place(self, finished: Path) -> None:
        """Move the finished file to `path`, unless a foreign file exists there by now."""
        replace = os.path.lexists(self.path)
        if replace and not self._is_recorded():  # the file to overwrite is recorded
            raise appeared_error(self.path)
        self._add_to_record(_sha256(finished))
        if replace:
            finished.replace(self.path)
        else:
            rename_no_replace(finished, self.path)

    def _is_recorded(self) -> bool:
        recorded = self._read_record().get(str(self.path.resolve()), [])
        is_regular = self.path.is_file() and not self.path.is_symlink()
        return bool(recorded) and is_regular and _sha256(self.path) in recorded

    def _read_record(self) -> dict[str, list[str]]:
        file = self.output / JOURNAL_FOLDER / "beside.json"
        if not file.is_file():
            return {}
        try:
            record = read_json(file)
        except ValueError as error:
            raise OSError(advise_restart(error)) from error
        if not all(isinstance(digests, list) for digests in record.values()):
            raise OSError(advise_restart(f"{file} is damaged"))
        return record

    def _add_to_record(self, digest: str) -> None:
        """Record that a file of this content may be replaced, also after an interruption."""
        record, key = self._read_record(), str(self.path.resolve())
        record[key] = [*record.get(key, []), digest]
        with replace_file_nofollow(self.output / JOURNAL_FOLDER / "beside.json") as file:
            file.write(json.dumps(record).encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
