"""Metrics of several regions in metrics.csv, TensorBoard and MLflow."""

import csv

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from asem.model.run_metrics import MetricsRow, RegionScores
from asem.training.metrics_logger import (
    METRICS_COLUMNS,
    open_metrics_loggers,
    region_scalars,
    write_metrics_csv,
)
from asem.training.mlflow_logger import make_metric_names

NAMES = ["cell, 3", 'the "naïve" cell', "two\nlines", "cell.zarr/raw", "=1+1"]


def make_row(iteration, names):
    regions = tuple(
        RegionScores(
            region=name,
            validation_loss=n + 0.1,
            precision=None,
            f1=1 / (n + iteration),
            true_positives=n,
            voxels=100,
        )
        for n, name in enumerate(names, 1)
    )
    scores = {"validation_loss": 0.3, "f1": 0.1 + 0.2, "true_positives": 7, "voxels": 1000}
    return MetricsRow(iteration=iteration, train_loss=2, seconds=1.5, regions=regions, **scores)


ROWS = [make_row(n, NAMES) for n in (10, 20)]


def test_the_table_has_a_pooled_row_and_one_of_each_region(tmp_path):
    write_metrics_csv(tmp_path / "m.csv", ROWS)
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == METRICS_COLUMNS
    assert len({len(line) for line in lines}) == 1
    assert [line[:2] for line in lines] == [
        [str(iteration), name] for iteration in (10, 20) for name in ("pooled", *NAMES)
    ]


def test_the_table_keeps_every_digit(tmp_path):
    write_metrics_csv(tmp_path / "m.csv", ROWS)
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        lines = {(line["iteration"], line["region"]): line for line in csv.DictReader(file)}
    for row in ROWS:
        for name, scores in row.scores_by_region():
            line = lines[str(row.iteration), name]
            assert float(line["f1"]) == scores.f1
            assert (int(line["voxels"]), line["precision"]) == (scores.voxels, "")
            assert float(line["train_loss"]) == row.train_loss


def test_pandas_reads_the_table(tmp_path):
    write_metrics_csv(tmp_path / "m.csv", ROWS)
    wide = pd.read_csv(tmp_path / "m.csv").pivot(index="iteration", columns="region", values="f1")
    assert set(wide.columns) == {"pooled", *NAMES}
    assert wide.loc[20, NAMES[2]] == pytest.approx(ROWS[1].regions[2].f1)


def test_a_run_without_validation_has_pooled_rows_without_scores(tmp_path):
    write_metrics_csv(tmp_path / "m.csv", [MetricsRow(iteration=3, train_loss=0.5, seconds=2)])
    (line,) = pd.read_csv(tmp_path / "m.csv").to_dict("records")
    assert (line["iteration"], line["region"], line["train_loss"]) == (3, "pooled", 0.5)
    assert pd.isna(line["f1"])


class Run:
    iteration = 0

    def __init__(self, folder):
        self.folder = folder


def test_tensorboard_has_the_scores_of_each_region(tmp_path):
    with open_metrics_loggers(Run(tmp_path)) as log:
        for n in (1, 2):
            log(ROWS[:n])
    events = EventAccumulator(str(tmp_path)).Reload()
    scalars = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    assert scalars["f1"] == [(10, pytest.approx(0.3)), (20, pytest.approx(0.3))]
    for n, name in enumerate(NAMES, 1):
        values = [(step, pytest.approx(1 / (n + step))) for step in (10, 20)]
        assert scalars[f"validation/f1/{name}"] == values
        assert f"validation/precision/{name}" not in scalars


def test_mlflow_accepts_every_name(tmp_path):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = client.create_run(client.create_experiment("names")).info.run_id
    names = [*NAMES, "..", "../..", "a//b", "cell. 3", "cell; 3", "z" * 300, "z" * 301]
    row = make_row(10, names)
    scalars = region_scalars(row, make_metric_names(names))
    assert len(scalars) == 2 * len(names)
    for key, value in scalars.items():
        client.log_metric(run_id, key, value, step=10)
    assert client.get_run(run_id).data.metrics == scalars
