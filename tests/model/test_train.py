import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from asem.model import checkpoint
from asem.model.config import OptimizerConfig, TrainConfig
from asem.model.inference import Runner
from asem.model.sampling import load_sample
from asem.model.train import Run, learning_rate, make_optimizer
from asem.model.unet import UNet
from asem.model.validation import validate
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume
from asem.workflows.train import train_model


class Stop(Exception):
    pass


def stop(stage, done, total):
    if done == 5:
        raise Stop


def weights(run, iteration=6):
    return load_file(run / "checkpoints" / f"{iteration:08d}" / checkpoint.WEIGHTS)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_a_run_has_its_parts(run):
    assert {p.name for p in run.iterdir()} >= {
        "run.json",
        "metrics.csv",
        "checkpoints",
        "curves.png",
    }
    assert any(p.name.startswith("events.out.tfevents") for p in run.iterdir())
    document = json.loads((run / "run.json").read_text())
    assert (document["state"], document["iteration"]) == ("finished", 6)
    assert document["best"] in (3, 6)
    header, *rows = (run / "metrics.csv").read_text().splitlines()
    assert header == "iteration,train_loss,validation_loss,precision,recall,f1,seconds"
    assert [row.split(",")[0] for row in rows] == ["3", "6"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(cell, run, tmp_path):
    train_model(cell / "train.toml", out=tmp_path / "again")
    assert same(weights(run), weights(tmp_path / "again"))
    text = (cell / "train.toml").read_text().replace("batch = 1", "batch = 1\nseed = 1", 1)
    (cell / "seed.toml").write_text(text)
    train_model(cell / "seed.toml", out=tmp_path / "other")
    assert not same(weights(run), weights(tmp_path / "other"))


def test_an_interrupted_run_ends_as_an_uninterrupted_one(cell, run, tmp_path):
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=tmp_path / "run", progress=stop)
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "running"
    begun = []
    train_model(
        cell / "train.toml", out=tmp_path / "run", progress=lambda s, done, n: begun.append(done)
    )
    assert begun[0] == 3
    assert same(weights(run), weights(tmp_path / "run"))
    columns = [
        [row.rsplit(",", 1)[0] for row in (folder / "metrics.csv").read_text().splitlines()]
        for folder in (run, tmp_path / "run")
    ]
    assert columns[0] == columns[1]


def test_what_may_not_be_trained_over(cell, run, tmp_path):
    with pytest.raises(FileExistsError, match="is a finished run; give another --out"):
        train_model(cell / "train.toml", out=run)
    text = (cell / "train.toml").read_text().replace("iterations = 6", "iterations = 7")
    (cell / "longer.toml").write_text(text)
    unfinished = tmp_path / "unfinished"
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=unfinished, progress=stop)
    with pytest.raises(
        FileExistsError, match=r"unfinished run of another kind .it differs in train"
    ):
        train_model(cell / "longer.toml", out=unfinished)
    train_model(cell / "longer.toml", out=unfinished, overwrite=True)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter1.tex").write_text("...")
    with pytest.raises(FileExistsError, match="exists and is no run directory"):
        train_model(cell / "train.toml", out=thesis, overwrite=True)
    (thesis / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="key 'state' is missing"):
        train_model(cell / "train.toml", out=thesis, overwrite=True)
    assert (thesis / "chapter1.tex").exists()


def test_a_run_does_not_go_on_with_other_data(cell, tmp_path):
    import_volume(cell / "cell.zarr/raw", tmp_path / "cell.zarr/raw")
    labels = tmp_path / "cell.zarr/labels/mito"
    import_volume(cell / "cell.zarr/labels/mito", labels)
    shutil.copy(cell / "train.toml", tmp_path)
    with pytest.raises(Stop):
        train_model(tmp_path / "train.toml", out=tmp_path / "run", progress=stop)
    import_volume(cell / "cell.zarr/labels/mito", labels, overwrite=True)
    with pytest.raises(FileExistsError, match="differs in inputs"):
        train_model(tmp_path / "train.toml", out=tmp_path / "run")


def test_a_start_that_failed_blocks_nothing(cell, tmp_path):
    (tmp_path / "run/.asem").mkdir(parents=True)
    (tmp_path / "run/.asem/lock").touch()
    assert train_model(cell / "train.toml", out=tmp_path / "run")["iteration"] == 6
    assert not (tmp_path / "run/.asem").exists()


def test_the_schedule_is_used(cell, run, tmp_path):
    text = (cell / "train.toml").read_text()
    (cell / "cosine.toml").write_text(
        text.replace("learning_rate = 1e-2", 'learning_rate = 1e-2\nschedule = "cosine"')
    )
    train_model(cell / "cosine.toml", out=tmp_path / "run")
    assert not same(weights(run), weights(tmp_path / "run"))


def test_a_run_can_be_moved(run, tmp_path):
    shutil.copytree(run, tmp_path / "moved")
    moved, here = (checkpoint.find_checkpoint(path) for path in (tmp_path / "moved", run))
    assert moved.is_relative_to(tmp_path)
    assert checkpoint.weights_hash(moved) == checkpoint.weights_hash(here)


def test_training_without_validation_keeps_the_last(cell, tmp_path):
    text = (cell / "train.toml").read_text().split("[[validation]]")[0]
    (cell / "alone.toml").write_text(text)
    result = train_model(cell / "alone.toml", out=tmp_path / "run")
    assert result["best"] == 6
    assert result["metrics"]["f1"] is None


