"""Log training metrics: `metrics.csv`, TensorBoard, and further loggers."""

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from asem.system.nofollow_files import replace_file_nofollow
from asem.training.tensorboard_writer import TensorBoardWriter
from asem.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)
METRICS_FILE, CURVES_FILE = "metrics.csv", "curves.png"


class MetricsLogger(Protocol):
    """Logs the metrics after each validation."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> None:
        """Log all rows so far; the last one is new."""


@contextmanager
def open_metrics_loggers(
    run: TrainingRun, *, extra_loggers: Sequence[MetricsLogger] = ()
) -> Iterator[MetricsLogger]:
    """Open all loggers, as one that calls each of them.

    Parameters
    ----------
    run
        The training; if it is resumed, TensorBoard discards what it has of later iterations.
    extra_loggers
        Called after the others.
    """
    purge = run.iteration + 1 if run.iteration else None
    with closing(TensorBoardWriter(run.folder, purge)) as tensorboard:

        def log_to_csv(rows: Sequence[dict[str, Any]]) -> None:
            write_metrics_csv(run.folder / METRICS_FILE, rows)

        def log_to_all(rows: Sequence[dict[str, Any]]) -> None:
            values = {key: value for key, value in rows[-1].items() if value is not None}
            tensorboard.add_scalars(values, rows[-1]["iteration"])
            LOG.info("%s", ", ".join(f"{key} {value:.5g}" for key, value in values.items()))
            for log in (log_to_csv, *extra_loggers):
                try:
                    log(rows)
                except OSError as error:  # all files are written again at the end
                    LOG.warning("metrics cannot be logged, the training continues: %s", error)

        yield log_to_all


def write_metrics_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the metrics as CSV, one row per validation."""
    table = StringIO()
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replace_file_nofollow(path) as file:
        file.write(table.getvalue().encode())
