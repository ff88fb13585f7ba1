"""`asem info` of a run, a checkpoint and a model; unfinished runs are named when they are used."""

import json
from functools import partial

import pytest

import funlib
from asem.cli import main
from asem.model.checkpoint import find_checkpoint
from asem.workflows.describe import describe
from asem.workflows.models import convert_model
from asem.workflows.train import train_model


class Stop(Exception):
    """Ends a training as a kill would: `run.json` is that of the last checkpoint."""


def stop(stage, done, total, *, at):
    if done == at:
        raise Stop


@pytest.fixture(scope="module")
def unfinished(cell, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unfinished") / "run"
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=folder, progress=partial(stop, at=4))
    return folder


def test_a_finished_run(cell, run):
    fields = describe(run)
    assert (fields["state"], fields["resumes_at"]) == ("finished", None)
    assert (fields["iteration"], fields["planned_iterations"]) == (6, 6)
    assert (fields["structure"], fields["voxel_size"]) == ("mito", [10, 10, 10])
    assert fields["checkpoints"] == [3, 6]
    assert fields["last_checkpoint"]["iteration"] == 6
    assert fields["best_checkpoint"]["iteration"] in (3, 6)
    assert fields["best_checkpoint"].keys() >= {"train_loss", "validation_loss", "f1"}
    (region,) = fields["train"]
    assert region["raw"] == str(cell / "cell.zarr/raw")
    assert region["labels"] == str(cell / "cell.zarr/labels/mito")
    assert region["roi"] == ":,:,:48"
    (region,) = fields["validation"]
    assert (region["roi"], region["name"]) == (":24,:,48:", "cell.zarr/raw")
    (scores,) = fields["best_checkpoint"]["regions"]
    assert scores["region"] == region["name"]
    assert scores["f1"] == fields["best_checkpoint"]["f1"]
    assert fields["network"]["features"] == 2


def test_an_unfinished_run_states_where_it_resumes(unfinished):
    fields = describe(unfinished)
    assert (fields["state"], fields["resumes_at"]) == ("unfinished", 3)
    assert (fields["iteration"], fields["planned_iterations"]) == (3, 6)
    assert fields["checkpoints"] == [3]


def test_a_run_without_a_checkpoint(cell, tmp_path):
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=tmp_path / "run", progress=partial(stop, at=1))
    fields = describe(tmp_path / "run")
    assert (fields["state"], fields["resumes_at"], fields["checkpoints"]) == ("unfinished", 0, [])
    assert fields["best_checkpoint"] is fields["last_checkpoint"] is None


def test_info_prints_a_table_or_json(run, capsys):
    assert main(["info", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(describe(run)))
    assert main(["info", str(run)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    for line in ("state finished", "structure mito", "voxel size (z, y, x) 10 x 10 x 10 nm",
                 "validation regions loss precision recall F1 voxels", "[[train]]",
                 "ROI :,:,:48", "[[validation]]", "checkpoints 3, 6"):  # fmt: skip
        assert line in lines


def test_a_checkpoint_and_a_converted_model(run, tmp_path):
    fields = describe(run / "checkpoints/00000003")
    assert (fields["iteration"], fields["structure"], fields["origin"]) == (3, "mito", None)
    funlib.save(tmp_path / "m.pt", funlib.random_state(levels=2))
    convert_model(tmp_path / "m.pt", tmp_path / "m", structure="er", voxel_size=(5.0, 4.0, 4.0))
    fields = describe(tmp_path / "m")
    assert (fields["structure"], fields["voxel_size"]) == ("er", [5, 4, 4])
    assert fields["origin"]["file"] == "m.pt"


def test_a_damaged_run_is_one_line(tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    assert main(["info", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "key 'state' is missing; give 'running' or 'finished'" in line


def change_metrics(run, folder, change):
    """Write `run.json` of a run with other rows of metrics."""
    document = json.loads((run / "run.json").read_text())
    for row in document["metrics"]:
        change(row)
    (folder / "run.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.pop("train_loss"), "key 'metrics.0.train_loss' is missing; give a number"),
        (lambda row: row.update(f1="high"), "'metrics.0.f1': give a number; got 'high'"),
        (lambda row: row.update(recal=1), "unknown key 'metrics.0.recal'; did you mean 'recall'?"),
        (
            lambda row: row["regions"][0].pop("region"),
            "key 'metrics.0.regions.0.region' is missing; give text in quotes",
        ),
    ],
)
def test_damaged_metrics_are_one_line(run, tmp_path, capsys, change, message):
    change_metrics(run, tmp_path, change)
    for words in (["info", tmp_path], ["train", run.parent / "train.toml", "--out", tmp_path]):
        assert main(list(map(str, words))) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"asem: {tmp_path / 'run.json'}: ")
        assert message in line


def test_metrics_without_scores_of_regions_can_be_read(run, tmp_path):
    """As runs of earlier versions have them."""
    later = ("regions", "true_positives", "false_positives", "false_negatives", "voxels")
    change_metrics(run, tmp_path, lambda row: [row.pop(key) for key in later])
    before, fields = describe(run)["last_checkpoint"], describe(tmp_path)["last_checkpoint"]
    assert fields == before | {"voxels": None, "regions": []}
    assert main(["info", str(tmp_path)]) == 0


def test_an_unfinished_run_is_named_when_it_is_used(unfinished, run, caplog):
    assert find_checkpoint(run).name in ("00000003", "00000006")
    assert not caplog.records
    assert find_checkpoint(unfinished).name == "00000003"
    (line,) = caplog.messages
    assert line == (
        f"{unfinished}: the training is not finished (3 of 6 iterations); the checkpoint of "
        "iteration 3 is used"
    )


def test_predict_prints_which_checkpoint_of_an_unfinished_run_it_uses(
    cell, unfinished, tmp_path, capsys
):
    words = ["predict", unfinished, cell / "cell.zarr/raw", tmp_path / "p", "--dry-run"]
    assert main(list(map(str, words))) == 0
    logged = " ".join(capsys.readouterr().err.split())
    assert logged.count("the training is not finished (3 of 6 iterations)") == 1
    assert "the checkpoint of iteration 3 is used" in logged
