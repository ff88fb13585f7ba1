"""Where a training tells its metrics: `metrics.csv` and TensorBoard, always."""

import csv
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

from asem.system.own_files import replaced_own
from asem.training.event_file import EventFile
from asem.training.run import Run

LOG = logging.getLogger(__name__)
METRICS, CURVES = "metrics.csv", "curves.png"


class Told(Protocol):
    """Takes the metrics after each validation."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> None:
        """Take all the rows so far; the last one is new."""


@contextmanager
def tracking(run: Run, *, also: Sequence[Told] = ()) -> Iterator[Told]:
    """Open all that is told; each validation's row goes to each of them.

    Parameters
    ----------
    run
        The training; where it goes on, what TensorBoard has of later iterations is void.
    also
        Told after the others.
    """
    purge = run.iteration + 1 if run.iteration else None
    with closing(EventFile(run.folder, purge)) as board:

        def table(rows: Sequence[dict[str, Any]]) -> None:
            write_table(run.folder / METRICS, rows)

        def told(rows: Sequence[dict[str, Any]]) -> None:
            values = {key: value for key, value in rows[-1].items() if value is not None}
            board.add(values, rows[-1]["iteration"])
            LOG.info("%s", ", ".join(f"{key} {value:.5g}" for key, value in values.items()))
            for one in (table, *also):
                try:
                    one(rows)
                except OSError as error:  # made again at the end, where it must be possible
                    LOG.warning("the training continues, though %s", error)

        yield told


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the metrics as CSV, one row a validation."""
    table = StringIO()
    writer = csv.DictWriter(table, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with replaced_own(path) as file:
        file.write(table.getvalue().encode())
