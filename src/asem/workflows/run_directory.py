"""Files of a run directory; check that it contains no others before it is deleted.

::

    RUN/run.json, metrics.csv, curves.png, events.out.tfevents*, mlflow_run.txt
        checkpoints/00001000/model.safetensors, optimizer.safetensors, state.json
        .asem/lock                    during the training, or after it was killed
"""

import re
from functools import partial
from pathlib import Path

from asem.blocks.output_lock import LOCK_FILE
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.model import checkpoint
from asem.system.folder_snapshot import find_foreign_file
from asem.system.overwrite_policy import OutputKind
from asem.training.metrics_logger import CURVES_FILE, METRICS_FILE
from asem.training.mlflow_logger import MLFLOW_RUN_FILE

RUN_FILES = (checkpoint.RUN_FILE, METRICS_FILE, CURVES_FILE, MLFLOW_RUN_FILE)
"""Files that a training writes, besides those of TensorBoard."""


def _any_of(names: tuple[str, ...]) -> str:
    """Return a regular expression that matches any of the names."""
    return f"({'|'.join(map(re.escape, names))})"


RUN_FILE_PATTERN = (
    rf"{_any_of(RUN_FILES)}(\.partial)?|events\.out\.tfevents[^/]*"
    rf"|{checkpoint.CHECKPOINTS_FOLDER}/(\d+|\*)/{_any_of(checkpoint.CHECKPOINT_FILES)}"
    rf"|({re.escape(JOURNAL_FOLDER)}|\*)/{LOCK_FILE}(\.owner)?"
)
"""Regular expression of the paths, within the run directory, that a training writes."""
RUN = OutputKind("a run", partial(find_foreign_file, known_pattern=re.compile(RUN_FILE_PATTERN)))


def list_run_entries(folder: Path) -> list[Path]:
    """Return the entries of a run directory whose names are those of a training's files."""
    names = (*RUN_FILES, checkpoint.CHECKPOINTS_FOLDER, JOURNAL_FOLDER)
    return [entry for entry in folder.iterdir() if entry.name in names]
