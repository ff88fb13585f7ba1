"""Files of a demo folder; lock the folder and never delete foreign files in it.

::

    DEMO/demo.json                 marks the folder as a demo; written first
         tiff/{raw,mito,segmentation}/*_0000.tif
         cell.zarr/raw, labels/mito, predictions/mito/{probability,segmentation}
         train.toml, run/, report.html
         .asem/lock                while the demo runs, or after it was killed
"""

import hashlib
import json
import re
from pathlib import Path
from typing import IO

from asem.blocks.destination import IMAGE_FILE_PATTERN, JOURNAL_FILE_PATTERN, LOCK_FILE_PATTERN
from asem.blocks.output_lock import is_empty_destination, lock_destination
from asem.blocks.output_nesting import check_not_within_output
from asem.system.atomic_rename import check_not_link
from asem.system.files import check_utf8_path, replace_file
from asem.system.folder_snapshot import find_foreign_file
from asem.system.json_toml import read_json
from asem.workflows.run_directory import RUN_FILE_PATTERN

MARKER_FILE, TRAINING_TOML, REPORT_FILE = "demo.json", "train.toml", "report.html"
CELL_GROUP, RUN_FOLDER, TIFF_FOLDER = "cell.zarr", "run", "tiff"
MARKER_CONTENT = {"format": "asem demo", "version": 1}
_IMAGE_PATTERN = "(raw|labels/mito|predictions/mito/(probability|segmentation))"
DEMO_FILES = (
    f"{MARKER_FILE}|{TRAINING_TOML}|{REPORT_FILE}|{JOURNAL_FILE_PATTERN}"
    f"|{RUN_FOLDER}/({RUN_FILE_PATTERN})"
    rf"|{TIFF_FOLDER}/((?P<stack>raw|mito|segmentation)/(?P=stack)|\*/segmentation)_\d+\.tif"
    rf"|{CELL_GROUP}/((labels|predictions|predictions/mito)/)?({LOCK_FILE_PATTERN}|zarr\.json)"
    rf"|{CELL_GROUP}/{_IMAGE_PATTERN}/({IMAGE_FILE_PATTERN})"
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
    check_utf8_path(folder)
    check_not_link(folder)
    check_not_within_output(folder)
    lock = lock_destination(
        folder, lambda: _may_be_deleted(folder, overwrite=overwrite), check_no_foreign_files
    )
    with replace_file(folder / MARKER_FILE) as file:
        document = MARKER_CONTENT | {TRAINING_TOML: hashlib.sha256(training_content).hexdigest()}
        file.write(json.dumps(document).encode() + b"\n")
    return lock


def _may_be_deleted(folder: Path, *, overwrite: bool) -> bool:
    """Whether `folder` holds a demo to delete; False where the folder is missing or empty."""
    if is_empty_destination(folder):
        return False
    if not overwrite:
        raise FileExistsError(f"{folder} exists already; give --overwrite to replace it")
    check_no_foreign_files(folder)
    return True


def check_no_foreign_files(folder: Path) -> None:
    """Raise FileExistsError where a folder is no demo, or holds a file that no demo writes."""
    marker = folder / MARKER_FILE
    content = read_json(marker) if marker.is_file() else {}
    if any(content.get(key) != value for key, value in MARKER_CONTENT.items()):
        raise FileExistsError(
            f"{folder} is no demo of asem, and is not replaced; give another folder"
        )
    foreign = find_foreign_file(folder, re.compile(DEMO_FILES))
    if foreign is None and _sha256(folder / TRAINING_TOML) not in (
        None,
        content.get(TRAINING_TOML),
    ):
        foreign = Path(TRAINING_TOML)  # edited since the demo wrote it
    if foreign is not None:
        raise FileExistsError(
            f"{folder} holds more than a demo ({foreign}); move that away, or give another folder"
        )


def _sha256(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
