"""Predictions with masks, thresholds, several networks and images, Dask and little memory."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from asem.blocks.block_results import BlockResults
from asem.blocks.current_worker import WorkerInfo
from asem.blocks.output_image import create_image
from asem.cli import main
from asem.model import block_prediction, device_pool
from asem.model.block_prediction import BlockPredictor, find_required_raw, load_in_memory
from asem.model.checkpoint import find_checkpoint, load_checkpoint, save_model
from asem.model.config import ModelConfig
from asem.model.device_pool import DevicePool, NetworkSpec, load_runner
from asem.model.inference import predict_array
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.volume.zarr_arrays import create_scratch
from asem.workflows.describe import describe_volume
from asem.workflows.predict import predict_inputs, predict_volume
from asem.workflows.prediction_inputs import PredictionInputs
from asem.workflows.segment import segment_volume
from networks import seeded

SHARD = (16, 48, 40)


def voxels(path):
    volume = open_volume(path)
    return volume.read(volume.roi)


@pytest.fixture(scope="module")
def raw(cell):
    return cell / "cell.zarr/raw"


@pytest.fixture(scope="module")
def whole(run, raw, tmp_path_factory):
    """The probability of everything, in tiles of 24."""
    path = tmp_path_factory.mktemp("whole") / "p"
    predict_volume(run, raw, path, precision="32", tile=24)
    return path


@pytest.fixture(scope="module")
def coarse(run, tmp_path_factory):
    """The network of `run` with a voxel size of 20 nm."""
    net, info = load_checkpoint(find_checkpoint(run))
    path = tmp_path_factory.mktemp("coarse") / "model"
    info = info.model_copy(update={"voxel_size": (20.0, 20.0, 20.0), "training": None})
    save_model(path, info, net.state_dict())
    return path


@pytest.fixture(scope="module")
def deep(run, tmp_path_factory):
    """A network that reads more behind a voxel than before it, as the paper's does."""
    _, info = load_checkpoint(find_checkpoint(run))
    info = info.model_copy(update={"model": ModelConfig(features=1, levels=3), "training": None})
    path = tmp_path_factory.mktemp("deep") / "model"
    save_model(path, info, seeded(info.model).state_dict())
    return path


def mask_of(raw, path, boxes):
    """Write a mask that is 1 in some boxes."""
    sample = open_volume(raw)
    filled = np.zeros(sample.shape, np.uint8)
    for box in boxes:
        filled[box.slices] = 1
    template = sample.zeros(sample.roi, dtype=np.uint8, kind="labels", window=None)
    with create_image(path, template, command="test", request={}, sources=[]) as output:
        output.fill(lambda block: filled[block.slices], stage="fill", voxel_bytes=1)
    return filled


@pytest.mark.parametrize(
    "boxes",
    [[Roi((3, 5, 7), (9, 20, 20)), Roi((10, 30, 50), (20, 10, 15))], []],
    ids=["two boxes", "nothing"],
)
def test_outside_of_a_mask_the_result_is_0(run, raw, whole, tmp_path, monkeypatch, boxes):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    filled = mask_of(raw, tmp_path / "mask", boxes)
    computed = []

    def counted(*args, **options):
        predicted = predict_array(*args, **options)
        computed.append(predicted.size)
        return predicted

    monkeypatch.setattr(block_prediction, "predict_array", counted)
    predict_volume(run, raw, tmp_path / "p", mask=tmp_path / "mask", precision="32", tile=24)
    expected = voxels(whole).astype(int) * filled
    assert np.abs(voxels(tmp_path / "p") - expected).max() <= 1
    assert not voxels(tmp_path / "p")[filled == 0].any()
    assert sum(computed) < 0.5 * filled.size  # not outside of the boxes
    assert bool(computed) == bool(boxes)
    request = describe_volume(tmp_path / "p")["made_by"]["request"]
    assert request["mask"] == open_volume(tmp_path / "mask").identity


def test_a_threshold_writes_labels(run, raw, whole, tmp_path):
    threshold = float(np.median(voxels(whole))) / 255
    predict_volume(run, raw, tmp_path / "s", threshold=threshold, precision="32", tile=24)
    segment_volume(whole, tmp_path / "expected", threshold=threshold)
    written, expected = open_volume(tmp_path / "s"), open_volume(tmp_path / "expected")
    assert (written.kind, written.dtype) == (expected.kind, expected.dtype)
    assert (voxels(tmp_path / "s") == voxels(tmp_path / "expected")).all()
    assert 0 < voxels(tmp_path / "s").mean() < 1


