import csv
import importlib
import json
import os
import shutil
import signal
import sys
import sysconfig
import threading
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import conv3d

import killed
from asem.model import checkpoint
from asem.model.checkpoint_info import CheckpointInfo
from asem.model.inference import NetworkRunner
from asem.model.run_metrics import MetricsRow, RegionScores
from asem.model.unet import UNet
from asem.training import mlflow_logger, training_checkpoint
from asem.training.batches import BatchLoader
from asem.training.config import OptimizerConfig, TrainConfig
from asem.training.distributed import SingleNodeDDPStrategy, launch, make_fabric
from asem.training.labelled_regions import load_region
from asem.training.optimizer import ExponentialMovingAverage, learning_rate, make_optimizer
from asem.training.training_loop import LOSS_READ_INTERVAL
from asem.training.training_run import TrainingRun
from asem.training.validation import validate
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume
from asem.workflows.run_training import TrainingSpec
from asem.workflows.train import finetune_model, train_model

TINY = TrainConfig.model_validate(
    {
        "structure": "mito",
        "voxel_size": (5, 5, 5),
        "train": [{"raw": "r", "labels": "l"}],
        "model": {"features": 1, "levels": 1},
    }
)
INFO = CheckpointInfo(
    asem="0",
    iteration=0,
    structure="mito",
    voxel_size=(5, 5, 5),
    model=TINY.model,
    training=TINY.model_dump(mode="json"),
    inputs=(),
    device="cpu",
    precision="32",
)


class Stop(Exception):
    pass


VARIABLE = "MLFLOW_DISABLE_TELEMETRY"
HEADERS = Path(sysconfig.get_paths()["include"]) / "Python.h"


@pytest.fixture
def curves():
    """Request in tests that plot the loss curves."""