def test_training_lowers_the_loss(cell, tmp_path):
    text = (cell / "train.toml").read_text()
    text = text.replace("iterations = 6", "iterations = 150")
    text = text.replace("validate_every = 3", "validate_every = 50")
    (cell / "learn.toml").write_text(text)
    train_model(cell / "learn.toml", out=tmp_path / "run")
    rows = checkpoint.read_run(tmp_path / "run").metrics
    losses = [row["train_loss"] for row in rows]
    assert losses[2] < losses[1] < losses[0]
    assert rows[-1]["f1"] > 0.6


def test_the_validation_score_is_what_evaluate_says(cell, run, tmp_path):
    net, info = checkpoint.load_checkpoint(checkpoint.find_checkpoint(run))
    config = TrainConfig.from_toml(cell / "train.toml")
    sample = load_sample(config.validation[0], config)
    runner = Runner(net, torch.device("cpu"), "32")
    row = validate(runner, [sample], config)
    predict_volume(run, cell / "cell.zarr/raw", tmp_path / "p", roi=":,:,48:", precision="32")
    import_volume(cell / "cell.zarr/labels/mito", tmp_path / "labels", roi=":,:,48:")
    scores = evaluate_volume(tmp_path / "p", tmp_path / "labels", structure_name="mito")
    keys = ("precision", "recall", "f1")
    zoned, whole = ([scores[part][key] for key in keys] for part in ("exclusion_zone", "all"))
    assert [row[key] for key in keys] == pytest.approx(zoned, abs=1e-4)
    assert zoned != pytest.approx(whole, abs=1e-3)
    assert np.isfinite(row["validation_loss"])
    assert info.iteration in (3, 6)


def test_the_best_checkpoint(tmp_path):
    def best(*scores):
        rows = [{"iteration": 10 * n, "f1": f1} for n, f1 in enumerate(scores, 1)]
        return Run(tmp_path, None, rows=rows).best

    assert best(0.1, 0.5, 0.5, 0.2) == 20
    assert best(None, None) == 20
    assert best(None, 0.1, None) == 20
    assert best() is None


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers(name, kind):
    optimizer = make_optimizer(OptimizerConfig(name=name, weight_decay=0.25), UNet(TINY))
    assert type(optimizer) is kind
    assert optimizer.defaults["weight_decay"] == 0.25


def test_learning_rates():
    constant = OptimizerConfig()
    assert {learning_rate(constant, i, 9) for i in range(9)} == {3e-5}
    cosine = OptimizerConfig(learning_rate=1, schedule="cosine", warmup=4)
    rates = [learning_rate(cosine, i, 100) for i in range(100)]
    assert rates[0] == 0.25
    assert max(rates) == rates[3]
    assert rates[50] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3


TINY = TrainConfig.model_validate(
    {
        "structure": "mito",
        "voxel_size": (5, 5, 5),
        "train": [{"raw": "r", "labels": "l"}],
        "model": {"features": 1, "levels": 1},
    }
).model


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda p: (p / checkpoint.WEIGHTS).write_bytes(b"\x00" * 40), "is damaged or of another"),
        (lambda p: save_file({"x": torch.zeros(1)}, p / checkpoint.WEIGHTS), "of another network"),
        (lambda p: (p / checkpoint.STATE).write_text("{"), "state.json is damaged"),
        (
            lambda p: (p / checkpoint.STATE).write_text('{"asem": "1"}'),
            "key 'iteration' is missing",
        ),
    ],
)
def test_a_damaged_checkpoint_is_told(run, tmp_path, break_it, message):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint.find_checkpoint(run), folder)
    checkpoint.load_checkpoint(folder)
    assert checkpoint.find_checkpoint(folder) == folder
    break_it(folder)
    with pytest.raises(ValueError, match=message):
        checkpoint.load_checkpoint(folder)


def stop_at_once(stage, done, total):
    raise Stop


def test_what_is_no_checkpoint(cell, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is nothing"):
        checkpoint.find_checkpoint(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is no checkpoint"):
        checkpoint.find_checkpoint(tmp_path)
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=tmp_path / "run", progress=stop_at_once)
    with pytest.raises(ValueError, match="has no checkpoint yet"):
        checkpoint.find_checkpoint(tmp_path / "run")
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ValueError, match=r"run.json is damaged"):
        checkpoint.find_checkpoint(tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(cell, tmp_path):
    text = (cell / "train.toml").read_text().replace("learning_rate = 1e-2", "learning_rate = 1e30")
    (cell / "hot.toml").write_text(text)
    with pytest.raises(ValueError, match=r"the loss became .* smaller optimizer.learning_rate"):
        train_model(cell / "hot.toml", out=tmp_path / "run")


@pytest.mark.gpu
def test_training_on_a_gpu(cell, tmp_path):
    text = (cell / "train.toml").read_text().replace('device = "cpu"', 'device = "cuda"')
    (cell / "gpu.toml").write_text(text.replace('precision = "32"', 'precision = "bf16"'))
    result = train_model(cell / "gpu.toml", out=tmp_path / "run")
    assert np.isfinite(result["metrics"]["train_loss"])
    predict_volume(tmp_path / "run", cell / "cell.zarr/raw", tmp_path / "p", device="cuda:0")