def test_dask_workers_give_the_same_bits(run, raw, whole, tmp_path, monkeypatch, two_workers):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    predict_volume(run, raw, tmp_path / "here", precision="32", tile=24)
    predict_volume(run, raw, tmp_path / "there", precision="32", tile=24, executor=two_workers)
    # The tile is chosen for the workers' memory; they share this machine.
    predict_volume(run, raw, tmp_path / "fitted", precision="32", executor=two_workers)
    assert (voxels(tmp_path / "there") == voxels(tmp_path / "here")).all()
    assert np.abs(voxels(whole).astype(int) - voxels(tmp_path / "there")).max() <= 1
    facts = describe_volume(tmp_path / "there")["made_by"]["facts"]
    assert facts["devices"] == ["cpu, 1 threads"]
    assert facts["stages"]["network"]["seconds"] > 0


@pytest.mark.gpu
def test_blocks_that_share_a_gpu(run, raw, whole, tmp_path, monkeypatch):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    for name in ("once", "again"):
        predict_volume(run, raw, tmp_path / name, device="cuda:0", precision="32", tile=24)
    assert (voxels(tmp_path / "once") == voxels(tmp_path / "again")).all()
    assert np.abs(voxels(whole).astype(int) - voxels(tmp_path / "once")).max() <= 2
    facts = describe_volume(tmp_path / "once")["made_by"]["facts"]
    assert facts["devices"][0].startswith("cuda:0")


def test_times_of_stages_and_the_bottleneck_are_stored(run, raw, tmp_path):
    predict_volume(run, raw, tmp_path / "p", precision="32", tile=24)
    facts = describe_volume(tmp_path / "p")["made_by"]["facts"]
    assert set(facts["stages"]) == {"read", "prepare", "network", "store"}
    assert facts["bottleneck"] in facts["stages"]
    size = open_volume(raw).roi.size
    for stage in facts["stages"].values():
        assert stage["seconds"] <= 3 * facts["seconds"] + 0.1
        if stage["seconds"] > 0.1:
            assert stage["voxels_per_second"] * stage["seconds"] == pytest.approx(size, rel=0.1)
    assert "smaller_tiles" not in facts


def test_smaller_tiles_where_memory_runs_out(run, raw, whole, tmp_path, monkeypatch, caplog):
    """On a device with memory for tiles of 16 voxels."""

    def short(runner, grey, tiling, **options):
        if max(tiling.tiles[0].shape) > 16:
            raise MemoryError("no room")
        return predict_array(runner, grey, tiling, **options)

    monkeypatch.setattr(block_prediction, "predict_array", short)
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    predict_volume(run, raw, tmp_path / "p", precision="32", tile=48)
    assert np.abs(voxels(tmp_path / "p").astype(int) - voxels(whole)).max() <= 1
    facts = describe_volume(tmp_path / "p")["made_by"]["facts"]
    assert list(facts["smaller_tiles"]) == ["12"]
    assert len(facts["smaller_tiles"]["12"]) == 3 * 1 * 2  # blocks
    assert "out of memory with --tile 48; continuing with 24" in caplog.text


def inputs_file(folder, cell, run, coarse, **options):
    text = f"""
    device = "cpu"

    [[input]]
    raw = "{cell / "cell.zarr/raw"}"
    roi = ":,3:,:65"

    [[input.model]]
    checkpoint = "{run}"
    out = "fine"
    precision = "32"
    tile = 24

    [[input.model]]
    checkpoint = "{coarse}"
    out = "coarse"
    precision = "32"
    tile = 16
    threshold = 0.5
    """
    (folder / "inputs.toml").write_text(text)
    return folder / "inputs.toml"


def test_networks_of_one_image_share_its_reading(cell, run, coarse, raw, tmp_path, monkeypatch):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    inputs = PredictionInputs.from_toml(inputs_file(tmp_path, cell, run, coarse))
    reads = []

    def counted(volume, parts):
        reads.append(parts)
        return load_in_memory(volume, parts)

    monkeypatch.setattr(block_prediction, "load_in_memory", counted)
    outs = predict_inputs(inputs)
    assert outs == [tmp_path / "fine", tmp_path / "coarse"]
    assert [len(parts) for parts in reads] == [2] * 6
    part = {"precision": "32", "roi": ":,3:,:65"}
    predict_volume(run, raw, tmp_path / "one", tile=24, **part)
    predict_volume(coarse, raw, tmp_path / "other", tile=16, threshold=0.5, **part)
    assert (voxels(tmp_path / "one") == voxels(tmp_path / "fine")).all()
    assert (voxels(tmp_path / "other") == voxels(tmp_path / "coarse")).all()