@pytest.fixture(autouse=True)
def no_curves(request, monkeypatch):
    """Skip plotting the curves, the slowest part here; those of `run` are plotted."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr("asem.workflows.run_training._save_curves", lambda run: None)


def stop(stage, done, total):
    if done == 5:
        raise Stop


def weights(run, iteration=6):
    return load_file(run / "checkpoints" / f"{iteration:08d}" / checkpoint.WEIGHTS_FILE)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def columns(run):
    """Return the metrics without the seconds."""
    return [row.rsplit(",", 1)[0] for row in (run / "metrics.csv").read_text().splitlines()]


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
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["iteration"], row["region"]) for row in rows] == [
        (iteration, region) for iteration in "36" for region in ("pooled", "cell.zarr/raw")
    ]
    for row in document["metrics"]:
        assert row["regions"][0]["f1"] == row["f1"]


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
    steps = []
    train_model(
        cell / "train.toml", out=tmp_path / "run", progress=lambda s, done, n: steps.append(done)
    )
    assert steps[0] == 3
    assert same(weights(run), weights(tmp_path / "run"))
    assert columns(run) == columns(tmp_path / "run")


def test_a_killed_run_with_several_regions_ends_with_the_same_table(cell, tmp_path):
    """Names may change: those of the last training file are in all rows."""
    head, _, table = (cell / "train.toml").read_text().partition("[[validation]]")
    second = table.replace(":,:,48:", ":20,:,60:")

    def write(name):
        text = f"{head}[[validation]]{table}[[validation]]{second}name = {json.dumps(name)}\n"
        (cell / "several.toml").write_text(text.replace("iterations = 6", "iterations = 9"))
        return cell / "several.toml"

    train_model(write("naïve, cell"), out=tmp_path / "whole")
    with pytest.raises(Stop):
        train_model(write("first name"), out=tmp_path / "run", progress=stop)
    assert [row.split(",")[1] for row in columns(tmp_path / "run")[1:]] == [
        "pooled",
        "cell.zarr/raw",
        "first name",
    ]
    train_model(write("naïve, cell"), out=tmp_path / "run")
    assert columns(tmp_path / "run") == columns(tmp_path / "whole")
    assert len(columns(tmp_path / "run")) == 1 + 3 * 3


def test_a_resumed_run_in_bf16_gives_the_same_result(cell, tmp_path):
    text = (cell / "train.toml").read_text().replace('precision = "32"', 'precision = "bf16"')
    (cell / "bf16.toml").write_text(text)
    train_model(cell / "bf16.toml", out=tmp_path / "whole")
    with pytest.raises(Stop):
        train_model(cell / "bf16.toml", out=tmp_path / "run", progress=stop)
    train_model(cell / "bf16.toml", out=tmp_path / "run")
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))
    assert columns(tmp_path / "whole") == columns(tmp_path / "run")


def interrupt(stage, done, total, *, at=4):
    if done == at:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("every", "at"), [(1, 4), (2, 3)])
def test_ctrl_c_saves_a_checkpoint_and_the_same_call_resumes(
    cell, run, tmp_path, monkeypatch, every, at
):
    """With losses read every second iteration, an interrupt in the fourth stops after the fifth."""
    monkeypatch.setitem(LOSS_READ_INTERVAL, "cpu", every)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_model(cell / "train.toml", out=tmp_path / "run", progress=partial(interrupt, at=at))
    assert (tmp_path / "run/checkpoints/00000005").is_dir()
    steps = []
    train_model(
        cell / "train.toml", out=tmp_path / "run", progress=lambda s, done, n: steps.append(done)
    )
    assert steps[0] == 5
    assert same(weights(run), weights(tmp_path / "run"))
    assert columns(run) == columns(tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_resumed_on_request(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    longer = cell / "further.toml"
    text = (cell / "train.toml").read_text()
    longer.write_text(text.replace("iterations = 6", "iterations = 9"))
    result = train_model(longer, out=tmp_path / "run", resume=True)
    assert result["iteration"] == 9
    train_model(longer, out=tmp_path / "whole")
    assert same(weights(tmp_path / "whole", 9), weights(tmp_path / "run", 9))
    assert columns(tmp_path / "whole") == columns(tmp_path / "run")
    longer.write_text(text.replace("patch = 24", "patch = 28"))
    with pytest.raises(
        FileExistsError, match=r"is a run of other settings or data .it differs in patch"
    ):
        train_model(longer, out=tmp_path / "run", resume=True)
    with pytest.raises(FileNotFoundError, match=r"no run at .*none to resume"):
        train_model(longer, out=tmp_path / "none", resume=True)


def test_overwrite_excludes_resume(cell, run):
    for options in ({"resume": True}, {"resume_at": 3}):
        with pytest.raises(ValueError, match="--overwrite would delete the run"):
            train_model(cell / "train.toml", out=run, overwrite=True, **options)
    assert (run / "run.json").exists()


def test_a_checkpoint_is_saved_before_validation_can_fail(cell, run, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr("asem.training.training_loop.validate", fail)
        with pytest.raises(ValueError, match="out of memory"):
            train_model(cell / "train.toml", out=tmp_path / "run")
    assert (tmp_path / "run/checkpoints/00000003").is_dir()
    steps = []
    train_model(
        cell / "train.toml", out=tmp_path / "run", progress=lambda s, done, n: steps.append(done)
    )
    assert steps[0] == 3
    assert same(weights(run), weights(tmp_path / "run"))
    assert columns(run) == columns(tmp_path / "run")


def test_regions_on_disk_train_as_those_in_memory(cell, run, tmp_path, monkeypatch):
    """A thread then prefetches the patches."""
    monkeypatch.setattr("asem.training.labelled_regions.free_memory_bytes", lambda: 1000)
    train_model(cell / "train.toml", out=tmp_path / "run")
    assert same(weights(run), weights(tmp_path / "run"))
    assert columns(run) == columns(tmp_path / "run")


def test_moments_have_the_memory_format_of_their_weights(run):
    """Fused optimizers require it."""
    net = UNet(TINY.model.model_copy(update={"features": 2, "levels": 2, "norm": "batch"}))
    net.to(memory_format=torch.channels_last_3d)
    optimizer = make_optimizer(OptimizerConfig(name="adamw"), net)
    training_checkpoint.load_training_state(run / "checkpoints/00000006", net, optimizer)
    for weight, moments in optimizer.state.items():
        assert moments["exp_avg"].stride() == weight.stride()
    assert any(w.dim() == 5 and not w.is_contiguous() for w in net.parameters())


def test_another_precision_is_another_run(cell, tmp_path):
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=tmp_path / "run", progress=stop)
    text = (cell / "train.toml").read_text().replace('precision = "32"', 'precision = "bf16"')
    (cell / "bf16.toml").write_text(text)
    with pytest.raises(FileExistsError, match="differs in precision"):
        train_model(cell / "bf16.toml", out=tmp_path / "run", resume=True)


def test_one_selected_gpu_is_not_two(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    config = TINY.model_copy(update={"device": "cuda:1", "devices": 2, "precision": "32"})
    with pytest.raises(ValueError, match="cuda:1 is one GPU, but 'devices' is 2"):
        make_fabric(config)


def test_a_run_is_resumed_from_any_of_its_checkpoints(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/00000006")
    with pytest.raises(ValueError, match="no validated checkpoint of iteration 4; it has 3"):
        train_model(cell / "train.toml", out=tmp_path / "run", resume_at=4)
    train_model(cell / "train.toml", out=tmp_path / "run", resume_at=3)
    assert same(weights(run), weights(tmp_path / "run"))


def test_a_run_is_rewound_once(cell, run, tmp_path):
    """A command that a batch system repeats resumes; it does not rewind each time."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    with pytest.raises(KeyboardInterrupt):
        train_model(cell / "train.toml", out=folder, resume_at=3, progress=interrupt)
    assert checkpoint.list_checkpoint_iterations(folder) == [3, 5]
    steps = []
    train_model(
        cell / "train.toml", out=folder, resume_at=3, progress=lambda s, done, n: steps.append(done)
    )
    assert steps[0] == 5
    assert same(weights(run), weights(folder))
    train_model(
        cell / "train.toml", out=folder, resume_at=3, progress=lambda s, done, n: steps.append(done)
    )
    assert steps.count(3) == 1  # the run had finished, so that this is a new request


