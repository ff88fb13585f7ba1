"""Create a folder of tables and figures that blocks compute, as resumable as an image.

::

    out/objects.csv, objects.parquet      tables (`asem.tables`), and figures
    out/provenance.json                   what made them; written last: the results are finished
    out/.asem/                            journal, lock and block results of an unfinished folder

    at the destination                                      without, with --overwrite
    nothing, or an empty folder                             start       start
    a journal: unfinished                                   resume      delete, start
    a provenance file of asem: finished                     error       delete, start
    anything else, or one of these with other files         error       error

Files that a person writes, such as decisions of a review, are `kept`: they are never deleted, and a
folder with nothing else counts as empty.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from asem.blocks.block_output import BlockOutput
from asem.blocks.destination import JOURNAL_FILE_PATTERN, LOCK_FILE_PATTERN
from asem.blocks.executors import SERIAL_EXECUTOR, Executor
from asem.blocks.journal import Journal
from asem.blocks.output_lock import (
    check_not_locked,
    delete_journal,
    is_empty_destination,
    lock_destination,
)
from asem.blocks.output_nesting import check_output_path, read_json_or_empty
from asem.blocks.output_ownership import JOURNAL_FOLDER, is_unfinished_output
from asem.blocks.run_blocks import Progress, no_progress
from asem.provenance import make_provenance
from asem.system.folder_replacement import delete_atomically, recover_leftovers
from asem.system.folder_snapshot import (
    delete_unchanged,
    find_foreign_file,
    snapshot_folder,
)
from asem.system.nofollow_files import replace_file_nofollow
from asem.system.overwrite_policy import OutputKind, exists_error
from asem.system.path_replacement import DeletionCheck
from asem.tables import PROVENANCE_FILE, write_table
from asem.volume.block_grid import check_block_count
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import SHARD


class NoResultsError(ValueError):
    """The input has nothing to compute, which only its blocks show."""


@dataclass(kw_only=True)
class ResultsFolder(BlockOutput):
    """A folder of results that is being computed, made by `create_results`.

    Parameters
    ----------
    command, request
        Command and settings that produce the results.
    columns
        Descriptions of the columns of each table that is written.
    """

    command: str
    request: dict[str, Any]
    columns: dict[str, dict[str, str]] = field(default_factory=dict)

    def write_table(self, name: str, frame: pd.DataFrame, descriptions: Mapping[str, str]) -> None:
        """Write ``name.csv`` and ``name.parquet`` (`asem.tables.write_table`)."""
        self.columns[name] = dict(descriptions)
        provenance = make_provenance(self.command, self.request, **self.provenance)
        del provenance["finished"]  # the same input and settings give the same bytes
        write_table(
            self.path / name,
            frame,
            descriptions,
            provenance,
            check_before_publish=self.journal.check_ownership,
        )

    def write_file(self, name: str, content: bytes) -> None:
        """Write a figure or another file."""
        with replace_file_nofollow(self.path / name, self.journal.check_ownership) as file:
            file.write(content)


@contextmanager
def create_results(
    path: Path,
    roi: Roi,
    *,
    files: Sequence[str],
    kept: Sequence[str] = (),
    command: str,
    request: dict[str, Any],
    inputs: Sequence[Volume | None] = (),
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> Iterator[ResultsFolder]:
    """Create a folder of tables and figures: the body writes them, the exit finishes the folder.

    The folder has no provenance file until the body has ended without an error. An interrupted
    folder of the same request is resumed.

    Parameters
    ----------
    path
        The folder to create.
    roi
        Extent of the blocks, voxels.
    files
        Names of all files that this command may write; ``*`` matches letters and digits.
        Only a folder without other files is replaced.
    kept
        Names of further files, in any case left where they are.
    command, request
        Command and settings that produce the results; a run resumes only a folder of equal request.
    inputs
        The opened inputs: if one is replaced meanwhile, the folder is not finished.
    overwrite
        Delete existing results at `path`, finished or not.
    executor, progress
        Executor of the blocks, and progress callback.

    Raises
    ------
    FileExistsError
        `path` is a finished folder or has other content, or is a symbolic link.
    NoResultsError
        The body raised it, before it wrote a file; folders that this call made are deleted.
    OSError
        The folder was deleted or restarted, or an input replaced, while it was being written.
    """
    check_block_count(roi, SHARD)
    check_results_destination(path, files, kept=kept, overwrite=overwrite)
    kind = _results_of((*files, *kept))
    name, path = str(path), path.resolve()  # workers may have another working directory
    new_folders = [folder for folder in (path, *path.parents) if not folder.exists()]
    lock = lock_destination(
        path,
        lambda: _check_replaces(path, kind, kept, overwrite=overwrite),
        kind.check_deletable,
        delete=partial(_delete_results, check=kind.check_deletable, kept=kept),
    )
    with Journal(path, {"command": command, **request}, lock) as journal:
        if _is_finished(path, command):  # a run was killed after it wrote the provenance
            delete_journal(path)
            raise exists_error(name)
        output = ResultsFolder(
            path=path,
            roi=roi,
            journal=journal,
            executor=executor,
            progress=progress,
            command=command,
            request=request,
        )
        try:
            yield output
        except NoResultsError:
            delete_journal(path)
            for folder in new_folders:
                folder.rmdir()
            raise
        check_not_replaced(inputs)
        provenance = make_provenance(command, request, **output.provenance)
        text = json.dumps(provenance | {"columns": output.columns}, indent=1, ensure_ascii=False)
        output.write_file(PROVENANCE_FILE, text.encode())
        delete_journal(path)
    recover_leftovers(path / JOURNAL_FOLDER)  # of the lock, which was open until now


def check_results_destination(
    path: Path, files: Sequence[str], *, kept: Sequence[str] = (), overwrite: bool
) -> None:
    """Raise FileExistsError unless results may be written to `path`, as `create_results` does."""
    kind = _results_of((*files, *kept))
    if _check_replaces(path, kind, kept, overwrite=overwrite):
        check_not_locked(path)
        kind.check_deletable(path)


def results_file_pattern(files: Sequence[str]) -> str:
    """Return a regular expression of the paths in a results folder, finished or not.

    Parameters
    ----------
    files
        Names of the results; ``*`` is any letters, digits and underscores.
    """
    names = "|".join(re.escape(name).replace(r"\*", r"\w+") for name in (*files, PROVENANCE_FILE))
    return rf"{names}|{JOURNAL_FILE_PATTERN}|{LOCK_FILE_PATTERN}"


def _results_of(files: Sequence[str]) -> OutputKind:
    """Return the kind of output that consists of these files."""
    pattern = re.compile(results_file_pattern(files))
    return OutputKind(
        "a results folder",
        lambda path: find_foreign_file(path, pattern),
    )


def _check_replaces(path: Path, kind: OutputKind, kept: Sequence[str], *, overwrite: bool) -> bool:
    """Return whether a folder must be deleted before another is written.

    Where it is, `kind.check_deletable` is to be called with the lock.
    """
    check_output_path(path)
    if is_empty_destination(path, kept):
        return False
    unfinished = is_unfinished_output(path)
    if unfinished and not overwrite:
        return False
    if not unfinished and not (path / PROVENANCE_FILE).is_file():
        raise kind.foreign_error(path)
    if not overwrite:
        kind.check_deletable(path)
        raise exists_error(path)
    return True


def _delete_results(path: Path, *, check: DeletionCheck, kept: Sequence[str]) -> None:
    """Delete results whose lock this process holds, but for the files that are kept.

    Without such files the folder is deleted at once. With them, the file by which the folder is
    recognized is deleted last, so that a killed run leaves a folder that can be replaced.
    """
    if not any((path / name).is_file() for name in kept):
        delete_atomically(path, check)
        return
    snapshot = snapshot_folder(path)
    check(path)
    spared = {*kept, PROVENANCE_FILE}
    others = {
        name: identity
        for name, identity in snapshot.items()
        if name and name not in spared and name.partition("/")[0] != JOURNAL_FOLDER
    }
    delete_unchanged(path, others)
    recognized = {name: identity for name, identity in snapshot.items() if name == PROVENANCE_FILE}
    delete_unchanged(path, recognized)
    delete_journal(path)


def _is_finished(path: Path, command: str) -> bool:
    provenance = read_json_or_empty(path / PROVENANCE_FILE)
    return provenance.get("command") == command and "asem" in provenance
