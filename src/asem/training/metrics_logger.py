"""Log training metrics: `metrics.csv`, TensorBoard, and further loggers."""

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from asem.model.run_metrics import COUNT_KEYS, SCORE_KEYS, MetricsRow
from asem.system.nofollow_files import replace_file_nofollow
from asem.training.tensorboard_writer import TensorBoardWriter
from asem.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)
METRICS_FILE, CURVES_FILE = "metrics.csv", "curves.png"
METRICS_COLUMNS = (
    *("iteration", "region", "train_loss", *SCORE_KEYS, *COUNT_KEYS),
    "seconds",  # last: the only column that differs between two runs of one training
)


class MetricsLogger(Protocol):
    """Logs the metrics after each validation."""

    def __call__(self, rows: Sequence[MetricsRow]) -> None:
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

        def log_to_csv(rows: Sequence[MetricsRow]) -> None:
            write_metrics_csv(run.folder / METRICS_FILE, rows)

        def log_to_all(rows: Sequence[MetricsRow]) -> None:
            row = rows[-1]
            pooled = pooled_scalars(row)
            tensorboard.add_scalars({**pooled, **region_scalars(row)}, row.iteration)
            values = {"iteration": row.iteration, **pooled}
            LOG.info("%s", ", ".join(f"{key} {value:.5g}" for key, value in values.items()))
            for log in (log_to_csv, *extra_loggers):
                try:
                    log(rows)
                except OSError as error:  # all files are written again at the end
                    LOG.warning("metrics cannot be logged, the training continues: %s", error)

        yield log_to_all


def pooled_scalars(row: MetricsRow) -> dict[str, float]:
    """Return losses, scores and seconds of a validation; without those that are None."""
    keys = ("train_loss", *SCORE_KEYS, "seconds")
    return {key: value for key in keys if (value := getattr(row, key)) is not None}


def region_scalars(row: MetricsRow, names: Sequence[str] | None = None) -> dict[str, float]:
    """Return loss and scores of each region, by keys such as ``validation/f1/cell1.zarr/raw``.

    Parameters
    ----------
    row
        Metrics of one validation.
    names
        Used instead of the names of the regions.
    """
    scalars: dict[str, float] = {}
    for scores, name in zip(row.regions, names or [one.region for one in row.regions], strict=True):
        for key in SCORE_KEYS:
            if (value := getattr(scores, key)) is not None:
                scalars[f"validation/{key.removeprefix('validation_')}/{name}"] = value
    return scalars


def write_metrics_csv(path: Path, rows: Sequence[MetricsRow]) -> None:
    """Write the metrics as CSV: for each validation a row of the pooled scores and one a region."""
    table = StringIO()
    writer = csv.DictWriter(table, METRICS_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(line for row in rows for line in _csv_rows(row))
    with replace_file_nofollow(path) as file:
        file.write(table.getvalue().encode())


def _csv_rows(row: MetricsRow) -> Iterator[dict[str, Any]]:
    """Yield the rows of a validation: pooled, and of each region."""
    for region, scores in row.scores_by_region():
        yield {
            "iteration": row.iteration,
            "region": region,
            "train_loss": row.train_loss,
            **scores.model_dump(include={*SCORE_KEYS, *COUNT_KEYS}),
            "seconds": row.seconds,
        }