def test_checkpoints_stay_if_the_requested_one_is_missing(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/00000003")
    with pytest.raises(ValueError, match="no validated checkpoint of iteration 3; it has 6"):
        train_model(cell / "train.toml", out=tmp_path / "run", resume_at=3)
    assert checkpoint.list_checkpoint_iterations(tmp_path / "run") == [6]


def test_fewer_iterations_than_are_done(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    text = (cell / "train.toml").read_text().replace("iterations = 6", "iterations = 4")
    (cell / "fewer.toml").write_text(text)
    with pytest.raises(ValueError, match="has done 6 iterations, more than the 4 of"):
        train_model(cell / "fewer.toml", out=tmp_path / "run", resume=True)


def without_norm(cell, name, *changes):
    """Write a training file without batch norm, so that batches can be split."""
    text = (cell / "train.toml").read_text().replace('norm = "batch"', 'norm = "none"')
    for before, after in changes:
        text = text.replace(before, after)
    (cell / name).write_text(text)
    return cell / name


def close(a, b):
    return all(torch.allclose(a[key], b[key], atol=1e-5) for key in a)


def test_two_processes_share_a_batch(cell, tmp_path, monkeypatch):
    """Two devices with two patches each give the result of one device with four micro-batches.

    They resume a run of one device, whose second half they compute. They listen on this machine
    only (PyTorch's default rendezvous opens a port to the network), and do not import from the
    current folder.
    """
    (tmp_path / "multiprocessing.py").write_text("raise SystemExit('imported from here')")
    monkeypatch.chdir(tmp_path)
    one = without_norm(cell, "one.toml", ("batch = 1", "batch = 4\naccumulate = 4"))
    train_model(one, out=tmp_path / "one")
    two = without_norm(cell, "two.toml", ("batch = 1", "batch = 4\ndevices = 2\naccumulate = 2"))
    with pytest.raises(Stop):
        train_model(one, out=tmp_path / "two", progress=stop)
    begun = {p.name for p in (tmp_path / "two").iterdir() if p.name.startswith("events")}
    seen, listening = [], set()

    def record(stage, done, total):
        seen.append(done)
        for process in psutil.Process().children(recursive=True):
            connections = process.net_connections(kind="inet")
            listening.update(c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN)

    result = train_model(two, out=tmp_path / "two", progress=record, resume=True)
    assert result["iteration"] == 6
    assert seen == [3, 4, 5, 6]
    assert listening
    assert listening <= {"127.0.0.1", "::1"}
    assert close(weights(tmp_path / "one"), weights(tmp_path / "two"))
    assert not close(weights(tmp_path / "two", 3), weights(tmp_path / "two"))
    events = {p.name for p in (tmp_path / "two").iterdir() if p.name.startswith("events")}
    assert len(events - begun) == 1


@pytest.fixture
def forked_processes(monkeypatch):
    """Training processes are forked from one that has loaded PyTorch, most of their work.

    Those of `test_two_processes_share_a_batch` load it themselves, as users' do.
    """
    make = SingleNodeDDPStrategy.__init__

    def make_forking(strategy, *, start_method, **options):
        make(strategy, start_method="forkserver", **options)

    assert killed.FORKS.get_start_method() == "forkserver"
    monkeypatch.setattr(SingleNodeDDPStrategy, "__init__", make_forking)


def test_a_signal_to_the_first_process_stops_all(cell, tmp_path, forked_processes):
    """As a batch system sends it; a terminal sends Ctrl-C to every process. One of them resumes."""
    two = without_norm(cell, "stopped.toml", ("batch = 1", "batch = 2\ndevices = 2"))

    def terminate(stage, done, total):
        if done == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    longer = two.read_text().replace("iterations = 6", "iterations = 600")
    two.write_text(longer)
    with pytest.raises(KeyboardInterrupt):
        train_model(two, out=tmp_path / "two", progress=terminate)
    state = checkpoint.read_run_state(tmp_path / "two")
    assert 2 < state.iteration < 600
    assert checkpoint.checkpoint_folder(tmp_path / "two", state.iteration).is_dir()
    end = longer.replace("iterations = 600", f"iterations = {state.iteration + 1}")
    two.write_text(end.replace("devices = 2", "devices = 1"))
    result = train_model(two, out=tmp_path / "two", resume=True)
    assert result["iteration"] == state.iteration + 1


def test_a_signal_before_the_first_iteration(cell, tmp_path, monkeypatch):
    """Processes that still load their libraries are terminated, without an error."""
    two = without_norm(cell, "early.toml", ("batch = 1", "batch = 2\ndevices = 2"))

    def launch_and_stop(*args):
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        launch(*args)

    monkeypatch.setattr("asem.workflows.run_training.launch", launch_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train_model(two, out=tmp_path / "two")
    assert checkpoint.read_run_state(tmp_path / "two").state == "running"


def test_an_error_in_one_of_two_processes_is_raised(cell, tmp_path, forked_processes):
    hot = without_norm(
        cell,
        "two_hot.toml",
        ("batch = 1", "batch = 2\ndevices = 2"),
        ("learning_rate = 1e-2", "learning_rate = 1e30"),
    )
    with pytest.raises(ValueError, match=r"^the loss became"):
        train_model(hot, out=tmp_path / "run")


def test_a_batch_that_cannot_be_shared(cell):
    odd = without_norm(cell, "odd.toml", ("batch = 1", "batch = 3\ndevices = 2"))
    with pytest.raises(
        ValueError, match=r"'batch': 3 patches cannot be divided evenly by 'devices' .2. times"
    ):
        train_model(odd)


def test_norm_statistics_are_those_of_the_averaged_weights(cell, run):
    """Of the first norm: the mean over the iterations' patches, convolved with the checkpoint."""
    spec = TrainingSpec(TrainConfig.from_toml(cell / "train.toml"), run)
    loaded = spec.load()
    batches = BatchLoader(loaded.sampler, loaded.training, make_fabric(spec.config))
    stored = {key: value.double() for key, value in weights(run).items()}
    convolved = [
        conv3d(raw.double(), stored["down.0.0.weight"])
        for iteration in range(6)
        for raw, _, _ in batches.load(iteration)
    ]
    across = (0, 2, 3, 4)
    mean = torch.stack([values.mean(across) for values in convolved]).mean(0)
    variance = torch.stack([values.var(across) for values in convolved]).mean(0)
    tolerance = 1e-2 * variance.sqrt().max()  # where training computes in bf16
    assert torch.allclose(stored["down.0.1.running_mean"], mean, atol=tolerance)
    assert torch.allclose(stored["down.0.1.running_var"], variance, rtol=2e-2)


def test_the_moving_average(cell, tmp_path):
    """By hand over five updates, buffers too; the trained weights stay available."""
    net = UNet(TINY.model.model_copy(update={"norm": "batch"}))
    ema = ExponentialMovingAverage(net, 0.5)
    name = "down.0.0.weight"
    mean = net.state_dict()[name].clone()
    for n in range(5):
        for value in net.state_dict().values():
            value.add_(1)
        ema.update(n)
        decay = min(0.5, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * net.state_dict()[name]
    assert torch.allclose(ema.net.state_dict()[name], mean, atol=1e-6)
    assert ema.net.state_dict()["down.0.1.num_batches_tracked"] == 5
    assert ema.trained_weights().keys() == net.state_dict().keys()
    assert ExponentialMovingAverage(net, 0).trained_weights() == {}
    text = (cell / "train.toml").read_text()
    for decay in (0, 0.9):
        (cell / "mean.toml").write_text(
            text.replace("learning_rate = 1e-2", f"learning_rate = 1e-2\naverage = {decay}")
        )
        train_model(cell / "mean.toml", out=tmp_path / f"run{decay}")
    assert not same(weights(tmp_path / "run0"), weights(tmp_path / "run0.9"))


@pytest.mark.skipif(
    shutil.which("g++") is None or not HEADERS.exists(),
    reason="PyTorch compiles with g++ and Python's headers: apt-get install g++ python3-dev",
)
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_compiled_training_gives_the_same_loss(cell, tmp_path):
    losses = []
    for line in ("compile = false", "compile = true"):
        text = (cell / "train.toml").read_text().replace("levels = 2", "levels = 1")
        (cell / "compiled.toml").write_text(text.replace("batch = 1", f"batch = 1\n{line}"))
        train_model(cell / "compiled.toml", out=tmp_path / line)
        losses.append(checkpoint.read_run_state(tmp_path / line).metrics[-1].train_loss)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_fine_tuning_starts_from_the_weights_of_a_run(cell, run, tmp_path):
    other = tmp_path / "other.toml"
    regions = (
        (cell / "train.toml")
        .read_text()
        .split("[[train]]")[1]
        .replace('"cell.zarr', f'"{cell}/cell.zarr')
    )
    other.write_text(f"iterations = 2\nvalidate_every = 1\n[[train]]{regions}")
    result = finetune_model(run, other, out=tmp_path / "tuned")
    info = checkpoint.read_checkpoint_info(tmp_path / "tuned/checkpoints/00000001")
    best = checkpoint.find_checkpoint(run)
    assert info.started_from == f"{best}: {checkpoint.hash_weights(best)}"
    assert info.model == checkpoint.read_checkpoint_info(best).model
    assert info.training["loss"] == "cross_entropy+dice"
    assert info.training["optimizer"]["learning_rate"] == 1e-2  # as before
    start, tuned = weights(run, result["best"] and int(best.name)), weights(tmp_path / "tuned", 1)
    for key in start:
        if start[key].is_floating_point() and "running" not in key:
            assert (start[key] - tuned[key]).abs().max() < 0.1


def test_fine_tuning_starts_at_the_first_checkpoint_of_the_fit_regime(cell, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    state = json.loads((tmp_path / "run/run.json").read_text())
    (tmp_path / "run/run.json").write_text(json.dumps(state | {"best": 6, "first_fit": 3}))
    other = tmp_path / "other.toml"
    other.write_text(
        "iterations = 1\n"
        f'[[train]]\nraw = "{cell}/cell.zarr/raw"\nlabels = "{cell}/cell.zarr/labels/mito"\n'
    )
    result = finetune_model(tmp_path / "run", other, out=tmp_path / "tuned")
    assert result["started_from"].endswith("checkpoints/00000003")


def test_fine_tuning_does_not_delete_its_initial_checkpoint(cell, run):
    for start in (run, run / "checkpoints/00000003"):
        for overwrite in (False, True):
            with pytest.raises(ValueError, match=r"contains the input .*; give another --out"):
                finetune_model(start, cell / "train.toml", out=run, overwrite=overwrite)
    assert checkpoint.list_checkpoint_iterations(run) == [3, 6]


def test_fine_tuning_without_validation_logs_a_warning(cell, run, tmp_path, caplog):
    other = tmp_path / "other.toml"
    other.write_text(
        "iterations = 4\nvalidate_every = 1\n"
        f'[[train]]\nraw = "{cell}/cell.zarr/raw"\nlabels = "{cell}/cell.zarr/labels/mito"\n'
    )
    result = finetune_model(run, other, out=tmp_path / "tuned")
    assert "the best checkpoint is that at half of the 4 iterations" in caplog.text
    assert result["best"] == 2


def test_a_custom_structure(cell, tmp_path):
    (cell / "nucleus.toml").write_text('name = "nucleus"\nzone_out_nm = 40\nzone_in_nm = 40\n')
    text = (cell / "train.toml").read_text().replace('"mito"', '"nucleus.toml"', 1)
    (cell / "own.toml").write_text(text)
    train_model(cell / "own.toml", out=tmp_path / "own")
    info = checkpoint.read_checkpoint_info(tmp_path / "own/checkpoints/00000006")
    assert info.structure == "nucleus"
    assert info.training["structure"]["zone_out_nm"] == 40
    regions = text[text.index("[[train]]") :]
    (cell / "second.toml").write_text(f"iterations = 1\n{regions}")
    finetune_model(tmp_path / "own", cell / "second.toml", out=tmp_path / "tuned")
    tuned = checkpoint.read_checkpoint_info(tmp_path / "tuned/checkpoints/00000001").training
    assert tuned["structure"] == info.training["structure"]


def test_fine_tuning_inherits_the_range_of_voxel_sizes(cell, run, tmp_path):
    shutil.copytree(run / "checkpoints/00000006", tmp_path / "model")
    state = json.loads((tmp_path / "model" / checkpoint.STATE_FILE).read_text())
    accepted = [[9.0, 10.0, 10.0], [12.0, 10.0, 10.0]]
    state |= {"training": None, "voxel_size_range": accepted}
    (tmp_path / "model" / checkpoint.STATE_FILE).write_text(json.dumps(state))
    for name in ("raw", "labels"):
        kind = "image" if name == "raw" else "labels"
        size = (11.0, 10.0, 10.0)
        import_volume(cell / f"{name}.tif", tmp_path / name, voxel_size=size, kind=kind)
    (tmp_path / "t.toml").write_text(
        'iterations = 1\npatch = 28\ndevice = "cpu"\nresample = false\n'
        '[[train]]\nraw = "raw"\nlabels = "labels"\n'
    )
    finetune_model(tmp_path / "model", tmp_path / "t.toml", out=tmp_path / "tuned")
    info = checkpoint.read_checkpoint_info(tmp_path / "tuned/checkpoints/00000001")
    assert info.voxel_size == (10, 10, 10)
    assert info.voxel_size_range == ((9, 10, 10), (12, 10, 10))
    assert info.training["voxel_size_range"] == accepted


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("voxel_size = [5, 5, 5]", r"'voxel_size' is .* leave it out"),
        ('structure = "er"', "'structure' is er, that of the checkpoint mito"),
        ("[model]\nfeatures = 3", "'model' is"),
    ],
)
def test_fine_tuning_with_other_settings_is_an_error(cell, run, tmp_path, line, message):
    other = tmp_path / "other.toml"
    other.write_text(
        f'{line}\n[[train]]\nraw = "{cell}/cell.zarr/raw"\n'
        f'labels = "{cell}/cell.zarr/labels/mito"\n'
    )
    with pytest.raises(ValueError, match=message):
        finetune_model(run, other, out=tmp_path / "tuned")
    assert not (tmp_path / "tuned").exists()


def test_mlflow_logs_a_training(curves, cell, tmp_path):
    import mlflow

    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=tmp_path / "run", mlflow="local", progress=stop)
    train_model(cell / "train.toml", out=tmp_path / "run", mlflow="local")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "asem mito"]
    (logged,) = client.search_runs([experiment.experiment_id])
    assert logged.info.status == "FINISHED"
    assert logged.data.params["training.optimizer.learning_rate"] == "0.01"
    for key in ("train_loss", "validation/f1/cell.zarr_raw"):
        history = client.get_metric_history(logged.info.run_id, key)
        assert [metric.step for metric in history] == [3, 6]
    names = {entry.path for entry in client.list_artifacts(logged.info.run_id)}
    assert names == {"curves.png", "metrics.csv", "checkpoint"}


@pytest.mark.parametrize(("variables", "disabled"), [({}, True), ({VARIABLE: "false"}, False)])
def test_mlflow_telemetry_is_off_by_default(variables, disabled, monkeypatch):
    from mlflow import environment_variables

    monkeypatch.delenv(VARIABLE, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    importlib.reload(mlflow_logger)
    assert environment_variables.MLFLOW_DISABLE_TELEMETRY.get() is disabled


def test_a_missing_mlflow_is_an_error_before_anything_is_created(cell, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setattr("asem.training.mlflow_logger.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--mlflow needs MLflow: pip install 'asem\[mlflow\]'"):
        train_model(cell / "train.toml", out=tmp_path / "run", mlflow="local")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("server:5000", "--mlflow server:5000: an address has the form http://host:5000"),
        ("htp://server:5000", "--mlflow htp://server:5000: "),
        ("postgresql://server/runs", "--mlflow postgresql://server/runs: "),
    ],
)
def test_a_wrong_mlflow_address_is_an_error_before_anything_is_changed(
    cell, run, tmp_path, address, message
):
    shutil.copytree(run, tmp_path / "run")
    for folder in (tmp_path / "run", tmp_path / "new"):
        with pytest.raises(ValueError, match=message) as caught:
            train_model(cell / "train.toml", out=folder, mlflow=address, overwrite=True)
        assert "\n" not in str(caught.value)
    assert same(weights(run), weights(tmp_path / "run"))
    assert not (tmp_path / "new").exists()


def test_a_run_id_of_another_mlflow_server(cell, tmp_path):
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=tmp_path / "run", mlflow="local", progress=stop)
    (tmp_path / "mlflow.db").unlink()
    with pytest.raises(ValueError, match=r"mlflow_run.txt names a run of another server: delete"):
        train_model(cell / "train.toml", out=tmp_path / "run", mlflow="local")


