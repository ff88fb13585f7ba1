"""Files of a demo folder; lock the folder and never delete foreign files in it.

::

    DEMO/demo.json                 marks the folder as a demo; written first
         tiff/{raw,mito,segmentation}/*_0000.tif
         cell.zarr/raw, labels/mito, predictions/mito/{probability,segmentation,instances,meshes}
         train.toml, run/, scores/, objects/, report.html
         .asem/lock                while the demo runs, or after it was killed
"""

import hashlib
import json
import re
from pathlib import Path
from typing import IO

from asem.blocks.destination import IMAGE_FILE_PATTERN, JOURNAL_FILE_PATTERN, LOCK_FILE_PATTERN
from asem.blocks.output_lock import is_empty_destination, lock_destination
from asem.blocks.output_nesting import check_output_path, read_json_or_empty
from asem.blocks.results_folder import results_file_pattern
from asem.system.folder_snapshot import find_foreign_file
from asem.system.nofollow_files import replace_file_nofollow
from asem.system.overwrite_policy import OutputKind
from asem.workflows import evaluation_results, measure, mesh
from asem.workflows.run_directory import RUN_FILE_PATTERN

MARKER_FILE, TRAINING_TOML, REPORT_FILE = "demo.json", "train.toml", "report.html"
CELL_GROUP, RUN_FOLDER, TIFF_FOLDER = "cell.zarr", "run", "tiff"
MARKER_CONTENT = {"format": "asem demo", "version": 1}
SCORES_FOLDER, OBJECTS_FOLDER = "scores", "objects"
MESHES_FOLDER = f"{CELL_GROUP}/predictions/mito/meshes"
_IMAGE_PATTERN = "(raw|labels/mito|predictions/mito/(probability|segmentation|instances))"
DEMO_FILES = (
    f"{MARKER_FILE}|{TRAINING_TOML}|{REPORT_FILE}|{JOURNAL_FILE_PATTERN}"
    f"|{RUN_FOLDER}/({RUN_FILE_PATTERN})"
    rf"|{TIFF_FOLDER}/((?P<stack>raw|mito|segmentation)/(?P=stack)|\*/segmentation)_\d+\.tif"
    rf"|{CELL_GROUP}/((labels|predictions|predictions/mito)/)?({LOCK_FILE_PATTERN}|zarr\.json)"
    rf"|{CELL_GROUP}/{_IMAGE_PATTERN}/({IMAGE_FILE_PATTERN})"
    rf"|{MESHES_FOLDER}/({results_file_pattern(mesh.FILES)})"
    rf"|{SCORES_FOLDER}/({results_file_pattern(evaluation_results.FILES)})"
    rf"|{OBJECTS_FOLDER}/({results_file_pattern(measure.FILES)})"
)
"""Paths of the files that a demo writes, relative to its folder, as a regular expression."""


def lock_demo_folder(folder: Path, training_content: bytes, *, overwrite: bool) -> IO[bytes]:
    """Lock and mark a folder for a demo; delete an existing demo there if that is allowed.

    Parameters
    ----------
    folder
        Created if it does not exist.
    training_content
        Content that `train.toml` will have.
    overwrite
        Whether an existing demo is deleted.

    Returns
    -------
    file
        The lock file; closing it unlocks the folder.

    Raises
    ------
    FileExistsError
        The folder is no demo, holds foreign files, or exists and `overwrite` is False.
    BlockingIOError
        Another process writes a demo there.
    """
    check_output_path(folder)
    lock = lock_destination(
        folder, lambda: _replaces_demo(folder, overwrite=overwrite), DEMO.check_deletable
    )
    with replace_file_nofollow(folder / MARKER_FILE) as file:
        document = MARKER_CONTENT | {TRAINING_TOML: hashlib.sha256(training_content).hexdigest()}
        file.write(json.dumps(document).encode() + b"\n")
    return lock


def _replaces_demo(folder: Path, *, overwrite: bool) -> bool:
    """Whether `folder` holds a demo to delete; False where the folder is missing or empty."""
    if is_empty_destination(folder):
        return False
    DEMO.check_replaceable(folder, overwrite=overwrite)
    return True


def _find_foreign(folder: Path) -> Path | None:
    """Return a file that no demo writes; ``Path()`` if the folder is not marked as a demo."""
    content = read_json_or_empty(folder / MARKER_FILE)
    if any(content.get(key) != value for key, value in MARKER_CONTENT.items()):
        return Path()
    foreign = find_foreign_file(folder, re.compile(DEMO_FILES))
    if foreign is not None or _sha256(folder / TRAINING_TOML) in (None, content.get(TRAINING_TOML)):
        return foreign
    return Path(TRAINING_TOML)  # edited since the demo wrote it


DEMO = OutputKind("a demo", _find_foreign)


def _sha256(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
