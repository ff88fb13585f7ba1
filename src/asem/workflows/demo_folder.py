"""The folder of a demo: what it consists of, and that nothing else in it is deleted.

::

    DEMO/demo.json                 says that it is one; written first
         tiff/{raw,mito,segmentation}/*_0000.tif
         cell.zarr/raw, labels/mito, predictions/mito/{probability,segmentation}
         train.toml, run/, report.html
         .asem/lock                while the demo is made, or was killed
"""

import hashlib
import json
import re
from pathlib import Path
from typing import IO

from asem.blocks import journal
from asem.blocks.destination import IMAGE_FILES, JOURNAL_FILES, LOCK_FILES
from asem.blocks.enclosing import refuse_within_output
from asem.system.contents import foreign_file
from asem.system.documents import read_json
from asem.system.files import refuse_undecodable, replaced
from asem.system.names import refuse_link
from asem.workflows.run_folder import RUN_FILES

MARKER, TRAINING, PAGE = "demo.json", "train.toml", "report.html"
CELL, RUN, PLANES = "cell.zarr", "run", "tiff"
KIND = {"format": "asem demo", "version": 1}
_IMAGE = "(raw|labels/mito|predictions/mito/(probability|segmentation))"
DEMO_FILES = (
    f"{MARKER}|{TRAINING}|{PAGE}|{JOURNAL_FILES}|{RUN}/({RUN_FILES})"
    rf"|{PLANES}/((?P<stack>raw|mito|segmentation)/(?P=stack)|\*/segmentation)_\d+\.tif"
    rf"|{CELL}/((labels|predictions|predictions/mito)/)?({LOCK_FILES}|zarr\.json)"
    rf"|{CELL}/{_IMAGE}/({IMAGE_FILES})"
)
"""The files that a demo makes, as a regular expression of paths in its folder."""


def claim_demo(folder: Path, training_file: bytes, *, overwrite: bool) -> IO[bytes]:
    """Lock a folder for a demo, deleting the one that lies there if that is allowed, and mark it.

    Parameters
    ----------
    folder
        Made if it does not exist.
    training_file
        What `train.toml` is going to be.
    overwrite
        Whether a demo that lies there is deleted.

    Returns
    -------
    file
        Unlocks when it is closed.

    Raises
    ------
    FileExistsError
        There is something else, or a demo with files that no demo made, or one and no `overwrite`.
    BlockingIOError
        Another process makes a demo there.
    """
    refuse_undecodable(folder)
    refuse_link(folder)
    refuse_within_output(folder)
    lock = journal.claim(
        folder, lambda: _is_to_be_deleted(folder, overwrite=overwrite), refuse_foreign
    )
    with replaced(folder / MARKER) as file:
        document = KIND | {TRAINING: hashlib.sha256(training_file).hexdigest()}
        file.write(json.dumps(document).encode() + b"\n")
    return lock


def _is_to_be_deleted(folder: Path, *, overwrite: bool) -> bool:
    """Whether a demo lies at `folder` that is to be deleted; False where nothing does."""
    if journal.is_vacant(folder):
        return False
    if not overwrite:
        raise FileExistsError(f"{folder} exists already; give --overwrite to replace it")
    refuse_foreign(folder)
    return True


def refuse_foreign(folder: Path) -> None:
    """Raise FileExistsError where a folder is no demo, or holds a file that no demo made."""
    marker = folder / MARKER
    found = read_json(marker) if marker.is_file() else {}
    if any(found.get(key) != value for key, value in KIND.items()):
        hint = "; one of an earlier version is deleted by hand" if _is_old(folder) else ""
        raise FileExistsError(f"{folder} is no demo of asem, and is not replaced{hint}")
    other = foreign_file(folder, re.compile(DEMO_FILES))
    if other is None and _digest(folder / TRAINING) not in (None, found.get(TRAINING)):
        other = Path(TRAINING)  # somebody has written into it
    if other is not None:
        raise FileExistsError(
            f"{folder} holds more than a demo ({other}); move that away, or give another folder"
        )


def _is_old(folder: Path) -> bool:
    """Whether an earlier version made a demo, which marked it with an empty file."""
    return (folder / "demo.txt").is_file() and (folder / CELL).is_dir()


def _digest(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