def test_existing_folders_are_not_overwritten(cell, run, tmp_path):
    with pytest.raises(FileExistsError, match="is a finished run; give another --out"):
        train_model(cell / "train.toml", out=run)
    text = (cell / "train.toml").read_text().replace("iterations = 6", "iterations = 7")
    (cell / "longer.toml").write_text(text)
    unfinished = tmp_path / "unfinished"
    with pytest.raises(Stop):
        train_model(cell / "train.toml", out=unfinished, progress=stop)
    differs = (
        r"unfinished run of other settings or data \(it differs in iterations\); give --resume"
    )
    with pytest.raises(FileExistsError, match=differs):
        train_model(cell / "longer.toml", out=unfinished)
    train_model(cell / "longer.toml", out=unfinished, overwrite=True)
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter1.tex").write_text("...")
    with pytest.raises(FileExistsError, match="exists already and is not a run"):
        train_model(cell / "train.toml", out=thesis, overwrite=True)
    mixed = tmp_path / "mixed"
    shutil.copytree(run, mixed)
    (mixed / "notes.txt").write_text("...")
    with pytest.raises(FileExistsError, match=r"holds more than a run .notes.txt."):
        train_model(cell / "train.toml", out=mixed, overwrite=True)
    assert (mixed / "run.json").exists()
    (thesis / "run.json").write_text("{}")
    with pytest.raises(ValueError, match="key 'state' is missing"):
        train_model(cell / "train.toml", out=thesis, overwrite=True)
    assert (thesis / "chapter1.tex").exists()


