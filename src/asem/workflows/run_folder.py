"""What a run directory consists of, and that nothing else in it is deleted.

::

    RUN/run.json, metrics.csv, curves.png, events.out.tfevents*, mlflow_run.txt
        checkpoints/00001000/model.safetensors, optimizer.safetensors, state.json
        .asem/lock                    while it is trained, or was killed
"""

import re
from pathlib import Path

from asem.blocks.journal import LOCK, NAME
from asem.model import checkpoint
from asem.system.contents import foreign_file
from asem.training.mlflow_runs import MLFLOW_RUN
from asem.training.tracking import CURVES, METRICS

_FILES = "|".join(map(re.escape, (checkpoint.RUN, METRICS, CURVES, MLFLOW_RUN)))
_CHECKPOINT = "|".join(map(re.escape, (checkpoint.WEIGHTS, checkpoint.MOMENTS, checkpoint.STATE)))
RUN_FILES = (
    rf"({_FILES})(\.partial)?|events\.out\.tfevents[^/]*"
    rf"|{checkpoint.CHECKPOINTS}/(\d+|\*)/({_CHECKPOINT})"
    rf"|({re.escape(NAME)}|\*)/{LOCK}(\.owner)?"
)
"""The files that a training makes, as a regular expression of paths in the run directory."""


def parts_of(folder: Path) -> list[Path]:
    """Return what a training made in its folder: files, and folders of nothing else."""
    own = (checkpoint.RUN, METRICS, CURVES, MLFLOW_RUN, checkpoint.CHECKPOINTS, NAME)
    return [entry for entry in folder.iterdir() if entry.name in own]


def refuse_foreign(folder: Path) -> None:
    """Raise FileExistsError where a run directory holds a file that no training made."""
    other = foreign_file(folder, re.compile(RUN_FILES))
    if other is not None:
        raise FileExistsError(
            f"{folder} holds more than a run ({other}); move that away, or give another --out"
        )
