"""A training as a run of MLflow: parameters, metrics, figures, the best checkpoint."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from asem.model.checkpoint import checkpoint_folder
from asem.system.own_files import replaced_own
from asem.training.run import Run
from asem.training.tracking import CURVES, METRICS, Told

LOG = logging.getLogger(__name__)
LOCAL = "local"
"""Instead of an address: a database beside the run."""
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it reports its use to its makers
MLFLOW_RUN = "mlflow_run.txt"
MOST_LETTERS = 500
"""Of a parameter, so that every MLflow takes it."""


def refuse_without_mlflow(address: str) -> None:
    """Raise ValueError where MLflow is not installed, or nothing answers at its address."""
    if find_spec("mlflow") is None:
        raise ValueError("--mlflow needs MLflow: pip install 'asem[mlflow]'")
    if address != LOCAL:
        with _one_line(address):
            _client(address).search_experiments(max_results=1)


def _client(address: str) -> Any:
    from mlflow import MlflowClient

    if "://" not in address:
        raise ValueError(
            "an address has the form http://host:5000 or sqlite:///file.db; local stands for "
            "mlflow.db beside the run"
        )
    return MlflowClient(address)


@contextmanager
def _one_line(address: str) -> Iterator[None]:
    """Turn what MLflow raises into a ValueError of one line."""
    try:
        yield
    except _faults() as error:
        raise ValueError(f"--mlflow {address}: {str(error).splitlines()[0]}") from error


def _faults() -> tuple[type[Exception], ...]:
    """Return what MLflow raises: for servers, files, and clouds whose library is not installed."""
    from mlflow.exceptions import MlflowException

    return MlflowException, OSError, ImportError, ValueError


@contextmanager
def mlflow_told(address: str, run: Run) -> Iterator[Told]:
    """Open a run of MLflow; a training that goes on goes on in it.

    Parameters
    ----------
    address
        Of the tracking server or database; ``"local"``: `mlflow.db` beside the run directory.
    run
        The training; the name of its folder is the run's, its structure the experiment's.
    """
    beside = run.folder.parent.resolve()
    artifacts = None
    if address == LOCAL:
        address = f"sqlite:///{beside / 'mlflow.db'}"
        artifacts = (beside / "mlflow_artifacts").as_uri()
    with _one_line(address):
        client = _client(address)
        number = _begun(client, run, artifacts)

    def told(rows: Sequence[dict[str, Any]]) -> None:
        with _forgiving():
            for key, value in rows[-1].items():
                if value is not None:
                    client.log_metric(number, key, value, step=rows[-1]["iteration"])

    state = "KILLED"
    try:
        yield told
        state = "FINISHED"
    finally:
        with _forgiving():
            _keep(client, number, run)
            client.set_terminated(number, state)


@contextmanager
def _forgiving() -> Iterator[None]:
    """Go on with a training when the server is away."""
    try:
        yield
    except _faults() as error:
        LOG.warning("MLflow was not told: %s", str(error).splitlines()[0])


def _keep(client: Any, number: str, run: Run) -> None:
    """Store the curves, the metrics and the best checkpoint there are so far."""
    for file in (run.folder / CURVES, run.folder / METRICS):
        if file.exists():
            client.log_artifact(number, str(file))
    if run.best is not None:
        client.log_artifacts(number, str(checkpoint_folder(run.folder, run.best)), "checkpoint")


def _begun(client: Any, run: Run, artifacts: str | None) -> str:
    """Return the number of the training's run in MLflow, which it begins where there is none."""
    note = run.folder / MLFLOW_RUN
    if note.is_file():
        number = note.read_text()
        try:
            client.update_run(number, "RUNNING")
        except _faults() as error:
            raise ValueError(
                f"{str(error).splitlines()[0]}; {note} names a run of another server: delete it "
                "to begin a new one"
            ) from error
        return number
    name = f"asem {run.info.structure}"
    found = client.get_experiment_by_name(name)
    experiment = (
        found.experiment_id
        if found
        else client.create_experiment(name, artifact_location=artifacts)
    )
    number = str(client.create_run(experiment, run_name=run.folder.name).info.run_id)
    for key, value in _flat(run.info.model_dump(mode="json")).items():
        client.log_param(number, key, str(value)[:MOST_LETTERS])
    with replaced_own(note) as file:
        file.write(number.encode())
    return number


def _flat(table: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Return the values of nested tables by dotted names."""
    out: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{above}{key}"
        out |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return out