def test_a_run_is_not_resumed_with_other_data(cell, tmp_path):
    import_volume(cell / "cell.zarr/raw", tmp_path / "cell.zarr/raw")
    labels = tmp_path / "cell.zarr/labels/mito"
    import_volume(cell / "cell.zarr/labels/mito", labels)
    shutil.copy(cell / "train.toml", tmp_path)
    with pytest.raises(Stop):
        train_model(tmp_path / "train.toml", out=tmp_path / "run", progress=stop)
    shutil.move(tmp_path / "cell.zarr", tmp_path / "elsewhere.zarr")
    labels = tmp_path / "elsewhere.zarr/labels/mito"
    text = (tmp_path / "train.toml").read_text().replace("cell.zarr", "elsewhere.zarr")
    (tmp_path / "train.toml").write_text(text)
    with pytest.raises(Stop):  # it resumes, since the data are the same
        train_model(tmp_path / "train.toml", out=tmp_path / "run", progress=stop)
    import_volume(cell / "cell.zarr/labels/mito", labels, overwrite=True)
    with pytest.raises(FileExistsError, match="differs in inputs"):
        train_model(tmp_path / "train.toml", out=tmp_path / "run")
    with pytest.raises(FileExistsError, match="differs in inputs"):
        train_model(tmp_path / "train.toml", out=tmp_path / "run", resume=True)