def test_an_interrupted_batch_is_resumed(cell, run, coarse, tmp_path, monkeypatch):
    """One output is finished and one is not; the finished one is not changed."""
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    inputs = PredictionInputs.from_toml(inputs_file(tmp_path, cell, run, coarse))

    def stop(stage, done, total):
        if stage == "predict" and done > 0.7 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_inputs(inputs, progress=stop)
    seen = []
    predict_inputs(inputs, progress=lambda stage, done, total: seen.append((stage, done)))
    assert next(done for stage, done in seen if stage == "predict") > 0
    before = {name: voxels(tmp_path / name) for name in ("fine", "coarse")}
    shutil.rmtree(tmp_path / "coarse")
    stamp = (tmp_path / "fine/zarr.json").stat().st_mtime_ns
    predict_inputs(inputs)
    assert (tmp_path / "fine/zarr.json").stat().st_mtime_ns == stamp
    assert (voxels(tmp_path / "coarse") == before["coarse"]).all()
    (tmp_path / "inputs.toml").write_text(
        (tmp_path / "inputs.toml").read_text().replace("threshold = 0.5", "threshold = 0.6")
    )
    with pytest.raises(FileExistsError, match=r"coarse exists already; give --overwrite"):
        predict_inputs(PredictionInputs.from_toml(tmp_path / "inputs.toml"))


def test_a_network_that_is_added_leaves_the_others_blocks_alone(
    cell, run, coarse, tmp_path, monkeypatch
):
    monkeypatch.setattr("asem.blocks.block_output.SHARD", SHARD)
    file = inputs_file(tmp_path, cell, run, coarse)
    both = PredictionInputs.from_toml(file)
    fine = both.input[0].model_copy(update={"model": both.input[0].model[:1]})

    def stop(stage, done, total):
        if done > 0.7 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_inputs(both.model_copy(update={"input": (fine,)}), progress=stop)
    folders = []

    def loaded(folder, *args):
        folders.append(folder)
        return load_runner(folder, *args)

    monkeypatch.setattr(block_prediction, "load_runner", loaded)
    predict_inputs(both)
    used = [folder == coarse.resolve() for folder in folders]
    assert sum(used) == 6
    assert 0 < len(used) - sum(used) < 6


def test_nothing_is_deleted_where_one_of_several_is_refused(cell, run, coarse, tmp_path):
    inputs = PredictionInputs.from_toml(inputs_file(tmp_path, cell, run, coarse))
    (tmp_path / "fine").mkdir()
    (tmp_path / "fine/notes.txt").write_text("other")
    with pytest.raises(FileExistsError):
        predict_inputs(inputs, overwrite=True)
    shutil.rmtree(tmp_path / "fine")
    predict_inputs(inputs)
    (tmp_path / "coarse/notes.txt").write_text("other")
    with pytest.raises(FileExistsError, match=r"holds more than an image .notes.txt."):
        predict_inputs(inputs, overwrite=True)
    assert voxels(tmp_path / "fine").std() > 0


def test_one_network_twice_with_other_tiles(run, raw, tmp_path, monkeypatch):
    """If memory runs out for one, the other keeps its tile."""

    def short(runner, grey, tiling, **options):
        if max(tiling.tiles[0].shape) > 16:
            raise MemoryError("no room")
        return predict_array(runner, grey, tiling, **options)

    monkeypatch.setattr(block_prediction, "predict_array", short)
    models = [
        {"checkpoint": run, "out": tmp_path / f"p{tile}", "precision": "32", "tile": tile}
        for tile in (8, 48)
    ]
    predict_inputs(PredictionInputs.model_validate({"input": [{"raw": raw, "model": models}]}))
    facts = describe_volume(tmp_path / "p8")["made_by"]["facts"]
    assert list(facts["smaller_tiles"]) == ["12"]


def test_each_dask_worker_of_a_machine_takes_a_gpu_of_its_own(monkeypatch):
    """Work is pickled more than once: from worker to worker, too."""
    gpus = ("cuda:0", "cuda:1")
    monkeypatch.setattr(device_pool, "resolve_devices", lambda name: gpus)
    devices = DevicePool("auto", {"tcp://a": 0, "tcp://b": 1, "tcp://c": 2})
    for address, expected in (("a", "cuda:0"), ("b", "cuda:1"), ("c", "cuda:0")):
        devices = pickle.loads(pickle.dumps(devices))
        worker = WorkerInfo(f"tcp://{address}", None)
        monkeypatch.setattr(device_pool, "current_worker", lambda worker=worker: worker)
        with devices.acquire() as device:
            assert str(device) == expected
    assert DevicePool("auto").local_devices() == gpus


