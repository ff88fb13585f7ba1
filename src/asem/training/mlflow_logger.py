"""Log a training to MLflow: parameters, metrics, figures, the best checkpoint."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from asem.model.checkpoint import checkpoint_folder
from asem.model.run_metrics import MetricsRow
from asem.system.nofollow_files import replace_file_nofollow
from asem.training.metrics_logger import (
    CURVES_FILE,
    METRICS_FILE,
    MetricsLogger,
    pooled_scalars,
    region_scalars,
)
from asem.training.region_names import make_unique
from asem.training.training_run import TrainingRun

LOG = logging.getLogger(__name__)
LOCAL_ADDRESS = "local"
"""Used instead of an address: a database next to the run directory."""
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # without it, MLflow sends usage data
MLFLOW_RUN_FILE = "mlflow_run.txt"
MAX_PARAMETER_CHARACTERS = 500
"""Maximum length of a parameter; older MLflow versions reject longer ones."""
MAX_REGION_IN_KEY = 200
"""Maximum length of a region in the key of a metric, which MLflow limits to 250 characters."""
_NOT_IN_METRIC_KEY = re.compile(r"[^\w. -]|^\.+")
"""Characters that MLflow rejects; slashes, and dots at the start, could make it another path."""


def check_mlflow(address: str) -> None:
    """Raise ValueError if MLflow is not installed, or its server does not respond."""
    if find_spec("mlflow") is None:
        raise ValueError("--mlflow needs MLflow: pip install 'asem[mlflow]'")
    if address != LOCAL_ADDRESS:
        with _as_value_error(address):
            _client(address).search_experiments(max_results=1)


def _client(address: str) -> Any:
    from mlflow import MlflowClient

    if "://" not in address:
        raise ValueError(
            "an address has the form http://host:5000 or sqlite:///file.db; 'local' is mlflow.db "
            "next to the run directory"
        )
    return MlflowClient(address)


@contextmanager
def _as_value_error(address: str) -> Iterator[None]:
    """Convert MLflow's errors to a ValueError of one line."""
    try:
        yield
    except _mlflow_errors() as error:
        raise ValueError(f"--mlflow {address}: {str(error).splitlines()[0]}") from error


def _mlflow_errors() -> tuple[type[Exception], ...]:
    """Return the errors that MLflow raises: of servers, files, cloud libraries not installed."""
    from mlflow.exceptions import MlflowException

    return MlflowException, OSError, ImportError, ValueError


def make_metric_names(regions: Sequence[str]) -> list[str]:
    """Return names of regions that MLflow accepts in the key of a metric.

    Examples
    --------
    >>> make_metric_names(["cell1.zarr/raw", "cell, 2", "cell: 2"])
    ['cell1.zarr_raw', 'cell_ 2', 'cell_ 2 2']
    """
    return make_unique(_NOT_IN_METRIC_KEY.sub("_", name)[:MAX_REGION_IN_KEY] for name in regions)


@contextmanager
def open_mlflow_logger(address: str, run: TrainingRun) -> Iterator[MetricsLogger]:
    """Start an MLflow run, or resume that of a resumed training.

    Parameters
    ----------
    address
        Tracking server or database; ``"local"``: `mlflow.db` next to the run directory.
    run
        The training; its folder names the MLflow run, its structure the experiment.
    """
    parent = run.folder.parent.resolve()
    artifacts = None
    if address == LOCAL_ADDRESS:
        address = f"sqlite:///{parent / 'mlflow.db'}"
        artifacts = (parent / "mlflow_artifacts").as_uri()
    with _as_value_error(address):
        client = _client(address)
        run_id = _start_or_resume_run(client, run, artifacts)

    def log_metrics(rows: Sequence[MetricsRow]) -> None:
        row = rows[-1]
        names = make_metric_names([scores.region for scores in row.regions])
        with _warn_on_mlflow_error():
            for key, value in {**pooled_scalars(row), **region_scalars(row, names)}.items():
                client.log_metric(run_id, key, value, step=row.iteration)

    state = "KILLED"
    try:
        yield log_metrics
        state = "FINISHED"
    finally:
        with _warn_on_mlflow_error():
            _upload_artifacts(client, run_id, run)
            client.set_terminated(run_id, state)


@contextmanager
def _warn_on_mlflow_error() -> Iterator[None]:
    """Log MLflow's errors as warnings, so that the training continues without its server."""
    try:
        yield
    except _mlflow_errors() as error:
        LOG.warning(
            "MLflow cannot be updated, the training continues: %s", str(error).splitlines()[0]
        )


def _upload_artifacts(client: Any, run_id: str, run: TrainingRun) -> None:
    """Upload the curves, the metrics and the best checkpoint so far."""
    for file in (run.folder / CURVES_FILE, run.folder / METRICS_FILE):
        if file.exists():
            client.log_artifact(run_id, str(file))
    if run.best is not None:
        client.log_artifacts(run_id, str(checkpoint_folder(run.folder, run.best)), "checkpoint")


def _start_or_resume_run(client: Any, run: TrainingRun, artifacts: str | None) -> str:
    """Return the id of the training's MLflow run; start one if there is none."""
    id_file = run.folder / MLFLOW_RUN_FILE
    if id_file.is_file():
        run_id = id_file.read_text()
        try:
            client.update_run(run_id, "RUNNING")
        except _mlflow_errors() as error:
            raise ValueError(
                f"{str(error).splitlines()[0]}; {id_file} names a run of another server: delete it "
                "to start a new one"
            ) from error
        return run_id
    name = f"asem {run.info.structure}"
    experiment = client.get_experiment_by_name(name)
    experiment_id = (
        experiment.experiment_id
        if experiment
        else client.create_experiment(name, artifact_location=artifacts)
    )
    run_id = str(client.create_run(experiment_id, run_name=run.folder.name).info.run_id)
    for key, value in _flatten(run.info.model_dump(mode="json")).items():
        client.log_param(run_id, key, str(value)[:MAX_PARAMETER_CHARACTERS])
    with replace_file_nofollow(id_file) as file:
        file.write(run_id.encode())
    return run_id


def _flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested tables, keyed by dotted names."""
    out: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        out |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return out