def test_a_failed_start_does_not_block_the_next(cell, tmp_path):
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
    assert checkpoint.hash_weights(moved) == checkpoint.hash_weights(here)


def test_training_without_validation_uses_the_last_checkpoint(cell, tmp_path):
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
    rows = checkpoint.read_run_state(tmp_path / "run").metrics
    losses = [row.train_loss for row in rows]
    assert losses[2] < losses[1] < losses[0]
    assert rows[-1].f1 > 0.6


def test_the_validation_score_equals_that_of_evaluate(cell, run, tmp_path):
    net, info = checkpoint.load_checkpoint(checkpoint.find_checkpoint(run))
    config = TrainConfig.from_toml(cell / "train.toml")
    region = load_region(config.validation[0], config)
    runner = NetworkRunner(net, torch.device("cpu"), "32")
    row, _ = validate(runner, [region], config)
    predict_volume(run, cell / "cell.zarr/raw", tmp_path / "p", roi=":24,:,48:", precision="32")
    import_volume(cell / "cell.zarr/labels/mito", tmp_path / "labels", roi=":24,:,48:")
    scores = evaluate_volume(tmp_path / "p", tmp_path / "labels", structure_name="mito")
    keys = ("precision", "recall", "f1")
    zoned, whole = ([scores[part][key] for key in keys] for part in ("exclusion_zone", "all"))
    assert [getattr(row, key) for key in keys] == pytest.approx(zoned, abs=1e-4)
    assert zoned != pytest.approx(whole, abs=1e-3)
    assert np.isfinite(row.validation_loss)
    assert info.iteration in (3, 6)