WORKQUEUE = """
from pathlib import Path
import asem.blocks.block_output
import asem.workflows.predict
from asem.workflows.predict import predict_volume

asem.workflows.predict.BLOCKS_PER_DEVICE = {{"cpu": 3}}
asem.blocks.block_output.SHARD = (8, 24, 24)
predict_volume(Path({model!r}), Path({raw!r}), Path({out!r}), precision="32", clahe=True)
"""


def test_kernels_without_a_thread_safe_threading_layer(coarse, raw, tmp_path):
    """Without OpenMP and TBB, two numba kernels at a time abort the process."""
    code = WORKQUEUE.format(model=str(coarse), raw=str(raw), out=str(tmp_path / "p"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_labels_are_no_image_to_predict(run, cell, tmp_path):
    with pytest.raises(ValueError, match="holds labels; name an image"):
        predict_volume(run, cell / "cell.zarr/labels/mito", tmp_path / "p")


def test_a_dry_run_writes_nothing(cell, run, coarse, tmp_path, capsys):
    inputs = inputs_file(tmp_path, cell, run, coarse)
    assert main(["predict", "--inputs", str(inputs), "--dry-run", "--json"]) == 0
    estimate = json.loads(capsys.readouterr().out)
    assert (estimate["blocks"], estimate["voxels"]) == (1, 40 * 45 * 65)
    assert estimate["outputs"][str(tmp_path / "fine")] == {"precision": "32", "tile": 24}
    assert estimate["seconds"] > 0
    assert estimate["memory_mib"]["host"] > 0
    assert {path.name for path in tmp_path.iterdir()} == {"inputs.toml"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inputs", "inputs.toml", "--tile", "8"], "--tile and --inputs do not go together"),
        (["run", "--inputs", "inputs.toml"], "CHECKPOINT and --inputs do not go together"),
        (["run"], "name CHECKPOINT, RAW and DESTINATION, or a file with --inputs"),
        (["--inputs", "twice.toml"], "two models would write /"),
        (["--inputs", "typo.toml"], "unknown key 'input.0.rwa'; did you mean 'raw'?"),
        (["--inputs", "inputs.toml"], "inputs.toml: 'raw' of [[input]]: there is nothing at /"),
    ],
)
def test_invalid_inputs(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    model = '[[input.model]]\ncheckpoint = "c"\nout = "p"\n'
    (tmp_path / "inputs.toml").write_text(f'[[input]]\nraw = "r"\n{model}')
    (tmp_path / "twice.toml").write_text(f'[[input]]\nraw = "r"\n{model}{model}')
    (tmp_path / "typo.toml").write_text(f'[[input]]\nraw = "r"\nrwa = "r"\n{model}')
    assert main(["predict", *words]) == 2
    assert message in capsys.readouterr().err


class Unreadable:
    """An array that raises an error when it is read."""

    def __init__(self, array):
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, index):
        raise AssertionError(f"read {index}")


@pytest.mark.parametrize("size", [10.0, 13.0, 20.0, 7.0])
@pytest.mark.parametrize(
    "box",
    [
        Roi((0, 0, 0), (40, 48, 72)),
        Roi((9, 21, 33), (8, 9, 10)),
        Roi((39, 45, 62), (1, 3, 10)),  # at the end more voxels are reflected than the box has
    ],
)
def test_all_that_a_block_needs_is_read_beforehand(deep, raw, size, box, tmp_path, monkeypatch):
    volume = open_volume(raw)
    network = NetworkSpec(
        deep, str(deep), load_checkpoint(deep)[0].config, (size, size, size), "32", 24
    )
    there = load_in_memory(volume, [find_required_raw(network, volume, box)])
    there = there.with_array(replace(there.array, array=Unreadable(there.array)))
    monkeypatch.setattr(block_prediction, "load_in_memory", lambda volume, parts: volume)
    stored = create_scratch(tmp_path / "out", volume.shape, np.uint8, (64, 64, 64))
    BlockPredictor(
        raw=there,
        predicted_roi=volume.roi,
        networks=(network,),
        targets=(stored,),
        done_blocks=(frozenset(),),
        devices=DevicePool("cpu"),
        block_statistics=BlockResults(tmp_path / "statistics"),
    )(box)
    assert stored[box.slices].std() > 0