def metrics_row(iteration, *, loss=None, f1=None, regions=()):
    return MetricsRow(
        iteration=iteration,
        train_loss=1,
        validation_loss=loss,
        f1=f1,
        seconds=1,
        regions=tuple(
            RegionScores(region=name, **scores) for name, scores in dict(regions).items()
        ),
    )


def test_the_best_checkpoint(tmp_path):
    def best(*scores):
        rows = [metrics_row(10 * n, loss=f1, f1=f1) for n, f1 in enumerate(scores, 1)]
        return TrainingRun(tmp_path, TINY, INFO, metrics=rows).best

    assert best(0.1, 0.5, 0.5, 0.2) == 20
    assert best(None, None) == 20
    assert best(None, 0.1, None) == 20
    assert best() is None


def test_without_a_score_above_0_the_lowest_loss_is_best(tmp_path):
    """An exclusion zone that contains all of a thin annotation leaves no F1."""
    rows = [metrics_row(n, loss=loss, f1=0.0) for n, loss in ((1, 5.0), (2, 3.0), (3, 4.0))]
    assert TrainingRun(tmp_path, TINY, INFO, metrics=rows).best == 2


def test_of_a_fit_regime_the_middle_is_best_or_the_end_of_a_decreasing_rate(tmp_path):
    losses = [9, 5, 3, 1, 1, 1, 1, 1, 3, 6]
    rows = [metrics_row(n, loss=loss, f1=n / 100) for n, loss in enumerate(losses, 1)]
    run = TrainingRun(tmp_path, TINY, INFO, metrics=rows)
    run.save("finished")
    state = checkpoint.read_run_state(tmp_path)
    assert (state.best, state.first_fit) == (6, 4)
    optimizer = TINY.optimizer.model_copy(update={"schedule": "cosine"})
    run.config = TINY.model_copy(update={"optimizer": optimizer})
    run.save("finished")
    state = checkpoint.read_run_state(tmp_path)
    assert (state.best, state.first_fit) == (8, 8)


def test_scores_of_single_regions_change_neither_the_fit_regime_nor_the_best(tmp_path):
    losses = [9, 5, 3, 1, 1, 1, 1, 1, 3, 6]

    def choose(pooled, alone):
        rows = [
            metrics_row(
                n,
                loss=one,
                f1=one / 10,
                regions={"a": {"validation_loss": other, "f1": other / 10}, "b": {}},
            )
            for n, (one, other) in enumerate(zip(pooled, alone, strict=True), 1)
        ]
        run = TrainingRun(tmp_path, TINY, INFO, metrics=rows)
        return run.fit_regime, run.best

    assert choose(losses, losses[::-1]) == choose(losses, losses)
    assert choose(losses, losses) != choose(losses[::-1], losses)
    assert choose([3, 2, 4], [9, 8, 7]) == (None, 3)


def test_fine_tuning_without_validation_uses_the_checkpoint_at_half(tmp_path):
    rows = [metrics_row(n) for n in (30, 60, 90, 100)]
    config = TINY.model_copy(update={"iterations": 100})
    tuned = INFO.model_copy(update={"started_from": "somewhere"})
    assert TrainingRun(tmp_path, config, tuned, metrics=rows).best == 30
    assert TrainingRun(tmp_path, config, INFO, metrics=rows).best == 100


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers(name, kind):
    optimizer = make_optimizer(OptimizerConfig(name=name, weight_decay=0.25), UNet(TINY.model))
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


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda p: (p / checkpoint.WEIGHTS_FILE).write_bytes(b"\x00" * 40),
            "is damaged or of another",
        ),
        (
            lambda p: save_file({"x": torch.zeros(1)}, p / checkpoint.WEIGHTS_FILE),
            "of another network",
        ),
        (lambda p: (p / checkpoint.STATE_FILE).write_text("{"), "state.json is damaged"),
        (
            lambda p: (p / checkpoint.STATE_FILE).write_text('{"asem": "1"}'),
            "key 'iteration' is missing",
        ),
    ],
)
def test_a_damaged_checkpoint_is_an_error(run, tmp_path, break_it, message):
    folder = tmp_path / "checkpoint"
    shutil.copytree(checkpoint.find_checkpoint(run), folder)
    checkpoint.load_checkpoint(folder)
    assert checkpoint.find_checkpoint(folder) == folder
    break_it(folder)
    with pytest.raises(ValueError, match=message):
        checkpoint.load_checkpoint(folder)


def stop_at_once(stage, done, total):
    raise Stop


def test_paths_without_a_checkpoint(cell, tmp_path):
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


def test_a_loss_that_is_not_finite_stops_the_run(cell, tmp_path):
    text = (cell / "train.toml").read_text().replace("learning_rate = 1e-2", "learning_rate = 1e30")
    (cell / "hot.toml").write_text(text)
    with pytest.raises(ValueError, match=r"the loss became .* smaller optimizer.learning_rate"):
        train_model(cell / "hot.toml", out=tmp_path / "run")


@pytest.mark.gpu
def test_training_on_a_gpu(cell, tmp_path):
    text = (cell / "train.toml").read_text().replace('device = "cpu"', 'device = "cuda"')
    (cell / "gpu.toml").write_text(text.replace('precision = "32"', 'precision = "bf16"'))
    with pytest.raises(KeyboardInterrupt):
        train_model(cell / "gpu.toml", out=tmp_path / "run", progress=interrupt)
    result = train_model(cell / "gpu.toml", out=tmp_path / "run")
    assert np.isfinite(result["metrics"]["train_loss"])
    predict_volume(tmp_path / "run", cell / "cell.zarr/raw", tmp_path / "p", device="cuda:0")
